"""A queueing model of the engine: calls arrive, lanes hold them below the watermark, worker processes serve lanes.

It simulates event by event, in seconds of a clock of its own. Its costs are measured (`bench.queueing`), its waits are
the engine's own constants. A batch is all that a lane holds below the watermark; serving it takes what a batch takes
and what each of its captures takes; then all of it is done at once.
"""

import heapq
import random
from collections import deque
from dataclasses import dataclass, field
from itertools import islice, takewhile
from typing import Final

from gnomon.publisher import BEAT_S, GATHER_S
from worker.drain import IDLE_S
from worker.held_lane import BATCH_CAPTURES

LOOK_S: Final = IDLE_S / 2  # until a process that has nothing to do hears of something: between a hint and a look


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """What serving takes one process, in seconds of a clock on the wall."""

    batch_s: float
    capture_s: float

    @property
    def most_per_s(self) -> float:
        """What one process can serve at most, in batches as large as they may be."""
        return BATCH_CAPTURES / (self.batch_s + BATCH_CAPTURES * self.capture_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is simulated: so many calls a second, for so long, on so many lanes and processes."""

    rate: float
    seconds: float
    lanes: int
    processes: int
    seed: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What came of it: the mean time from a call to its commit (by Little's law), and what was committed a second."""

    lag_s: float
    per_s: float


@dataclass(slots=True)
class _Lane:
    waiting: deque[float] = field(default_factory=deque)  # when each call ended, in order
    held: int = 0  # of them, those in a batch that is being served


class Simulation:
    """One run of the model."""

    def __init__(self, plan: Plan, costs: Costs) -> None:
        self._plan = plan
        self._costs = costs
        self._random = random.Random(plan.seed)
        self._lanes = [_Lane() for _ in range(plan.lanes)]
        self._first = [0] * plan.processes  # where each process looks first, so that no lane is forgotten
        self._events: list[tuple[float, int, str, int, int]] = []
        self._numbers = iter(range(2**62))
        self._lags: list[float] = []
        self._last = 0.0

    def run(self) -> Seen:
        """Simulate until nothing waits any more."""
        self._at(self._next_call(0.0), "call")
        for process in range(self._plan.processes):
            self._at(0.0, "free", process)
        while self._events:
            now, _, kind, process, lane = heapq.heappop(self._events)
            if kind == "call":
                self._call(now)
            elif kind == "done":
                self._commit(now, process, lane)
            else:
                self._look(now, process)
            if now > self._plan.seconds and not any(each.waiting or each.held for each in self._lanes):
                break
        return Seen(lag_s=sum(self._lags) / len(self._lags), per_s=len(self._lags) / self._last)

    def _at(self, moment: float, kind: str, process: int = -1, lane: int = -1) -> None:
        heapq.heappush(self._events, (moment, next(self._numbers), kind, process, lane))

    def _next_call(self, now: float) -> float:
        return now + self._random.expovariate(self._plan.rate)

    def _call(self, now: float) -> None:
        self._random.choice(self._lanes).waiting.append(now)
        if now < self._plan.seconds:
            self._at(self._next_call(now), "call")

    def _watermark(self, now: float) -> float:
        """Return up to when calls may be replayed: what the last beat told, behind what is being gathered."""
        return now // BEAT_S * BEAT_S - GATHER_S

    def _look(self, now: float, process: int) -> None:
        """Take the next lane that has something to replay, or look again later."""
        cut, count = self._watermark(now), len(self._lanes)
        for step in range(count):
            number = (self._first[process] + step) % count
            lane = self._lanes[number]
            if not lane.held and lane.waiting and lane.waiting[0] <= cut:
                self._first[process] = number + 1
                lane.held = sum(
                    1 for _ in takewhile(lambda moment: moment <= cut, islice(lane.waiting, BATCH_CAPTURES))
                )
                cost_s = self._costs.batch_s + lane.held * self._costs.capture_s
                self._at(now + cost_s, "done", process, number)
                return
        self._at(now + LOOK_S, "free", process)

    def _commit(self, now: float, process: int, number: int) -> None:
        """End a batch: all of it is committed now."""
        lane = self._lanes[number]
        self._lags += [now - lane.waiting.popleft() for _ in range(lane.held)]
        lane.held, self._last = 0, now
        self._look(now, process)
