"""`gnomon status`: where the migration stands, on one screen, once or every two seconds."""

import contextlib
import time
from typing import Annotated, Final

import msgspec
import typer
from rich.live import Live as LiveDisplay

from console.ending import exiting
from console.errors import EXIT_OK, StuckError
from console.options import Json, Live, Place, RunName, place
from console.output import out, print_json
from console.picture import OK, look
from console.screen import Screen

REFRESH_S: Final = 2.0


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("status")(exiting(status))


def status(
    *,
    run: RunName = None,
    live: Live = False,
    json: Json = False,
    watch: Annotated[bool, typer.Option("--watch", help="Refresh every 2 s until Ctrl-C; JSON: a line each.")] = False,
) -> int:
    """Show stage and readiness, what live processes count, both sums, the backlog, and who is alive.

    Exit code 2 where the ledger does not answer; what Redis knows is shown all the same.

    Example: gnomon status --watch
    """
    found = place(run, live=live)
    if watch:
        with contextlib.suppress(KeyboardInterrupt):
            _watch(found, json=json)
        return EXIT_OK
    picture = look(found)
    if json:
        print_json(picture.as_json())
    else:
        out.print(Screen(picture))
    if picture.ledger != OK:
        raise StuckError(picture.ledger)
    return EXIT_OK


def _watch(found: Place, *, json: bool) -> None:
    if out.is_terminal and not json:
        _watch_in_terminal(found)
    while True:
        picture = look(found)
        if json:
            typer.echo(msgspec.json.encode(picture.as_json()).decode())
        else:
            out.print(Screen(picture), "")
        time.sleep(REFRESH_S)


def _watch_in_terminal(found: Place) -> None:
    """Show pictures on a screen of their own; the last one stays."""
    picture = look(found)
    try:
        with LiveDisplay(console=out, auto_refresh=False, screen=True) as display:
            while True:
                display.update(Screen(picture, out.height), refresh=True)
                time.sleep(REFRESH_S)
                picture = look(found)
    finally:
        out.print(Screen(picture))
