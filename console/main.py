"""The `gnomon` command: its parts, put together."""

import signal
from types import FrameType
from typing import NoReturn

import typer

from console.commands import (
    audit,
    complaint,
    config,
    demo,
    drill,
    gate,
    group,
    groups,
    health,
    migrate,
    parked,
    report,
    rollback,
    rules,
    run,
    status,
    steer,
    worker,
)

app = typer.Typer(
    name="gnomon",
    help="Migrate a live system on evidence: capture, replay, compare, review, decide.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
for module in (
    demo,
    run,
    worker,
    status,
    report,
    groups,
    group,
    parked,
    rules,
    drill,
    gate,
    steer,
    rollback,
    complaint,
    audit,
    health,
    migrate,
    config,
):
    module.register(app)


def main() -> NoReturn:
    """Run the command and exit."""
    signal.signal(signal.SIGTERM, _interrupt)  # tidy up as on Ctrl-C
    app()
    raise SystemExit(0)


def _interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt
