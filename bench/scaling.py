"""Whether a comparison costs the same however many there were, and however many lanes they are spread over.

`scaling-captures`: one live process calls and calls, the workers keep up, and what a comparison costs them is taken
again and again, with the memory that they hold, while the ledger fills. `scaling-lanes`: backlogs of as many captures
in 16, 64 and 256 lanes, in turn, each with workers and a ledger of its own.

Cost is processor time of the workers: what else the machine does meanwhile is not in it.
"""

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Final

from bench.contenders import Ours, Setting, files_in, ours
from bench.counts import LANES
from bench.measuring import BenchError, Benchmark, Result, Rounds
from bench.memories import USERS, differs
from bench.workers import PROCESSES, cpu_s, frozen, memory_mib, wait_for
from console.processes import embedded_valkey

MOST_VARIABLE: Final = "BENCH_CAPTURES"
_MOST: Final = 1_000_000
_STEP: Final = 2_500  # captures a sample: some 0.2 s of processor time, which the system counts in steps of 0.01 s
_AHEAD: Final = 5_000  # captures that the live process may be ahead of the workers: they never run dry
_WARM_UP: Final = 10_000  # imports, caches, statements
_LANES: Final = (16, 64, 256)
_LANE_USERS: Final = 1_024  # four a lane where there are most lanes


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A stretch of captures whose cost is told, from `start` to `end`."""

    start: int
    end: int

    @property
    def name(self) -> str:
        """Say where it ends."""
        return f"at {self.end:,}"


def windows(most: int) -> list[Window]:
    """Return the last tenth before each power of ten up to `most`; of the first ten thousand all."""
    ends = [*(end for end in (10_000, 100_000, 1_000_000) if end < most), most]
    return [Window(start=end * 9 // 10 if place else 0, end=end) for place, end in enumerate(ends)]


# --- captures


@dataclass(frozen=True, slots=True)
class _Sample:
    """What the workers had done at one moment, and what it had cost them: processor seconds, and MiB held."""

    done: int
    cpu_s: float
    memory_mib: float


def _captures(quick: bool) -> Result:  # noqa: FBT001 — as every benchmark's
    most, warm_up = (2 * _STEP, _STEP) if quick else (asked(), _WARM_UP)
    with _valkey() as (folder, redis_url), _ours(folder, redis_url, "captures") as own:
        samples = list(_sampled(own, most, warm_up))
        _check(own, warm_up + _AHEAD + most)
    rounds, told = Rounds(), windows(most)
    for window in told:
        _tell(window, samples, rounds)
    first = told[0]
    rows = [rounds.row(_cost(each), "µs", over=_cost(first), of="the first") for each in told]
    rows += [rounds.row(_memory(each), "MiB", over=_memory(first), of="the first") for each in told]
    return Result(rows=rows, notes=(_CAPTURES_NOTE,))


_CAPTURES_NOTE: Final = (
    f"A sample every {_STEP:,} captures, of the last tenth before each mark; {PROCESSES} worker processes; SQLite. "
    f"{MOST_VARIABLE} says how many captures there are in all."
)


def asked() -> int:
    """Return how many captures are asked for; raises BenchError where that is no number."""
    text = os.environ.get(MOST_VARIABLE, str(_MOST))
    if not text.isdecimal() or int(text) < 2 * _STEP:
        raise BenchError(f"{MOST_VARIABLE}: cannot use {text!r}; expected a number from {2 * _STEP:,} on")
    return int(text)


def _sampled(own: Ours, most: int, warm_up: int) -> Iterator[_Sample]:
    """Make the calls, and yield a sample about every step; the workers go on meanwhile.

    The first is taken with calls ahead of the workers, like every other: where they run dry, batches are small, and a
    capture costs more.
    """
    first = warm_up + _AHEAD
    with own.calling() as make:
        make(range(first), USERS)
        wait_for(own.done, warm_up)
        last = start = _sample(own)
        yield _since(start, last)
        for number in range(first, first + most, _STEP):
            make(range(number, min(number + _STEP, first + most)), USERS)
            wait_for(own.done, number - _AHEAD)
            if own.done() - last.done >= _STEP:
                last = _sample(own)
                yield _since(start, last)
    wait_for(own.done, first + most)
    yield _since(start, _sample(own))


def _since(start: _Sample, sample: _Sample) -> _Sample:
    return replace(sample, done=sample.done - start.done)


def _sample(own: Ours) -> _Sample:
    cpu, memory = cpu_s(own.worker), memory_mib(own.worker)
    if cpu is None or memory is None:
        raise BenchError("this system does not tell what processes use: there is no /proc")
    return _Sample(own.done(), cpu, memory)


def _tell(window: Window, samples: list[_Sample], rounds: Rounds) -> None:
    for before, after in pairwise(samples):
        if window.start < after.done <= window.end and after.done > before.done:
            rounds.add(_cost(window), (after.cpu_s - before.cpu_s) / (after.done - before.done) * 1_000_000)
            rounds.add(_memory(window), after.memory_mib)


def _cost(window: Window) -> str:
    return f"CPU/capture {window.name}"


def _memory(window: Window) -> str:
    return f"largest worker process {window.name}"


# --- lanes


def _lanes(quick: bool) -> Result:  # noqa: FBT001 — as every benchmark's
    count, repeated, numbers = (1_000, 1, _LANES[:2]) if quick else (32_000, 3, _LANES)
    rounds = Rounds()
    with _valkey() as (folder, redis_url), contextlib.ExitStack() as stack:
        sides = {n: stack.enter_context(_ours(folder, redis_url, f"lanes-{n}", lanes=n)) for n in numbers}
        for own in sides.values():
            _offer(own, count // 4)
        for _ in range(repeated):
            for lanes, own in sides.items():
                with contextlib.ExitStack() as still:
                    for other in sides.values():
                        if other is not own:
                            still.enter_context(frozen(other.worker))
                    _backlog(own, lanes, count, rounds)
    rows = [rounds.row(f"CPU/capture: {n} lanes", "µs", over=f"CPU/capture: {_LANES[0]} lanes") for n in numbers]
    rows += [rounds.row(f"backlog: {n} lanes", "/s", over=f"backlog: {_LANES[0]} lanes") for n in numbers]
    note = f"{repeated} rounds in turn of {count:,} captures of {_LANE_USERS:,} users; {PROCESSES} processes; SQLite."
    return Result(rows=rows, notes=(note,))


def _backlog(own: Ours, lanes: int, count: int, rounds: Rounds) -> None:
    before, found = own.done(), own.differing()
    with frozen(own.worker), own.calling() as make:
        make(range(count), _LANE_USERS)
    released, used = time.perf_counter(), cpu_s(own.worker) or 0.0
    ended = wait_for(own.done, before + count)
    rounds.add(f"CPU/capture: {lanes} lanes", ((cpu_s(own.worker) or used) - used) / count * 1_000_000)
    rounds.add(f"backlog: {lanes} lanes", count / (ended - released))
    _check(own, count, found)


def _offer(own: Ours, count: int) -> None:
    with own.calling() as make:
        make(range(count), _LANE_USERS)
    wait_for(own.done, count)


# --- both


@contextlib.contextmanager
def _valkey() -> Iterator[tuple[Path, str]]:
    with tempfile.TemporaryDirectory(prefix="gnomon-bench-") as folder, embedded_valkey(Path(folder) / "valkey") as url:
        yield Path(folder), url


@contextlib.contextmanager
def _ours(folder: Path, redis_url: str, name: str, *, lanes: int = LANES) -> Iterator[Ours]:
    setting = Setting(name=name, namespace=f"bench-{name}", broker_db=1, database=files_in(folder))
    with ours(folder, redis_url, setting, lanes=lanes) as own:
        yield own


def _check(own: Ours, count: int, before: int = 0) -> None:
    """Speed is worth nothing where the verdicts are wrong."""
    found, expected = own.differing() - before, sum(map(differs, range(count)))
    if found != expected:
        raise BenchError(f"{found} captures found to differ, {expected} do")


CAPTURES_BENCHMARK: Final = Benchmark(
    name="scaling-captures",
    title="cost and memory, from ten thousand captures to a million",
    run=_captures,
    long=True,
)
LANES_BENCHMARK: Final = Benchmark(name="scaling-lanes", title="cost in 16, 64 and 256 lanes", run=_lanes, long=True)
