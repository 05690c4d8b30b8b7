"""Finds captures that are gone with Redis: counted by those who sent them, in no lane, and in no commit.

Between a lane and the ledger nothing can hide: where a lane is empty and everything sent was counted, what is not done
never will be. It is booked only after processes that Redis had forgotten had the time to send again what they keep.
"""

import time
from collections.abc import Callable
from typing import Final

import structlog

from ledger import FencedError, LaneCommit, Ledger, Settling
from worker.lanes import LaneStore

log = structlog.get_logger()

PATIENCE_S: Final = 12.0  # a process notices within a second that Redis is back, and backs off for one at most


class Settler:
    """Looks at lanes whose captures do not add up; one for a process, asked with every sweep."""

    def __init__(self, lanes: LaneStore, ledger: Ledger, reads: frozenset[str]) -> None:
        self._lanes = lanes
        self._ledger = ledger
        self._reads = reads
        self._since: dict[int, float] = {}  # lane → when it was first seen empty and not settled

    def look(self, clock: Callable[[], float] = time.monotonic) -> int:
        """Book what is gone; returns how many captures that were."""
        unsettled = self._lanes.empty(self._ledger.unsettled())
        now = clock()
        self._since = {lane: self._since.get(lane, now) for lane in unsettled}
        due = [lane for lane, since in self._since.items() if now - since >= PATIENCE_S]
        return sum(map(self._settle, due))

    def _settle(self, lane: int) -> int:
        token = self._lanes.lease(lane)
        if token is None:
            return 0
        try:
            lost = self._booked(lane)
        except FencedError:  # somebody else has it now, and sees for themselves
            return 0
        finally:
            self._lanes.release(lane, token)
        del self._since[lane]
        if lost:
            log.warning("settle.lost", lane=lane, captures=lost)
        return lost

    def _booked(self, lane: int) -> int:
        hold = self._ledger.take(lane)
        entries, _, sent = self._lanes.senders.stock(lane)
        if entries:
            return 0
        settling = Settling(now_us=self._lanes.lookout.now_us(), reads=self._reads)
        at = hold.position
        return self._ledger.commit(
            LaneCommit(lane=lane, fence=hold.fence, before=at, after=at, sent=sent, settling=settling)
        )
