"""Pairs in the ledger: added up in the transaction that commits their lane, and read as sums by operation."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

from sqlalchemy import Connection

from ledger import summing
from ledger.facts import GRAVITY, Finding
from ledger.models import LatencyRow, NoiseRow, PairRow
from ledger.pairs import PAIRED, Field, Measure, PairedRuns, Unpaired, latency_bin
from ledger.texts import graver, storable
from ledger.upsert import Statement, add_up, insert_into

#: what is counted of pairs, by cluster of users
COUNTERS: Final = (
    *("wins", "losses", "ties", "failed", "log_sum", "log_squares", "repeated", "noisy", "compared", "differing"),
    *map(str, Unpaired),
)
_KEY: Final = ("operation", "epoch", "exposure")
_FIELD: Final = ("operation", "kind", "path", "severity")


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """A field in which runs differ: in how many pairs between legacy's two runs, and between legacy and enhanced."""

    operation: str
    kind: str
    path: str
    severity: str
    repeated: int
    compared: int


@dataclass(slots=True)
class PairSums:
    """One operation's pairs over an epoch, or over several: counters, histograms, and what differs."""

    counts: Counter[str] = field(default_factory=Counter)
    clusters: dict[int, tuple[int, int]] = field(default_factory=dict)  #: wins and losses by cluster of users
    histograms: dict[Measure, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    noise: list[Noise] = field(default_factory=list)

    @property
    def pairs(self) -> int:
        """How many there are."""
        return self.counts["wins"] + self.counts["losses"] + self.counts["ties"]

    @property
    def unpaired(self) -> dict[str, int]:
        """Why others are none."""
        return {str(reason): self.counts[reason] for reason in Unpaired}


# --- writing


def write(connection: Connection, pairs: Sequence[PairedRuns]) -> None:
    """Add pairs up; part of a commit, which takes each of them in once."""
    if not pairs:
        return
    add_up(connection, PairRow, _counted(pairs))
    add_up(connection, LatencyRow, _binned(pairs))
    _merge_noise(connection, _fields(pairs))


def _key_of(pair: PairedRuns) -> tuple[str, int, str]:
    return storable(pair.operation, 200), pair.epoch, pair.exposure


def _counted(pairs: Iterable[PairedRuns]) -> list[dict[str, Any]]:
    sums: defaultdict[tuple[tuple[str, int, str], int], Counter[str]] = defaultdict(Counter)
    for pair in pairs:
        sums[_key_of(pair), pair.cluster].update(pair.counts())
    return [
        {**dict(zip(_KEY, key, strict=True)), "cluster": cluster, **{name: counts[name] for name in COUNTERS}}
        for (key, cluster), counts in sums.items()
    ]


def _binned(pairs: Iterable[PairedRuns]) -> list[dict[str, Any]]:
    bins = Counter((_key_of(pair), str(measure), place) for pair in pairs for measure, place in pair.bins().items())
    return [
        {**dict(zip(_KEY, key, strict=True)), "measure": measure, "bin": place, "count": count}
        for (key, measure, place), count in bins.items()
    ]


def write_live(connection: Connection, findings: Iterable[Finding]) -> None:
    """Count how long live writes and generate calls took, by side; part of a commit."""
    bins = Counter(
        (storable(found.operation, 200), found.epoch, found.exposure, str(measure), latency_bin(us))
        for found in findings
        for measure, us in zip((Measure.LIVE_LEGACY, Measure.LIVE_ENHANCED), found.live_us, strict=True)
        if us
    )
    names = (*_KEY, "measure", "bin")
    add_up(connection, LatencyRow, [{**dict(zip(names, key, strict=True)), "count": n} for key, n in bins.items()])


def _fields(pairs: Iterable[PairedRuns]) -> list[dict[str, Any]]:
    rows: dict[tuple[int, str], dict[str, Any]] = {}
    for pair in pairs:
        for name, comparison in (("repeated", pair.repeated), ("compared", pair.compared)):
            for found in comparison.fields if comparison is not None else ():
                row = rows.setdefault((pair.epoch, found.group), _noise_row(pair, found))
                row["severity"] = min(row["severity"], str(found.severity), key=GRAVITY.index)
                row[name] += 1
    return [rows[key] for key in sorted(rows)]


def _noise_row(pair: PairedRuns, found: Field) -> dict[str, Any]:
    return {
        "epoch": pair.epoch,
        "group_id": found.group,
        "operation": storable(pair.operation, 200),
        "kind": found.kind,
        "path": storable(found.path, 500),
        "severity": str(found.severity),
        "repeated": 0,
        "compared": 0,
    }


def _merge_noise(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    if rows:
        connection.execute(_merging_noise(connection.dialect.name), rows)


@cache
def _merging_noise(dialect: str) -> Statement:
    statement = insert_into(dialect, NoiseRow)
    new = statement.excluded
    merged = {
        "repeated": NoiseRow.repeated + new.repeated,
        "compared": NoiseRow.compared + new.compared,
        "severity": graver(NoiseRow.severity, new.severity),
    }
    return statement.on_conflict_do_update(index_elements=["epoch", "group_id"], set_=merged)


# --- reading


def sums(
    connection: Connection,
    epoch: int | None = None,
    measures: Collection[Measure] = PAIRED,
    counters: Sequence[str] = COUNTERS,
) -> dict[str, PairSums]:
    """Return the pairs of every operation that has any, over one epoch or all, whatever the exposure.

    `measures`: of which there are to be histograms; each may have some thousand bins.
    """
    found: defaultdict[str, PairSums] = defaultdict(PairSums)
    _read_counts(connection, epoch, counters, found)
    _read_histograms(connection, epoch, measures, found)
    for row in summing.sums(connection, NoiseRow, _FIELD, ("repeated", "compared"), epoch=epoch):
        operation, kind, path, severity, *counts = tuple(row)
        repeated, compared = map(int, counts)
        noise = Noise(
            operation=operation, kind=kind, path=path, severity=severity, repeated=repeated, compared=compared
        )
        found[operation].noise.append(noise)
    return dict(sorted(found.items()))


def _read_counts(
    connection: Connection, epoch: int | None, counters: Sequence[str], found: Mapping[str, PairSums]
) -> None:
    names = tuple(dict.fromkeys(("wins", "losses", *counters)))
    counted: defaultdict[str, list[Sequence[int]]] = defaultdict(list)
    for row in summing.sums(connection, PairRow, ("operation", "cluster"), names, epoch=epoch):
        operation, cluster, *counts = tuple(row)
        counted[operation].append(counts)
        wins, losses, *_ = counts
        if wins or losses:
            found[operation].clusters[cluster] = (int(wins), int(losses))
    for operation, rows in counted.items():
        found[operation].counts = Counter(
            dict(zip(names, (int(sum(column)) for column in zip(*rows, strict=True)), strict=True))
        )


def _read_histograms(
    connection: Connection, epoch: int | None, measures: Collection[Measure], found: Mapping[str, PairSums]
) -> None:
    wanted = ("measure", [*map(str, measures)])
    keys = ("operation", "measure", "bin")
    rows = summing.sums(connection, LatencyRow, keys, ("count",), epoch=epoch, among=wanted)
    for operation, measure, place, count in map(tuple, rows):
        found[operation].histograms[Measure(measure)][place] += int(count)
