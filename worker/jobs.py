"""One user's captures of a batch, dealt with one after another in a thread of the pool."""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Final

from gnomon.wire import Capture, Kind
from ledger import Finding, Opening, PairedRuns, Standing
from worker.attempts import Care
from worker.findings import Replayed
from worker.journal import Journal
from worker.judging import is_judging
from worker.mending import Mended, Mender
from worker.pairs import NO_PAIRS, NOTHING_AROUND, Around, Course, Pairs
from worker.replay import AMBIGUOUS, EXHAUSTED, Replayer
from worker.selection import Due
from worker.targets.guard import Admission, Guard, admit

MEND_S: Final = 30.0  # a user with 100,000 memories to repair


class UserJob:
    """Runs in a pool thread; the drain watches it and gives up on a replay that does not come back.

    `standing` is where the user stands when it begins (None: never in a gap), and then where they have come to.
    """

    def __init__(
        self,
        dues: Sequence[Due],
        replayer: Replayer,
        journal: Journal,
        mender: Mender,
        care: Care | None = None,
        *,
        standing: Standing | None = None,
        newest_us: int = 0,
        make_way: Callable[[], None] = lambda: None,
        unkept: Sequence[Finding] = (),
        openings: Sequence[Opening] = (),
        pairs: Pairs = NO_PAIRS,
        around: Around = NOTHING_AROUND,
    ) -> None:
        self._dues = dues
        self._replayer = replayer
        self._journal = journal
        self._mender = mender
        self._care = care
        # where attempts are counted; None where no process has died in this batch before
        self._careful = care.attempts if care is not None and care.attempts.careful else None
        self._newest_us = newest_us
        self._made = time.monotonic()
        self._make_way = make_way
        self._unkept = list(unkept)  # found since the journal was last written
        self._openings = list(openings)  # and the gaps that came with it
        self._lock = threading.Lock()
        self._findings: list[Finding] = []
        self._pairs = pairs
        self._around = around
        self._course: Course | None = None
        self._began: float | None = None
        self._thread = 0  # that runs it
        self._mending = False
        self.standing = standing
        self.cleared_us = 0  #: enhanced holds what legacy did then, so no older exception is needed
        self.given_up = False  #: nobody waits for it any more
        self.cut_short = False  #: it should come back after the capture that it is at
        self.waits_for: Guard | None = None  #: it has come back before a capture whose target is down
        self._admission: Admission | None = None

    def __call__(self) -> list[Finding]:
        """Deal with all captures in order; what comes back after the job was given up is thrown away.

        Raises FencedError where the lane is held by another.
        """
        self._thread = threading.get_ident()
        for due in self._dues:
            self._make_way()
            if self.cut_short:
                break
            capture = due.item.capture
            assert capture is not None
            replayed = self._without_replay(due, capture) or self._attempted(due, capture)
            if replayed is None or not self._take(replayed, capture):
                break
        else:
            self._take_pairs()
        return self._findings

    def _take_pairs(self) -> None:
        if self._careful or not self._unguarded:  # nothing is asked more often than needed
            return
        capture = self._dues[0].item.capture
        assert capture is not None
        against = self._around.reason_against(capture.user, self.standing)
        course = Course(self._pairs, self._replayer, self._dues, self._findings, against=against)
        with self._lock:
            if self.given_up:
                return
            self._course = course
        course.run(self._begin, lambda: not (self.cut_short or self.given_up))
        self._began = None

    @property
    def _unguarded(self) -> bool:
        """Whether every target that its captures are for is asked as usual."""
        return self._care is None or self._care.guards.are_closed(due.item.capture for due in self._dues)

    def _begin(self) -> None:
        self._began = None
        self._make_way()
        self._began = time.monotonic()

    @property
    def pairs(self) -> list[PairedRuns]:
        """What came of the pairs that belong to its captures."""
        return self._course.made if self._course is not None else []

    def _without_replay(self, due: Due, capture: Capture) -> Replayed | None:
        """Return what came of a capture that is not to be replayed: it was, or must not be again."""
        known = self._journal.known(capture.id)
        if known is not None:
            return Replayed(finding=known)
        if self._journal.is_ambiguous(capture.id):
            return self._replayer.parked(due, AMBIGUOUS)
        if self._careful and self._careful.exhausted(capture.id):
            return self._replayer.parked(due, EXHAUSTED)
        return None

    def _attempted(self, due: Due, capture: Capture) -> Replayed | None:
        """Replay a capture; None where it is held back, or nobody waits for it any more."""
        guard = self._care.guards.of(capture) if self._care is not None else None
        if guard is None:
            return self._in_company(due, capture)
        self._admission = admit(guard, capture, lambda: self.given_up or self.cut_short)
        if self._admission is None:
            self.waits_for = guard
            return None
        with self._admission:
            replayed = self._in_company(due, capture)
            self.waits_for = None if replayed else guard
            return replayed

    def _in_company(self, due: Due, capture: Capture) -> Replayed | None:
        with self._company(capture):
            if self._careful:
                self._careful.count(capture.id)
            return self._replayed(due, capture) if self._mended(capture) else None

    def _let_go(self) -> tuple[list[Finding], list[Opening]]:
        found, openings = (self._unkept, self._openings)
        self._unkept, self._openings = [], []
        return found, openings

    def _mended(self, capture: Capture) -> bool:
        """Verify a user who is in a gap; False where nobody waits for that any more."""
        standing = self.standing
        if standing is None or not standing.concerns(capture.end) or not self._mender.worth_trying(standing):
            return True
        self._mending, self._began = True, time.monotonic()
        start_us = self._first_start(capture)
        mended = self._mender.mend(
            capture.user, standing, start_us, lambda gap: self._journal.keep((), [gap]), newest_us=self._latest_us()
        )
        return self._take_mended(mended)

    def _latest_us(self) -> int:
        """By the clock that the batch began with: it may have been set back since, and captures are of that time."""
        return self._newest_us and self._newest_us + int((time.monotonic() - self._made) * 1_000_000)

    def _first_start(self, capture: Capture) -> int:
        """What the user had before is what came before all of this batch, also where some of it was done before."""
        return min(due.item.capture.start if due.item.capture else capture.start for due in self._dues)

    def _take_mended(self, mended: Mended) -> bool:
        with self._lock:
            self._mending, self._began = False, None
            if not self.given_up:
                self.standing = mended.standing
                self.cleared_us = max(self.cleared_us, mended.verified_us)
            return not self.given_up

    def _replayed(self, due: Due, capture: Capture) -> Replayed | None:
        single = capture.kind is Kind.WRITE and self._replayer.is_single(capture)
        if single:
            found, openings = self._let_go()
            self._journal.intend(capture.id, found, openings)
        elif capture.kind is Kind.WRITE and self._unkept:
            # a write may change what reads before it would see if they had to be replayed again
            self._journal.keep(*self._let_go())
        causal = self.standing is not None and self.standing.excludes(capture.start, capture.end)
        self._began = time.monotonic()
        replayed = self._replayer.replay(due, causal=causal, now_us=self._mender.now_us)
        if replayed is None:
            self._held_back(capture)
            return None
        if capture.kind is not Kind.WRITE or single or self._careful:
            self._unkept.append(replayed.finding)
            self._openings += [replayed.opening] if replayed.opening else []
        if single or self._careful:
            self._journal.keep(*self._let_go())
        if self._careful:
            self._careful.through(capture.id)
        return replayed

    def _held_back(self, capture: Capture) -> None:
        """Come back before a capture that was tried in vain: that was no attempt at it."""
        with self._lock:
            self._began = None
        if self._careful:
            self._careful.through(capture.id)

    def _company(self, capture: Capture) -> AbstractContextManager[None]:
        """Let a capture run beside others, or, where it may have killed a process, alone."""
        if self._care is None:
            return nullcontext()
        company = self._care.company
        return company.alone() if self._care.attempts.suspected(capture.id) else company.together()

    def _take(self, replayed: Replayed, capture: Capture) -> bool:
        with self._lock:
            self._began = None
            if not self.given_up:
                self._findings.append(replayed.finding)
                self._stand(replayed, capture)
            return not self.given_up

    def _stand(self, replayed: Replayed, capture: Capture) -> None:
        if replayed.opening is not None:
            standing = self.standing or Standing(digest=replayed.opening.digest)
            self.standing = standing.opened(replayed.opening)
        elif replayed.restored and not (self.standing and self.standing.is_open):
            self.cleared_us = max(self.cleared_us, capture.end)

    def overdue(self, limit_s: float) -> bool:
        """Tell whether the running replay has taken longer than `limit_s`, or a repair longer than it may."""
        began = self._began
        limit_s = max(limit_s, MEND_S) if self._mending else limit_s
        return began is not None and time.monotonic() - began > limit_s

    def give_up(self) -> tuple[list[Finding], "UserJob | None"]:
        """Leave the thread to itself: returns what was found, the stuck capture as failed, and a job for the rest.

        A replay that came back in the last moment counts as it is; the rest goes to another job all the same. A repair
        that did not come back costs no capture: the user stays in the gap. Nor is one failed that is being judged.
        """
        with self._lock:
            self.given_up = True
            found, unkept, stuck = list(self._findings), list(self._unkept), self._began is not None
            mending, judging = self._mending, is_judging(self._thread)
        if self._admission is not None and self._course is None:
            self._admission.give_up(asking=stuck and not (mending or judging))
        if self._course is not None:
            self._course.give_up()
        elif stuck and mending:
            assert self.standing is not None
            self._mender.failed(self.standing)
        elif stuck:
            capture = self._dues[len(found)].item.capture
            assert capture is not None
            replayed = self._replayer.given_up(capture, judging=judging)
            self._stand(replayed, capture)
            found.append(replayed.finding)
            unkept.append(replayed.finding)
        rest = self._dues[len(found) :]
        return found, self._rest(rest, unkept) if rest else None

    def remainder(self) -> "UserJob | None":
        """Return a job for what this one has come back before; None where it is through."""
        rest = self._dues[len(self._findings) :] if self.waits_for is not None else ()
        return self._rest(rest, self._unkept) if rest else None

    def leave(self) -> list[Finding]:
        """Leave the thread to itself, and what it is at to whoever comes next; returns what was found."""
        with self._lock:
            self.given_up = True
            return list(self._findings)

    def _rest(self, dues: Sequence[Due], unkept: Sequence[Finding]) -> "UserJob":
        return UserJob(
            dues,
            self._replayer,
            self._journal,
            self._mender,
            self._care,
            standing=self.standing,
            newest_us=self._latest_us(),
            make_way=self._make_way,
            unkept=unkept,
            openings=self._openings,
            pairs=self._pairs,
            around=self._around,
        )
