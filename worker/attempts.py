"""Counts attempts before replays, so that a capture that kills its process does so no more than three times.

Counting each capture would cost a question to Redis a replay. So a lane counts its batches, and only where a holder
died, or lost the lane, in the middle of one does its successor count captures: each before its replay. One that was at
work when a process died is replayed alone from then on, so that no other is blamed for it; the third attempt parks it.
"""

import threading
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Final

from ledger import FencedError, Position
from worker.lanes import LaneStore
from worker.targets.guard import Guards

MOST: Final = 3  # the third attempt at a capture that is counted is not made: it is parked
CAREFUL: Final = 2  # from the second attempt at a batch on, captures are counted one by one


class Attempts:
    """The attempts at one lane under one lease; `left` are those that earlier holders counted, by capture."""

    def __init__(self, lanes: LaneStore, lane: int, token: str, fence: int, left: Mapping[str, int]) -> None:
        self._lanes = lanes
        self._lane = lane
        self._token = token
        self._fence = fence
        self._counted = dict(left)
        self._lock = threading.Lock()
        self.careful = False  #: whether captures are to be counted one by one

    def begin(self, at: Position) -> None:
        """Count an attempt at the batch that begins here; raises FencedError where the lane is held by another."""
        number = self._lanes.count_batch(self._lane, self._token, f"{at.read}/{at.cut}")
        if number is None:
            raise FencedError(self._lane, self._fence)
        self.careful = number >= CAREFUL

    def suspected(self, capture_id: str) -> bool:
        """Tell whether a capture was at work when a process died."""
        return self._counted.get(capture_id, 0) > 0

    def exhausted(self, capture_id: str) -> bool:
        """Tell whether a capture is to be parked: one more attempt would be one too many."""
        return self._counted.get(capture_id, 0) >= MOST - 1

    def count(self, capture_id: str) -> None:
        """Count an attempt at a capture, right before it; raises FencedError where the lane is held by another."""
        number = self._lanes.count_capture(self._lane, self._token, capture_id)
        if number is None:
            raise FencedError(self._lane, self._fence)
        with self._lock:
            self._counted[capture_id] = number

    def through(self, capture_id: str) -> None:
        """Forget the attempts at a capture: what came of it is kept."""
        self._lanes.uncount_capture(self._lane, capture_id)
        with self._lock:
            self._counted.pop(capture_id, None)

    @property
    def counted(self) -> Collection[str]:
        """The captures that attempts were counted of: all forgotten with the commit of their batch."""
        with self._lock:
            return list(self._counted)

    def committed(self) -> None:
        """Forget what was counted."""
        with self._lock:
            self._counted.clear()


class Company:
    """Lets replays of a process run side by side, or one alone. Joining costs every replay, so it is kept short."""

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s  # a replay that hangs is given up by then, and its thread never comes back
        self._lock = threading.Lock()  # taken by itself where nobody waits: a condition takes twice as long
        self._changed = threading.Condition(self._lock)
        self._together = 0
        self._alone = False
        self._beside = _Together(self)

    def together(self) -> AbstractContextManager[None]:
        """Run beside others."""
        return self._beside

    def join(self) -> None:
        """Begin to run beside others, once none runs alone."""
        with self._lock:
            if self._alone:
                self._changed.wait_for(lambda: not self._alone, self._patience_s)
            self._together += 1

    def part(self) -> None:
        """Be through with that."""
        with self._lock:
            self._together -= 1
            if self._alone:
                self._changed.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Run while no other does; with one that hangs, wait for no longer than that may take."""
        until = time.monotonic() + self._patience_s
        with self._changed:
            self._changed.wait_for(lambda: not self._alone, self._patience_s)
            self._alone = True
            self._changed.wait_for(lambda: not self._together, max(0.0, until - time.monotonic()))
        try:
            yield
        finally:
            with self._changed:
                self._alone = False
                self._changed.notify_all()


class _Together(AbstractContextManager[None]):
    """Runs beside others, for the time of a block; one serves all threads."""

    def __init__(self, company: Company) -> None:
        self._company = company

    def __enter__(self) -> None:
        self._company.join()

    def __exit__(self, *_: object) -> None:
        self._company.part()


@dataclass(frozen=True, slots=True)
class Care:
    """What is asked before a replay: whether its target takes it, whether it was tried too often, who is beside it."""

    attempts: Attempts
    company: Company
    guards: Guards = field(default_factory=lambda: Guards({}))
