"""Where words go: results to stdout, JSON alone when asked for, everything else to stderr."""

from typing import Any

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def print_json(document: Any) -> None:
    """Print one JSON document on stdout."""
    typer.echo(msgspec.json.format(msgspec.json.encode(document)).decode())


def note(text: str) -> None:
    """Say on stderr what is going on."""
    err.print(text, soft_wrap=True, markup=False)


def progress() -> Progress:
    """Return a progress display for stderr; it shows nothing where that is no terminal."""
    columns = (TextColumn("{task.description:<10}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=err, disable=not err.is_terminal, transient=True)
