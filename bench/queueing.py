"""The queueing model beside a measured run: the same load, the lag and the throughput of both, side by side.

First what a batch and a capture cost is measured, by processor time: once with few captures in each lane's batch, once
with many. Then calls are made at a steady pace, at shares of what was found to be the most; the mean lag is what was
pending on average over the rate (Little's law). The model gets the costs and the rate, nothing of the measured run.
"""

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

import redis

from bench import operations
from bench.contenders import Ours, Setting, files_in, ours
from bench.counts import LANES
from bench.lanes_model import Costs, Plan, Seen, Simulation
from bench.measuring import BenchError, Benchmark, Result, Rounds, Row
from bench.memories import USERS, user_of
from bench.workers import PROCESSES, cpu_s, frozen, wait_for
from console.processes import embedded_valkey
from gnomon import Gnomon
from gnomon.connecting import connect

_SAMPLE_S: Final = 0.05  # between two looks at what is pending
_IDLE_S: Final = 2.0  # a sweep
_TICK_S: Final = 0.01  # what the system tells processor times by
_SETTLED_S: Final = 1.0  # of the beginning of a run, in which nothing is judged yet
_LAG, _RATE = "lag", "done"
_MEASURED, _MODEL = "measured", "model"


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much is measured: small batches (times), large ones (captures), and the loads."""

    rounds: int
    small: int
    large: int
    seconds: float
    shares: tuple[float, ...]


FULL: Final = Size(rounds=3, small=8, large=16_384, seconds=12.0, shares=(0.2, 0.5, 0.8))
QUICK: Final = Size(rounds=1, small=1, large=2_048, seconds=2.0, shares=(0.3,))


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """What was measured of a backlog, per capture and per batch."""

    batch_cpu_s: float
    capture_cpu_s: float
    stretch: float  #: the wall's time for a process's processor time: what others on the same cores take
    redis_cpu_s: float  #: of Redis, for a capture from append to trim
    most_per_s: float

    @property
    def costs(self) -> Costs:
        """What serving takes a process, by the wall's clock."""
        return Costs(batch_s=self.batch_cpu_s * self.stretch, capture_s=self.capture_cpu_s * self.stretch)


def _run(quick: bool) -> Result:  # noqa: FBT001 — as every benchmark's
    size, rounds = QUICK if quick else FULL, Rounds()
    with _up() as (server, contender):
        contender.offer(size.large // 4)
        wait_for(contender.done, size.large // 4)
        for _ in range(size.rounds):
            found = _calibrate(contender, server, size)
            _add_costs(rounds, found)
            for share in size.shares:
                _compare(contender, found, share, size.seconds, rounds)
    return Result(rows=list(_rows(rounds, size)), notes=_notes(size))


@contextlib.contextmanager
def _up() -> Iterator[tuple["redis.Redis", Ours]]:
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gnomon-bench-")))
        redis_url = stack.enter_context(embedded_valkey(folder / "valkey"))
        setting = Setting(name="", namespace="queueing", broker_db=1, database=files_in(folder))
        contender = stack.enter_context(ours(folder, redis_url, setting))
        yield stack.enter_context(contextlib.closing(connect(redis_url))), contender


# --- what it costs


@dataclass(frozen=True, slots=True)
class _Backlog:
    """A backlog that was worked off: processor time of the worker, the wall's time, Redis's processor time."""

    cpu_s: float
    wall_s: float
    redis_s: float


def _calibrate(contender: Ours, server: "redis.Redis", size: Size) -> Calibration:
    idle = _idle_share(contender)
    few = [_work_off(contender, server, USERS, idle) for _ in range(size.small)]
    many = _work_off(contender, server, size.large, idle)
    small_s = sum(each.cpu_s for each in few) / size.small
    capture_s = (many.cpu_s - small_s) / (size.large - USERS)  # both came in a batch for each lane
    return Calibration(
        batch_cpu_s=max(0.0, small_s - USERS * capture_s) / LANES,
        capture_cpu_s=capture_s,
        stretch=max(1.0, many.wall_s * PROCESSES / many.cpu_s),
        redis_cpu_s=many.redis_s / size.large,
        most_per_s=size.large / many.wall_s,
    )


def _cpu_s(contender: Ours) -> float:
    found = cpu_s(contender.worker)
    if found is None:
        raise BenchError("the system does not tell processor times: no costs, no model")
    return found


def _idle_share(contender: Ours) -> float:
    """Return the processor time that the worker takes a second where there is nothing to do: ticks, sweeps."""
    before = _cpu_s(contender)
    time.sleep(_IDLE_S)
    return (_cpu_s(contender) - before) / _IDLE_S


def _work_off(contender: Ours, server: "redis.Redis", count: int, idle: float) -> _Backlog:
    before, redis_before = contender.done(), _redis_s(server)
    with frozen(contender.worker):
        contender.offer(count)
    used, released = _cpu_s(contender), time.perf_counter()
    wall_s = wait_for(contender.done, before + count) - released
    worked_s = _cpu_s(contender) - used - idle * wall_s
    return _Backlog(max(worked_s, _TICK_S), wall_s, _redis_s(server) - redis_before)


def _redis_s(server: "redis.Redis") -> float:
    told = cast("dict[str, float]", server.info("cpu"))
    return float(told["used_cpu_user"]) + float(told["used_cpu_sys"])


# --- what a load does


def _compare(contender: Ours, found: Calibration, share: float, seconds: float, rounds: Rounds) -> None:
    rate = found.most_per_s * share
    measured = _offer_paced(contender, rate, seconds)
    plan = Plan(rate=rate, seconds=seconds, lanes=LANES, processes=PROCESSES)
    for name, seen in ((_MEASURED, measured), (_MODEL, Simulation(plan, found.costs).run())):
        rounds.add(_named(_LAG, name, share), seen.lag_s * 1_000)
        rounds.add(_named(_RATE, name, share), seen.per_s)


def _named(what: str, of: str, share: float) -> str:
    return f"{what} at {share:.0%}: {of}"


def _offer_paced(contender: Ours, rate: float, seconds: float) -> Seen:
    """Make calls evenly, and see how many of them are pending meanwhile."""
    client, before, began = contender.client(), contender.done(), time.perf_counter()
    try:
        made, pending = _pace(client, lambda: contender.done() - before, rate, seconds)
        if not client.flush(10):
            raise BenchError("Valkey has taken no captures for 10 s")
        ended = wait_for(contender.done, before + made)
    finally:
        client.close()
    return Seen(lag_s=sum(pending) / max(1, len(pending)) / rate, per_s=made / (ended - began))


def _pace(client: Gnomon, done: Callable[[], int], rate: float, seconds: float) -> tuple[int, list[int]]:
    """Make calls evenly; returns how many were made, and how many of them were pending at each look."""
    recent, began = operations.register(client), time.perf_counter()
    pending, made, look = list[int](), 0, began + _SETTLED_S
    while (now := time.perf_counter()) < began + seconds:
        while made < (now - began) * rate:
            recent(user_of(made), made)
            made += 1
        if now >= look:
            pending.append(made - done())
            look = now + _SAMPLE_S
        time.sleep(max(0.0, began + (made + 1) / rate - time.perf_counter()))
    return made, pending


# --- what is told


def _add_costs(rounds: Rounds, found: Calibration) -> None:
    rounds.add("CPU of a batch", found.batch_cpu_s * 1e6)
    rounds.add("CPU of a capture in it", found.capture_cpu_s * 1e6)
    rounds.add("CPU of Redis for a capture", found.redis_cpu_s * 1e6)
    rounds.add("wall over CPU", found.stretch)
    rounds.add("the most", found.most_per_s)


_COSTS: Final = (
    ("CPU of a batch", "µs"),
    ("CPU of a capture in it", "µs"),
    ("CPU of Redis for a capture", "µs"),
    ("wall over CPU", ""),
    ("the most", "/s"),
)


def _rows(rounds: Rounds, size: Size) -> Iterator[Row]:
    for name, unit in _COSTS:
        yield rounds.row(name, unit)
    for share in size.shares:
        for what, unit in ((_LAG, "ms"), (_RATE, "/s")):
            measured = _named(what, _MEASURED, share)
            yield rounds.row(measured, unit)
            yield rounds.row(_named(what, _MODEL, share), unit, over=measured, of=_MEASURED)


def _notes(size: Size) -> tuple[str, ...]:
    few, many = f"{size.small} times {USERS} captures", f"{size.large:,} captures"
    return (
        f"{size.rounds} rounds: {few} and once {many} for the costs, then each load for {size.seconds:g} s.",
        f"{PROCESSES} worker processes, {LANES} lanes, SQLite; lag from the call to the commit, the mean of all calls.",
        "The model knows the costs, the rate and the engine's own waits, nothing of the measured run.",
    )


BENCHMARK: Final = Benchmark(name="queueing", title="a queueing model beside a measured run", run=_run)
