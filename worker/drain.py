"""The drain: a hint names one lane, the drain holds it and further ready ones until their work is done.

Lanes are replayed side by side; those that are through at the same moment commit together, each fenced alone. A drain
that has run for its turn hands its lanes back with a hint. So does one whose process is to stop, within seconds: what
its replays have found by then is committed or put aside.
What it asks Redis about the live processes serves all its lanes: to commit what is through, then to go on.
"""

import random
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import wait
from contextlib import contextmanager
from typing import Final

import redis
import structlog

from ledger import FencedError, Finding, Ledger, LedgerError
from worker.attempts import Attempts, Care, Company
from worker.committing import Pending, commit, parts
from worker.fanout import Fanout
from worker.held_lane import HeldLane
from worker.journal import Journal
from worker.lane_entries import LaneEntries
from worker.lanes import LaneStore
from worker.looking import Look, Looks
from worker.mending import Mender
from worker.overlaps import DoneWrites
from worker.pairs import NO_PAIRS, Pairs
from worker.pool import ReplayPool
from worker.replay import Replayer
from worker.retries import Retries
from worker.standings import LaneStandings
from worker.targets.board import Board
from worker.targets.guard import Guards

log = structlog.get_logger()

IN_FLIGHT: Final = 64  # replays of one process, running and queued, before no further lane is taken
TURN_S: Final = 10.0  # then others may have the process; long enough to keep hints rare
IDLE_S: Final = 0.1  # between two looks at a watermark that holds everything back; beats come every 0.25 s
HAND_BACK_S: Final = 30.0  # a Redis that restarts is back by then
RESUME_S: Final = 3.0  # they look for it ten times a second
NOTICE_S: Final = 0.1  # by then a drain has seen that it is to stop, whatever replays
STOP_S: Final = 1.0  # when the worker stops, for batches to come through: those of fast replays do
CUT_SHORT_S: Final = 4.0  # and then for the replays under way, without the captures behind them
KEEP_S: Final = 0.25  # between two looks at the leases
SETTLE_S: Final = 2.0  # a drain whose turn is over waits no longer for a watermark; a beat is due every 0.25 s


class Drain:
    """One run of the drain task."""

    def __init__(
        self,
        *,
        lanes: LaneStore,
        ledger: Ledger,
        replayer: Replayer,
        pool: ReplayPool,
        all_lanes: range,
        share: int,
        hint: Callable[[int], None],
        mender: Mender | None = None,
        pairs: Pairs = NO_PAIRS,
        guards: Guards | None = None,
        board: Board | None = None,
        stopping: Callable[[], bool] = lambda: False,
        spent: Callable[[], bool] = lambda: False,
        turned: Callable[[], None] = lambda: None,
    ) -> None:
        self._lanes = lanes
        self._ledger = ledger
        self._replayer = replayer
        self._pool = pool
        self._all = all_lanes
        self._share = share  # lanes this process may hold at once, so that its siblings have some too
        self._hint = hint
        self._mender = mender or Mender(None, lanes.lookout.now_us)
        self._pairs = pairs
        self._guards = guards or Guards({})
        self._board = board
        self._stopping = stopping  # nothing more is begun
        self._spent = spent  # this turn is the last
        self._turned = turned
        self._stopped_at: float | None = None
        self._interrupted = False  # by Redis or the ledger, in the middle of batches
        self._company = Company(replayer.timeout_s)
        self._looks = Looks(lanes.lookout)
        self._held: dict[int, HeldLane] = {}
        self._patience_s = min(NOTICE_S, replayer.timeout_s / 4)  # an overdue replay is seen in time
        self._ready: deque[int] = deque()  # lanes seen to hold something that nobody held then
        self._looked = self._checked = self._kept = 0.0
        self.counts: Counter[str] = Counter()
        self.abandoned = 0

    def run(self, lane: int) -> Counter[str]:
        """Drain `lane` and what else is ready. Returns outcomes counted, lanes held, and lanes lost to others."""
        until = time.monotonic() + TURN_S
        if self._stopping():
            self._hint(lane)  # for whoever goes on
            return self.counts
        try:
            self._let_others_go_on(lane)
            self._tell_of_targets()
            if not self._take(lane):
                self.counts["elsewhere"] += 1
                return self.counts
            self._turn()
            while self._held and not self._is_over(until):
                self._turn()
            self._finish_batches()
        except (redis.RedisError, OSError, LedgerError):
            self._cut_short([held for held in self._held.values() if held.busy])
            self._interrupted = True
            raise
        finally:
            self._hand_back()
        return self.counts

    def _let_others_go_on(self, lane: int) -> None:
        """Where Redis has just started, wait for those who held the lane: only they know what it has forgotten."""
        until = time.monotonic() + RESUME_S
        if self._lanes.lookout.is_young(RESUME_S) and self._ledger.fence(lane):
            while time.monotonic() < until and self._lanes.lookout.is_young(RESUME_S) and not self._stopping():
                self._turned()
                time.sleep(IDLE_S)

    def _is_over(self, until: float) -> bool:
        return time.monotonic() >= until or bool(self.abandoned) or self._stopping() or self._spent()

    def _turn(self) -> None:
        self._turned()
        self._replayer.rulebook.look()
        self._tell_of_targets()
        with self._pool.quiet():
            self._begin()
            self._take_further()
        enough = self._in_flight >= IN_FLIGHT  # then nothing is begun before somebody is through
        self._wait([held for held in self._held.values() if held.settling or not (held.busy or enough)])
        with self._pool.quiet():
            self._settle()

    def _tell_of_targets(self) -> None:
        if self._board is not None:
            self._board.exchange(self._guards)

    def _take(self, lane: int) -> bool:
        token = self._lanes.lease(lane)
        if token is None:
            return False
        hold, left = self._ledger.take(lane), self._lanes.left(lane)
        journal = Journal(self._lanes, lane, token, hold.fence, left)
        attempts = Attempts(self._lanes, lane, token, hold.fence, left.attempts)
        care = Care(attempts, self._company, self._guards)
        self._held[lane] = HeldLane(
            number=lane,
            token=token,
            fence=hold.fence,
            position=hold.position,
            lanes=self._lanes,
            ledger=self._ledger,
            journal=journal,
            fanout=Fanout(self._pool, self._replayer, journal, self._mender, care, pairs=self._pairs),
            attempts=attempts,
            standings=LaneStandings(
                lane=lane,
                hold=hold,
                lanes=self._lanes,
                ledger=self._ledger,
                journal=journal,
                verifies=self._mender.able,
            ),
            done_writes=DoneWrites(left.writes),
            entries=LaneEntries(hold.seen, hold.position),
            retries=Retries(lane=lane, hold=hold, ledger=self._ledger, journal=journal),
            doubted_us=left.doubted_us if hold.fence > 1 else 0,
            forgotten=not left.senders.issuperset(hold.seen),
            count=self._count,
            rulebook=self._replayer.rulebook,
        )
        self.counts["lanes"] += 1
        return True

    @property
    def _in_flight(self) -> int:
        return sum(held.fanout.running for held in self._held.values())

    def _begin(self) -> None:
        """Begin with lanes that are held, those that have waited longest first, until there is enough to replay."""
        now, in_flight = time.monotonic(), self._in_flight
        idle = [held for held in self._held.values() if not held.busy and held.look_at <= now]
        for held in sorted(idle, key=lambda held: held.idle_since):
            if in_flight >= IN_FLIGHT:
                break
            if not self._has(held):
                continue
            with self._fencing(held):
                self._begin_one(held)
                in_flight += held.fanout.running
            self._keep()

    def _take_further(self) -> None:
        """Take lanes that nobody holds, and begin with them, until there is enough to replay."""
        in_flight = self._in_flight
        while in_flight < IN_FLIGHT and len(self._held) < self._share and self._find_ready():
            lane = self._ready.popleft()
            if lane in self._held or not self._take(lane):
                continue
            held = self._held[lane]
            with self._fencing(held):
                self._begin_one(held)
                in_flight += held.fanout.running
            self._keep()

    def _has(self, held: HeldLane) -> bool:
        return self._held.get(held.number) is held

    def _find_ready(self) -> bool:
        """Tell whether lanes are known that are worth a try."""
        if not self._ready and time.monotonic() - self._looked >= IDLE_S:
            self._looked = time.monotonic()
            ready = self._lanes.ready(self._all)
            first = random.randrange(len(ready)) if ready else 0  # not where every other process begins, too
            self._ready.extend(ready[first:] + ready[:first])
        return bool(self._ready)

    def _begin_one(self, held: HeldLane) -> None:
        if held.begin(self._looks.recent()):  # the look was taken before what this reads
            return
        held.look_at = time.monotonic() + IDLE_S
        if not held.waiting:
            self._release(held)

    def _wait(self, resting: Iterable[HeldLane]) -> None:
        """Wait until a batch is through, few users are left, or a lane that waits for a watermark is worth a look."""
        moment = min((held.look_at for held in resting), default=float("inf"))
        patience_s = max(0.0, min(self._patience_s, moment - time.monotonic()))
        if any(held.fanout.is_through for held in self._held.values() if held.replaying):
            return
        if any(held.paused for held in self._held.values()):
            patience_s = min(patience_s, IDLE_S)
        if any(held.replaying for held in self._held.values()):
            self._pool.await_news(patience_s)
        else:
            time.sleep(patience_s if self._held else 0)

    def _settle(self) -> None:
        """Commit what is complete, keep the leases."""
        self._see_through()
        now = time.monotonic()
        settling = [held for held in self._held.values() if held.settling and held.look_at <= now]
        if settling:
            self._commit(self._settled(settling, self._looks.again()))
        self._keep()

    def _settled(self, settling: Sequence[HeldLane], look: Look) -> list[Pending]:
        """Return what is to be committed; the look was taken after the replays, before the next batches are read."""
        pending: list[Pending] = []
        for held in filter(self._has, settling):
            with self._fencing(held):
                if found := held.settle(look):
                    pending.append(found)
                else:
                    held.look_at = time.monotonic() + IDLE_S
        return pending

    def _commit(self, pending: Sequence[Pending]) -> None:
        """Commit what is due, and keep the leases meanwhile: on a busy machine any transaction may take long."""
        for part in parts(pending):
            with self._pool.quiet():
                lost = commit(self._lanes, self._ledger, [each for each in part if self._has(each.held)])
            for held in lost:
                self._lose(held)
            self._keep()

    def _see_through(self) -> None:
        now = time.monotonic()
        overdue = now - self._checked >= self._patience_s
        self._checked = now if overdue else self._checked
        for held in [held for held in self._held.values() if held.replaying and (overdue or held.fanout.has_news)]:
            with self._fencing(held):
                self._see_one_through(held)

    def _see_one_through(self, held: HeldLane) -> None:
        try:
            held.is_through()
        finally:
            self.abandoned += held.fanout.abandoned
            held.fanout.abandoned = 0

    def _keep(self) -> None:
        """Extend the leases that are to be; asked after each lane, for on a busy machine any may take long."""
        if time.monotonic() - self._kept < KEEP_S:
            return
        self._kept = time.monotonic()
        for held in list(self._held.values()):
            with self._fencing(held):
                if not held.keep():
                    raise FencedError(held.number, held.fence)

    def _finish_batches(self) -> None:
        """See batches through; one that would have to wait long for a watermark is left to the next holder."""
        until = float("inf")
        while any(held.busy for held in self._held.values()) and time.monotonic() < until:
            self._turned()
            self._replayer.rulebook.look()
            self._wait([held for held in self._held.values() if held.settling])
            self._settle()
            until = min(until, self._patient_until())
        self._put_aside([held for held in self._held.values() if held.busy])

    def _patient_until(self) -> float:
        if self._stopping():
            self._stopped_at = self._stopped_at or time.monotonic()
            return self._stopped_at + STOP_S
        replaying = any(held.replaying and not held.paused for held in self._held.values())
        return float("inf") if replaying and not self._guards.tight else time.monotonic() + SETTLE_S

    def _put_aside(self, busy: Sequence[HeldLane]) -> None:
        """Leave batches to the next holders of their lanes.

        A replay that hangs even now is replayed once more by the next holder, as after a crash: that holds its user up
        less than a lease that has to run out, and the process, with the thread that hangs, is about to end.
        """
        self._cut_short(busy)
        for held in busy:
            with self._fencing(held):
                held.put_aside()

    def _cut_short(self, busy: Sequence[HeldLane]) -> None:
        for held in busy:
            held.fanout.cut_short()
        wait([future for held in busy for future in held.futures], timeout=CUT_SHORT_S)

    @contextmanager
    def _fencing(self, held: HeldLane) -> Iterator[None]:
        """Do something with a lane, before others; let go of it where it is lost."""
        try:
            with self._pool.quiet():
                yield
        except FencedError:
            self._lose(held)

    def _lose(self, held: HeldLane) -> None:
        """Let go of a lane whose lease is gone.

        Where another worker has it, the batch counts nowhere, and that one replays it. Where Redis has forgotten the
        lease, and who knows what else, the next holder gets what was found.
        """
        log.warning("drain.fenced", lane=held.number, fence=held.fence)
        try:
            if held.busy:
                self._give_back(held)
        except FencedError:
            pass
        self._held.pop(held.number, None)
        held.fanout.drop()
        self.counts["fenced"] += 1

    def _give_back(self, held: HeldLane) -> None:
        """Give a lane back in the midst of a batch; raises FencedError where another has taken it over."""
        self._cut_short([held])
        held.regain()
        held.put_aside(again=True)
        self._release(held)

    def _release(self, held: HeldLane) -> None:
        more = held.release()
        self._held.pop(held.number, None)
        if more:
            self._hint(held.number)

    def _hand_back(self) -> None:
        """Give all lanes back, with what was found of batches that Redis or the ledger interrupted.

        While Redis is away there is nothing else to do. It may have forgotten what was kept in it, and what only this
        process knows then: a read that is replayed once more, behind later writes, would seem to differ.
        """
        until = time.monotonic() + HAND_BACK_S
        while self._held:
            held = next(iter(self._held.values()))
            try:
                with self._fencing(held):
                    if self._interrupted and held.busy:
                        self._give_back(held)
                    else:
                        self._release(held)
            except (redis.RedisError, OSError, LedgerError) as error:
                if time.monotonic() > until or self._stopping():
                    log.warning("drain.leases_left", lanes=len(self._held), error=type(error).__name__)
                    return
                time.sleep(IDLE_S)

    def _count(self, finding: Finding) -> None:
        self.counts[finding.outcome] += 1
