"""`gnomon migrate`: create or upgrade the ledger's tables."""

import typer

from console.ending import exiting
from console.output import note
from ledger import Ledger
from worker.settings import load


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("migrate")(exiting(migrate))


def migrate() -> int:
    """Create or upgrade the tables of the ledger that GNOMON_DATABASE_URL names; safe to repeat.

    Example: gnomon migrate
    """
    settings = load()
    ledger = Ledger(settings.database_url.get_secret_value(), namespace=settings.namespace)
    ledger.migrate()
    ledger.close()
    note("The ledger is up to date.")
    return 0
