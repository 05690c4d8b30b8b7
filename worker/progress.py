"""How a worker gets on, written down as it goes, for whoever asks from outside: one small file for a worker.

It is mapped into the main process and, through the fork, into its children: to note something is to store a number.
The main process holds a lock on it until it ends, however that comes about; a file without one is a dead worker's. The
other way round it tells the children that the worker is to stop. What follows from it decides `worker.probe`.
"""

import ctypes
import fcntl
import mmap
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Final, Self

VERSION: Final = 0x676E6F6D_00000001  # "gnom", and the version of what is laid out below
LINES: Final = 256  # children of one worker that are noted; those beyond do as well without
_ENDING: Final = ".state"


class Doing(IntEnum):
    """What a child does."""

    NOTHING = 0  #: it is free
    DRAIN = 1  #: a drain, which notes each of its turns
    OTHER = 2  #: a sweep or a tick of the arbiter, of about a second
    GONE = 3  #: it has ended in order


class Away(IntEnum):
    """Who did not answer a child."""

    NOBODY = 0  #: all did
    REDIS = 1  #: Redis
    LEDGER = 2  #: the ledger's database


class _Main(ctypes.Structure):
    """The first line. Moments are ns on the monotonic clock, which all processes of a host share; 0: never."""

    _fields_ = (
        ("version", ctypes.c_int64),
        ("pid", ctypes.c_int64),
        ("started", ctypes.c_int64),
        ("ticked", ctypes.c_int64),
        ("received", ctypes.c_int64),
        ("messages", ctypes.c_int64),
        ("stopping", ctypes.c_int64),
        ("answering", ctypes.c_int64),
        ("hinted", ctypes.c_int64),
        ("hinted_messages", ctypes.c_int64),
        ("childless", ctypes.c_int64),
    )


class _Child(ctypes.Structure):
    """One line for each child, that of its place in the pool: whoever takes the place over takes the line."""

    _fields_ = (
        ("pid", ctypes.c_int64),
        ("doing", ctypes.c_int64),
        ("since", ctypes.c_int64),
        ("turned", ctypes.c_int64),
        ("interrupted", ctypes.c_int64),
        ("away", ctypes.c_int64),
    )


class _Layout(ctypes.Structure):
    _fields_ = (("main", _Main), ("children", _Child * LINES))


SIZE: Final = ctypes.sizeof(_Layout)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildFacts:
    """A child as it was noted; moments in s on the monotonic clock, 0: never."""

    pid: int
    alive: bool
    doing: Doing
    since_s: float  #: when it began with that
    turned_s: float  #: when the loop of a drain last turned
    interrupted_s: float = 0.0  #: when something was last given up because somebody was away
    away: Away = Away.NOBODY


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What earlier probes have seen and leave to the next; moments in s on the monotonic clock, 0: never."""

    answering_s: float = 0.0  #: since when Redis has answered at every look
    hinted_s: float = 0.0  #: since when hints have waited at every look while the worker took none
    messages: int = 0  #: how many it had taken by then
    childless_s: float = 0.0  #: since when no child was alive at any look


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerFacts:
    """A worker as it was noted; moments in s on the monotonic clock, 0: never."""

    pid: int
    alive: bool
    started_s: float
    ticked_s: float  #: when the event loop that takes hints last turned
    received_s: float  #: when it last took a message
    messages: int  #: how many it took
    stopping_s: float  #: since when it is to stop
    children: tuple[ChildFacts, ...]
    memory: Memory


class ChildLine:
    """What a child notes of itself; a child without a line notes nothing."""

    def __init__(self, line: _Child | None = None) -> None:
        self._line = _Child() if line is None else line

    def begin(self, doing: Doing) -> None:
        """Note that a task begins, or with NOTHING that it has ended."""
        self._line.since = self._line.turned = time.monotonic_ns()
        self._line.doing = doing

    def turned(self) -> None:
        """Note that the loop of a drain has turned."""
        self._line.turned = time.monotonic_ns()

    def interrupted(self, away: Away) -> None:
        """Note that something was given up because somebody did not answer."""
        self._line.away = away
        self._line.interrupted = time.monotonic_ns()


class Progress:
    """The file of one worker, as its main process, its children or a probe have it."""

    def __init__(self, memory: mmap.mmap, descriptor: int | None = None, path: Path | None = None) -> None:
        self._layout = _Layout.from_buffer(memory)
        self._descriptor = descriptor  # as long as it is open in the main process, the file is locked
        self._path = path

    @classmethod
    def unseen(cls) -> Self:
        """Return one without a file: children see it through the fork, nobody else does."""
        made = cls(mmap.mmap(-1, SIZE))
        made.begin()
        return made

    @classmethod
    def create(cls, folder: Path, namespace: str) -> Self:
        """Make the file of this process, and remove those of dead workers; raises OSError where that cannot be."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = _path(folder, namespace, os.getpid())
        fresh = path.with_suffix(".new")  # nobody sees it before it is locked
        fresh.unlink(missing_ok=True)
        descriptor = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        os.truncate(descriptor, SIZE)
        fcntl.lockf(descriptor, fcntl.LOCK_EX)
        made = cls(mmap.mmap(descriptor, SIZE), descriptor, path)
        made.begin()
        fresh.rename(path)
        _clear(folder, namespace)
        return made

    @classmethod
    def open(cls, path: Path) -> Self:
        """Look at a worker's file; raises OSError, and ValueError where it is of another version."""
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
        try:
            seen = cls(mmap.mmap(descriptor, SIZE), descriptor, path)
        except ValueError:  # shorter than it should be
            os.close(descriptor)
            raise
        if seen._layout.main.version != VERSION:
            os.close(descriptor)
            raise ValueError(path.name)
        return seen

    # --- the main process

    def begin(self) -> None:
        """Note that this process is the main one."""
        main = self._layout.main
        main.pid, main.started, main.version = os.getpid(), time.monotonic_ns(), VERSION

    def tick(self) -> None:
        """Note that the event loop turns."""
        self._layout.main.ticked = time.monotonic_ns()

    def receive(self) -> None:
        """Note that a message was taken."""
        self._layout.main.received = time.monotonic_ns()
        self._layout.main.messages += 1

    def stop(self) -> None:
        """Tell the children that the worker is to stop; only the main process can, and nobody can take it back."""
        main = self._layout.main
        if main.pid == os.getpid() and not main.stopping:
            main.stopping = time.monotonic_ns()

    def remove(self) -> None:
        """Remove the file; only the main process can."""
        if self._path is not None and self._layout.main.pid == os.getpid():
            self._path.unlink(missing_ok=True)

    # --- the children

    @property
    def stopping(self) -> bool:
        """Whether the worker is to stop."""
        return bool(self._layout.main.stopping)

    def line(self, number: int | None) -> ChildLine:
        """Take the line of a place in the pool over, for this process."""
        if number is None or not 0 <= number < LINES:
            return ChildLine()
        line = self._layout.children[number]
        line.interrupted = line.away = 0
        taken = ChildLine(line)
        taken.begin(Doing.NOTHING)
        line.pid = os.getpid()
        return taken

    # --- probes

    @property
    def locked(self) -> bool:
        """Whether the main process lives."""
        assert self._descriptor is not None
        return _locked(self._descriptor)

    def facts(self) -> WorkerFacts:
        """Return what is noted."""
        main = self._layout.main
        return WorkerFacts(
            pid=main.pid,
            alive=self.locked,
            started_s=main.started / 1e9,
            ticked_s=main.ticked / 1e9,
            received_s=main.received / 1e9,
            messages=main.messages,
            stopping_s=main.stopping / 1e9,
            children=tuple(_facts(line) for line in self._layout.children if line.pid),
            memory=self._memory(),
        )

    def _memory(self) -> Memory:
        main = self._layout.main
        return Memory(
            answering_s=main.answering / 1e9,
            hinted_s=main.hinted / 1e9,
            messages=main.hinted_messages,
            childless_s=main.childless / 1e9,
        )

    def remember(self, memory: Memory) -> None:
        """Leave to the next probe what this one has seen."""
        main = self._layout.main
        main.answering, main.hinted = int(memory.answering_s * 1e9), int(memory.hinted_s * 1e9)
        main.hinted_messages, main.childless = memory.messages, int(memory.childless_s * 1e9)

    def close(self) -> None:
        """Let go of the file."""
        assert self._descriptor is not None
        os.close(self._descriptor)


def _facts(line: _Child) -> ChildFacts:
    doing = Doing(line.doing)
    return ChildFacts(
        pid=line.pid,
        alive=doing is not Doing.GONE and _lives(line.pid),
        doing=doing,
        since_s=line.since / 1e9,
        turned_s=line.turned / 1e9,
        interrupted_s=line.interrupted / 1e9,
        away=Away(line.away),
    )


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's: it is there
        return True
    return True


def default_folder() -> Path:
    """Return where workers of this user write unless told otherwise."""
    return Path(tempfile.gettempdir()) / f"gnomon-{os.getuid()}"


def found(folder: Path, namespace: str) -> dict[int, Path]:
    """Return the files of a namespace's workers, dead or alive, by process id."""
    return dict(_found(folder, namespace))


def _found(folder: Path, namespace: str) -> Iterator[tuple[int, Path]]:
    for path in sorted(folder.glob(f"{namespace}.*{_ENDING}")):
        number = path.name[len(namespace) + 1 : -len(_ENDING)]
        if number.isdigit():  # else it is of a namespace whose name goes on
            yield int(number), path


def _path(folder: Path, namespace: str, pid: int) -> Path:
    return folder / f"{namespace}.{pid}{_ENDING}"


def _clear(folder: Path, namespace: str) -> None:
    for pid, path in _found(folder, namespace):
        with suppress(OSError):
            if pid != os.getpid():
                _clear_dead(path)


def _clear_dead(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
    try:
        if not _locked(descriptor):
            path.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    """Tell whether another process holds the lock."""
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: probes do not take each other for a worker
    except (BlockingIOError, PermissionError):
        return True
    fcntl.lockf(descriptor, fcntl.LOCK_UN)
    return False
