"""`gnomon groups`: kinds of difference, with how they develop; of one, a few divergences as a whole."""

import contextlib
from typing import Annotated, Final

import typer

from console.ending import exiting
from console.errors import EXIT_OK, UsageError
from console.groups import Groups, sample_as_json, show_samples
from console.options import Json, Live, RunName, place
from console.output import out, plain, print_json
from ledger import Group, Ledger, Reading

LONGEST: Final = 40  # characters of a group's id


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("groups")(exiting(groups))


def groups(
    group: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="Show this one, with the divergences kept as a whole.")
    ] = None,
    *,
    run: RunName = None,
    live: Live = False,
    json: Json = False,
) -> int:
    """List the groups of divergences, the gravest and largest first: how many, of how many users, and their trend.

    The trend is the share of comparisons in the last hour beside the day before. New ones were first seen in the open
    epoch; ones that are back were seen in it after an epoch without them.

    Example: gnomon groups --json
    """
    with contextlib.closing(place(run, live=live).ledger()) as ledger:
        return _list(ledger, json=json) if group is None else _show(ledger, group, json=json)


def _list(ledger: Ledger, *, json: bool) -> int:
    with ledger.reading() as reading:
        found = _found(reading, reading.groups())
    if json:
        print_json(found.as_json())
    else:
        out.print(found)
    return EXIT_OK


def _show(ledger: Ledger, group: str, *, json: bool) -> int:
    with ledger.reading() as reading:
        found = _found(reading, [one for one in reading.groups() if one.id == group])
        if not found.shown:
            raise UsageError(f"{plain(group[:LONGEST])!r} is not the id of a group")
        samples = reading.samples(group)
    if json:
        [one] = found.as_json()
        print_json({**one, "samples": [sample_as_json(kept) for kept in samples]})
    else:
        out.print(found)
        show_samples(samples, out)
    return EXIT_OK


def _found(reading: Reading, shown: list[Group]) -> Groups:
    return Groups(shown=shown, trends=reading.trends(), epoch=reading.epoch().epoch, now=reading.now())
