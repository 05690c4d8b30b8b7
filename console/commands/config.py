"""`gnomon config show`: the settings in force, secrets left out."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import typer
from pydantic import SecretStr
from rich.table import Table

from console.ending import exiting
from console.options import Json
from console.output import out, print_json
from gnomon.settings import ClientSettings, redacted
from worker.settings import PREFIX, WorkerSettings, load


def register(app: typer.Typer) -> None:
    """Add the command."""
    config = typer.Typer(help="The settings in force.", no_args_is_help=True)
    config.command("show")(exiting(show))
    config.callback()(_group)
    app.add_typer(config, name="config")


def _group() -> None:
    """The settings in force."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One variable: its name, who reads it, what it means, its default."""

    variable: str
    reader: str
    meaning: str
    default: Any


def described() -> list[Setting]:
    """Return every setting of live processes and of workers, those of both once."""
    found = {setting.variable: setting for setting in _of_clients()}
    for setting in _of_workers():
        reader = "live, worker" if setting.variable in found else "worker"
        found[setting.variable] = Setting(setting.variable, reader, setting.meaning, setting.default)
    return [found[variable] for variable in sorted(found)]


def _of_clients() -> Iterator[Setting]:
    for setting in fields(ClientSettings):
        yield Setting(PREFIX + setting.name.upper(), "live", setting.metadata["meaning"], setting.default)


def _of_workers() -> Iterator[Setting]:
    for name, setting in WorkerSettings.model_fields.items():
        default = None if setting.is_required() or setting.default_factory else setting.default
        yield Setting(PREFIX + name.upper(), "worker", setting.description or "", default)


def show(*, json: Json = False) -> int:
    """Show each setting with its value, passwords left out.

    Example: gnomon config show
    """
    values = _values()
    if json:
        print_json(values)
        return 0
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("variable", "value", "read by", "meaning"):
        table.add_column(column, no_wrap=column == "variable")
    for setting in described():
        table.add_row(setting.variable, str(values[setting.variable]), setting.reader, setting.meaning)
    out.print(table)
    return 0


def _values() -> dict[str, Any]:
    worker, client = load(), ClientSettings.from_env()
    values = {PREFIX + setting.name.upper(): getattr(client, setting.name) for setting in fields(ClientSettings)}
    values |= {PREFIX + name.upper(): getattr(worker, name) for name in WorkerSettings.model_fields}
    return {name: _shown(value) for name, value in sorted(values.items())}


def _shown(value: object) -> object:
    if isinstance(value, SecretStr):
        return redacted(value.get_secret_value())
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
