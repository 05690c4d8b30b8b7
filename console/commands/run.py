"""`gnomon run TRAFFIC`: a traffic file or an access log through the live path, replayed, judged, reported."""

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import typer

from console.access_logs import Form
from console.driving import Driven
from console.ending import exiting
from console.errors import EXIT_FINDINGS, EXIT_OK, UsageError
from console.log_traffic import LogTraffic, log_traffic, template_file
from console.options import Json
from console.output import err, note, out, print_json
from console.pacing import AtRate, AtSpeed, Pace, Unpaced
from console.render import show
from console.runs import new_run
from console.session import session
from console.sources import Source, open_source
from console.telling import show_driven, tell_passed_over
from console.traffic import parse
from worker.settings import WorkerSettings

PAIRS_PER_S: Final = "50"  # of one worker process: a tenth of its time where a call takes a millisecond
PACED_CALLERS: Final = 16  # in flight at most: as many as one legacy call may be slower than the pace
MOST_CALLERS: Final = 512

Rate = Annotated[
    float | None, typer.Option("--rate", metavar="N", help="Make so many calls a second; by default as many as go.")
]
Speed = Annotated[
    float | None, typer.Option("--speed", metavar="X", help="Keep the rhythm of the recording, X times as fast.")
]
InFlight = Annotated[
    int | None,
    typer.Option(
        "--callers",
        min=1,
        max=MOST_CALLERS,
        help=f"Calls in flight at most, one a user; 1, or {PACED_CALLERS} with a pace.",
    ),
]
Format = Annotated[
    Form | None,
    typer.Option("--format", help="A traffic file, or an access log in combined or JSON form."),
]
Maps = Annotated[
    list[str] | None,
    typer.Option("--map", metavar="TEMPLATE", help="Which requests of a log are which calls; may be given repeatedly."),
]
TemplateFile = Annotated[
    Path | None, typer.Option("--template", metavar="FILE", help="A TOML file with the log's format, maps and fields.")
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("run")(exiting(run))


def run(
    traffic: Annotated[Path, typer.Argument(metavar="TRAFFIC", help="A file, gzip'd or not, or - for standard input.")],
    *,
    json: Json = False,
    sample: Annotated[
        bool, typer.Option("--sample", help="Sample as in production; otherwise every call is captured.")
    ] = False,
    rate: Rate = None,
    speed: Speed = None,
    callers: InFlight = None,
    format: Format = None,  # noqa: A002 — the option's name
    maps: Maps = None,
    template: TemplateFile = None,
) -> int:
    """Run traffic against the configured Redis and database, or embedded ones, and report.

    TRAFFIC has JSON lines of at, operation, user_id, args; or it is an access log, of which --map says what is a call.
    Exit code 0 whatever the verdicts say, 1 with bad lines or a log without a call, 2 if it cannot run.

    Example: gnomon run traffic.jsonl --rate 500 --json

    Example: gnomon run access.log --format combined --map 'GET /users/{user_id}/memories = memory.recent'
    """
    pace = pace_of(rate, speed)
    log = log_of(format, maps or [], template)
    source = open_source(traffic)
    made = new_run(operations=operations(), traffic=str(traffic))
    made.save()
    capture_everything(sample=sample)
    note(f"Run {made.id}: {_size(source)}; log and stores in {made.folder}")
    with session(made) as up:
        driven, report = up.drive(
            lambda bindings: log.calls(source, bindings) if log else parse(source, bindings),
            source,
            pace=pace,
            callers=callers or (1 if isinstance(pace, Unpaced) else PACED_CALLERS),
        )
    if json:
        passed = {"passed_over": log.passed_over.as_json()} if log else {}
        print_json({**report.as_json(), "driven": {**driven.as_json(pace), **passed}})
    else:
        show(report, out)
        show_driven(driven, pace, out)
    return _told(driven, log)


def _told(driven: Driven, log: LogTraffic | None) -> int:
    """Name what was no call; returns the exit code."""
    tell_bad_lines(driven)
    if log is not None:
        tell_passed_over(log.passed_over, err)
        if driven.calls == 0:
            err.print("gnomon: no line of the log is a call: see --map", markup=False)
    return EXIT_FINDINGS if driven.bad or (log and not driven.calls) else EXIT_OK


def _size(source: Source) -> str:
    return source.name if source.total_bytes is None else f"{source.total_bytes:,} bytes of {source.name}"


def pace_of(rate: float | None, speed: float | None) -> Pace:
    """Return the pace asked for; raises UsageError for one that is none."""
    if rate is not None and speed is not None:
        raise UsageError("--rate and --speed exclude each other")
    for name, given in (("--rate", rate), ("--speed", speed)):
        if given is not None and not (math.isfinite(given) and given > 0):
            raise UsageError(f"{name} is {given:g}; expected a number above 0")
    if rate is not None:
        return AtRate(rate)
    return Unpaced() if speed is None else AtSpeed(speed)


def log_of(form: Form | None, maps: Sequence[str], template: Path | None) -> LogTraffic | None:
    """Return what reads an access log; None for a traffic file. Raises UsageError for options at odds."""
    if template is not None:
        found = template_file(template)
        return log_traffic(form or found.format, [*found.map, *maps], found.fields)
    if form in (None, Form.TRAFFIC):
        if maps:
            raise UsageError("--map is for access logs: add --format combined or --format json")
        return None
    return log_traffic(form, maps)


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


def tell_bad_lines(driven: Driven) -> None:
    """Name the lines that could not be run."""
    for line in driven.bad_lines:
        err.print(f"gnomon: {line}", markup=False)
    if driven.bad > len(driven.bad_lines):
        err.print(f"gnomon: … and {driven.bad - len(driven.bad_lines):,} more bad lines")
