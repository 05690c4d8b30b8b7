"""`gnomon report` and `gnomon groups`: what was found, from the ledger alone."""

import typer

from console.ending import exiting
from console.options import Json, Live, RunName, place
from console.output import out, print_json
from console.render import show, show_groups
from console.report import build, group_as_json


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("report")(exiting(report))
    app.command("groups")(exiting(groups))


def report(*, run: RunName = None, live: Live = False, json: Json = False) -> int:
    """Report what was captured, what became of it, what differs, and what the gate says.

    Example: gnomon report --json
    """
    found = place(run, live=live)
    ledger = found.ledger()
    made = build(ledger, found.kinds(), oldest_pending=found.oldest_pending())
    ledger.close()
    if json:
        print_json(made.as_json())
    else:
        show(made, out)
    return 0


def groups(*, run: RunName = None, live: Live = False, json: Json = False) -> int:
    """List the groups of divergences, the gravest and largest first.

    Example: gnomon groups --json
    """
    found = place(run, live=live)
    ledger = found.ledger()
    with ledger.reading() as reading:
        listed = reading.groups()
    ledger.close()
    if json:
        print_json([group_as_json(group) for group in listed])
    else:
        show_groups(listed, out)
    return 0
