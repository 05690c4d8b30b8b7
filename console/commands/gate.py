"""`gnomon gate`: may the rollout advance? The exit code says it for scripts."""

from typing import Annotated, Final

import typer

from console.ending import exiting
from console.errors import EXIT_FINDINGS, EXIT_OK
from console.options import Json, Live, RunName, place
from console.output import out, plain, print_json
from console.render import show_gate
from console.rollouts import deployment_of
from rollout import State
from rollout.looking import Look, look

MOST: Final = 100_000  # looks that are listed at once
_LOOKED: Final = ("at", "epoch", "share", "state", "digest", "summary")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("gate")(exiting(gate))


def gate(
    *,
    history: Annotated[
        int | None,
        typer.Option("--history", metavar="N", min=1, max=MOST, help="Instead: what the last N looks came to."),
    ] = None,
    run: RunName = None,
    live: Live = False,
    json: Json = False,
) -> int:
    """Judge the evidence of the open epoch: exit code 0 only when eligible, 1 otherwise, 2 on an error.

    Example: gnomon gate && echo promote
    """
    if history is not None:
        return _history(history, run, live=live, json=json)
    with deployment_of(place(run, live=live)) as deployment:
        seen = look(deployment)
    if json:
        print_json({**seen.decision.as_json(), "digest": seen.evidence.digest()})
    else:
        show_gate(seen.decision, out, everything=True)
        _show_review(seen)
    return EXIT_OK if seen.decision.state is State.ELIGIBLE else EXIT_FINDINGS


def _history(limit: int, run: str | None, *, live: bool, json: bool) -> int:
    """List what the gate at work has seen, minute by minute, the latest first."""
    with deployment_of(place(run, live=live)) as deployment, deployment.ledger.reading() as reading:
        found = reading.rollout.history(limit)
    if json:
        print_json([{name: getattr(one, name) for name in _LOOKED} for one in found])
        return EXIT_OK
    if not found:
        out.print("The gate at work has not looked yet: gnomon worker --beat has it look every minute.")
    for one in found:
        assert one.at is not None
        told = f"{one.at:%Y-%m-%d %H:%M:%S}  epoch {one.epoch}, {one.share} %  {plain(one.summary)}"
        out.print(told, soft_wrap=True, markup=False)
    return EXIT_OK


def _show_review(seen: Look) -> None:
    """Say what people have still to decide before anybody can approve."""
    for group, why in seen.undecided:
        out.print(f"group {group.id} ({plain(group.kind)} at {plain(group.path)}): {plain(why)}", markup=False)
    if seen.undecided:
        out.print("Nobody can approve before these are decided: gnomon group ID accept|bug|noise\n", markup=False)
