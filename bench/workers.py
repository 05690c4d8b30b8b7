"""The worker processes that benchmarks start, and hold still while the other side is measured."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from bench.measuring import BenchError
from console.processes import WorkerProcess

PROCESSES: Final = 2  # the same for both sides
ROOT: Final = Path(__file__).resolve().parent.parent
_POLL_S: Final = 0.02  # a look takes 0.3 ms: at most 2 % of a core
_STUCK_S: Final = 30.0
_BOUND_S: Final = 180.0


class BaselineWorker(WorkerProcess):
    """The hand-written baseline's Celery worker, started with what Celery does by default."""

    def _start(self) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", "celery", "-A", "bench.baseline", "worker", "--pool=prefork"]
        command += [f"--concurrency={PROCESSES}", "--loglevel=WARNING"]
        with self._log.open("ab") as log:
            return subprocess.Popen(
                command, env=self._environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
            )


@contextlib.contextmanager
def standing_by(worker: WorkerProcess) -> Iterator[WorkerProcess]:
    """End a worker that was started, whatever state it is in."""
    try:
        yield worker
    finally:
        _signal(worker, signal.SIGCONT)  # one that stands still cannot hear that it should end
        worker.stop()


@contextlib.contextmanager
def frozen(worker: WorkerProcess) -> Iterator[None]:
    """Hold all processes of a worker still for the time of the block."""
    _signal(worker, signal.SIGSTOP)
    try:
        yield
    finally:
        _signal(worker, signal.SIGCONT)


def _signal(worker: WorkerProcess, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(worker.pid, number)


class Watched(NamedTuple):
    """What was seen of work being done: how much there was at the first sight of any, and when that and the last was.

    Times are of `time.perf_counter`.
    """

    first: int
    first_at: float
    last_at: float

    def per_second(self, total: int, since: float) -> float:
        """Return how much was done in a second from first to last commit; `since`, where all came with the first."""
        if self.first < total:
            return (total - self.first) / (self.last_at - self.first_at)
        return total / (self.last_at - since)


def watch(done: Callable[[], int], total: int) -> Watched:
    """Watch until `done` has reached `total`; raises BenchError when it stands still or takes too long."""
    began = moved_at = first_at = time.perf_counter()
    first = seen = 0
    while seen < total:
        time.sleep(_POLL_S)
        count, now = done(), time.perf_counter()
        if count > seen:
            first, first_at = (first, first_at) if first else (count, now)
            seen, moved_at = count, now
        if now - moved_at > _STUCK_S or now - began > _BOUND_S:
            raise BenchError(f"{seen} of {total} done after {now - began:.0f} s")
    return Watched(first, first_at, moved_at)
