"""Captures made to measure, for what is fair to compare: to the millisecond, of users in every phase."""

from collections.abc import Callable
from datetime import UTC, datetime
from itertools import count
from typing import Any

import msgspec
import pytest

from gnomon.hashing import lane_of, user_digest
from gnomon.wire import Capture, Kind, Side, encode, encode_value, pack

LANES = 4


class NotesData:
    """Verifies and repairs users' notes; `asked` tells what was asked."""

    def __init__(self, notes: Any) -> None:
        self._notes = notes
        self.asked: list[tuple[str, str]] = []
        self.before: Callable[[str, str], object] = lambda what, user: None

    def verify(self, user: str, before: datetime | None = None) -> bool:
        self._ask("verify" if before is None else "verify before", user)
        return self._of(self._notes.legacy, user, before) == self._of(self._notes.enhanced, user, before)

    def repair(self, user: str, before: datetime | None = None) -> int:
        self._ask("repair", user)
        self._notes.enhanced[user] |= self._of(self._notes.legacy, user, before)
        return 1

    def users(self, after: str = "", limit: int = 500) -> list[str]:
        return sorted(user for user in self._notes.legacy if user > after)[:limit]

    def _ask(self, what: str, user: str) -> None:
        self.asked.append((what, user))
        self.before(what, user)

    def _of(self, notes: Any, user: str, before: datetime | None) -> dict[int, str]:
        old = datetime.min.replace(tzinfo=UTC)
        kept = notes[user].items()
        return {number: text for number, text in kept if not before or self._notes.saved_at.get(number, old) < before}


@pytest.fixture
def user_data(notes, client) -> NotesData:
    """Have users' notes verified."""
    made = NotesData(notes)
    client.verification(made)
    return made


class Tape:
    """Captures of one user made to measure, as a live process in another language would append them.

    Times are milliseconds since the tape began, a minute ago: `past` the watermark of whoever is alive.
    """

    def __init__(self, server: Any, keys: Any, producer: Any, user: str = "ann") -> None:
        self._server, self._keys = server, keys
        self.producer, self.user = producer, user
        self.lane, self.digest = lane_of(user, LANES), user_digest(user)
        self._numbers = count(1)
        self.began_us = self.now_us() - 60_000_000

    def now_us(self) -> int:
        seconds, micros = self._server.time()
        return seconds * 1_000_000 + micros

    def at(self, ms: float) -> int:
        return self.began_us + int(ms * 1_000)

    def save(self, start: float, end: float, number: int, **sides: Any) -> Capture:
        """Record a write of note `number`; legacy returned it unless told otherwise."""
        args = {"user": self.user, "text": f"note {number}"}
        sides = {"legacy": returned(number), **sides}
        return self._capture("note.save", Kind.WRITE, start, end, args, sides)

    def read(self, start: float, end: float, **sides: Any) -> Capture:
        """Record a read with the sides given."""
        return self._capture("note.list", Kind.READ, start, end, {"user": self.user}, sides)

    def _capture(
        self, op: str, kind: Kind, start: float, end: float, args: dict[str, Any], sides: dict[str, Any]
    ) -> Capture:
        return Capture(
            v=1,
            id=f"{self.producer.name}-{next(self._numbers)}",
            op=op,
            kind=kind,
            user=self.user,
            start=self.at(start),
            end=self.at(end),
            args=msgspec.Raw(encode_value(args)),
            epoch=1,
            **sides,
        )

    def append(self, *captures: Capture, watermark: int = 0, **gaps: int) -> None:
        """Append captures in one entry, and gaps by digest."""
        entries = [(self.digest, len(captures), pack([encode(one) for one in captures]))] if captures else []
        self.producer.append(self.lane, *entries, watermark=watermark, **gaps)


def returned(value: Any) -> Side:
    return Side(7, returned=msgspec.Raw(encode_value(value)))


def _listed(*numbers: int) -> Side:
    return returned([f"note {number}" for number in numbers])


@pytest.fixture
def make_tape(server, keys, make_producer) -> Callable[..., Tape]:
    return lambda user="ann", name="p": Tape(server, keys, make_producer(name), user)


@pytest.fixture
def tape(make_tape) -> Tape:
    return make_tape()


@pytest.fixture(scope="session")
def listed() -> Callable[..., Side]:
    """Make the outcome of a read that listed notes by their numbers."""
    return _listed


@pytest.fixture(scope="session")
def gave() -> Callable[[Any], Side]:
    """Make the outcome of a side that returned a value."""
    return returned
