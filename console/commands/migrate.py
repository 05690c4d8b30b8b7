"""`gnomon migrate`: create or upgrade the ledger's tables."""

import typer

from console.ending import exiting
from console.options import Json
from console.output import note, print_json
from ledger import Ledger
from worker.settings import load


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("migrate")(exiting(migrate))


def migrate(*, json: Json = False) -> int:
    """Create or upgrade the tables of the ledger that GNOMON_DATABASE_URL names; safe to repeat.

    Example: gnomon migrate
    """
    settings = load()
    ledger = Ledger(settings.database_url.get_secret_value(), namespace=settings.namespace)
    revision = ledger.migrate()
    ledger.close()
    if json:
        print_json({"revision": revision})
    else:
        note(f"The ledger is at revision {revision}.")
    return 0
