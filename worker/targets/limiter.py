"""How many calls of a target may be under way: one more while all is well, fewer at once where it is not. Pure.

Additive increase, multiplicative decrease (Chiu and Jain, 1989). What latency is usual is learned for each operation,
and forgotten over minutes: a target that has become slower for good is not asked one call at a time for ever.
"""

import math
from dataclasses import dataclass, field
from statistics import median
from typing import Final

ON_FAILURE: Final = 0.5  #: of the limit is left when a call fails
ON_SLOWNESS: Final = 0.7  #: and when calls take longer than usual
SLOW: Final = 2.0  #: times the usual latency
FLOOR_S: Final = 0.02  #: below it nothing is slow: threads that share an interpreter delay each other by that much
ENOUGH: Final = 8  #: calls to judge by
FEW: Final = 3  #: where no more come within a second
WINDOW_S: Final = 1.0
FORGET_S: Final = 30.0  #: half of what was usual is forgotten in it
FASTER: Final = 0.2  #: of it at once, where calls are much faster


@dataclass(slots=True)
class _Usual:
    """The mean latency of an operation's calls, and the sum of those in the window."""

    latency_s: float
    at: float
    learned: bool = False
    total_s: float = 0.0
    count: int = 0

    def turn(self, now: float) -> None:
        """Take a window in: soon where it was much faster, since what is slow is told by what is usual."""
        mean_s = self.total_s / self.count
        share = 1.0 - 2.0 ** (-(now - self.at) / FORGET_S)
        if not self.learned:
            share = 1.0
        elif mean_s < self.latency_s / SLOW:
            share = max(share, FASTER)
        self.latency_s += share * (mean_s - self.latency_s)
        self.at, self.learned, self.total_s, self.count = now, True, 0.0, 0


@dataclass(slots=True, kw_only=True)
class Limiter:
    """The limit of one target in one process; not thread-safe, its guard is."""

    cap: int
    limit: float = 0.0
    in_flight: int = 0
    _usual: dict[str, _Usual] = field(default_factory=dict)
    _times: list[float] = field(default_factory=list)  # the usual, of each call in the window
    _began: float = 0.0
    _full: bool = False  # the limit was reached in the window
    _cut_at: float = float("-inf")

    def __post_init__(self) -> None:
        self.limit = self.limit or max(1.0, self.cap / 2)

    def takes(self) -> bool:
        """Tell whether one more call may begin."""
        if self.in_flight < int(self.limit):
            return True
        self._full = True
        return False

    def returned(self, operation: str, latency_s: float, now: float) -> None:
        """Take in a call that the target answered, well or badly."""
        usual = self._usual.get(operation)
        if usual is None:
            usual = self._usual[operation] = _Usual(latency_s, now)
        usual.total_s += latency_s
        usual.count += 1
        if not self._times:
            self._began = now
        self._times.append(latency_s / max(usual.latency_s, FLOOR_S))
        count = len(self._times)
        if count >= max(ENOUGH, self.limit) or (count >= FEW and now - self._began >= WINDOW_S):
            self._turn(now)

    def failed(self, latency_s: float, now: float) -> None:
        """Take in a call that the target did not answer; those under way with it cut the limit no further."""
        if now - latency_s >= self._cut_at:  # it began after the last cut
            self._cut(ON_FAILURE, now)

    def restart(self) -> None:
        """Begin with one call at a time, after an outage."""
        self.limit = 1.0
        self._times.clear()
        self._full = False

    def _turn(self, now: float) -> None:
        slow = median(self._times) > SLOW
        full = self._full or self.in_flight >= int(self.limit)
        self._times.clear()
        self._full = False
        for usual in self._usual.values():
            if usual.count:
                usual.turn(now)
        if slow:
            self._cut(ON_SLOWNESS, now)
        elif full:
            self.limit = min(float(self.cap), math.floor(self.limit) + 1.0)

    def _cut(self, share: float, now: float) -> None:
        self.limit = max(1.0, self.limit * share)
        self._cut_at = now
        self._times.clear()
