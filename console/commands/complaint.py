"""`gnomon complaint`: users' complaints, from the first word to a decision."""

import contextlib
from collections.abc import Iterator
from typing import Annotated, Any

import typer
from rich.console import RenderableType
from rich.text import Text

from console.ending import exiting
from console.errors import EXIT_OK, UsageError
from console.facts import age
from console.options import Json, Live, RunName, place
from console.output import cell, note, out, plain, print_json
from console.rollouts import By, Why, deployment_of, reason, said
from console.tables import table_of
from gnomon.complaints import check_complaint, keep_complaint
from ledger import ComplaintState, KeptComplaint
from rollout.evaluating import take_complaints
from rollout.looking import Deployment
from rollout.promoting import take_back

Name = Annotated[str, typer.Argument(metavar="ID", help="As `gnomon complaint list` shows it.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    complaint = typer.Typer(help="Users' complaints: add, list, confirm, dismiss.", no_args_is_help=True)
    for name, command in (("add", add), ("list", listed), ("confirm", confirm), ("dismiss", dismiss)):
        complaint.command(name)(exiting(command))
    app.add_typer(complaint, name="complaint")


def add(
    *,
    user: Annotated[str, typer.Option("--user", metavar="ID", help="Who complains.")],
    text: Annotated[str, typer.Option("--text", metavar="TEXT", help="Of what; kept masked.")],
    conversation: Annotated[str, typer.Option("--conversation", metavar="ID", help="In which conversation.")] = "",
    by: By,
    run: RunName = None,
    live: Live = False,
    json: Json = False,
) -> int:
    """Note a complaint: legacy serves that user at once, and the rollout holds until another person has decided.

    Example: gnomon complaint add --user 4711 --text "it forgot my budget" --by ann
    """
    name = said(by)
    check_complaint(user, text, conversation)
    with _asked(run, live=live) as deployment:
        server = deployment.server
        assert server is not None
        kept = keep_complaint(server, deployment.keys, user, text, conversation=conversation, filed_by=name)
        take_complaints(deployment)
    if json:
        print_json({"complaint": kept.id, "epoch": kept.epoch, "by": name})
    else:
        note(f"Complaint {kept.id} is noted. Legacy serves that user; the rollout holds until somebody else decides.")
    return EXIT_OK


def listed(
    *,
    decided: Annotated[bool, typer.Option("--decided", help="Those too that somebody has decided.")] = False,
    run: RunName = None,
    live: Live = False,
    json: Json = False,
) -> int:
    """List complaints, the latest first.

    Example: gnomon complaint list --decided
    """
    with deployment_of(place(run, live=live)) as deployment:
        take_complaints(deployment)
        with deployment.ledger.reading() as reading:
            found, now = reading.complaints(decided=decided), reading.now()
    if json:
        print_json([_as_json(one) for one in found])
        return EXIT_OK
    if not found:
        out.print("No complaint is open." if not decided else "Nobody has complained.")
        return EXIT_OK
    table = table_of("complaint", right=())
    table.add_column("of what", overflow="fold")
    table.add_column("at", no_wrap=True)
    table.add_column("state", no_wrap=True)
    for one in found:
        table.add_row(*_cells(one, age((now - one.at).total_seconds())))
    out.print(table)
    return EXIT_OK


def confirm(name: Name, *, by: By, why: Why, run: RunName = None, live: Live = False, json: Json = False) -> int:
    """Confirm a complaint: enhanced was at fault, and everybody is rolled back at once.

    Another person than the one who noted it has to.

    Example: gnomon complaint confirm 6b1c… --by tom --why "it told another user's address"
    """
    person, because = said(by), reason(why)
    with _asked(run, live=live) as deployment:
        deployment.ledger.rollout.check_complaint(name, by=person)
        take_back(deployment, by=person, why=f"complaint {name}: {because}")
        made = _decided(deployment, name, ComplaintState.CONFIRMED, person, because)
    return _told(made, "Confirmed: everybody is rolled back, legacy serves all.", json=json)


def dismiss(name: Name, *, by: By, why: Why, run: RunName = None, live: Live = False, json: Json = False) -> int:
    """Dismiss a complaint: enhanced was not at fault. Its user stays with legacy.

    Another person than the one who noted it has to.

    Example: gnomon complaint dismiss 6b1c… --by tom --why "the user had mistyped the city"
    """
    person, because = said(by), reason(why)
    with deployment_of(place(run, live=live)) as deployment:
        made = _decided(deployment, name, ComplaintState.DISMISSED, person, because)
    return _told(made, "Dismissed: the rollout goes on after three clean looks.", json=json)


@contextlib.contextmanager
def _asked(run: str | None, *, live: bool) -> Iterator[Deployment]:
    """Open what has flags that can be changed; raises UsageError for a run that has ended."""
    with deployment_of(place(run, live=live)) as deployment:
        if deployment.server is None:
            raise UsageError("this run has ended, and its flags are gone with it; use --live")
        yield deployment


def _decided(deployment: Deployment, name: str, state: ComplaintState, by: str, why: str) -> KeptComplaint:
    return deployment.ledger.rollout.decide_complaint(name, state, by=by, why=why)


def _told(made: KeptComplaint, told: str, *, json: bool) -> int:
    if json:
        print_json(_as_json(made))
    else:
        note(told)
    return EXIT_OK


def _as_json(one: KeptComplaint) -> dict[str, Any]:
    return {name: getattr(one, name) for name in KeptComplaint.__dataclass_fields__}


def _cells(one: KeptComplaint, since: str) -> Iterator[RenderableType]:
    yield cell(one.id)
    about = [f"at {one.share} %", f"user {one.user_digest}"]
    about += [f"conversation {one.conversation}"] if one.conversation else []
    about += [f"noted by {one.filed_by}"] if one.filed_by else []
    yield Text.assemble(plain(one.text), "\n", (plain(", ".join(about)), "dim"))
    yield f"{since} ago"
    decided = "" if one.state is ComplaintState.OPEN else f" by {one.decided_by}: {one.why}"
    yield cell(f"{one.state}{decided}")
