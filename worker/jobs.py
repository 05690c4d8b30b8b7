"""One user's captures of a batch, replayed one after another in a thread of the pool."""

import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future

from gnomon.wire import Capture, Kind
from ledger import Finding
from worker.journal import Journal
from worker.pool import ReplayPool
from worker.replay import Replayer, timed_out
from worker.selection import Due


class UserJob:
    """Runs in a pool thread; the drain watches it and gives up on a replay that does not come back."""

    def __init__(
        self, dues: Sequence[Due], replayer: Replayer, journal: Journal, *, unkept: Sequence[Finding] = ()
    ) -> None:
        self._dues = dues
        self._replayer = replayer
        self._journal = journal
        self._unkept = list(unkept)  # found since the journal was last written
        self._lock = threading.Lock()
        self._findings: list[Finding] = []
        self._began: float | None = None
        self.given_up = False  #: nobody waits for it any more

    def __call__(self) -> list[Finding]:
        """Replay all captures in order; what comes back after the job was given up is thrown away.

        Raises FencedError where the lane is held by another.
        """
        for due in self._dues:
            assert due.item.capture is not None
            finding = self._journal.known(due.item.capture.id) or self._replayed(due, due.item.capture)
            if not self._take(finding):
                break
        return self._findings

    def _replayed(self, due: Due, capture: Capture) -> Finding:
        if capture.kind is Kind.WRITE and self._unkept:
            # a write may change what reads before it would see if they had to be replayed again
            self._journal.keep(self._unkept)
            self._unkept = []
        self._began = time.monotonic()
        finding = self._replayer.finding(due)
        if capture.kind is not Kind.WRITE:
            self._unkept.append(finding)
        return finding

    def _take(self, finding: Finding) -> bool:
        with self._lock:
            self._began = None
            if not self.given_up:
                self._findings.append(finding)
            return not self.given_up

    def overdue(self, limit_s: float) -> bool:
        """Tell whether the running replay has taken longer than `limit_s`."""
        began = self._began
        return began is not None and time.monotonic() - began > limit_s

    def give_up(self) -> tuple[list[Finding], "UserJob | None"]:
        """Leave the thread to itself: returns what was found, the stuck capture as failed, and a job for the rest.

        A replay that came back in the last moment counts as it is; the rest goes to another job all the same.
        """
        with self._lock:
            self.given_up = True
            found, unkept, stuck = list(self._findings), list(self._unkept), self._began is not None
        if stuck:
            capture = self._dues[len(found)].item.capture
            assert capture is not None
            found.append(timed_out(capture, self._replayer.timeout_s))
            unkept.append(found[-1])
        rest = self._dues[len(found) :]
        return found, UserJob(rest, self._replayer, self._journal, unkept=unkept) if rest else None


class Fanout:
    """The users of a batch, side by side."""

    def __init__(self, pool: ReplayPool, replayer: Replayer, journal: Journal) -> None:
        self._pool = pool
        self._replayer = replayer
        self._journal = journal
        self._running: dict[Future[list[Finding]], UserJob] = {}
        self._findings: list[Finding] = []
        self.abandoned = 0  #: threads that were left to themselves

    def start(self, users: Sequence[Sequence[Due]]) -> None:
        """Begin a batch."""
        self._findings = []
        for dues in users:
            job = UserJob(dues, self._replayer, self._journal)
            self._running[self._pool.submit(job)] = job

    @property
    def futures(self) -> list[Future[list[Finding]]]:
        """What to wait for."""
        return list(self._running)

    def collect(self) -> list[Finding] | None:
        """Return the batch's findings once all users are through; None until then.

        Raises FencedError where a user's job found that the lane is held by another.
        """
        for future, job in list(self._running.items()):
            if future.done():
                del self._running[future]
                self._findings += future.result()
            elif job.overdue(self._replayer.timeout_s):
                del self._running[future]
                self._abandon(job)
        return None if self._running else self._findings

    def _abandon(self, job: UserJob) -> None:
        found, rest = job.give_up()
        self._findings += found
        self.abandoned += 1
        self._pool.replace()
        if rest is not None:
            self._running[self._pool.submit(rest)] = rest

    def drop(self) -> None:
        """Leave the batch: what is queued never starts, what runs is not waited for."""
        for future, job in self._running.items():
            if not future.done() and not future.cancel():
                job.give_up()
                self._pool.replace()
        self._running = {}
