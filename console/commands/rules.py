"""`gnomon rules` and `gnomon rejudge`: what people allow, and what is kept counted anew by it."""

import contextlib
import re
import sys
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

import typer

from comparators import Kind, PatternError, checked_pattern
from comparators.rules import NEVER
from console.ending import exiting
from console.errors import EXIT_FINDINGS, EXIT_OK, UsageError
from console.facts import counted
from console.options import Json, Live, Place, RunName, place
from console.output import note, out, plain, print_json, progress
from console.rollouts import By, Why, reason, said
from console.rules import Rules, in_words, preview_as_json
from ledger import PICKED_UP_S, CriticalRuleError, Draft, Ledger, Preview, Rejudged

LONGEST: Final = 200  # characters of an operation's name
MOST_PAUSE_S: Final = 0.25  # SQLite's waiting writers try again after 0.1 s at most
MOST: Final = 2**53  #: no rule has a higher number
_SPAN: Final = re.compile(r"(\d{1,6})([mhd])")
_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days"}

Operation = Annotated[str, typer.Argument(metavar="OPERATION", help="As `gnomon groups` shows it.")]
Path = Annotated[str, typer.Argument(metavar="PATH", help="Where it differs: '$[*].score', indices and ids as [*].")]
Kinds = Annotated[str, typer.Argument(metavar="KIND", help="How it differs there: changed, lost, added…")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    rules = typer.Typer(help="Differences that people allow: list, preview, add, retire.", no_args_is_help=True)
    for name, command in (("list", listed), ("preview", preview), ("add", add), ("retire", retire)):
        rules.command(name)(exiting(command))
    app.add_typer(rules, name="rules")
    app.command("rejudge")(exiting(rejudge))


def listed(
    *,
    ended: Annotated[bool, typer.Option("--ended", help="Those too that were retired or have expired.")] = False,
    run: RunName = None,
    live: Live = False,
    json: Json = False,
) -> int:
    """List the rules, those made last first: what each allows, who says so and why, and in how many comparisons it did.

    Example: gnomon rules list --ended
    """
    with contextlib.closing(place(run, live=live).ledger()) as ledger, ledger.reading() as reading:
        found = Rules(
            shown=reading.rules(ended=ended),
            version=reading.rules_version(),
            not_rejudged=reading.not_rejudged(),
            now=reading.now(),
        )
    if json:
        print_json(found.as_json())
    else:
        out.print(found)
    return EXIT_OK


def preview(
    operation: Operation,
    path: Path,
    kind: Kinds,
    *,
    run: RunName = None,
    live: Live = False,
    json: Json = False,
) -> int:
    """Tell what a rule would hide of what was found so far; exit code 1 where it would be refused.

    Example: gnomon rules preview memory.recent '$[*].score' changed
    """
    found = place(run, live=live)
    with contextlib.closing(found.ledger()) as ledger:
        seen = ledger.preview(*_place_of(operation, path, kind, found, ledger))
    if json:
        print_json(preview_as_json(seen))
    else:
        for line in in_words(seen):
            out.print(line, markup=False, soft_wrap=True)
    return EXIT_FINDINGS if seen.critical else EXIT_OK


def add(
    operation: Operation,
    path: Path,
    kind: Kinds,
    *,
    by: By,
    why: Why,
    expires: Annotated[
        str | None,
        typer.Option("--expires", metavar="WHEN", help="When it ends by itself: 30d, 12h, or 2026-12-31T12:00 (UTC)."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask after the preview.")] = False,
    run: RunName = None,
    live: Live = False,
    json: Json = False,
) -> int:
    """Allow a kind of difference at one place of one operation, once it was shown what that hides.

    Workers judge by it within seconds; `gnomon rejudge` counts what the open epoch holds anew. A rule that names
    anything critical is refused, and nothing is changed.

    Example: gnomon rules add memory.recent '$[*].score' changed --by ann --why "rounded differently" --expires 30d
    """
    found, author, because = place(run, live=live), said(by), reason(why)
    with contextlib.closing(found.ledger()) as ledger:
        operation, path, kind = _place_of(operation, path, kind, found, ledger)
        expires_at = _moment(expires, ledger) if expires is not None else None
        draft = Draft(operation=operation, path=path, kind=kind, author=author, reason=because, expires_at=expires_at)
        seen = ledger.preview(operation, path, kind)
        if not _shown_and_wanted(seen, yes=yes):
            note("Nothing was changed.")
            return EXIT_FINDINGS
        made = ledger.add_rule(draft)
    if json:
        print_json({"rule": made.rules[0], "version": made.version, "epoch": made.epoch, **preview_as_json(seen)})
    else:
        note(f"Rule {made.rules[0]}, in force within seconds: version {made.version} of the rule set.")
        if seen.hides or seen.in_part:
            note("To count anew what is kept: gnomon rejudge")
    return EXIT_OK


def retire(
    rule: Annotated[int, typer.Argument(metavar="ID", min=1, max=MOST, help="As `gnomon rules list` shows it.")],
    *,
    by: By,
    why: Why,
    run: RunName = None,
    live: Live = False,
    json: Json = False,
) -> int:
    """End a rule: what it allowed is a divergence again, from the next epoch on, which this opens.

    What it hid so far was counted and not kept, so the epoch that is open is closed as it is. Captures carry the new
    one within some ten seconds, once every worker has taken the rules in.

    Example: gnomon rules retire 3 --by ann --why "it was a bug after all"
    """
    author, because = said(by), reason(why)
    with contextlib.closing(place(run, live=live).ledger()) as ledger:
        ended = ledger.retire_rule(rule, by=author, why=because)
    if json:
        print_json({"rule": rule, "version": ended.version, "epoch": ended.epoch})
    else:
        note(f"Rule {rule} has ended: version {ended.version} of the rule set, epoch {ended.epoch} is open.")
    return EXIT_OK


def rejudge(*, run: RunName = None, live: Live = False, json: Json = False) -> int:
    """Count what is kept of the open epoch anew by the rules in force; nothing is replayed.

    Each divergence is taken over once, whatever interrupts this: run it again. Epochs that are closed stay as they
    were judged.

    Example: gnomon rejudge --json
    """
    found = place(run, live=live)
    with contextlib.closing(found.ledger()) as ledger:
        last, done = _through(ledger)
        if not found.ended and (wait_s := _young_for(ledger)) > 0:
            note(f"Workers are taking the rules in: once more in {wait_s:.0f} s.")
            time.sleep(wait_s)
            last, more = _through(ledger)
            done += more
    if json:
        names = ("looked_at", "ignored", "in_part", "kept")
        print_json({"version": last.version, "epoch": last.epoch, **{name: done[name] for name in names}})
    else:
        ignored, in_part = counted(done["ignored"], "divergence"), f"{done['in_part']:,} allowed in part"
        note(f"Epoch {last.epoch} by version {last.version} of the rule set: {ignored} now ignored, {in_part}.")
        if done["kept"]:
            note(f"{done['kept']:,} kept by an older version cannot be counted anew and stay divergences.")
    return EXIT_OK


def _through(ledger: Ledger) -> tuple[Rejudged, Counter[str]]:
    done: Counter[str] = Counter()
    with progress() as shown:
        task = shown.add_task("rejudged", total=None)
        after = None
        while True:
            began = time.monotonic()
            step = ledger.rejudge(after)
            done.update({name: getattr(step, name) for name in ("looked_at", "ignored", "in_part", "kept")})
            shown.update(task, completed=done["looked_at"])
            if (after := step.after) is None:
                return step, done
            time.sleep(min(MOST_PAUSE_S, time.monotonic() - began))  # commits of workers come in between


def _young_for(ledger: Ledger) -> float:
    with ledger.reading() as reading:
        return PICKED_UP_S - reading.rules_age_s()


# --- what was typed


def _place_of(operation: str, path: str, kind: str, found: Place, ledger: Ledger) -> tuple[str, str, str]:
    """Return what a rule is to name; raises UsageError where there is no such thing."""
    try:
        checked_pattern(path)
    except PatternError as error:
        raise UsageError(f"PATH: {plain(str(error))}") from None
    kinds = [str(each) for each in Kind if each not in NEVER]
    if kind not in kinds:
        why = "no rule may allow it" if kind in NEVER else "no such kind"
        raise UsageError(f"KIND: {plain(kind[:LONGEST])!r}: {why}; there are {', '.join(kinds)}")
    with ledger.reading() as reading:
        seen = set(reading.sums())
    if operation not in seen and operation not in (seen := seen | set(found.kinds())):
        known = ", ".join(sorted(map(plain, seen))) or "none so far"
        raise UsageError(f"OPERATION: {plain(operation[:LONGEST])!r} is not known; there are {known}")
    return operation, path, kind


def _moment(text: str, ledger: Ledger) -> datetime:
    """Return when a rule ends; raises UsageError for what is no moment to come, by the ledger's clock."""
    with ledger.reading() as reading:
        now = reading.now()
    try:
        moment = _read_moment(text.strip(), now)
    except (ValueError, OverflowError):
        expected = "expected 30d, 12h, 90m, or a time such as 2026-12-31T12:00 (UTC)"
        raise UsageError(f"--expires: {plain(text[:40])!r} is no time; {expected}") from None
    if moment <= now:
        raise UsageError(f"--expires: {moment:%Y-%m-%d %H:%M} UTC is past")
    return moment


def _read_moment(text: str, now: datetime) -> datetime:
    if span := _SPAN.fullmatch(text):
        return now + timedelta(**{_UNITS[span[2]]: int(span[1])})
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _shown_and_wanted(seen: Preview, *, yes: bool) -> bool:
    """Say what a rule would hide, and ask; raises CriticalRuleError where it names anything critical."""
    for line in in_words(seen):
        note(line)
    if seen.critical:
        raise CriticalRuleError(seen.groups[0])
    return yes or _confirmed("Allow it?")


def _confirmed(question: str) -> bool:
    if not sys.stdin.isatty():
        raise UsageError("it asks before it allows anything; without a terminal say --yes")
    try:
        return typer.confirm(question, err=True)
    except typer.Abort:
        raise KeyboardInterrupt from None
