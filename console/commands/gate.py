"""`gnomon gate`: may the rollout advance? The exit code says it for scripts."""

import typer

from console.ending import exiting
from console.errors import EXIT_FINDINGS, EXIT_OK
from console.options import Json, Live, RunName, place
from console.output import out, print_json
from console.render import show_gate
from rollout import State, decide
from rollout.gathering import gather


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("gate")(exiting(gate))


def gate(*, run: RunName = None, live: Live = False, json: Json = False) -> int:
    """Judge the evidence of the open epoch: exit code 0 only when eligible, 1 otherwise, 2 on an error.

    Example: gnomon gate && echo promote
    """
    found = place(run, live=live)
    policy = found.policy()
    ledger = found.ledger()
    with ledger.reading() as reading:
        evidence = gather(reading, found.kinds(), oldest_pending=found.oldest_pending(), policy=policy)
    decision = decide(evidence, policy)
    ledger.close()
    if json:
        print_json(decision.as_json())
    else:
        show_gate(decision, out, everything=True)
    return EXIT_OK if decision.state is State.ELIGIBLE else EXIT_FINDINGS
