"""INSERT … ON CONFLICT for both databases, and counters that merge by addition."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table, func
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import DeclarativeBase


def insert(connection: Connection, model: type[DeclarativeBase]) -> postgresql.Insert | sqlite.Insert:
    """Return an insert that knows ON CONFLICT, in the dialect of `connection`."""
    made = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    return made(model)


def add_up(connection: Connection, model: type[DeclarativeBase], rows: Iterable[Mapping[str, Any]]) -> None:
    """Add counters: rows that exist grow by the values given, others are made.

    Written in key order, so that two transactions never wait for each other in a circle.
    """
    table: Table = model.__table__  # type: ignore[assignment]
    keys = [column.name for column in table.primary_key.columns]
    ordered = sorted(rows, key=lambda row: [row[key] for key in keys])
    if not ordered:
        return
    statement = insert(connection, model)
    counters = [name for name in ordered[0] if name not in keys]
    grown = {name: table.c[name] + statement.excluded[name] for name in counters}
    connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=grown), ordered)


def grow_to(connection: Connection, model: type[DeclarativeBase], rows: Iterable[Mapping[str, Any]]) -> None:
    """Set cumulative counters, in key order: each row keeps the larger of what it has and what is given."""
    table: Table = model.__table__  # type: ignore[assignment]
    keys = [column.name for column in table.primary_key.columns]
    ordered = sorted(rows, key=lambda row: [row[key] for key in keys])
    if not ordered:
        return
    statement = insert(connection, model)
    larger = func.greatest if connection.dialect.name == "postgresql" else func.max
    grown = {name: larger(table.c[name], statement.excluded[name]) for name in ordered[0] if name not in keys}
    connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=grown), ordered)


def add_new(connection: Connection, model: type[DeclarativeBase], rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert the rows whose key is not there yet, in key order."""
    table: Table = model.__table__  # type: ignore[assignment]
    keys = [column.name for column in table.primary_key.columns]
    if rows:
        ordered = sorted(rows, key=lambda row: [row[key] for key in keys])
        connection.execute(insert(connection, model).on_conflict_do_nothing(), ordered)
