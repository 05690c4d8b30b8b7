"""The worker processes that benchmarks start, and hold still while the other side is measured."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

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


def cpu_s(worker: WorkerProcess) -> float | None:
    """Return the processor time that all processes of a worker have used; None where the system does not tell.

    On shared cores it says more than the clock: what others do in the meantime is not in it.
    """
    ticks = [_ticks(stat, worker.pid) for stat in Path("/proc").glob("[0-9]*/stat")]
    return sum(ticks) / os.sysconf("SC_CLK_TCK") if ticks else None


def _ticks(stat: Path, group: int) -> int:
    """Return the user and system time of one process, 0 where it is of another process group."""
    try:
        fields = stat.read_text().rpartition(")")[2].split()  # the name before may hold anything
    except OSError:  # it has ended meanwhile
        return 0
    return int(fields[11]) + int(fields[12]) if int(fields[2]) == group else 0


def memory_mib(worker: WorkerProcess) -> float | None:
    """Return what the largest process of a worker holds in memory; None where the system does not tell."""
    pages = [_pages(stat, worker.pid) for stat in Path("/proc").glob("[0-9]*/stat")]
    return max(pages) * os.sysconf("SC_PAGE_SIZE") / 2**20 if pages else None


def _pages(stat: Path, group: int) -> int:
    """Return the resident pages of one process, 0 where it is of another process group."""
    try:
        fields = stat.read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return int(fields[21]) if int(fields[2]) == group else 0


def wait_for(done: Callable[[], int], total: int) -> float:
    """Wait until `done` has reached `total`; returns when, by `time.perf_counter`.

    Raises BenchError when it stands still or takes too long.
    """
    began = moved_at = time.perf_counter()
    seen = done()
    while seen < total:
        time.sleep(_POLL_S)
        count, now = done(), time.perf_counter()
        moved_at = now if count > seen else moved_at
        seen = count
        if now - moved_at > _STUCK_S or now - began > _BOUND_S:
            raise BenchError(f"{seen} of {total} done after {now - began:.0f} s")
    return moved_at
