"""The application under migration: notes by user. Imported by live processes and, by its dotted name, by workers."""

import os
import time
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from gnomon import Gnomon, call
from tests.chaos.books import FOLDER, PAUSE, SLOW, Shelf
from tests.chaos.traffic import ADD, LOOK, Wish

DEPTH: Final = 10_000


class PlantedError(Exception):
    """Enhanced does not like the call."""


_folder = Path(os.environ[FOLDER])
legacy, enhanced = Shelf(_folder / "legacy"), Shelf(_folder / "enhanced")
gnomon = Gnomon.from_env()
_known_as: list[int] = []
_pause_s = float(os.environ.get(PAUSE, "0"))
_slow = _folder / SLOW


@gnomon.operation(ADD, kind="write", user="user")
def add(user: str, text: str, wish: str = Wish.NOTHING) -> int:
    """Add a note; returns its number."""
    return legacy.append(user, wish, text)


@add.enhanced
def _add(user: str, text: str, wish: str) -> int:
    _appear()
    _grant(wish)
    current = call()
    assert current is not None
    enhanced.add(user, current.origin, current.capture_id, text)
    return current.origin


@gnomon.operation(LOOK, kind="read", user="user")
def look(user: str, wish: str = Wish.NOTHING) -> Any:
    """Return how many notes a user has, and the last ones."""
    answer = legacy.look(user, wish) if call() is None else legacy.peek(user)  # a worker takes a pair: no live call
    return _nested() if wish == Wish.DEEP_LEGACY else answer


@look.enhanced
def _look(user: str, wish: str) -> Any:
    _appear()
    current = call()
    assert current is not None
    answer = enhanced.look(user, current.capture_id)
    return _grant(wish) or answer | ({"planted": True} if wish == Wish.WRONG else {})


def _grant(wish: str) -> Any:
    if wish == Wish.EXIT:
        os._exit(9)
    if wish == Wish.REFUSE:
        raise PlantedError
    return _nested() if wish == Wish.DEEP else None


def _nested() -> list[Any]:
    value: list[Any] = []
    for _ in range(DEPTH):
        value = [value]
    return value


def _appear() -> None:
    """Take the time that a real system takes, and let whoever looks for processes that replay find this one."""
    with suppress(FileNotFoundError):
        time.sleep(float(_slow.read_text()))
    time.sleep(_pause_s)
    if os.getpid() not in _known_as:
        _known_as.append(os.getpid())
        (_folder / "replaying" / str(os.getpid())).touch()


class _Notes:
    """How a user's notes are verified and repaired."""

    def verify(self, user: str, before: datetime | None = None) -> bool:
        return not self._missing(user, before)

    def repair(self, user: str, before: datetime | None = None) -> int:
        missing = self._missing(user, before)
        return sum(enhanced.add(user, number, "-", missing[number], mended=True) for number in sorted(missing))

    def users(self, after: str = "", limit: int = 500) -> list[str]:
        with suppress(FileNotFoundError):
            return sorted(file.name for file in (_folder / "legacy").iterdir() if file.name > after)[:limit]
        return []

    def _missing(self, user: str, before: datetime | None) -> dict[int, str]:
        until_us = float("inf") if before is None else before.timestamp() * 1_000_000
        there = enhanced.notes(user)
        notes = legacy.notes(user).items()
        return {number: line.text for number, line in notes if number not in there and line.at_us < until_us}


gnomon.verification(_Notes())
