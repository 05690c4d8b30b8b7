"""`gnomon worker`: a Celery worker with Gnomon's settings."""

import contextlib
import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Final

import typer

from console.ending import exiting
from console.errors import EXIT_FINDINGS, EXIT_OK, UsageError
from console.options import Place
from console.output import out, print_json
from gnomon.connecting import connect
from worker import probe
from worker.probe import PATIENCE_S
from worker.registry import load_operations
from worker.settings import WorkerSettings, load
from worker.targets.binding import bind

LOG_LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("worker")(exiting(worker))


def worker(
    *,
    concurrency: Annotated[int | None, typer.Option(min=1, help="Processes; default: one a core.")] = None,
    beat: Annotated[
        bool, typer.Option("--beat", help="Sweep from this worker too, where no beat service runs.")
    ] = False,
    schedule: Annotated[Path, typer.Option(help="Where beat keeps its state.")] = Path(".gnomon/beat"),
    json: Annotated[
        bool,
        typer.Option("--json", help="Log JSON lines also in a terminal; JSON alone on stdout."),
    ] = False,
    log_level: Annotated[str, typer.Option(help="DEBUG, INFO, WARNING or ERROR.")] = "INFO",
    check: Annotated[
        bool, typer.Option("--check", help="Tell whether the worker of this host gets on: exit 0, 1 if not, 2 unknown.")
    ] = False,
    pid: Annotated[int | None, typer.Option(min=1, help="With --check: which worker, where there are several.")] = None,
    patience: Annotated[
        float, typer.Option(min=1, help="With --check: for how many seconds nothing may move before that is a fault.")
    ] = PATIENCE_S,
) -> int:
    """Drain lanes until asked to stop; the same as celery -A worker worker -E, with everything checked first.

    Example: gnomon worker --concurrency 4
    """
    if log_level.upper() not in LOG_LEVELS:
        raise UsageError(f"--log-level: {log_level!r} is none; expected one of {', '.join(LOG_LEVELS)}")
    settings = load()
    if check:
        return _check(settings, pid, patience, json=json)
    with contextlib.closing(connect(settings.redis_url.get_secret_value())) as server:
        server.ping()
    place = Place(settings, None)
    place.ledger().close()
    bind(load_operations(settings.operation_modules), settings).close()  # as each of its processes will
    arguments = ["--task-events", "--pool=prefork", f"--loglevel={log_level.upper()}", "--without-mingle"]
    arguments += ["--without-gossip"]  # workers need nothing of each other: they meet in Redis
    arguments += ["--concurrency", str(concurrency or settings.concurrency)]
    if beat:
        schedule.parent.mkdir(parents=True, exist_ok=True)
        arguments += ["--beat", "--schedule", str(schedule)]
    if json:
        os.environ["GNOMON_LOG_JSON"] = "1"
        print_json({"pid": os.getpid(), "namespace": settings.namespace, "lanes": settings.lanes})
    return _work(arguments)


def _work(arguments: list[str]) -> int:
    """Be Celery's worker until asked to stop.

    `worker_main` would do so by way of the command `celery` and all its plug-ins: Flower and what else is installed is
    imported and held in memory, for nothing.
    """
    from celery.bin.base import CLIContext
    from celery.bin.worker import worker as command

    from worker.application import app  # its configuration is read from the settings just checked

    context = CLIContext(app=app, no_color=False, workdir=None)
    code: int | None = command.main(args=arguments, prog_name="gnomon worker", standalone_mode=False, obj=context)
    return code or 0


def _check(settings: WorkerSettings, pid: int | None, patience_s: float, *, json: bool) -> int:
    try:
        health, look = probe.check(settings, pid=pid, patience_s=patience_s)
    except probe.CannotTellError as error:
        raise UsageError(str(error)) from None
    if json:
        print_json({"pid": look.worker.pid, "hints": look.hints, **asdict(health)})
    else:
        out.print("; ".join((health.why, *health.notes)), soft_wrap=True, markup=False)
    return EXIT_OK if health.healthy else EXIT_FINDINGS
