"""`gnomon parked`: look at captures that could not be replayed, have them replayed again, or throw them away."""

import contextlib
import getpass
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Final

import redis
import typer

from console.ending import exiting
from console.errors import EXIT_FINDINGS, EXIT_OK, UsageError
from console.facts import counted
from console.options import Json, Live, Place, RunName, place
from console.output import note, out, plain, print_json
from console.parked import Held, Listing, as_json
from console.parked import show as show_one
from gnomon.connecting import connect
from gnomon.hints import drain_hint
from gnomon.keys import Keys
from ledger import Choice, Ledger, ParkedState

LIMIT: Final = 50
NOTHING: Final = "Nothing of that is parked."
OPEN: Final = (ParkedState.PARKED, ParkedState.RETRYING)

Names = Annotated[list[str] | None, typer.Argument(metavar="ID", help="As `gnomon parked list` shows them.")]
All = Annotated[bool, typer.Option("--all", help="All that are parked, or all of --reason and --operation.")]
Reason = Annotated[str | None, typer.Option("--reason", metavar="R", help="Of this reason alone.")]
Operation = Annotated[str | None, typer.Option("--operation", metavar="OP", help="Of this operation alone.")]
By = Annotated[str | None, typer.Option("--by", metavar="NAME", help="Who decides; default: the login name.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    parked = typer.Typer(help="Captures that could not be replayed: list, show, retry, discard.", no_args_is_help=True)
    for name, command in (("list", listed), ("show", show), ("retry", retry), ("discard", discard)):
        parked.command(name)(exiting(command))
    app.add_typer(parked, name="parked")


def listed(
    *,
    reason: Reason = None,
    operation: Operation = None,
    state: Annotated[
        ParkedState | None, typer.Option("--state", help="In this state alone; default: all but discarded.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many to show, those parked last.")] = LIMIT,
    run: RunName = None,
    live: Live = False,
    json: Json = False,
) -> int:
    """List parked captures, those parked last first, and how many there are by reason.

    Example: gnomon parked list --reason unknown_operation
    """
    choice, states = _choice(None, reason, operation), OPEN if state is None else (state,)
    with contextlib.closing(place(run, live=live).ledger()) as ledger, ledger.reading() as reading:
        found = Listing(
            shown=reading.parked(choice, states, limit),
            totals=reading.parked_totals(choice, states),
            now=reading.now(),
        )
    if json:
        print_json(found.as_json())
    else:
        out.print(found)
    return EXIT_OK


def show(
    name: Annotated[str, typer.Argument(metavar="ID", help="As `gnomon parked list` shows it.")],
    *,
    run: RunName = None,
    live: Live = False,
    json: Json = False,
) -> int:
    """Show one parked capture: why it is parked, who decided what, and what it holds, masked.

    Example: gnomon parked show 5f0c9d1e2b7a-1204
    """
    choice = _choice([name], None, None)
    with contextlib.closing(place(run, live=live).ledger()) as ledger, ledger.reading() as reading:
        found = reading.parked(choice, ParkedState)
        if not found:
            raise UsageError(f"{plain(name)!r} is not the id of a parked capture")
        held = Held.of(found[0], reading.payload(found[0].capture_id) or b"")
    if json:
        print_json({**as_json(found[0]), "capture": held.masked, "problem": held.problem or None})
    else:
        show_one(found[0], held, out)
    return EXIT_OK


def retry(
    names: Names = None,
    *,
    everything: All = False,
    reason: Reason = None,
    operation: Operation = None,
    by: By = None,
    run: RunName = None,
    live: Live = False,
    json: Json = False,
) -> int:
    """Ask for parked captures to be replayed again, once a worker can: with its operation, its version, its fix.

    They are late: writes are replayed, which their idempotency allows, and put their user in a gap until that is
    verified; reads and generate calls end as excluded. What still cannot be replayed is parked again. Where one of
    those named is not parked, nothing is changed, exit code 2.

    Example: gnomon parked retry --all --reason unknown_operation
    """
    choice, found = _meant(names, reason, operation, everything=everything), place(run, live=live)
    if found.run and found.ended:
        raise UsageError(f"run {found.run.id} has ended: nobody would replay anything")
    with contextlib.closing(found.ledger()) as ledger:
        lanes = ledger.retry(choice, by=_decider(by))
    hinted = _hint(found, lanes)
    if json:
        print_json({"retrying": sum(lanes.values()), "lanes": sorted(lanes), "hinted": hinted})
    else:
        for line in _asked(lanes, hinted=hinted):
            note(line)
    return EXIT_OK


def _asked(lanes: Mapping[int, int], *, hinted: bool) -> Iterator[str]:
    if not lanes:
        yield NOTHING
        return
    yield f"{counted(sum(lanes.values()), 'capture')} in {counted(len(lanes), 'lane')} to be replayed again."
    if not hinted:
        yield "Redis does not answer: workers will find them once it does."


def discard(
    names: Names = None,
    *,
    why: Annotated[str, typer.Option("--why", metavar="TEXT", help="Why; kept with who decided and when.")],
    everything: All = False,
    reason: Reason = None,
    operation: Operation = None,
    by: By = None,
    yes: Annotated[bool, typer.Option("--yes", help="With --all: don't ask.")] = False,
    run: RunName = None,
    live: Live = False,
    json: Json = False,
) -> int:
    """Throw parked captures away for good: counted as discarded, what they held is deleted.

    A write that is discarded stays missing in enhanced until its user is verified and repaired; the gate counts it as
    not known to be good. Where one of those named is not parked, nothing is changed, exit code 2.

    Example: gnomon parked discard 5f0c9d1e2b7a-1204 --why "sent by a test"
    """
    choice, found = _meant(names, reason, operation, everything=everything), place(run, live=live)
    if not why.strip():
        raise UsageError("--why: a reason in words is needed")
    who = _decider(by)
    with contextlib.closing(found.ledger()) as ledger:
        if everything and not (yes or _confirmed(ledger, choice, found)):
            note("Nothing was discarded.")
            return EXIT_FINDINGS
        count = ledger.discard(choice, by=who, why=_encodable(why.strip()))
    if json:
        print_json({"discarded": count})
    else:
        note(f"{counted(count, 'capture')} discarded." if count else NOTHING)
    return EXIT_OK


def _choice(names: Iterable[str] | None, reason: str | None, operation: str | None) -> Choice:
    reason, operation = (None if text is None else _encodable(text) for text in (reason, operation))
    named = None if names is None else tuple(map(_encodable, names))
    return Choice(names=named, reason=reason, operation=operation)


def _meant(names: list[str] | None, reason: str | None, operation: str | None, *, everything: bool) -> Choice:
    """Return what a decision is about; raises UsageError where that is not quite clear."""
    if bool(names) == everything:
        raise UsageError("name the captures that are meant, or say --all")
    if names and (reason or operation):
        raise UsageError("--reason and --operation go with --all")
    return _choice(names or None, reason, operation)


def _encodable(text: str) -> str:
    """Return what was typed as a database takes it: bytes that are no UTF-8 come as lone surrogates."""
    return text.encode("utf-8", "replace").decode()


def _decider(by: str | None) -> str:
    if by is not None and not by.strip():
        raise UsageError("--by: a name is needed")
    try:
        return _encodable(by.strip() if by else getpass.getuser())
    except (KeyError, OSError):  # in a container without accounts
        raise UsageError("--by: who decides? This machine knows no login name") from None


def _confirmed(ledger: Ledger, choice: Choice, found: Place) -> bool:
    with ledger.reading() as reading:
        count = sum(reading.parked_totals(choice, (ParkedState.PARKED,)).values())
    if not count:
        return True  # it will say that there is nothing
    if not sys.stdin.isatty():
        raise UsageError("--all asks before it discards; without a terminal say --yes")
    of = f"run {found.run.id}" if found.run else f"namespace {found.settings.namespace}"
    try:
        return typer.confirm(f"Discard {counted(count, 'parked capture')} of {of} for good?", err=True)
    except typer.Abort:
        raise KeyboardInterrupt from None


def _hint(found: Place, lanes: Iterable[int]) -> bool:
    """Ask workers to drain; False where Redis does not answer, which costs a moment and nothing else."""
    queue = Keys(found.settings.namespace).queue
    hints = [drain_hint(lane, queue) for lane in lanes]
    try:
        with contextlib.closing(connect(found.settings.redis_url.get_secret_value())) as server:
            if hints:
                server.lpush(queue, *hints)
    except (redis.RedisError, OSError):
        return False
    return True
