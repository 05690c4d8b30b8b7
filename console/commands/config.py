"""`gnomon config show`: the settings in force, secrets left out."""

import typer
from pydantic import SecretStr
from rich.table import Table

from console.ending import exiting
from console.options import Json
from console.output import out, print_json
from gnomon.settings import redacted
from worker.settings import PREFIX, WorkerSettings, load


def register(app: typer.Typer) -> None:
    """Add the command."""
    config = typer.Typer(help="The settings in force.", no_args_is_help=True)
    config.command("show")(exiting(show))
    config.callback()(_group)
    app.add_typer(config, name="config")


def _group() -> None:
    """The settings in force."""


def show(*, json: Json = False) -> int:
    """Show each setting with its value, passwords left out.

    Example: gnomon config show
    """
    settings = load()
    values = {PREFIX + name.upper(): _shown(getattr(settings, name)) for name in WorkerSettings.model_fields}
    if json:
        print_json(values)
        return 0
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("variable", "value", "meaning"):
        table.add_column(column)
    for name, setting in WorkerSettings.model_fields.items():
        table.add_row(PREFIX + name.upper(), str(values[PREFIX + name.upper()]), setting.description)
    out.print(table)
    return 0


def _shown(value: object) -> object:
    return redacted(value.get_secret_value()) if isinstance(value, SecretStr) else value
