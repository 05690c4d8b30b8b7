"""From what was measured to what a load takes: worker hosts, Redis, ledgers, rows. `python -m bench.scale`.

Plain arithmetic over a few inputs, each a measured figure or an assumption that can be replaced: by `--set NAME=VALUE`,
or, where they were measured by `python -m bench engine queueing --json`, by `--measured FILE`. The table in
`docs/scale.md` is what it prints without options.
"""

import argparse
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Final

import msgspec

LOADS: Final = (10_000, 100_000, 1_000_000)
_DAY_S: Final = 86_400
_GB: Final = 1e9
_ROWS: Final[Mapping[str, tuple[str, str]]] = {  # input → benchmark and row that it is measured by
    "worker_cpu_us": ("engine", "CPU/capture: ours"),
    "redis_bytes": ("engine", "Redis/capture: ours"),
    "redis_cpu_us": ("queueing", "CPU of Redis for a capture"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """What the arithmetic rests on; of each field its comment is what it means."""

    worker_cpu_us: float = 182.0  #: of a worker for a capture: read, replayed, judged, committed
    live_cpu_us: float = 140.0  #: of the live process for a call that is captured, its daemon thread included
    redis_cpu_us: float = 20.0  #: of Redis for a capture, from append to trim
    redis_bytes: float = 462.0  #: that a queued capture takes
    row_bytes: float = 1_145.0  #: in PostgreSQL for a divergence in two groups, with indexes
    commit_ms: float = 8.0  #: that a commit holds the ledger's tallies, which all lanes share
    commit_us: float = 40.0  #: and for each capture in it
    share_writes: float = 0.2  #: of the calls; they cannot be sampled
    share_reads_sampled: float = 1.0  #: of users whose reads and generate calls are captured
    divergent: float = 0.001  #: of captures, kept as rows
    backlog_minutes: float = 10.0  #: that Redis shall hold while no worker runs
    retention_days: float = 30.0  #: that divergences are kept
    lanes: float = 64.0  #: of a namespace
    lag_s: float = 0.5  #: that a lane gathers before it commits: the watermark, and the round of its worker
    host_cores: float = 16.0  #: of a worker host
    busy: float = 0.6  #: how busy cores may be, so that a backlog is worked off


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What so many live calls a second take."""

    calls_per_s: float
    captured_per_s: float
    live_cores: float
    worker_cores: float
    hosts: int
    redis_servers: int
    redis_gb: float
    captures_per_commit: float
    namespaces: int
    rows_per_day: float
    ledger_gb: float


def needs(calls_per_s: float, given: Inputs) -> Needs:
    """Return what a load takes, with everything spread evenly."""
    captured = calls_per_s * (given.share_writes + (1 - given.share_writes) * given.share_reads_sampled)
    namespaces = _namespaces(captured, given)
    rows = captured * given.divergent * _DAY_S
    cores = captured * given.worker_cpu_us / 1e6 / given.busy
    return Needs(
        calls_per_s=calls_per_s,
        captured_per_s=captured,
        live_cores=captured * given.live_cpu_us / 1e6,
        worker_cores=cores,
        hosts=math.ceil(cores / given.host_cores),
        redis_servers=max(namespaces, math.ceil(captured * given.redis_cpu_us / 1e6 / given.busy)),
        redis_gb=captured * given.backlog_minutes * 60 * given.redis_bytes / _GB,
        captures_per_commit=_gathered(captured / namespaces, given),
        namespaces=namespaces,
        rows_per_day=rows,
        ledger_gb=rows * given.retention_days * given.row_bytes / _GB,
    )


def _gathered(captured_per_s: float, given: Inputs) -> float:
    """Return how many captures a commit holds: a lane's share of what comes while it gathers, 1 to 2,000."""
    return min(2_000.0, max(1.0, captured_per_s / given.lanes * given.lag_s))


def _busy(captured_per_s: float, given: Inputs) -> float:
    """Return how busy a ledger is: commits of all lanes take its tallies one after another."""
    gathered = _gathered(captured_per_s, given)
    return captured_per_s / gathered * (given.commit_ms / 1e3 + gathered * given.commit_us / 1e6)


def _namespaces(captured_per_s: float, given: Inputs) -> int:
    """Return into how many ledgers a load has to be split: the least whose own is not too busy.

    A ledger that is too busy falls behind and gathers more at once; what bounds it are its largest commits.
    """
    largest = replace(given, lag_s=math.inf)
    count = 1
    while _busy(captured_per_s / count, largest) > given.busy:
        count += 1
    return count


_LINES: Final[Mapping[str, str]] = {
    "captured_per_s": "captures/s",
    "live_cores": "cores of live processes for capturing",
    "worker_cores": "worker cores",
    "hosts": "worker hosts",
    "namespaces": "namespaces: each a ledger, and a Redis of its own",
    "redis_servers": "Redis servers, by their one core",
    "redis_gb": "Redis memory of the backlog, GB in all",
    "captures_per_commit": "captures a commit",
    "rows_per_day": "ledger rows a day",
    "ledger_gb": "ledger at the end of retention, GB in all",
}


def table(columns: Sequence[tuple[str, Needs]]) -> Iterator[str]:
    """Yield the lines of a Markdown table, a column for each load."""
    yield "| | " + " | ".join(name for name, _ in columns) + " |"
    yield "|---" * (len(columns) + 1) + "|"
    for field, meaning in _LINES.items():
        yield f"| {meaning} | " + " | ".join(_figure(getattr(found, field)) for _, found in columns) + " |"


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:,.2g}"  # noqa: PLR2004 — two digits


def columns(given: Inputs) -> list[tuple[str, Needs]]:
    """Return the loads of the table: all of each, and the largest with its reads sampled."""
    found = [(f"{load:,} calls/s", needs(load, given)) for load in LOADS]
    sampled = replace(given, share_reads_sampled=given.share_reads_sampled * 0.02)
    rare = replace(sampled, share_writes=0.02)
    return [
        *found,
        ("1,000,000, reads of 2 % of users", needs(LOADS[-1], sampled)),
        ("the same, of which 2 % write", needs(LOADS[-1], rare)),
    ]


def measured(document: Mapping[str, Any], given: Inputs) -> Inputs:
    """Return inputs with what a document of `python -m bench --json` has measured."""
    rows = {(each["name"], row["name"]): row["median"] for each in document["benchmarks"] for row in each["rows"]}
    return replace(given, **{name: rows[place] for name, place in _ROWS.items() if place in rows})


def main(arguments: Sequence[str] | None = None) -> int:
    """Print inputs and table; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.scale", description="What a load takes, from measured costs."
    )
    parser.add_argument(
        "--measured", type=Path, metavar="FILE", help="take what `python -m bench … --json` has printed"
    )
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="replace one input")
    asked = parser.parse_args(arguments)
    try:
        given = _given(asked)
    except (ValueError, OSError, KeyError, TypeError, msgspec.MsgspecError) as error:
        parser.error(str(error))
    print("inputs: " + ", ".join(f"{each.name}={getattr(given, each.name):g}" for each in fields(given)), end="\n\n")
    print("\n".join(table(columns(given))))
    return 0


def _given(asked: argparse.Namespace) -> Inputs:
    given = Inputs()
    if asked.measured:
        given = measured(msgspec.json.decode(asked.measured.read_bytes()), given)
    known = {each.name for each in fields(Inputs)}
    for setting in asked.set:
        name, _, value = setting.partition("=")
        if name not in known:
            raise ValueError(f"no input {name!r}; there are {', '.join(sorted(known))}")
        given = replace(given, **{name: _number(name, value)})
    return given


def _number(name: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number > 0):
        raise ValueError(f"{name} is {text!r}; expected a number above 0")
    return number


if __name__ == "__main__":
    sys.exit(main())
