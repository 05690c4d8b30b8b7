"""One user's captures of a batch, replayed one after another in a thread of the pool."""

import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from ledger import Finding
from worker.replay import Replayer, timed_out
from worker.selection import Due


class UserJob:
    """Runs in a pool thread; the drain watches it and gives up on a replay that does not come back."""

    def __init__(self, dues: Sequence[Due], replayer: Replayer) -> None:
        self._dues = dues
        self._replayer = replayer
        self._lock = threading.Lock()
        self._findings: list[Finding] = []
        self._began: float | None = None
        self._given_up = False  # set by the thread that watches

    def __call__(self) -> list[Finding]:
        """Replay all captures in order; what comes back after the job was given up is thrown away."""
        for due in self._dues:
            with self._lock:
                if self._given_up:
                    return self._findings
                self._began = time.monotonic()
            finding = self._replayer.finding(due)
            with self._lock:
                if self._given_up:
                    return self._findings
                self._findings.append(finding)
                self._began = None
        return self._findings

    def overdue(self, limit_s: float) -> bool:
        """Tell whether the running replay has taken longer than `limit_s`."""
        began = self._began
        return began is not None and time.monotonic() - began > limit_s

    def give_up(self) -> tuple[list[Finding], Sequence[Due]]:
        """Leave the thread to itself: returns what was found, the stuck capture as failed, and what is left to do."""
        with self._lock:
            self._given_up = True
            found = list(self._findings)
        stuck = self._dues[len(found)].item.capture
        assert stuck is not None
        return [*found, timed_out(stuck, self._replayer.timeout_s)], self._dues[len(found) + 1 :]


class Fanout:
    """The users of a batch, side by side."""

    def __init__(self, pool: ThreadPoolExecutor, replayer: Replayer) -> None:
        self._pool = pool
        self._replayer = replayer
        self._running: dict[Future[list[Finding]], UserJob] = {}
        self._findings: list[Finding] = []
        self.abandoned = 0  #: threads that were left to themselves

    def start(self, users: Sequence[Sequence[Due]]) -> None:
        """Begin a batch."""
        self._findings = []
        for dues in users:
            job = UserJob(dues, self._replayer)
            self._running[self._pool.submit(job)] = job

    @property
    def futures(self) -> list[Future[list[Finding]]]:
        """What to wait for."""
        return list(self._running)

    def collect(self) -> list[Finding] | None:
        """Return the batch's findings once all users are through; None until then."""
        for future, job in list(self._running.items()):
            if future.done():
                self._findings += future.result()
                del self._running[future]
            elif job.overdue(self._replayer.timeout_s):
                del self._running[future]
                self._abandon(job)
        return None if self._running else self._findings

    def _abandon(self, job: UserJob) -> None:
        found, rest = job.give_up()
        self._findings += found
        self.abandoned += 1
        if rest:
            again = UserJob(rest, self._replayer)
            future: Future[list[Finding]] = Future()
            self._running[future] = again
            # the pool's own threads may all be stuck
            threading.Thread(target=_run, args=(again, future), name="gnomon-replay", daemon=True).start()


def _run(job: UserJob, future: "Future[list[Finding]]") -> None:
    try:
        future.set_result(job())
    except BaseException as error:
        future.set_exception(error)
