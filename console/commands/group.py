"""`gnomon group`: what a person decides of a group of divergences."""

import contextlib
from typing import Annotated

import typer

from console.ending import exiting
from console.errors import EXIT_OK
from console.options import Json, Live, RunName, place
from console.output import note, print_json
from console.rollouts import By, Why, deployment_of, reason, said
from ledger import ReviewChoice

_TOLD = {
    ReviewChoice.ACCEPT: "accepted: users may see it",
    ReviewChoice.BUG: "a bug: nothing is approved while the open epoch has it",
    ReviewChoice.NOISE: "noise: neither side's fault",
    ReviewChoice.REOPEN: "open again",
}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("group")(exiting(group))


def group(
    group: Annotated[str, typer.Argument(metavar="ID", help="As `gnomon groups` shows it.")],
    decision: Annotated[ReviewChoice, typer.Argument(help="What it is.", show_choices=True)],
    *,
    by: By,
    why: Why,
    run: RunName = None,
    live: Live = False,
    json: Json = False,
) -> int:
    """Decide what a group of divergences is, by name and for a reason.

    accept: known and harmless. bug: enhanced is wrong, and nothing is approved while the open epoch has it. noise:
    neither side's fault; never of a critical one. reopen: to be decided anew. A decision counts nothing differently: a
    rule does that (gnomon rules).

    Example: gnomon group 4f1d2c3b9a80 accept --by ann --why "the score is rounded"
    """
    name, because = said(by), reason(why)
    with contextlib.ExitStack() as stack:
        deployment = stack.enter_context(deployment_of(place(run, live=live)))
        made = deployment.ledger.rollout.review(group, decision, by=name, why=because)
    if json:
        print_json({name: getattr(made, name) for name in ("group", "decision", "by", "why", "epoch")})
    else:
        note(f"Group {made.group} is {_TOLD[made.decision]}, says {made.by}.")
    return EXIT_OK
