"""What the two systems under migration remember in these tests: one file a user and side, a line for all that happened.

A line is appended by one system call, so whoever is killed leaves whole lines, and what a file says is the truth: which
calls were made, in which order they were replayed, how often, and what each of them found.
"""

import fcntl
import os
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

LAST: Final = 5  # notes that an answer shows, beside how many there are
FOLDER: Final = "CHAOS_FOLDER"  #: where both systems keep their books
PAUSE: Final = "CHAOS_PAUSE_S"  #: how long enhanced takes: so whoever is killed is replaying
SLOW: Final = "slow"  #: a file there: how long enhanced takes beside that, for as long as it is there
CLOCK: Final = "CHAOS_CLOCK_US"  # what is added to the monotonic clock: no fault turns the clock of these systems


class Mark(StrEnum):
    """What happened to a book."""

    WRITTEN = "w"  #: a note was added
    AGAIN = "a"  #: a note was to be added that was there already
    READ = "r"  #: the notes were looked at; the number says how many there were
    MENDED = "m"  #: a note was added by a repair


STORED: Final = (Mark.WRITTEN, Mark.MENDED)


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that happened. `name` is the capture's id in enhanced, and in legacy what the caller wished for."""

    mark: Mark
    number: int
    at_us: int
    name: str
    text: str

    @classmethod
    def of(cls, raw: bytes) -> "Line":
        mark, number, at_us, name, text = raw.decode().split(" ", 4)
        return cls(Mark(mark), int(number), int(at_us), name, text)

    def __bytes__(self) -> bytes:
        return f"{self.mark} {self.number} {self.at_us} {self.name} {self.text}\n".encode()


def now_us() -> int:
    """Return the time of the two systems, which is right whatever the host's clock says."""
    return time.monotonic_ns() // 1_000 + int(os.environ.get(CLOCK, "0"))


def say(file: Path, text: str) -> None:
    """Write a file that others read meanwhile: they find what was there before, or all of it."""
    fresh = file.with_name(f".{file.name}")
    fresh.write_text(text)
    fresh.replace(file)


@dataclass(slots=True)
class _Known:
    """What this process has read of a file."""

    offset: int = 0
    notes: dict[int, Line] = field(default_factory=dict)


class Shelf:
    """The books of one side, shared by any number of processes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[str, _Known] = {}
        self._lock = threading.Lock()

    def add(self, user: str, number: int, name: str, text: str, *, mended: bool = False) -> bool:
        """Add a note unless it is there; tells whether it was not."""
        with self._lock, self._open(user) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            there = number in self._read_on(user, file)
            if mended and there:
                return False
            mark = Mark.AGAIN if there else Mark.MENDED if mended else Mark.WRITTEN
            _append(file, Line(mark, number, now_us(), name or "-", text))
            return not there

    def append(self, user: str, name: str, text: str) -> int:
        """Add a note behind all others; returns its number."""
        with self._lock, self._open(user) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            number = max(self._read_on(user, file), default=0) + 1
            _append(file, Line(Mark.WRITTEN, number, now_us(), name or "-", text))
            return number

    def look(self, user: str, name: str) -> dict[str, object]:
        """Return how many notes there are, and the last of them in order."""
        with self._lock, self._open(user) as file:
            notes = self._read_on(user, file)
            _append(file, Line(Mark.READ, len(notes), now_us(), name or "-", ""))
            return _answer(notes)

    def peek(self, user: str) -> dict[str, object]:
        """Return the same, where no user asks: nothing is written down of that."""
        return _answer(self.notes(user))

    def notes(self, user: str) -> dict[int, Line]:
        """Return a user's notes by number; nothing is written down of that."""
        with self._lock, self._open(user) as file:
            return dict(self._read_on(user, file))

    def _open(self, user: str):
        return (self._folder / user).open("ab+", buffering=0)

    def _read_on(self, user: str, file) -> dict[int, Line]:
        known = self._known.setdefault(user, _Known())
        fresh = os.pread(file.fileno(), 1 << 24, known.offset)
        whole = fresh[: fresh.rfind(b"\n") + 1]
        known.offset += len(whole)
        for line in map(Line.of, whole.splitlines()):
            if line.mark in STORED:
                known.notes.setdefault(line.number, line)
        return known.notes


def _answer(notes: dict[int, Line]) -> dict[str, object]:
    return {"count": len(notes), "last": [notes[number].text for number in sorted(notes)[-LAST:]]}


def _append(file, line: Line) -> None:
    file.write(bytes(line))


def lines(folder: Path) -> Iterator[tuple[str, Sequence[Line]]]:
    """Yield each user with all that ever happened to their book."""
    for file in sorted(folder.iterdir()):
        yield file.name, [Line.of(raw) for raw in file.read_bytes().splitlines()]
