"""`gnomon demo`: the main job in under a minute, with a defect planted in the enhanced system to be found."""

import importlib
from collections.abc import Iterable
from typing import Annotated, Any, Final

import msgspec
import typer

from console.commands.run import capture_everything, operations
from console.driving import Driven, trickle
from console.ending import exiting
from console.errors import EXIT_OK, StuckError
from console.options import Json
from console.output import note, out, print_json
from console.render import show
from console.report import Report
from console.runs import Run, new_run
from console.session import Session, session
from console.sources import Source
from console.traffic import parse
from ledger import Group

DEMO_OPERATIONS: Final = "examples.variants.demo_defect"
DEMO_TRAFFIC: Final = "examples.traffic"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("demo")(exiting(demo))


def demo(
    *,
    json: Json = False,
    stay: Annotated[
        bool, typer.Option("--stay", help="Keep all up, with a trickle of calls; print where it is.")
    ] = False,
) -> int:
    """Capture a few hundred conversations, replay them against an enhanced system with a planted defect, and report.

    Everything is embedded: Valkey, a Celery worker, SQLite. Nothing is left running.

    Example: gnomon demo --stay
    """
    made = new_run(operations=operations(DEMO_OPERATIONS), traffic="built-in", environ={})
    made.save()
    capture_everything(sample=False)
    lines = [msgspec.json.encode(entry) for entry in importlib.import_module(DEMO_TRAFFIC).conversations()]
    note(f"Demo {made.id}: {len(lines):,} calls; log and stores in {made.folder}")
    with session(made) as up:
        defect = getattr(importlib.import_module(made.operations), "DEFECT", None)
        _announce(defect)
        source = Source.of_lines(lines, "the demo's traffic")
        driven, report = up.drive(lambda bindings: parse(source, bindings), source)
        _check(driven)
        if json:
            print_json(report.as_json())
        else:
            show(report, out)
            out.print(conclusion(report, defect, made), markup=False, soft_wrap=True)
        if stay:
            _stay(up, lines)
    return EXIT_OK


def _check(driven: Driven) -> None:
    if driven.bad:
        raise StuckError(f"the demo's own traffic is broken: {driven.bad_lines[0]}")


def _announce(defect: Any) -> None:
    if defect is not None:
        note(f"Planted in the enhanced system: {defect.description}")
        note(f"So expect one group: {defect.operation}, {defect.kind} at {defect.path}.\n")


def planted(report: Report, defect: Any) -> list[Group]:
    """Return the groups that are the planted defect."""
    expected = (defect.operation, defect.kind, defect.path)
    return [group for group in report.groups if (group.operation, group.kind, group.path) == expected]


def conclusion(report: Report, defect: Any, made: Run) -> str:
    """Say what was found of what was planted, and what to do next."""
    lines = [] if defect is None else list(_finding(report, defect))
    lines += [
        "",
        "Next: look at the groups (gnomon groups), mend the enhanced system or accept the change, and run again.",
        "The gate asks for 48 h and 200 users before it lets a rollout advance; a demo has neither.",
        f"This run stays readable: gnomon report --run {made.id}",
    ]
    return "\n".join(lines)


def _finding(report: Report, defect: Any) -> Iterable[str]:
    found = planted(report, defect)
    if not found:
        yield "The planted defect was NOT found."
    for group in found:
        yield f"The planted defect was found as group {group.id}: {group.count:,} divergences of {group.users} users."
    for group in report.groups:
        if group not in found:
            yield f"Group {group.id} is not the planted defect: {group.explanation}."


def _stay(up: Session, lines: list[bytes]) -> None:
    note("\nStaying up until Ctrl-C, with a few calls a second to watch.")
    note(f"  Redis     {up.redis_url}\n  ledger    {up.run.database_url}")
    note(f"  worker    process {up.worker.pid}, log {up.run.path / 'worker.log'}")
    note(f"  Flower    celery --broker={up.redis_url} flower --port=5555")
    note(f"  status    gnomon status --watch --run {up.run.id}")
    while True:
        calls = parse(Source.of_lines(lines, "the demo's traffic"), up.client.operations)
        trickle(up.client, calls, up.worker.ensure)
