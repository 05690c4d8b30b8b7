"""INSERT … ON CONFLICT for both databases, and counters that merge by addition.

A statement is built once for each table, dialect and set of columns: building costs more than the database takes to
carry it out.
"""

from collections.abc import Iterable, Mapping
from functools import cache
from operator import add
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import DeclarativeBase

Model = type[DeclarativeBase]
Statement = postgresql.Insert | sqlite.Insert


def insert_into(dialect: str, model: Model) -> Statement:
    """Return an insert that knows ON CONFLICT, in a dialect."""
    made = postgresql.insert if dialect == "postgresql" else sqlite.insert
    return made(model)


def add_up(connection: Connection, model: Model, rows: Iterable[Mapping[str, Any]]) -> None:
    """Add counters: rows that exist grow by the values given, others are made."""
    if ordered := _in_key_order(rows, _keys(model)):
        connection.execute(_adding(connection.dialect.name, model, tuple(ordered[0])), ordered)


def put(connection: Connection, model: Model, rows: Iterable[Mapping[str, Any]]) -> None:
    """Set rows to what is given, whether they exist or not."""
    if ordered := _in_key_order(rows, _keys(model)):
        connection.execute(_setting(connection.dialect.name, model, tuple(ordered[0])), ordered)


def add_new(connection: Connection, model: Model, rows: Iterable[Mapping[str, Any]]) -> None:
    """Insert the rows whose key is not there yet."""
    if ordered := _in_key_order(rows, _keys(model)):
        connection.execute(_adding_new(connection.dialect.name, model), ordered)


@cache
def _adding(dialect: str, model: Model, names: tuple[str, ...]) -> Statement:
    statement, keys = insert_into(dialect, model), _keys(model)
    stored, given = model.__table__.c, statement.excluded
    values = {name: add(stored[name], given[name]) for name in names if name not in keys}
    return statement.on_conflict_do_update(index_elements=keys, set_=values)


@cache
def _setting(dialect: str, model: Model, names: tuple[str, ...]) -> Statement:
    statement, keys = insert_into(dialect, model), _keys(model)
    values = {name: statement.excluded[name] for name in names if name not in keys}
    return statement.on_conflict_do_update(index_elements=keys, set_=values)


@cache
def _adding_new(dialect: str, model: Model) -> Statement:
    return insert_into(dialect, model).on_conflict_do_nothing()


@cache
def _keys(model: Model) -> tuple[str, ...]:
    return tuple(column.name for column in model.__table__.primary_key)


def _in_key_order(rows: Iterable[Mapping[str, Any]], keys: tuple[str, ...]) -> list[Mapping[str, Any]]:
    """Two transactions that take rows in the same order never wait for each other in a circle."""
    return sorted(rows, key=lambda row: [row[key] for key in keys])
