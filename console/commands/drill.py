"""`gnomon drill TRAFFIC`: known faults planted into copies of real pairs, and how many of them are found."""

import os
import random
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.table import Table

from console.commands.run import operations, tell_bad_lines
from console.drilling import Drilled, Pairs, Tried, drill
from console.driving import Driven
from console.ending import exiting
from console.errors import EXIT_FINDINGS, EXIT_OK, UsageError
from console.facts import counted
from console.options import Json
from console.output import cell, note, out, plain, print_json
from console.sources import open_source
from worker.registry import load_operations

SHOWN: Final = 10  # of those that went wrong, a mutation; --json has them all
_WIDEST: Final = 160


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("drill")(exiting(drill_traffic))


def drill_traffic(
    traffic: Annotated[Path, typer.Argument(metavar="TRAFFIC", help="A file, gzip'd or not, or - for standard input.")],
    *,
    seed: Annotated[
        int, typer.Option("--seed", metavar="N", help="Of all chance in it: the same seed, the same drill.")
    ] = 1,
    most: Annotated[
        int, typer.Option("--most", min=1, metavar="N", help="Pairs of each operation, by chance.")
    ] = 1_000,
    replies: Annotated[
        str, typer.Option("--replies", metavar="KEY", help="A key of the lines that has a reply: both sides of a chat.")
    ] = "",
    json: Json = False,
) -> int:
    """Plant known faults into copies of real pairs, and tell how many the comparators find and what alarms falsely.

    Each call of TRAFFIC is made on both systems in this process, with stores of their own where they are the ones that
    come with Gnomon; a recorded outcome stands for legacy. There is no Redis in it, no ledger, and nothing counts for a
    gate. Exits 1 where lines could not be read.

    Example: gnomon drill traffic.jsonl --seed 7
    """
    source = open_source(traffic)
    bad = Driven()
    with _stores_of_its_own():
        bindings = load_operations(name.strip() for name in operations().split(","))
        pairs = Pairs(bindings, most=most, chance=random.Random(seed), replies=replies)
        note(f"Making pairs of {source.name} …")
        for line in pairs.take(source):
            bad.take_bad(line)
    if not pairs.calls:
        tell_bad_lines(bad)
        raise UsageError(f"{source.name}: no line of it is a call")
    drilled = drill(pairs, seed)
    if json:
        print_json(drilled.as_json())
    else:
        _show(drilled)
    tell_bad_lines(bad)
    return EXIT_FINDINGS if bad.bad else EXIT_OK


@contextmanager
def _stores_of_its_own() -> Iterator[None]:
    """See that what a drill saves is kept in files that are gone afterwards, and that nothing is sent."""
    before = dict(os.environ)
    with tempfile.TemporaryDirectory(prefix="gnomon-drill-", ignore_cleanup_errors=True) as folder:
        for side in ("LEGACY", "ENHANCED"):
            os.environ[f"GNOMON_MEMORY_{side}_URL"] = f"sqlite:///{folder}/{side.lower()}.sqlite3"
        os.environ.pop("GNOMON_REDIS_URL", None)
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(before)


def _show(drilled: Drilled) -> None:
    out.print(_pairs_line(drilled))
    harm = [each for each in drilled.tried if each.mutation.harmful]
    same = [each for each in drilled.tried if not each.mutation.harmful]
    out.print(_table("planted fault", "found", harm), _table("the same in another form", "alarms", same))
    for each in drilled.tried:
        _show_wrong(each)
    for name, share in (
        ("structural faults found", drilled.rate(harmful=True, chat=False)),
        ("faults in replies found", drilled.rate(harmful=True, chat=True)),
        ("false alarms", drilled.rate(harmful=False)),
    ):
        out.print(f"{name}: {_percent(share)}")


def _pairs_line(drilled: Drilled) -> str:
    kept = ", ".join(f"{count:,} of {plain(name)}" for name, count in drilled.pairs.items())
    differing = sum(drilled.differing.values())
    return f"{counted(drilled.calls, 'call')}; pairs: {kept}; {differing:,} differ as they are and were left out"


def _table(head: str, column: str, tried: Iterable[Tried]) -> Table:
    table = Table(head, "planted", column, "share")
    for each in tried:
        table.add_row(cell(each.mutation.name), f"{each.planted:,}", f"{each.alarmed:,}", _percent(each.share))
    return table


def _show_wrong(tried: Tried) -> None:
    if not tried.wrong:
        return
    what = "missed" if tried.mutation.harmful else "false alarms"
    out.print(f"{tried.mutation.name}: {len(tried.wrong):,} {what}")
    for pair in tried.wrong[:SHOWN]:
        for side in ("legacy", "planted"):
            out.print(f"  {side:<8} {plain(str(pair[side]))[:_WIDEST]}", markup=False, soft_wrap=True)
    if len(tried.wrong) > SHOWN:
        out.print(f"  … and {len(tried.wrong) - SHOWN:,} more, with --json")


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.2f} %"
