"""`gnomon rollback`: legacy serves everybody, at once."""

import contextlib

import typer

from console.ending import exiting
from console.options import Json
from console.output import note, print_json
from gnomon.client import store_flags
from gnomon.flags import SHARE, SWITCHES
from gnomon.keys import Keys
from gnomon.publisher import connect
from worker.settings import load


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("rollback")(exiting(rollback))


def rollback(*, json: Json = False) -> int:
    """Switch every flag off and the share to 0, for the deployment that the GNOMON_* variables name.

    In force in every live process within 2 s; needs neither the gate nor the database. Where Redis does not answer,
    the kill file (GNOMON_KILL_FILE) does the same on each host.

    Example: gnomon rollback
    """
    settings = load(database_url="sqlite:///unused")  # the ledger may be down: a rollback must not need it
    with contextlib.closing(connect(settings.redis_url.get_secret_value())) as server:
        stored = store_flags(server, Keys(settings.namespace), {**dict.fromkeys(SWITCHES, False), SHARE: 0})
    if json:
        print_json({"version": stored.version, "flags": stored.flags})
    else:
        note(f"Rolled back: all flags are off since version {stored.version}; legacy serves everybody within 2 s.")
    return 0
