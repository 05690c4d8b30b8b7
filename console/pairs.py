"""Pairs in a report: how fast both systems are in one process, and what legacy differs from itself in."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from rich.table import Table

from console.output import cell
from ledger import Measure, PairSums
from ledger.pairs import latency_middle
from rollout.pairing import gain

MOST_FIELDS: Final = 8
_HALF: Final = 0.5
_TAIL: Final = 0.95


def pairs_as_json(found: Mapping[str, PairSums]) -> dict[str, Any]:
    """Return all pairs by operation, as `--json` has them; times in ms, None where there are none."""
    return {name: _as_json(sums) for name, sums in found.items()}


def _as_json(sums: PairSums) -> dict[str, Any]:
    counts = sums.counts
    return {
        "pairs": sums.pairs,
        **{name: counts[name] for name in ("wins", "losses", "ties", "failed")},
        "gain": _rounded(gain(sums.histograms[Measure.RATIO])),
        "legacy_ms": _times(sums, Measure.LEGACY),
        "enhanced_ms": _times(sums, Measure.ENHANCED),
        "wait_ms": _times(sums, Measure.WAIT),
        "unpaired": sums.unpaired,
        "noise": {
            **{name: counts[name] for name in ("repeated", "noisy", "compared", "differing")},
            "fields": [
                {name: getattr(field, name) for name in ("path", "kind", "severity", "repeated", "compared")}
                for field in sums.noise
            ],
        },
    }


def _times(sums: PairSums, measure: Measure) -> dict[str, float | None]:
    bins = sums.histograms[measure]
    return {"p50": quantile_ms(bins, _HALF), "p95": quantile_ms(bins, _TAIL)}


def quantile_ms(bins: Counter[int], share: float) -> float | None:
    """Return the time that `share` of all stay below, to 3 %; None where there are none."""
    below, total = 0, bins.total()
    for place in sorted(bins):
        below += bins[place]
        if below >= share * total:
            return round(latency_middle(place) / 1_000, 3)
    return None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def speed_table(found: Mapping[str, PairSums]) -> Table:
    """Return a line for each operation with pairs: the median gain, and the median and 95th percentile of times."""
    table = _table("operation", ("pairs", "faster", "slower", "gain", "legacy ms", "enhanced ms", "not taken"))
    for name, sums in found.items():
        counts, median = sums.counts, gain(sums.histograms[Measure.RATIO])
        numbers = (f"{number:,}" for number in (sums.pairs, counts["wins"], counts["losses"]))
        sides = (_spelled(_times(sums, side)) for side in (Measure.LEGACY, Measure.ENHANCED))
        gained = "-" if median is None else f"{100 * median:+.1f} %"
        table.add_row(cell(name), *numbers, gained, *sides, f"{sum(sums.unpaired.values()):,}")
    return table


def _spelled(times: Mapping[str, float | None]) -> str:
    return " / ".join("-" if ms is None else f"{ms:.3g}" for ms in times.values())


def noise_table(found: Mapping[str, PairSums]) -> Table:
    """Return the fields in which runs differ, those in which legacy does from itself first."""
    fields = sorted(
        (field for sums in found.values() for field in sums.noise), key=lambda field: (-field.repeated, -field.compared)
    )
    table = _table("operation", ("legacy to itself", "legacy to enhanced"), "kind at path")
    for field in fields[:MOST_FIELDS]:
        of = found[field.operation].counts
        rates = (_rate(field.repeated, of["repeated"]), _rate(field.compared, of["compared"]))
        table.add_row(cell(field.operation), cell(f"{field.kind} at {field.path}"), *rates)
    return table


def _rate(count: int, of: int) -> str:
    return f"{count:,} of {of:,}"


def _table(first: str, right: tuple[str, ...], *more: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column(first, no_wrap=True)
    for name in more:
        table.add_column(name)
    for name in right:
        table.add_column(name, justify="right")
    return table


def pairs_in_words(found: Mapping[str, PairSums]) -> tuple[str, ...]:
    """Return for each operation how many pairs there are, and what they say."""
    return tuple(_in_words(name, sums) for name, sums in found.items())


def _in_words(name: str, sums: PairSums) -> str:
    median = gain(sums.histograms[Measure.RATIO])
    gained = "" if median is None else f", median gain {100 * median:+.1f} %"
    left = sum(sums.unpaired.values())
    return f"{name} {sums.pairs:,}{gained}" + (f", {left:,} not taken" if left else "")
