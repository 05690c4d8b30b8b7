"""The users of a batch side by side, each dealt with by a job of its own (`worker.jobs`)."""

from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future

from gnomon.hashing import user_digest
from ledger import Finding, PairedRuns, Standing
from worker.attempts import Care
from worker.jobs import UserJob
from worker.journal import Journal
from worker.mending import Mender
from worker.pairs import NO_PAIRS, NOTHING_AROUND, Around, Pairs
from worker.pool import ReplayPool
from worker.replay import Replayer
from worker.selection import Due
from worker.targets.guard import Guard


class Fanout:
    """One lane's; it starts jobs, takes what they found, and gives up on those that do not come back."""

    def __init__(
        self,
        pool: ReplayPool,
        replayer: Replayer,
        journal: Journal,
        mender: Mender,
        care: Care | None = None,
        *,
        pairs: Pairs = NO_PAIRS,
    ) -> None:
        self._pool = pool
        self._pairs = pairs
        self._care = care
        self._replayer = replayer
        self._journal = journal
        self._mender = mender
        self._running: dict[Future[list[Finding]], UserJob] = {}
        self._ended: deque[Future[list[Finding]]] = deque()
        self._paused: list[tuple[Guard, UserJob]] = []  # until its target answers again
        self._findings: list[Finding] = []
        self._before: Mapping[str, Standing] = {}
        self.standings: dict[str, Standing] = {}  #: by digest, of users who stand elsewhere than before the batch
        self.cleared: dict[str, int] = {}  #: digest → µs: no older exception of that user is needed
        self.pairs: list[PairedRuns] = []  #: that belong to the batch
        self.abandoned = 0  #: threads that were left to themselves

    def start(
        self,
        users: Mapping[str, Sequence[Due]],
        standings: Mapping[str, Standing] | None = None,
        *,
        newest_us: int = 0,
        around: Around = NOTHING_AROUND,
    ) -> None:
        """Begin a batch: captures by user, and where the users stand of whom anything is known.

        `newest_us`: captures of the lane may have begun as late as this, whatever the clock says; 0 where none has.
        `around`: what is known of the lane beside the batch.
        """
        self._findings, self.standings, self.cleared, self.pairs = [], {}, {}, []
        self._before = standings or {}
        for user, dues in users.items():
            standing = self._before.get(user)
            job = UserJob(
                dues,
                self._replayer,
                self._journal,
                self._mender,
                self._care,
                standing=standing,
                newest_us=newest_us,
                make_way=self._pool.make_way,
                pairs=self._pairs,
                around=around,
            )
            self._submit(job)

    @property
    def futures(self) -> list[Future[list[Finding]]]:
        """What to wait for."""
        return list(self._running)

    @property
    def running(self) -> int:
        """How many users are not through, queued or under way."""
        return len(self._running)

    @property
    def has_news(self) -> bool:
        """Whether a user is through since the last look, or all are."""
        return bool(self._ended) or not (self._running or self._paused)

    @property
    def is_through(self) -> bool:
        """Whether nobody is left whom the next look would not find through, or waiting for a target."""
        return self.has_news and len(self._ended) >= len(self._running)

    @property
    def paused(self) -> bool:
        """Whether nothing runs, and what is left waits for a target to answer again."""
        return bool(self._paused) and not self._running

    def collect(self) -> list[Finding] | None:
        """Return the batch's findings once all users are through; None until then.

        Raises FencedError where a user's job found that the lane is held by another.
        """
        while self._ended:
            future = self._ended[0]
            job = self._running.get(future)
            if job is not None:  # else it was given up
                findings = future.result()  # of one that an error ended, what was found stays here
                del self._running[future]
                self._end(job, findings)
                self._pause(job)
            self._ended.popleft()
        limit_s = self._replayer.timeout_s
        for future, job in [item for item in self._running.items() if item[1].overdue(limit_s)]:
            del self._running[future]
            self._abandon(job)
        self._resume()
        return None if self._running or self._paused else self._findings

    def _pause(self, job: UserJob) -> None:
        rest = job.remainder()
        if rest is not None and job.waits_for is not None:
            self._paused.append((job.waits_for, rest))

    def _resume(self) -> None:
        """Go on with the users whose targets answer again; of one that is to be tried, with one user."""
        waiting, self._paused, tried = self._paused, [], set[int]()
        for guard, job in waiting:
            if guard.may_ask() and (guard.is_closed or id(guard) not in tried):
                tried.add(id(guard))
                self._submit(job)
            else:
                self._paused.append((guard, job))

    def _end(self, job: UserJob, findings: Sequence[Finding]) -> None:
        self._findings += findings
        self.pairs += job.pairs
        if not findings:
            return
        user = findings[0].user
        if job.standing is not None and job.standing != self._before.get(user):
            self.standings[job.standing.digest] = job.standing
        if job.cleared_us:
            digest = user_digest(user)
            self.cleared[digest] = max(job.cleared_us, self.cleared.get(digest, 0))

    def _abandon(self, job: UserJob) -> None:
        found, rest = job.give_up()
        self._end(job, found)
        self.abandoned += 1
        self._pool.replace()
        if rest is not None:
            self._submit(rest)

    def _submit(self, job: UserJob) -> None:
        future = self._pool.submit(job)
        self._running[future] = job
        future.add_done_callback(self._note)

    def _note(self, future: Future[list[Finding]]) -> None:
        self._ended.append(future)
        if self.is_through:
            self._pool.tell()

    def cut_short(self) -> None:
        """Let the batch come to an end: what is queued never starts, what runs comes back after one capture more."""
        for future, job in self._running.items():
            job.cut_short = not future.cancel()

    def leave(self) -> list[Finding]:
        """End the batch where it is, and return what was found; what still runs is not waited for."""
        running, self._running, self._paused = self._running, {}, []
        for future, job in running.items():
            if not future.cancelled():
                self._end(job, job.leave())
        return self._findings

    def drop(self) -> None:
        """Leave the batch: what is queued never starts, what runs is not waited for."""
        for future, job in self._running.items():
            if not future.done() and not future.cancel():
                job.give_up()
                self._pool.replace()
        self._running, self._paused = {}, []
