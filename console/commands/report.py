"""`gnomon report`: what was found, from the ledger alone."""

import typer

from console.ending import exiting
from console.options import Json, Live, RunName, place
from console.output import out, print_json
from console.render import show
from console.report import build


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("report")(exiting(report))


def report(*, run: RunName = None, live: Live = False, json: Json = False) -> int:
    """Report what was captured, what became of it, what differs, and what the gate says.

    Example: gnomon report --json
    """
    found = place(run, live=live)
    policy = found.policy()
    ledger = found.ledger()
    made = build(ledger, found.kinds(), policy, oldest_pending=found.oldest_pending())
    ledger.close()
    if json:
        print_json(made.as_json())
    else:
        show(made, out)
    return 0
