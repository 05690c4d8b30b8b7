"""How much lies in the lanes, and what follows from it: looked at with every beat, acted upon by one process for all.

The figures come with the beat. Every half second, while anything is in the way, the process that notices it first
decides how many users are shed and stores it; whoever comes second finds that it is done.

How long the oldest entry has waited is told by Redis's clock, which may be set. So no process takes it to have waited
for longer than when it looked last and the time since, by its own monotonic clock.
"""

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import redis

from gnomon.scripts import PACE
from gnomon.shedding import LOW, Backlog, Shedding, next_below

if TYPE_CHECKING:
    from gnomon.keys import Keys
    from gnomon.settings import ClientSettings

STEP_MS: Final = 500  # two beats: what one step did to the backlog is seen before the next
CALM_MS: Final = 5_000  # while nothing is in the way
UNTOLD_S: Final = 60.0  # a Redis that does not tell its memory is asked again after so long
ROOM: Final = 0.8  # of Redis's memory may be used by all that is in it; scripts, clients and its log need some, too


@dataclass(frozen=True, slots=True)
class Told:
    """What a beat told: when the last step was taken and what it came to; what lies in the lanes, and for how long."""

    at_ms: int = 0
    below: int = 0
    cap_bytes: int = 0
    before_bytes: int = 0
    size_bytes: int = 0
    lag_ms: int = 0


def lag_of(now_ms: int, oldest_ms: int | None, longest_ms: float) -> int:
    """Return how long the oldest entry has waited, ms: `longest_ms` at most, whatever Redis's clock says. Pure."""
    return 0 if oldest_ms is None else math.ceil(max(0, min(now_ms - oldest_ms, longest_ms)))


class Pressure:
    """Used by the daemon thread alone, but for its figures."""

    def __init__(self, server: "redis.Redis", keys: "Keys", settings: "ClientSettings", shedding: Shedding) -> None:
        self._redis = server
        self._keys = keys
        self._settings = settings
        self._shedding = shedding
        self._pace = server.register_script(PACE)
        self._now_ms = 0
        self._looked: float | None = None  # when, on the monotonic clock
        self._untold_until = 0.0
        self.told = Told()

    @property
    def beat_keys(self) -> list[str]:
        """The keys that a beat looks at for it."""
        return [self._keys.pressure, self._keys.stock, self._keys.oldest]

    @property
    def cap_bytes(self) -> int:
        """What all lanes together may hold."""
        return self.told.cap_bytes or self._settings.total_bytes

    @property
    def lag_s(self) -> float:
        """How long the oldest entry had waited at the last beat."""
        return self.told.lag_ms / 1_000

    def take(self, now_ms: int, told: list[Any]) -> None:
        """Take in what a beat told, and shed whom the last step says."""
        stepped, size_bytes, oldest_ms = told
        at_ms, below, cap_bytes, before_bytes, stepped_lag_ms = map(_number, stepped)
        lag_ms = lag_of(now_ms, int(float(oldest_ms)) if oldest_ms else None, self._longest_ms(stepped_lag_ms))
        self._now_ms = now_ms
        self.told = Told(at_ms, below, cap_bytes, before_bytes, _number(size_bytes), lag_ms)
        self._shedding.take(below)

    def step(self) -> None:
        """Decide for all processes how many users are shed, where it is time to."""
        told = self.told
        if not self._is_due(told):
            return
        cap_bytes = self._room(told.size_bytes)
        below = next_below(told.below, self._backlog(told, cap_bytes))
        args = [told.at_ms, below, cap_bytes, told.size_bytes, told.lag_ms, self._settings.total_bytes]
        if self._pace(keys=[self._keys.pressure], args=args):
            self._shedding.take(below)

    def _longest_ms(self, stepped_lag_ms: int) -> float:
        """Return how long an entry can have waited: as others found, before this process looks for the first time."""
        before, self._looked = self._looked, time.monotonic()
        return stepped_lag_ms if before is None else self.told.lag_ms + (self._looked - before) * 1_000

    def _is_due(self, told: Told) -> bool:
        since_ms = self._now_ms - told.at_ms
        calm = not told.below and self._backlog(told, self.cap_bytes).fill < LOW
        return since_ms >= (CALM_MS if calm else STEP_MS) or since_ms < 0  # Redis's clock was set back

    def _backlog(self, told: Told, cap_bytes: int) -> Backlog:
        return Backlog(
            size_bytes=told.size_bytes,
            before_bytes=told.before_bytes,
            cap_bytes=cap_bytes,
            lag_s=told.lag_ms / 1_000,
            lag_limit_s=self._settings.shed_lag_s,
        )

    def _room(self, size_bytes: int) -> int:
        """Return what the lanes may hold: what was set, or less where Redis has no room for it beside all else."""
        total = self._settings.total_bytes
        if time.monotonic() < self._untold_until:
            return total
        try:
            memory: Any = self._redis.info("memory")
            most, used = int(memory["maxmemory"]), int(memory["used_memory"])
        except (redis.ResponseError, KeyError, ValueError):  # forbidden, or another server that has no such figure
            self._untold_until = time.monotonic() + UNTOLD_S
            return total
        return max(1, min(total, int(ROOM * most) - (used - size_bytes))) if most else total


def _number(stored: bytes | None) -> int:
    """Return a figure as stored; what is no number is nothing."""
    return int(stored) if stored and stored.isdigit() else 0
