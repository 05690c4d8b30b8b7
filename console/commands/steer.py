"""`gnomon approve`, `promote`, `pause` and `resume`: what a person decides of a rollout, by name and for a reason."""

from typing import Annotated, Any

import typer

from console.ending import exiting
from console.errors import EXIT_FINDINGS, EXIT_OK
from console.options import Json, Live, Place, RunName, place
from console.output import note, print_json
from console.rollouts import LONGEST_WHY, By, Why, deployment_of, reason, said, words
from rollout.promoting import NotEligibleError, RefusedError
from rollout.promoting import approve as approve_it
from rollout.promoting import promote as promote_it
from rollout.promoting import resume as resume_it

NoWhy = Annotated[str, typer.Option("--why", metavar="TEXT", help="Why, if there is more to say; kept for good.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for name, command in (("approve", approve), ("promote", promote), ("pause", pause), ("resume", resume)):
        app.command(name)(exiting(command))


def approve(*, by: By, why: NoWhy = "", run: RunName = None, live: Live = False, json: Json = False) -> int:
    """Approve the evidence of the open epoch, as it is now, for the next stage.

    Refused unless the gate says eligible, and while groups of divergences that are new, back or critical in this epoch
    wait for a decision (gnomon group). Holds for 60 minutes, as long as groups, rules and policy stay as they are. Exit
    code 1 where it is refused.

    Example: gnomon approve --by ann --why "went through the report with Tom"
    """
    name = said(by)
    found = place(run, live=live)
    with deployment_of(found) as deployment:
        try:
            made = approve_it(deployment, by=name, why=words(why, "--why", "a reason", LONGEST_WHY, optional=True))
        except RefusedError as refusal:
            return _refused(refusal, found, json=json)
    if json:
        document = {"epoch": made.epoch, "to": made.to, "evidence": made.evidence, "by": made.by}
        print_json({"approved": True, **document, "valid_s": made.valid_s})
    else:
        minutes = made.valid_s / 60
        note(f"Approved by {made.by}: {found.name} may go on to {made.to} % from epoch {made.epoch}.")
        note(f"That holds for {minutes:.0f} minutes. Evidence {made.evidence}")
    return EXIT_OK


def promote(*, by: By, why: NoWhy = "", run: RunName = None, live: Live = False, json: Json = False) -> int:
    """Let enhanced answer the next stage's share of the users, on an approval that holds.

    Opens the stage's epoch, then raises the share in the flags: in force in every live process within 2 s. Flags of
    the operations that were never set are switched on; one that is off stays off. Exit code 1 where it is refused, 2
    where it is not known to be in force: then the gate holds, and promoting again completes it.

    Example: gnomon promote --by ann
    """
    name = said(by)
    found = place(run, live=live)
    with deployment_of(found) as deployment:
        try:
            made = promote_it(deployment, by=name, why=words(why, "--why", "a reason", LONGEST_WHY, optional=True))
        except RefusedError as refusal:
            return _refused(refusal, found, json=json)
    if json:
        print_json(
            {
                "promoted": True,
                "epoch": made.epoch,
                "was": made.was,
                "share": made.share,
                "version": made.stored.version,
                "flags": made.stored.flags,
                "off": made.off,
                "completed": made.completed,
            }
        )
    else:
        note(f"Promoted by {name}: enhanced answers {made.share} % of the users of {found.name}, epoch {made.epoch}.")
        for flag in made.off:
            note(f"{flag} is off and stays off: what it is of is answered by legacy, whatever the share.")
    return EXIT_OK


def pause(*, by: By, why: Why, run: RunName = None, live: Live = False, json: Json = False) -> int:
    """Let the rollout rest: the gate holds, and the time does not count. Who is served by what stays as it is.

    Example: gnomon pause --by ann --why "the database moves tonight"
    """
    name, because = said(by), reason(why)
    found = place(run, live=live)
    with deployment_of(found) as deployment:
        deployment.ledger.rollout.pause(by=name, why=because)
    return _done({"paused": True, "by": name, "why": because}, f"Paused by {name}: {found.name}.", json=json)


def resume(
    *,
    by: By,
    why: Why,
    build: Annotated[
        str | None, typer.Option("--build", metavar="NAME", help="Begin again at stage 0 with this build of enhanced.")
    ] = None,
    run: RunName = None,
    live: Live = False,
    json: Json = False,
) -> int:
    """Let a paused rollout go on; after a rollback, or with another build, begin again at stage 0.

    After harm was proven of a build only another can be begun with. Flags that the rollback has switched off are
    switched on again; the share is 0. Exit code 1 where it is refused.

    Example: gnomon resume --build 2026-12-01 --by ann --why "the sort order is mended"
    """
    name, because = said(by), reason(why)
    found = place(run, live=live)
    with deployment_of(found) as deployment:
        try:
            opened = resume_it(deployment, by=name, why=because, build=build)
        except RefusedError as refusal:
            return _refused(refusal, found, json=json)
    told = "It goes on." if opened is None else f"It begins again at stage 0, epoch {opened}."
    document = {"resumed": True, "epoch": opened, "by": name, "why": because}
    return _done(document, f"Resumed by {name}: {found.name}. {told}", json=json)


def _done(document: dict[str, Any], told: str, *, json: bool) -> int:
    if json:
        print_json(document)
    else:
        note(told)
    return EXIT_OK


def _refused(refusal: RefusedError, found: Place, *, json: bool) -> int:
    if json:
        print_json({"refused": str(refusal)})
        return EXIT_FINDINGS
    note(f"Refused for {found.name}, and nothing was changed: {refusal}")
    if isinstance(refusal, NotEligibleError):
        for reason in refusal.decision.reasons[1:]:
            note(f"  {reason.why}")
        note("gnomon gate shows every criterion.")
    return EXIT_FINDINGS
