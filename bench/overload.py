"""Ten times as many calls as workers get through, for two minutes: what lies in Redis, who is shed, how it recovers.

Enhanced takes its time for each replay and workers replay so many side by side: that is how many get through. First
half as many are called, then ten times as many, then a fifth, until nobody is shed and nothing waits for long.
"""

import contextlib
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import redis

from bench.helper import Helper
from bench.measuring import BenchError, Benchmark, Result, Row
from bench.overloaded import ENHANCED_S
from bench.workers import PROCESSES, ROOT, standing_by, wait_for
from console.processes import WorkerProcess, embedded_valkey
from gnomon.connecting import connect
from gnomon.keys import Keys
from gnomon.lane_figures import read_lanes
from ledger import Ledger, OperationSums

NAMESPACE: Final = "overload"
LANES: Final = 64
THREADS: Final = 4
CAPACITY: Final = PROCESSES * THREADS / ENHANCED_S  # a second
CALLERS: Final = 2
LAG_S: Final = 2.0  # what waits no longer has recovered
PATIENCE_S: Final = 180.0
MEGA: Final = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How long each part takes, and how often is looked; seconds."""

    before_s: float
    overload_s: float
    after_s: float
    every_s: float
    cap_bytes: int  #: what may lie in the lanes: some five seconds of the overload


FULL: Final = Size(before_s=10, overload_s=120, after_s=15, every_s=5, cap_bytes=4_000_000)
QUICK: Final = Size(before_s=1, overload_s=2, after_s=0, every_s=1, cap_bytes=500_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What was seen at one moment; calls and captures are counted from the beginning."""

    at_s: float
    offered: int
    captured: int
    drained: int
    shed_share: float
    lane_bytes: int
    redis_bytes: int
    lag_s: float


class Course:
    """Everything that is up, and what is seen of it."""

    def __init__(self, redis_url: str, ledger: Ledger, callers: Sequence[Helper]) -> None:
        self._server = connect(redis_url)
        self._keys = Keys(NAMESPACE)
        self._ledger = ledger
        self._callers = callers
        self._began = time.perf_counter()
        self._before_bytes = self._memory()
        self.samples = [self._sample()]
        self.most_bytes = 0

    def run(self, size: Size) -> float:
        """Go through it; returns after how many seconds it had recovered."""
        self._hold(CAPACITY / 2, size.before_s, size.every_s)
        self._hold(CAPACITY * 10, size.overload_s, size.every_s)
        ended = time.perf_counter()
        self._hold(CAPACITY / 5, size.every_s, size.every_s)
        while not self._recovered():
            if time.perf_counter() - ended > PATIENCE_S:
                raise BenchError(f"not recovered after {PATIENCE_S:g} s")
            self._look_on(size.every_s)
        recovered_s = time.perf_counter() - ended
        self._hold(CAPACITY / 5, size.after_s, size.every_s)
        return recovered_s

    def _recovered(self) -> bool:
        return self.samples[-1].shed_share == 0 and self.samples[-1].lag_s < LAG_S

    def _hold(self, rate: float, seconds: float, every_s: float) -> None:
        for caller in self._callers:
            caller.ask(pace=rate / len(self._callers))
        until = time.perf_counter() + seconds
        while time.perf_counter() + every_s / 2 < until:
            self._look_on(every_s)

    def _look_on(self, every_s: float) -> None:
        until = time.perf_counter() + every_s
        while (left := until - time.perf_counter()) > 0:
            time.sleep(min(0.1, left))
            self.most_bytes = max(self.most_bytes, self._stock())
        self.samples.append(self._sample())

    def _sample(self) -> Sample:
        lanes = read_lanes(self._server, self._keys)
        with self._ledger.reading() as reading:
            drained = reading.done()
        return Sample(
            at_s=time.perf_counter() - self._began,
            offered=self.made(),
            captured=self._captured(),
            drained=drained,
            shed_share=lanes.shed_share,
            lane_bytes=lanes.size_bytes,
            redis_bytes=self._memory() - self._before_bytes,
            lag_s=lanes.lag_s,
        )

    def made(self) -> int:
        """Return how many calls were made."""
        return sum(caller.ask()["made"] for caller in self._callers)

    def _captured(self) -> int:
        pipeline = self._server.pipeline(transaction=False)
        for lane in range(LANES):
            pipeline.hget(self._keys.lane(lane).state, "captured")
        return sum(int(count or 0) for count in pipeline.execute())

    def _stock(self) -> int:
        return int(self._server.hget(self._keys.stock, "total") or 0)

    def _memory(self) -> int:
        facts: dict[str, Any] = self._server.info("memory")
        return int(facts["used_memory"])

    def settle(self) -> "OperationSums":
        """Wait until all that was called has come to its end; returns both sums of all operations."""
        for caller in self._callers:
            caller.ask(pace=0)
        flushed = [caller.ask(flush=PATIENCE_S)["flushed"] for caller in self._callers]
        if not all(flushed):
            raise BenchError("not all was published")
        captured = self._captured()
        wait_for(lambda: self._sample().drained, captured)
        made = self.made()
        wait_for(lambda: self._sums().eligible, made)
        return self._sums()

    def _sums(self) -> "OperationSums":
        with self._ledger.reading() as reading:
            found = list(reading.sums().values())
        return OperationSums(
            funnel=sum((sums.funnel for sums in found), Counter()),
            outcomes=sum((sums.outcomes for sums in found), Counter()),
        )

    def close(self) -> None:
        """Close its connection."""
        self._server.close()


@contextlib.contextmanager
def _up(cap_bytes: int) -> Iterator[Course]:
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gnomon-bench-")))
        redis_url = stack.enter_context(embedded_valkey(folder / "valkey"))
        environment = {
            "GNOMON_REDIS_URL": redis_url,
            "GNOMON_DATABASE_URL": f"sqlite:///{folder}/ledger.sqlite3",
            "GNOMON_NAMESPACE": NAMESPACE,
            "GNOMON_OPERATIONS": "bench.overloaded",
            "GNOMON_CONCURRENCY": str(PROCESSES),
            "GNOMON_THREADS": str(THREADS),
            "GNOMON_TOTAL_BYTES": str(cap_bytes),
            "PYTHONPATH": str(ROOT),
        }
        ledger = stack.enter_context(
            contextlib.closing(Ledger(environment["GNOMON_DATABASE_URL"], namespace=NAMESPACE))
        )
        ledger.migrate()
        stack.enter_context(standing_by(WorkerProcess(environment, folder / "worker.log")))
        callers = [
            stack.enter_context(contextlib.closing(Helper("bench.overloaded", environment=environment)))
            for _ in range(CALLERS)
        ]
        _warm_up(callers, ledger)
        yield stack.enter_context(contextlib.closing(Course(redis_url, ledger, callers)))


def _warm_up(callers: Sequence[Helper], ledger: Ledger) -> None:
    """Wait until the worker replays."""
    for caller in callers:
        caller.ask(pace=CAPACITY / 10 / len(callers))

    def done() -> int:
        with ledger.reading() as reading:
            return reading.done()

    wait_for(done, 20)


def _run(quick: bool) -> Result:  # noqa: FBT001 — as every benchmark's
    size = QUICK if quick else FULL
    try:
        with _up(size.cap_bytes) as course:
            recovered_s = course.run(size)
            sums = course.settle()
            _check(course, sums, size)
    except redis.RedisError as error:
        raise BenchError(f"Valkey does not answer ({type(error).__name__})") from error
    return Result(rows=list(_rows(course.samples)), notes=_notes(course, sums, size, recovered_s))


def _check(course: Course, sums: OperationSums, size: Size) -> None:
    """Bounds are worth nothing where calls are missing or verdicts wrong."""
    funnel, outcomes = sums.funnel, sums.outcomes
    ends = sum(count for name, count in funnel.items() if name != "eligible")
    if not course.made() == sums.eligible == ends or sums.pending:
        raise BenchError(f"{course.made()} calls made, {sums.eligible} eligible, {ends} ended, {sums.pending} pending")
    if wrong := {name: count for name, count in outcomes.items() if count and name not in {"match", "excluded"}}:
        raise BenchError(f"both sides answered alike, and {wrong}")
    if course.most_bytes > size.cap_bytes:
        raise BenchError(f"{course.most_bytes:,} bytes lay in the lanes, {size.cap_bytes:,} may")


def _rows(samples: Sequence[Sample]) -> Iterator[Row]:
    for before, now in pairwise(samples):
        seconds = now.at_s - before.at_s
        for point, unit, value in (
            ("calls", "/s", (now.offered - before.offered) / seconds),
            ("captured", "/s", (now.captured - before.captured) / seconds),
            ("done", "/s", (now.drained - before.drained) / seconds),
            ("shed", "%", 100 * now.shed_share),
            ("lanes", "MB", now.lane_bytes / MEGA),
            ("Redis", "MB", max(0.0, now.redis_bytes / MEGA)),
            ("lag", "s", now.lag_s),
        ):
            yield Row(name=f"{now.at_s:.0f} s", unit=unit, samples=(value,), group="course", point=point)


def _notes(course: Course, sums: OperationSums, size: Size, recovered_s: float) -> tuple[str, ...]:
    funnel = ", ".join(f"{count:,} {name}" for name, count in sums.funnel.items() if count)
    outcomes = ", ".join(f"{count:,} {name}" for name, count in sums.outcomes.items() if count)
    replays = f"{PROCESSES * THREADS} replays side by side of {ENHANCED_S * 1_000:g} ms"
    bounds = f"At most {course.most_bytes / MEGA:.2f} MB of {size.cap_bytes / MEGA:g} MB lay in the lanes"
    return (
        f"{replays}: {CAPACITY:g} a second get through, {CAPACITY * 10:g} are called. Each line: up to that moment.",
        "calls, captured and done: of that time, a second; shed: of users; Redis: more than before.",
        f"{bounds}; recovered {recovered_s:.0f} s after the overload.",
        f"Both sums exact: {funnel}; {outcomes}.",
    )


BENCHMARK: Final = Benchmark(name="overload", title="ten times too many calls: bounds, shedding, recovery", run=_run)
