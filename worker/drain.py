"""The drain: a hint names one lane, the drain holds it and further ready ones until their work is done.

Lanes are replayed side by side, each commits alone. A drain that has run for its turn hands its lanes back with a hint.
"""

import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, wait
from typing import Final

import structlog

from ledger import FencedError, Finding, Ledger
from worker.held_lane import HeldLane
from worker.jobs import Fanout
from worker.journal import Journal
from worker.lanes import LaneStore
from worker.pool import ReplayPool
from worker.replay import Replayer

log = structlog.get_logger()

IN_FLIGHT: Final = 64  # replays of one process, running and queued, before no further lane is taken
TURN_S: Final = 10.0  # then others may have the process; long enough to keep hints rare
IDLE_S: Final = 0.1  # between two looks at a watermark that holds everything back; beats come every 0.25 s


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
    ) -> None:
        self._lanes = lanes
        self._ledger = ledger
        self._replayer = replayer
        self._pool = pool
        self._all = all_lanes
        self._share = share  # lanes this process may hold at once, so that its siblings have some too
        self._hint = hint
        self._held: dict[int, HeldLane] = {}
        self._patience_s = min(1.0, replayer.timeout_s / 4)  # an overdue replay is seen in time
        self._looked = 0.0
        self.counts: Counter[str] = Counter()
        self.abandoned = 0

    def run(self, lane: int) -> Counter[str]:
        """Drain `lane` and what else is ready. Returns outcomes counted, lanes held, and lanes lost to others."""
        until = time.monotonic() + TURN_S
        try:
            if not self._take(lane):
                self.counts["elsewhere"] += 1
                return self.counts
            while self._held and time.monotonic() < until and not self.abandoned:
                self._turn()
            self._finish_batches()
        finally:
            self._hand_back()
        return self.counts

    def _turn(self) -> None:
        self._take_further()
        self._begin()
        if self._held and not any(held.busy for held in self._held.values()):
            time.sleep(IDLE_S)  # a watermark holds everything back
        self._settle()

    def _take(self, lane: int) -> bool:
        token = self._lanes.lease(lane)
        if token is None:
            return False
        fence, position = self._ledger.take(lane)
        journal = Journal(self._lanes, lane, token, fence)
        self._held[lane] = HeldLane(
            number=lane,
            token=token,
            fence=fence,
            position=position,
            lanes=self._lanes,
            ledger=self._ledger,
            journal=journal,
            fanout=Fanout(self._pool, self._replayer, journal),
            count=self._count,
        )
        self.counts["lanes"] += 1
        return True

    def _take_further(self) -> None:
        in_flight = sum(len(held.futures) for held in self._held.values())
        if in_flight >= IN_FLIGHT or len(self._held) >= self._share or time.monotonic() - self._looked < IDLE_S:
            return
        self._looked = time.monotonic()
        for lane in self._lanes.ready(self._all)[: self._share - len(self._held)]:
            self._take(lane)

    def _begin(self) -> None:
        now = time.monotonic()
        idle = [held for held in self._held.values() if not held.busy and held.look_at <= now]
        if not idle:
            return
        watermark = self._lanes.watermark()  # before reading: see HeldLane.begin
        for held in idle:
            if held.begin(watermark):
                continue
            held.look_at = now + IDLE_S
            if not held.waiting:
                self._release(held)

    def _settle(self) -> None:
        """Wait until a user is through, commit what is complete, keep the leases."""
        futures = [future for held in self._held.values() for future in held.futures]
        if futures:
            wait(futures, timeout=self._patience_s, return_when=FIRST_COMPLETED)
        for held in list(self._held.values()):
            try:
                if held.busy:
                    held.finish()
                if not held.keep():
                    raise FencedError(held.number, held.fence)  # noqa: TRY301 — both ways of losing a lane end here
            except FencedError:
                self._drop(held)
            self.abandoned += held.fanout.abandoned
            held.fanout.abandoned = 0

    def _finish_batches(self) -> None:
        while any(held.busy for held in self._held.values()):
            self._settle()

    def _drop(self, held: HeldLane) -> None:
        """Forget a lane that another worker has: its batch counts nowhere, the other one replays it."""
        log.warning("drain.fenced", lane=held.number, fence=held.fence)
        self._held.pop(held.number, None)
        held.fanout.drop()
        self.counts["fenced"] += 1

    def _release(self, held: HeldLane) -> None:
        self._held.pop(held.number, None)
        if held.release():
            self._hint(held.number)

    def _hand_back(self) -> None:
        for held in list(self._held.values()):
            self._release(held)

    def _count(self, finding: Finding) -> None:
        self.counts[finding.outcome] += 1
