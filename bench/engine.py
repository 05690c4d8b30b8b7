"""Comparisons a second: the hand-written baseline and ours, on the same captures, in the same Valkey.

On SQLite; on PostgreSQL; and on SQLite where enhanced waits 5 ms for each answer, as for a network or a store.

The workers of both are up and warm; whoever is not measured is held still. A backlog is offered while its workers are
held still too, and timed from their release to the last commit (the first commit is no beginning: much has been
replayed by then). The second figure is offered to running workers, so that the live path shares the cores with them,
and timed from the first call to the last commit.
"""

import contextlib
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import redis

from bench.contenders import Contender, Setting, files_in, hand_written, ours
from bench.footprint import held_bytes, json_bytes, sparse_bytes
from bench.measuring import BenchError, Benchmark, Result, Rounds, Row
from bench.memories import differs
from bench.postgres import embedded_postgres
from bench.workers import PROCESSES, cpu_s, frozen, wait_for
from console.processes import embedded_valkey
from gnomon.connecting import connect

_THEIRS, _OURS = "hand-written", "ours"
_BACKLOG, _LIVE, _CPU, _REDIS = "backlog", "live", "CPU/capture", "Redis/capture"
_JSON: Final = "JSON of a capture"
_SPARSE: Final = "Redis/capture: ours, sparse"
_IO_S: Final = 0.005


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How many rounds there are, and how many captures of each kind."""

    rounds: int
    hand_written: int
    ours: int
    warm_up: int


FULL: Final = Size(rounds=3, hand_written=240, ours=16_000, warm_up=4_000)
QUICK: Final = Size(rounds=1, hand_written=30, ours=1_000, warm_up=300)


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """A contender and how many captures it gets a round: each enough for a few seconds."""

    name: str
    setting: Setting
    contender: Contender
    count: int
    warm_up: int

    def named(self, what: str) -> str:
        """Name one of its rows."""
        return f"{what}: {self.setting.named(self.name)}"


def _run(quick: bool) -> Result:  # noqa: FBT001 — as every benchmark's
    size, rounds = QUICK if quick else FULL, Rounds()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gnomon-bench-")))
        redis_url = stack.enter_context(embedded_valkey(folder / "valkey"))
        server = stack.enter_context(contextlib.closing(connect(redis_url)))
        rows = [row for setting in _settings(stack, folder) for row in _compare(setting, folder, redis_url, size)]
        rounds.add(_SPARSE, sparse_bytes(server, redis_url))
    json = next(row for row in rows if row.name == _JSON)
    sparse = rounds.row(_SPARSE, "B")
    rows.append(replace(sparse, times=sparse.median / json.median, of="its JSON"))
    return Result(rows=rows, notes=_notes(size))


def _settings(stack: contextlib.ExitStack, folder: Path) -> Iterator[Setting]:
    sqlite = files_in(folder)
    yield Setting(name="", namespace="bench", broker_db=1, database=sqlite)
    postgres = stack.enter_context(embedded_postgres())
    yield Setting(name="Postgres", namespace="bench-pg", broker_db=2, database=postgres)
    yield Setting(name="5 ms I/O", namespace="bench-io", broker_db=3, database=sqlite, io_s=_IO_S)


def _compare(setting: Setting, folder: Path, redis_url: str, size: Size) -> list[Row]:
    """Let both sides take turns in one setting."""
    rounds = Rounds()
    with contextlib.closing(connect(redis_url)) as server, _up(setting, folder, redis_url, size) as (theirs, own):
        for side in (own, theirs):
            _offered_live(side.contender, side.warm_up)
        for _ in range(size.rounds):
            with frozen(own.contender.worker):
                _round(theirs, server, rounds)
            with frozen(theirs.contender.worker):
                _round(own, server, rounds)
    return list(_rows(rounds, theirs, own))


@contextlib.contextmanager
def _up(setting: Setting, folder: Path, redis_url: str, size: Size) -> Iterator[tuple[Side, Side]]:
    with hand_written(folder, redis_url, setting) as theirs, ours(folder, redis_url, setting) as own:
        by_hand = size.hand_written
        yield (
            Side(name=_THEIRS, setting=setting, contender=theirs, count=by_hand, warm_up=by_hand // 4),
            Side(name=_OURS, setting=setting, contender=own, count=size.ours, warm_up=size.warm_up),
        )


def _round(side: Side, server: "redis.Redis", rounds: Rounds) -> None:
    differing = side.contender.differing()
    _backlog(side, server, rounds)
    rounds.add(side.named(_LIVE), _offered_live(side.contender, side.count))
    _check(side, side.contender.differing() - differing, 2 * sum(map(differs, range(side.count))))


def _check(side: Side, found: int, expected: int) -> None:
    """Speed is worth nothing where the verdicts are wrong."""
    if found != expected:
        raise BenchError(f"{side.name}: {found} captures found to differ, {expected} do")


def _backlog(side: Side, server: "redis.Redis", rounds: Rounds) -> None:
    worker, before = side.contender.worker, side.contender.done()
    with frozen(worker):
        _offer_measured(side, server, rounds)
    released, used = time.perf_counter(), cpu_s(worker)
    ended = wait_for(side.contender.done, before + side.count)
    rounds.add(side.named(_BACKLOG), side.count / (ended - released))
    if used is not None:
        rounds.add(side.named(_CPU), ((cpu_s(worker) or used) - used) / side.count * 1_000_000)


def _offer_measured(side: Side, server: "redis.Redis", rounds: Rounds) -> None:
    """Offer a backlog and see what it takes in Redis."""
    empty = held_bytes(server)
    side.contender.offer(side.count)
    rounds.add(side.named(_REDIS), (held_bytes(server) - empty) / side.count)
    if side.name == _OURS:
        rounds.add(_JSON, json_bytes(server, side.setting.namespace))


def _offered_live(contender: Contender, count: int) -> float:
    before, started = contender.done(), time.perf_counter()
    contender.offer(count)
    return count / (wait_for(contender.done, before + count) - started)


def _rows(rounds: Rounds, theirs: Side, own: Side) -> Iterator[Row]:
    for what in (_BACKLOG, _LIVE):
        yield rounds.row(theirs.named(what), "/s")
        yield rounds.row(own.named(what), "/s", over=theirs.named(what), of=theirs.name)
    if own.named(_CPU) in rounds:
        yield rounds.row(own.named(_CPU), "µs")
        yield rounds.row(theirs.named(_CPU), "µs", over=own.named(_CPU), of=own.name)
    if not own.setting.name:  # what lies in Redis does not depend on the rest
        yield rounds.row(_JSON, "B")
        for side in (theirs, own):
            yield rounds.row(side.named(_REDIS), "B", over=_JSON, of="its JSON")


def _notes(size: Size) -> tuple[str, ...]:
    return (
        f"{size.rounds} rounds in turn of {size.hand_written} captures hand-written and {size.ours:,} ours, both ways.",
        f"A tenth of the captures differ; {PROCESSES} worker processes each; SQLite where nothing else is said.",
        "backlog: workers are let go on a full queue; live: they run from the first call on; both to the last commit.",
    )


BENCHMARK: Final = Benchmark(name="engine", title="comparisons a second, beside the hand-written baseline", run=_run)
