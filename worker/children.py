"""The pool's child processes: Celery's own, which leave in order once they are spent or told to end.

A child is spent when it holds too much memory, or threads that are lost in replays that never came back. It ends what
it does, takes no further message, and ends with exit code 0, so the pool starts another in its place without a word of
an error. Signals, too, let a drain end first: whoever stops a worker often sends them to the whole process group.
"""

import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any, Final

import structlog
from billiard.common import TERM_SIGNAL
from celery.concurrency import asynpool, prefork

log = structlog.get_logger()

HEARD_S: Final = 1.0  # for the pool to hear of a child's last results: it takes milliseconds, if it listens at all
SWITCH_S: Final = 0.001  # a drain that has its answer waits so long for the thread that goes on meanwhile
LOOK_S: Final = 0.5  # between two looks at the memory: one takes 10 µs, and a drain's loop may turn every ms
_PAGE_KB: Final = os.sysconf("SC_PAGE_SIZE") // 1024
_STATM: Final = Path("/proc/self/statm")


def memory_kb() -> int:
    """Return how much memory this process has in use, shared pages included; its peak where the system tells no more.

    What Celery looks at is always the peak: one large batch would cost a child its life at every turn.
    """
    with suppress(OSError, ValueError, IndexError):
        return int(_STATM.read_text("ascii").split()[1]) * _PAGE_KB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


class Leaving:
    """Whether this child should leave, and why. The pool's loop asks between tasks, a drain between its turns."""

    def __init__(self, limit_kb: int | None = None) -> None:
        self._limit_kb = limit_kb
        self._looked = 0.0
        self.reason = ""  #: empty for as long as it should stay
        self.told = False  #: by a signal: at once, not only when there is a good moment

    def spent(self) -> bool:
        """Tell whether the child should take on nothing more."""
        if not self.reason and self._limit_kb and time.monotonic() - self._looked >= LOOK_S:
            self._looked = time.monotonic()
            if memory_kb() > self._limit_kb:
                self.reason = "memory"
        return bool(self.reason)


leaving = Leaving()


def leave(reason: str) -> None:
    """Let this child leave once its task is through."""
    leaving.reason = leaving.reason or reason


def spent() -> bool:
    """Tell whether this child should take on nothing more; outside a pool never."""
    return leaving.spent()


def told() -> bool:
    """Tell whether a signal has asked this child to end."""
    return leaving.told


class Child(asynpool.Worker):
    """A child of the pool."""

    max_memory_per_child: int | None
    on_ready_counter: Any
    wait_for_job: Callable[[], Any]

    def on_loop_start(self, pid: int) -> None:
        """Begin: after the fork, before the first task."""
        global leaving  # noqa: PLW0603 — one for a process is the point
        sys.setswitchinterval(SWITCH_S)
        leaving = Leaving(self.max_memory_per_child)
        self.max_memory_per_child = None  # we look ourselves
        receive = _Receive(self.wait_for_job, leaving)
        self.wait_for_job = receive
        for number in (TERM_SIGNAL, signal.SIGQUIT):
            signal.signal(number, receive.on_signal)
        super().on_loop_start(pid)

    def _ensure_messages_consumed(self, completed: int) -> bool:
        """Wait until the pool has heard of everything, yet not for half a minute as Celery's do.

        A pool that stops forgets the jobs of whose beginning it has not heard yet, and then listens to nobody.
        """
        until = time.monotonic() + HEARD_S
        while self.on_ready_counter.value < completed and time.monotonic() < until:
            time.sleep(0.02)
        return bool(self.on_ready_counter.value >= completed)


class _Receive:
    """Waits for the next task of a child, unless it is to leave."""

    def __init__(self, wait: Callable[[], Any], leaving: Leaving) -> None:
        self._wait = wait
        self._leaving = leaving
        self._free = True  # nothing is lost if it ends now

    def __call__(self) -> Any:
        """Return what the pool sends; raises SystemExit, which ends the child in order, where it is to leave."""
        self._free = True
        if self._leaving.told:
            raise SystemExit(0)
        if self._leaving.spent():
            log.info("child.leaves", reason=self._leaving.reason, memory_mb=memory_kb() // 1024)
            raise SystemExit(0)
        received = self._wait()
        self._free = False
        return received

    def on_signal(self, number: int, _frame: FrameType | None) -> None:
        """End at once where it is free; else when the task is through, or at the second signal."""
        if self._free:
            raise SystemExit(0)
        if self._leaving.told:
            raise SystemExit(number - 256)  # as Celery's children answer the first one
        self._leaving.told = True


class Pool(asynpool.AsynPool):
    """Celery's pool of these children."""

    Worker = Child


class TaskPool(prefork.TaskPool):
    """What the setting `worker_pool` names."""

    Pool = Pool
