"""Where words go: results to stdout, JSON alone when asked for, everything else to stderr."""

from typing import Any

import msgspec
import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def plain(text: str) -> str:
    """Return text of whoever wrote into a lane as a terminal may print it."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


def cell(text: str) -> Text:
    """Return such text for a table: what looks like markup is none."""
    return Text(plain(text))


def print_json(document: Any) -> None:
    """Print one JSON document on stdout."""
    typer.echo(msgspec.json.format(msgspec.json.encode(document)).decode())


def note(text: str) -> None:
    """Say on stderr what is going on."""
    err.print(text, soft_wrap=True, markup=False)


def progress() -> Progress:
    """Return a progress display for stderr; it shows nothing where that is no terminal."""
    return _progress(MofNCompleteColumn())


def byte_progress() -> Progress:
    """Return the same, in bytes of a file."""
    return _progress(DownloadColumn())


def _progress(how_far: ProgressColumn) -> Progress:
    columns = (TextColumn("{task.description:<10}"), BarColumn(), how_far, TimeElapsedColumn())
    return Progress(*columns, console=err, disable=not err.is_terminal, transient=True)
