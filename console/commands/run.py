"""`gnomon run TRAFFIC`: a traffic file through the live path, replayed, judged, reported."""

import os
from pathlib import Path
from typing import Annotated

import typer

from console.ending import exiting
from console.errors import EXIT_FINDINGS, EXIT_OK, UsageError
from console.options import Json
from console.output import err, note, out, print_json
from console.render import show
from console.runs import new_run
from console.session import session
from console.traffic import BadLine, parse, read_traffic
from worker.settings import WorkerSettings

SHOWN_LINES = 20
PAIRS_PER_S = "50"  # of one worker process: a tenth of its time where a call takes a millisecond


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("run")(exiting(run))


def run(
    traffic: Annotated[Path, typer.Argument(metavar="TRAFFIC", help="JSON lines: at, operation, user_id, args.")],
    *,
    json: Json = False,
    sample: Annotated[
        bool, typer.Option("--sample", help="Sample as in production; otherwise every call is captured.")
    ] = False,
) -> int:
    """Run a traffic file against the configured Redis and database, or embedded ones, and report.

    Exit code 0 whatever the verdicts say, 1 with bad lines, 2 if it cannot run.

    Example: gnomon run traffic.jsonl --json
    """
    lines = read_traffic(traffic)
    made = new_run(operations=operations(), traffic=str(traffic))
    made.save()
    capture_everything(sample=sample)
    note(f"Run {made.id}: {len(lines):,} lines of {traffic.name}; log and stores in {made.folder}")
    with session(made) as up:
        driven, report = up.drive(lambda bindings: parse(lines, bindings), len(lines))
    if json:
        print_json(report.as_json())
    else:
        show(report, out)
    tell_bad_lines(driven.bad_lines)
    return EXIT_FINDINGS if driven.bad_lines else EXIT_OK


def operations(default: str | None = None) -> str:
    """Return the operation modules in force."""
    configured = os.environ.get("GNOMON_OPERATIONS", "").strip()
    return configured or default or str(WorkerSettings.model_fields["operations"].default)


def capture_everything(*, sample: bool) -> None:
    """See that a run captures every call, whatever the operations' own sampling and budgets are."""
    if os.environ.get("GNOMON_CAPTURE", "on").strip().lower() in ("off", "0", "false", "no"):
        raise UsageError("GNOMON_CAPTURE is off: a run would capture nothing")
    if not sample:
        os.environ["GNOMON_SAMPLE"] = "1"
        os.environ["GNOMON_GENERATE_BUDGET"] = str(10**9)
        os.environ.setdefault("GNOMON_PAIRS_SHARE", "1")
        os.environ.setdefault("GNOMON_PAIRS_PER_S", PAIRS_PER_S)


def tell_bad_lines(bad: list[BadLine]) -> None:
    """Name the lines that could not be run."""
    for line in bad[:SHOWN_LINES]:
        err.print(f"gnomon: {line}", markup=False)
    if len(bad) > SHOWN_LINES:
        err.print(f"gnomon: … and {len(bad) - SHOWN_LINES} more bad lines")
