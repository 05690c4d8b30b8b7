"""INSERT … ON CONFLICT for both databases, and counters that merge by addition."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import DeclarativeBase


def insert(connection: Connection, model: type[DeclarativeBase]) -> postgresql.Insert | sqlite.Insert:
    """Return an insert that knows ON CONFLICT, in the dialect of `connection`."""
    made = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    return made(model)


def add_up(connection: Connection, model: type[DeclarativeBase], rows: Iterable[Mapping[str, Any]]) -> None:
    """Add counters: rows that exist grow by the values given, others are made."""
    _merge(connection, model, rows, lambda stored, given: stored + given)


def put(connection: Connection, model: type[DeclarativeBase], rows: Iterable[Mapping[str, Any]]) -> None:
    """Set rows to what is given, whether they exist or not."""
    _merge(connection, model, rows, lambda _, given: given)


def add_new(connection: Connection, model: type[DeclarativeBase], rows: Iterable[Mapping[str, Any]]) -> None:
    """Insert the rows whose key is not there yet."""
    if ordered := _in_key_order(rows, _keys(model)):
        connection.execute(insert(connection, model).on_conflict_do_nothing(), ordered)


def _merge(
    connection: Connection,
    model: type[DeclarativeBase],
    rows: Iterable[Mapping[str, Any]],
    merged: Callable[[Any, Any], Any],
) -> None:
    keys = _keys(model)
    ordered = _in_key_order(rows, keys)
    if not ordered:
        return
    statement = insert(connection, model)
    stored, given = model.__table__.c, statement.excluded
    values = {name: merged(stored[name], given[name]) for name in ordered[0] if name not in keys}
    connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=values), ordered)


def _keys(model: type[DeclarativeBase]) -> list[str]:
    return [column.name for column in model.__table__.primary_key]


def _in_key_order(rows: Iterable[Mapping[str, Any]], keys: list[str]) -> list[Mapping[str, Any]]:
    """Two transactions that take rows in the same order never wait for each other in a circle."""
    return sorted(rows, key=lambda row: [row[key] for key in keys])
