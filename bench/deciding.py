"""How long the gate takes to decide over a hundred million comparisons: evidence gathered from tallies, then judged.

The ledger is filled as two days of such traffic would leave it: tallies by operation and cluster, a row a minute and
operation, a row a user, pairs and their histogram. How much was compared is in the counts alone, and costs nothing.
"""

import contextlib
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Engine, insert, update

from bench.contenders import files_in
from bench.measuring import BenchError, Benchmark, Result, Rounds
from bench.postgres import embedded_postgres
from gnomon import Kind
from gnomon.hashing import BUCKETS
from ledger import Ledger
from ledger.engine import open_engine
from ledger.models import EpochRow, FunnelRow, LaneRow, LatencyRow, MinuteRow, PairRow, TallyRow, UserRow
from rollout import Policy, State, decide
from rollout.gathering import gather

COMPARISONS: Final = 100_000_000
KINDS: Final = {
    "memory.recent": Kind.READ,
    "memory.conversation": Kind.READ,
    "memory.save": Kind.WRITE,
    "chat.send": Kind.GENERATE,
}
CLUSTERS: Final = 256
HOURS: Final = 48
USERS: Final = 100_000
LANES: Final = 64
_EPOCH: Final = 1
_PAIRS: Final = 400  # of an operation and cluster
_BINS: Final = range(-60, 0)

Rows = list[dict[str, Any]]


def _run(quick: bool) -> Result:  # noqa: FBT001 — as every benchmark's
    rounds, repeated = Rounds(), 5 if quick else 50
    for name, url in _databases():
        ledger = _filled(url)
        for _ in range(repeated):
            started = time.perf_counter()
            with ledger.reading() as reading:
                evidence = gather(reading, KINDS)
            gathered = time.perf_counter()
            decision = decide(evidence, Policy())
            ended = time.perf_counter()
            _check(sum(row.outcomes.total for row in evidence.operations), decision.state)
            rounds.add(f"{name}: gathered and decided", (ended - started) * 1_000)
            rounds.add(f"{name}: decided", (ended - gathered) * 1_000)
        ledger.close()
    rows = [rounds.row(f"{name}: {what}", "ms") for name in _NAMES for what in ("gathered and decided", "decided")]
    traffic = f"{COMPARISONS:,} comparisons of {len(KINDS)} operations and {USERS:,} users in {HOURS} h"
    return Result(rows=rows, notes=(f"{traffic}; {repeated} times each.",))


_NAMES: Final = ("SQLite", "PostgreSQL")


def _databases() -> Iterator[tuple[str, str]]:
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gnomon-bench-")))
        places: tuple[Callable[[str], str], ...] = (files_in(folder), stack.enter_context(embedded_postgres()))
        for name, place in zip(_NAMES, places, strict=True):
            yield name, place("gate")


def _filled(url: str) -> Ledger:
    ledger = Ledger(url)
    ledger.migrate()
    engine = open_engine(url)
    _fill(engine)
    if engine.dialect.name == "postgresql":  # whose autovacuum has long been there after two days
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM ANALYZE")
    engine.dispose()
    return ledger


def _fill(engine: Engine) -> None:
    dice, now = random.Random(COMPARISONS), datetime.now(UTC)
    a_cluster = COMPARISONS // len(KINDS) // CLUSTERS
    tallies, pairs = [], []
    for operation in KINDS:
        for cluster in range(CLUSTERS):
            key = {"operation": operation, "epoch": _EPOCH, "exposure": "shadow", "cluster": cluster}
            failed, diverged = dice.randrange(a_cluster // 200), dice.randrange(a_cluster // 1_000)
            counts = {"match": a_cluster - failed - diverged, "failed": failed, "failed_error": failed}
            tallies.append({**key, **counts, "diverged": diverged})
            pairs.append({**key, "wins": _PAIRS - 100, "losses": 100, "compared": _PAIRS})
    of_operation = a_cluster * CLUSTERS
    with engine.begin() as connection:
        opened = now - timedelta(hours=HOURS + 1)
        connection.execute(update(EpochRow).values(opened_at=opened))
        connection.execute(insert(TallyRow), tallies)
        connection.execute(insert(PairRow), pairs)
        connection.execute(insert(LatencyRow), [row for operation in KINDS for row in _bins(operation)])
        connection.execute(insert(LaneRow), [{"lane": lane, "done": COMPARISONS // LANES} for lane in range(LANES)])
        connection.execute(insert(FunnelRow), [row for operation in KINDS for row in _funnel(operation, of_operation)])
        connection.execute(
            insert(MinuteRow), [row for operation in KINDS for row in _minutes(operation, of_operation, now)]
        )
        connection.execute(
            insert(UserRow),
            [
                {"epoch": _EPOCH, "user_digest": f"{number:016x}", "bucket": dice.randrange(BUCKETS)}
                for number in range(USERS)
            ],
        )


def _bins(operation: str) -> Rows:
    key = {"operation": operation, "epoch": _EPOCH, "exposure": "shadow", "measure": "ratio"}
    return [{**key, "bin": place, "count": _PAIRS * CLUSTERS // len(_BINS)} for place in _BINS]


def _funnel(operation: str, captured: int) -> Rows:
    shares = [captured // LANES + (lane < captured % LANES) for lane in range(LANES)]
    keys = [{"lane": lane, "operation": operation, "epoch": _EPOCH} for lane in range(LANES)]
    counted = zip(keys, shares, strict=True)
    return [{**key, "eligible": share, "captured": share, "done": share} for key, share in counted]


def _minutes(operation: str, captured: int, now: datetime) -> Rows:
    last = int(now.timestamp()) // 60
    key = {"operation": operation, "epoch": _EPOCH, "exposure": "shadow"}
    return [{**key, "minute": last - ago, "match": captured // (HOURS * 60)} for ago in range(HOURS * 60)]


def _check(seen: int, state: State) -> None:
    """Speed is worth nothing where the evidence was not read, or the decision is another."""
    if seen != COMPARISONS // len(KINDS) // CLUSTERS * CLUSTERS * len(KINDS) or state is not State.ELIGIBLE:
        raise BenchError(f"{seen:,} comparisons were found, and the gate says {state}")


BENCHMARK: Final = Benchmark(name="decision", title="the gate over a hundred million comparisons", run=_run)
