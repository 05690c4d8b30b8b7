"""Which users are shed: whole, by a stable hash, as many as the backlog demands, the same ones in every live process.

A shed user's calls are made as ever and none is captured; each write opens the user's gap, so that later reads are
excluded until the data was repaired. How many are shed is decided by whichever process beats when it is time to
(`gnomon.pressure`), kept in Redis, and comes to all of them with their next beat.
"""

import time
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from gnomon.hashing import REMEMBERED, SHED_PLACES, SHED_SALT, stable_hash

if TYPE_CHECKING:
    from gnomon.usual import Board

#: how full the lanes are: from there on nothing but all is shed, more is shed as long as it grows, less is shed
FULL: Final = 0.9
HIGH: Final = 0.5
LOW: Final = 0.25
MORE: Final = 0.75  # of the users who are left stay with each step: a tenth after eight of them
LESS: Final = 0.1  # of all users come back with a step while the lanes are empty, fewer the fuller they are
FEWEST: Final = 0.005  # a smaller share is none
CLOSED_S: Final = 2.0  # a lane that refused an append is asked again after so long


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """What lies in all lanes: `before_bytes` one step ago, `cap_bytes` that may lie there, the oldest for `lag_s`."""

    size_bytes: int
    before_bytes: int
    cap_bytes: int
    lag_s: float
    lag_limit_s: float

    @property
    def fill(self) -> float:
        """How full the lanes are: of their bytes, or, up to where all would be shed, by how long the oldest waits."""
        waited = HIGH * self.lag_s / self.lag_limit_s
        return max(self.size_bytes / max(1, self.cap_bytes), min(waited, (HIGH + FULL) / 2))


def next_below(below: int, backlog: Backlog) -> int:
    """Return below which of 1,000,000 places users are to be shed, where it was `below` until now. Pure.

    Above half of what the lanes may hold more are shed with every step until the backlog no longer grows; below a
    quarter less are, the emptier the faster. In between nothing changes: whoever is shed or taken back needs a repair.
    """
    if backlog.fill >= FULL:
        return SHED_PLACES
    left = 1 - below / SHED_PLACES
    if backlog.fill >= HIGH and backlog.size_bytes > backlog.before_bytes:
        return _places(1 - left * MORE)
    if backlog.fill < LOW:
        return _places(1 - left - LESS * (1 - backlog.fill / LOW))
    return below


def _places(share: float) -> int:
    return 0 if share < FEWEST else min(SHED_PLACES, round(share * SHED_PLACES))


@lru_cache(REMEMBERED)
def shed_place(user: str) -> int:
    """Return the place of `user`: shed while it is below the one that is in force; raising that only adds users."""
    return stable_hash(SHED_SALT, user, SHED_PLACES)


class Shedding:
    """Who is shed in this process: replaced by the daemon thread, read on the live path without a lock."""

    def __init__(self, board: "Board") -> None:
        self._board = board
        self._below = 0
        self._closed: dict[int, float] = {}  # lane → until when, on the monotonic clock

    @property
    def active(self) -> bool:
        """Whether anybody is shed at all."""
        return self._board.shedding

    @property
    def share(self) -> float:
        """The share of users that are shed, 0 to 1, in lanes that are not full."""
        return self._below / SHED_PLACES

    @property
    def closed_lanes(self) -> int:
        """How many lanes were full when last asked."""
        return len(self._closed)

    def take(self, below: int) -> None:
        """Shed the users below a place."""
        self._below = below
        self._look()

    def close(self, lane: int) -> None:
        """Shed all users of a lane that is full, for a while."""
        self._closed = {**self._closed, lane: time.monotonic() + CLOSED_S}
        self._look()

    def reopen(self) -> None:
        """Let go of lanes that are worth being asked again."""
        if self._closed:
            now = time.monotonic()
            self._closed = {lane: until for lane, until in self._closed.items() if until > now}
            self._look()

    def sheds(self, user: str, lane: int) -> bool:
        """Tell whether a user of a lane is shed."""
        return shed_place(user) < self._below or lane in self._closed

    def _look(self) -> None:
        self._board.shedding = bool(self._below or self._closed)
