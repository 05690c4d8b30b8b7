"""`gnomon gate`: may the rollout advance? The exit code says it for scripts."""

import typer

from console.ending import exiting
from console.errors import EXIT_FINDINGS, EXIT_OK
from console.options import Json, Live, RunName, place
from console.output import out, plain, print_json
from console.render import show_gate
from console.rollouts import deployment_of
from rollout import State
from rollout.looking import Look, look


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("gate")(exiting(gate))


def gate(*, run: RunName = None, live: Live = False, json: Json = False) -> int:
    """Judge the evidence of the open epoch: exit code 0 only when eligible, 1 otherwise, 2 on an error.

    Example: gnomon gate && echo promote
    """
    with deployment_of(place(run, live=live)) as deployment:
        seen = look(deployment)
    if json:
        print_json({**seen.decision.as_json(), "digest": seen.evidence.digest()})
    else:
        show_gate(seen.decision, out, everything=True)
        _show_review(seen)
    return EXIT_OK if seen.decision.state is State.ELIGIBLE else EXIT_FINDINGS


def _show_review(seen: Look) -> None:
    """Say what people have still to decide before anybody can approve."""
    for group, why in seen.undecided:
        out.print(f"group {group.id} ({plain(group.kind)} at {plain(group.path)}): {plain(why)}", markup=False)
    if seen.undecided:
        out.print("Nobody can approve before these are decided: gnomon group ID accept|bug|noise\n", markup=False)
