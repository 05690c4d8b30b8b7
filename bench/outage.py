"""A service that becomes slow, fails, refuses and comes back: what the care for it does, and that nothing is misjudged.

A real worker replays against a real HTTP service while a live application makes calls at a steady pace. Twice a second
the limit, the breaker, the latency and what was judged are looked at. Any divergence ends the benchmark, as does a
call that counts as failed and was not made.
"""

import contextlib
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import IO, Final

import redis

from bench.measuring import BenchError, Benchmark, Result, Row, percentile
from bench.stub_operations import TARGETS, Live
from bench.workers import ROOT, standing_by, wait_for
from console.processes import WorkerProcess, embedded_valkey
from gnomon import Gnomon
from gnomon.connecting import connect
from gnomon.keys import Keys
from ledger import Ledger
from worker.lanes import LaneStore
from worker.targets.board import Target, targets_of, tellings
from worker.targets.breaker import BreakerState

NAMESPACE: Final = "outage"
USERS: Final = 24
LANES: Final = 16
LOOK_S: Final = 0.25
BOUND_S: Final = 90.0
_GROUP: Final = "phase by phase, both worker processes together"


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """What the service is told, and for how long it stays so; `until_closed`: longer, if its breaker is not closed."""

    name: str
    said: str
    seconds: float
    until_closed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The phases, and how many calls a second are made meanwhile."""

    phases: tuple[Phase, ...]
    calls_per_s: float


FULL: Final = Plan(
    phases=(
        Phase(name="5 ms", said="well", seconds=10),
        Phase(name="2 s", said="slow 2", seconds=24),
        Phase(name="5 ms again", said="well", seconds=15),
        Phase(name="HTTP 500", said="fail", seconds=10),
        Phase(name="refuses", said="refuse", seconds=10),
        Phase(name="recovers", said="well", seconds=15, until_closed=True),
    ),
    calls_per_s=60,
)
QUICK: Final = Plan(
    phases=(
        Phase(name="5 ms", said="well", seconds=2),
        Phase(name="0.5 s", said="slow 0.5", seconds=4),
        Phase(name="HTTP 500", said="fail", seconds=1.5),
        Phase(name="refuses", said="refuse", seconds=1.5),
        Phase(name="recovers", said="well", seconds=2, until_closed=True),
    ),
    calls_per_s=60,
)


@dataclass(slots=True)
class Seen:
    """What was seen in one phase."""

    limits: list[int] = field(default_factory=list)
    states: list[BreakerState] = field(default_factory=list)
    latencies_ms: list[float] = field(default_factory=list)
    judged: int = 0
    failed: int = 0
    pending: int = 0
    live_us: list[float] = field(default_factory=list)
    seconds: float = 0.0


class Stub:
    """The service's process."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "bench.stub"]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port = int(self._out.readline())

    @property
    def _out(self) -> IO[str]:
        assert self._process.stdout is not None
        return self._process.stdout

    def tell(self, said: str) -> tuple[int, int]:
        """Tell it how to be; returns how many calls it has answered since, and how many not."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{said}\n")
        self._process.stdin.flush()
        answered, unanswered = self._out.readline().split()
        return int(answered), int(unanswered)

    def close(self) -> None:
        """End it."""
        self._process.communicate()


class Calls(threading.Thread):
    """The live application, at a steady pace; notes how long each call took."""

    def __init__(self, client: Gnomon, per_s: float) -> None:
        super().__init__(daemon=True)
        self._live = Live(client)
        self._pause_s = 1 / per_s
        self._over = threading.Event()
        self.seen = Seen()

    def run(self) -> None:
        """Save and read in turns, one user after another."""
        number = 0
        due = time.monotonic()
        while not self._over.wait(max(0.0, due - time.monotonic())):
            due += self._pause_s
            user = f"u{number // 4 % USERS}"
            began = time.perf_counter()
            if number % 4:
                self._live.listed(user)
            else:
                self._live.save(user, f"note {number}")
            self.seen.live_us.append((time.perf_counter() - began) * 1e6)
            number += 1

    def end(self) -> None:
        """Stop calling."""
        self._over.set()
        self.join()


@dataclass(frozen=True, slots=True)
class Rig:
    """Everything that runs."""

    stub: Stub
    calls: Calls
    client: Gnomon
    ledger: Ledger
    server: "redis.Redis"
    lanes: LaneStore

    def target(self) -> Target | None:
        """Return what the workers tell of the service."""
        return next(iter(targets_of(tellings(self.server, Keys(NAMESPACE)))), None)

    def outcomes(self) -> dict[str, int]:
        """Return what was judged."""
        with self.ledger.reading() as reading:
            sums = reading.sums()
        names = ("match", "diverged", "failed", "inconclusive", "excluded", "parked")
        return {name: sum(found.outcomes[name] for found in sums.values()) for name in names}

    def captured(self) -> int:
        """Return how many calls were captured, and are in a lane or were."""
        self.ledger.fold(self.lanes.senders.changed(range(LANES)).sent)
        with self.ledger.reading() as reading:
            return sum(found.funnel["captured"] for found in reading.sums().values())


def _run(quick: bool) -> Result:  # noqa: FBT001 — as every benchmark's
    plan = QUICK if quick else FULL
    with _up(plan) as rig:
        seen: dict[str, Seen] = {}
        unanswered = 0
        for phase in plan.phases:
            unanswered += rig.stub.tell(phase.said)[1]
            seen[phase.name] = _phase(rig, phase)
        rig.calls.end()
        _drained(rig)
        unanswered += rig.stub.tell("well")[1]
        outcomes = rig.outcomes()
    _check(plan, seen, outcomes, unanswered)
    return Result(rows=list(_rows(seen)), notes=_notes(plan, outcomes, unanswered))


@contextlib.contextmanager
def _up(plan: Plan) -> Iterator[Rig]:
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gnomon-bench-")))
        redis_url = stack.enter_context(embedded_valkey(folder / "valkey"))
        stub = stack.enter_context(contextlib.closing(Stub()))
        (folder / "targets.toml").write_text(TARGETS.format(port=stub.port))
        environment = {
            "GNOMON_REDIS_URL": redis_url,
            "GNOMON_DATABASE_URL": f"sqlite:///{folder}/ledger.sqlite3",
            "GNOMON_NAMESPACE": NAMESPACE,
            "GNOMON_OPERATIONS": "bench.stub_operations",
            "GNOMON_TARGETS": str(folder / "targets.toml"),
            "GNOMON_LANES": str(LANES),
            "GNOMON_CONCURRENCY": "2",
            "PYTHONPATH": str(ROOT),
        }
        ledger = stack.enter_context(
            contextlib.closing(Ledger(environment["GNOMON_DATABASE_URL"], namespace=NAMESPACE))
        )
        ledger.migrate()
        stack.enter_context(standing_by(WorkerProcess(environment, folder / "worker.log")))
        client = stack.enter_context(contextlib.closing(Gnomon.from_env(environment)))
        server = stack.enter_context(contextlib.closing(connect(redis_url)))
        calls = Calls(client, plan.calls_per_s)
        rig = Rig(stub, calls, client, ledger, server, LaneStore(server, NAMESPACE))
        rig.calls.start()
        stack.callback(rig.calls.end)
        _wait(lambda: rig.outcomes()["match"] > 0, "the worker has judged nothing")
        yield rig


def _phase(rig: Rig, phase: Phase) -> Seen:
    rig.calls.seen = seen = Seen()
    before, began = rig.outcomes(), time.monotonic()
    while time.monotonic() < began + phase.seconds:
        _look(rig, seen)
    if phase.until_closed:
        _wait(lambda: _look(rig, seen) is BreakerState.CLOSED, "the breaker does not close")
    after, seen.seconds = rig.outcomes(), time.monotonic() - began
    seen.judged = sum(after.values()) - sum(before.values())
    seen.failed = after["failed"] - before["failed"]
    seen.pending = rig.captured() - sum(after.values())
    return seen


def _look(rig: Rig, seen: Seen) -> BreakerState:
    time.sleep(LOOK_S)
    target = rig.target()
    if target is None:
        return BreakerState.CLOSED
    seen.limits.append(target.limit)
    seen.states.append(target.state)
    seen.latencies_ms.append(target.latency_ms)
    return target.state


def _drained(rig: Rig) -> None:
    if not rig.client.flush(30.0):
        raise BenchError("Valkey takes no captures")
    captured = rig.captured()
    wait_for(lambda: sum(rig.outcomes().values()), captured)
    if (found := sum(rig.outcomes().values())) != rig.captured():
        raise BenchError(f"{rig.captured()} captures, {found} outcomes")


def _wait(done: Callable[[], bool], why: str) -> None:
    until = time.monotonic() + BOUND_S
    while not done():
        if time.monotonic() > until:
            raise BenchError(why)
        time.sleep(0.05)


def _check(plan: Plan, seen: dict[str, Seen], outcomes: dict[str, int], unanswered: int) -> None:
    """Care is worth nothing where the verdicts are wrong."""
    if wrong := {name: outcomes[name] for name in ("diverged", "inconclusive", "parked") if outcomes[name]}:
        raise BenchError(f"misjudged: {wrong}")
    slow, down = seen[plan.phases[1].name], [seen[name] for name in ("HTTP 500", "refuses")]
    if min(slow.limits) >= max(seen[plan.phases[0].name].limits):
        raise BenchError("the limit did not fall where the service was slow")
    if not all(BreakerState.OPEN in each.states for each in down):
        raise BenchError("the breaker did not open")
    if outcomes["failed"] > unanswered + 2 * len(down) * 8:  # refused connections are not counted by the service
        raise BenchError(f"{outcomes['failed']} failed, {unanswered} calls were not answered")


def _rows(seen: dict[str, Seen]) -> Iterator[Row]:
    for name, each in seen.items():
        figures: Sequence[tuple[str, str, Sequence[float]]] = (
            ("limit", "", [min(each.limits, default=0)]),
            ("then", "", each.limits[-1:] or [0]),
            ("open", "%", [100 * fmean([state is not BreakerState.CLOSED for state in each.states] or [0])]),
            ("each", "ms", each.latencies_ms[-1:] or [0]),
            ("judged", "/s", [each.judged / each.seconds]),
            ("failed", "", [each.failed]),
            ("waits", "", [max(0, each.pending)]),
            ("live p99", "µs", [percentile(each.live_us, 99)]),
        )
        for point, unit, samples in figures:
            yield Row(name=name, unit=unit, samples=tuple(samples), group=_GROUP, point=point)


def _notes(plan: Plan, outcomes: dict[str, int], unanswered: int) -> tuple[str, ...]:
    told = ", ".join(f"{count:,} {name}" for name, count in outcomes.items())
    return (
        "limit: calls that may be under way, at the lowest and then at the end of the phase; open: the breaker was.",
        f"{plan.calls_per_s:g} live calls a second of {USERS} users, a quarter of them writes; 2 worker processes.",
        f"In the end: {told}; nothing pending. The service answered {unanswered:,} calls with HTTP 500.",
    )


BENCHMARK: Final = Benchmark(name="outage", title="a service that slows, fails, refuses and comes back", run=_run)
