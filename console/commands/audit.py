"""`gnomon audit`: everything that was decided or done, checked and decided again."""

from typing import Annotated, Any

import msgspec
import typer

from console.ending import exiting
from console.errors import EXIT_FINDINGS, EXIT_OK
from console.options import Json, Live, RunName, place
from console.output import note, out, plain, print_json, progress
from console.rollouts import deployment_of
from ledger import Entry
from rollout.looking import again

LONGEST = 60  # characters of an actor that are shown


def register(app: typer.Typer) -> None:
    """Add the commands."""
    audit = typer.Typer(help="The audit: check its chain, decide everything again, list it.", no_args_is_help=True)
    for name, command in (("verify", verify), ("replay", replay), ("list", listed)):
        audit.command(name)(exiting(command))
    app.add_typer(audit, name="audit")


def verify(
    *,
    head: Annotated[
        str | None, typer.Option("--head", metavar="DIGEST", help="A digest noted earlier: is it still in there?")
    ] = None,
    run: RunName = None,
    live: Live = False,
    json: Json = False,
) -> int:
    """Check that no row of the audit was edited, deleted, put in between or cut off; exit code 1 where one was.

    Note the digest of the last row elsewhere, and give it as --head later: whoever can write the whole ledger could
    otherwise write a shorter audit that holds. With GNOMON_AUDIT_KEY set they would need the key, too.

    Example: gnomon audit verify --head 5e0c…
    """
    with deployment_of(place(run, live=live)) as deployment:
        found = deployment.ledger.rollout.check_audit()
        known = head is None or any(entry.digest == head for entry in deployment.ledger.rollout.audited())
    problem = found.problem or ("" if known else f"no row has the digest {head!r}: it was cut off or edited")
    if json:
        print_json({"holds": not problem, "rows": found.rows, "head": found.head, "problem": problem or None})
    elif problem:
        note(f"The audit does not hold: {plain(problem)}.")
    elif not found.rows:
        out.print("The audit is empty: nothing was decided yet.")
    else:
        out.print(f"{found.rows:,} rows hold. Last digest: {found.head}", soft_wrap=True, markup=False)
    return EXIT_FINDINGS if problem else EXIT_OK


def replay(*, run: RunName = None, live: Live = False, json: Json = False) -> int:
    """Make every decision again from its row of the audit; exit code 1 where one comes out differently.

    Example: gnomon audit replay
    """
    checked, differing = 0, []
    with deployment_of(place(run, live=live)) as deployment, progress() as bar:
        task = bar.add_task("deciding", total=None)
        for entry in deployment.ledger.rollout.audited():
            if "evidence" in entry.body:
                checked += 1
                differing += [] if _is_same(entry) else [entry.number]
                bar.advance(task)
    if json:
        print_json({"decisions": checked, "differing": differing})
    else:
        out.print(f"{checked:,} decisions were made again, {len(differing):,} came out differently.")
        for number in differing:
            note(f"Row {number} does not say what its evidence comes to.")
    return EXIT_FINDINGS if differing else EXIT_OK


def listed(
    *,
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many to show, the latest.")] = 50,
    run: RunName = None,
    live: Live = False,
    json: Json = False,
) -> int:
    """List what was decided and done, the latest last: when, by whom, and why.

    Example: gnomon audit list --limit 20
    """
    with deployment_of(place(run, live=live)) as deployment:
        found = list(deployment.ledger.rollout.audited())[-limit:]
    if json:
        print_json([_as_json(entry) for entry in found])
        return EXIT_OK
    for entry in found:
        why = entry.body.get("why") or entry.body.get("decision", {}).get("state", "")
        told = f"{entry.number:>5}  {entry.at[:19]}  {entry.action:<18} {entry.actor[:LONGEST]}  {why}"
        out.print(plain(told.rstrip()), soft_wrap=True, markup=False)
    return EXIT_OK


def _is_same(entry: Entry) -> bool:
    try:
        return bool(again(entry.body).as_json() == entry.body["decision"])
    except (msgspec.ValidationError, KeyError):
        return False


def _as_json(entry: Entry) -> dict[str, Any]:
    told = {name: value for name, value in entry.body.items() if name not in ("evidence", "policy", "decision")}
    state = entry.body.get("decision", {}).get("state")
    return {
        "number": entry.number,
        "at": entry.at,
        "actor": entry.actor,
        "action": entry.action,
        **told,
        "state": state,
        "row": entry.digest,
    }
