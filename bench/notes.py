"""Notes kept twice, in memory that live processes and workers share: each system takes microseconds a call.

A database takes longer than the shortest distance at which calls are raced, and lets one writer in at a time: then it
would be the database that keeps calls apart. Here a user's notes are a row of numbers in a mapped file, 0 where there
is none, and a note's id is its place.
"""

import fcntl
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from bench.measuring import BenchError
from gnomon import call

PLACES: Final = 256  # notes of one user
_SIZE: Final = 8  # bytes: written and read in one step by the processor
SHOWN: Final = 10

Note = dict[str, int]


class Shelf:
    """The notes of one system, by user; opened anew in every process."""

    def __init__(self, file: Path, users: int) -> None:
        self._file = os.open(file, os.O_RDWR | os.O_CREAT)
        os.ftruncate(self._file, users * PLACES * _SIZE)
        self._notes = memoryview(mmap.mmap(self._file, 0)).cast("Q")

    def put(self, user: int, place: int, number: int) -> None:
        """Keep a note at its place, or do nothing where it is kept already."""
        if not self._notes[user * PLACES + place]:
            self._notes[user * PLACES + place] = number

    def count(self, user: int) -> int:
        """Return how many places are taken in a row."""
        row = self._notes[user * PLACES : (user + 1) * PLACES]
        return next((place for place, number in enumerate(row) if not number), PLACES)

    def newest(self, user: int) -> list[Note]:
        """Return the newest notes, newest first; what has a gap before it counts as well."""
        row = self._notes[user * PLACES : (user + 1) * PLACES].tolist()
        kept = [{"id": place, "number": number} for place, number in enumerate(row) if number]
        return kept[: -SHOWN - 1 : -1]

    @contextmanager
    def alone(self, user: int) -> Iterator[None]:
        """Keep other processes from writing notes of this user."""
        fcntl.lockf(self._file, fcntl.LOCK_EX, _SIZE, user * _SIZE)
        try:
            yield
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN, _SIZE, user * _SIZE)


class LegacyNotes:
    """Gives each note its id."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf

    def save(self, user: str, number: int) -> Note:
        """Keep a note; returns it with its id. Raises BenchError where a user has no place left."""
        owner = _place_of(user)
        with self._shelf.alone(owner):
            place = self._shelf.count(owner)
            if place == PLACES:
                raise BenchError(f"a user has more than {PLACES} notes")
            self._shelf.put(owner, place, number)
        return {"id": place, "number": number}

    def listed(self, user: str) -> list[Note]:
        """Return the newest notes."""
        return self._shelf.newest(_place_of(user))


class EnhancedNotes:
    """Keeps a note under the id that legacy gave it, once, however often it is told."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf

    def save(self, user: str, number: int) -> Note:
        """Keep a note that legacy has."""
        origin: Any = call().origin  # type: ignore[union-attr]  # there always is one: this is an enhanced callable
        self._shelf.put(_place_of(user), origin["id"], number)
        return {"id": origin["id"], "number": number}

    def listed(self, user: str) -> list[Note]:
        """Return the newest notes."""
        return self._shelf.newest(_place_of(user))


def _place_of(user: str) -> int:
    return int(user.rpartition("-")[2])
