"""Comparisons a second: the hand-written baseline and ours, on the same captures, in the same Valkey and on SQLite.

The workers of both are up and warm; whoever is not measured is held still. A backlog is offered while its workers are
held still too, and timed from the first commit to the last. The second figure is offered to running workers, so that
the live path shares the cores with them, and timed from the first call to the last commit.
"""

import contextlib
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import redis

from bench.contenders import LANES, NAMESPACE, Contender, hand_written, ours
from bench.footprint import held_bytes, json_bytes, sparse_bytes
from bench.measuring import BenchError, Benchmark, Result, Rounds
from bench.memories import differs
from bench.workers import PROCESSES, frozen, watch
from console.processes import embedded_valkey
from gnomon.publisher import connect

_JSON: Final = "JSON of a capture"
_SPARSE: Final = "Redis: ours, alone in its entry"


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How many rounds there are, and how many captures of each kind."""

    rounds: int
    hand_written: int
    ours: int
    warm_up: int


FULL: Final = Size(rounds=3, hand_written=240, ours=8_000, warm_up=3_000)
QUICK: Final = Size(rounds=1, hand_written=40, ours=1_500, warm_up=500)


@dataclass(frozen=True, slots=True)
class Side:
    """A contender and how many captures it gets a round: each enough for a few seconds."""

    name: str
    contender: Contender
    count: int

    def named(self, what: str) -> str:
        """Name one of its rows."""
        return f"{what}: {self.name}"


def _run(quick: bool) -> Result:  # noqa: FBT001 — as every benchmark's
    size, rounds = QUICK if quick else FULL, Rounds()
    with _up(size) as (redis_url, theirs, own), contextlib.closing(connect(redis_url)) as server:
        _offered_live(own.contender, size.warm_up)
        _offered_live(theirs.contender, size.hand_written // 4)
        for _ in range(size.rounds):
            with frozen(own.contender.worker):
                _round(theirs, server, rounds)
            with frozen(theirs.contender.worker):
                _round(own, server, rounds)
        rounds.add(_SPARSE, sparse_bytes(server, redis_url))
    return _result(size, rounds, theirs, own)


@contextlib.contextmanager
def _up(size: Size) -> Iterator[tuple[str, Side, Side]]:
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gnomon-bench-")))
        redis_url = stack.enter_context(embedded_valkey(folder / "valkey"))
        theirs = stack.enter_context(hand_written(folder, redis_url))
        own = stack.enter_context(ours(folder, redis_url))
        yield redis_url, Side("hand-written", theirs, size.hand_written), Side("ours", own, size.ours)


def _round(side: Side, server: "redis.Redis", rounds: Rounds) -> None:
    differing = side.contender.differing()
    rounds.add(side.named("backlog"), _backlog(side, server, rounds))
    rounds.add(side.named("live"), _offered_live(side.contender, side.count))
    _check(side, side.contender.differing() - differing, 2 * sum(map(differs, range(side.count))))


def _check(side: Side, found: int, expected: int) -> None:
    """Speed is worth nothing where the verdicts are wrong."""
    if found != expected:
        raise BenchError(f"{side.name}: {found} captures found to differ, {expected} do")


def _backlog(side: Side, server: "redis.Redis", rounds: Rounds) -> float:
    before = side.contender.done()
    with frozen(side.contender.worker):
        empty = held_bytes(server)
        side.contender.offer(side.count)
        rounds.add(side.named("Redis"), (held_bytes(server) - empty) / side.count)
        if side.name == "ours":
            rounds.add(_JSON, json_bytes(server, NAMESPACE, range(LANES)))
    released = time.perf_counter()
    return watch(lambda: side.contender.done() - before, side.count).per_second(side.count, released)


def _offered_live(contender: Contender, count: int) -> float:
    before, started = contender.done(), time.perf_counter()
    contender.offer(count)
    watched = watch(lambda: contender.done() - before, count)
    return count / (watched.last_at - started)


def _result(size: Size, rounds: Rounds, theirs: Side, own: Side) -> Result:
    rows = []
    for what in ("backlog", "live"):
        rows.append(rounds.row(theirs.named(what), "/s"))
        rows.append(rounds.row(own.named(what), "/s", over=theirs.named(what), of=theirs.name))
    rows.append(rounds.row(_JSON, "B"))
    for name in (theirs.named("Redis"), own.named("Redis"), _SPARSE):
        rows.append(rounds.row(name, "B", over=_JSON, of="its JSON"))
    return Result(
        rows=rows,
        notes=(
            f"{size.rounds} rounds in turn, {size.hand_written} captures hand-written and {size.ours:,} ours in each of "
            f"both ways; {PROCESSES} worker processes each; a tenth of the captures differ; SQLite.",
        ),
    )


BENCHMARK: Final = Benchmark(name="engine", title="comparisons a second, beside the hand-written baseline", run=_run)
