"""Where a memory system keeps its tables: SQLite or PostgreSQL, opened by URL at the first use in each process.

On the data's way this stands below both memory systems; they speak SQLAlchemy Core and leave to it what differs
between the databases and between processes: transactions, waiting for a writer, tables that are not there yet.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy
from sqlalchemy import Connection, Engine, MetaData, Table, literal, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from gnomon_memory.engines import open_engine
from gnomon_memory.errors import StoreError
from gnomon_memory.urls import store_url

__all__ = ["Insert", "Store"]

Insert = sqlite.Insert | postgresql.Insert

# Engines that a fork brought into this process. Their connections are the parent's: closing one, which losing the last
# reference to it would do, drops the parent's locks on a SQLite file and ends the parent's PostgreSQL session.
_inherited: list[Engine] = []


@dataclass(slots=True)
class _Opened:
    """What one process has of a store; a fork begins with an empty one, its locks included."""

    pid: int = field(default_factory=os.getpid)
    opening: threading.Lock = field(default_factory=threading.Lock)
    engine: Engine | None = None
    reader: Engine | None = None
    # SQLite has one writer at a time; threads that wait for each other here are woken at once and in order, where its
    # own busy handler sleeps up to 100 ms
    turn: AbstractContextManager[Any] = field(default_factory=nullcontext)
    inserts: dict[Table, Insert] = field(default_factory=dict)


class Store:
    """A database with the tables of one memory system, for all threads of a process and its forks.

    `variable` names the environment variable that holds its URL and `default` is the URL without it; `url` overrides
    both.
    """

    def __init__(self, name: str, tables: MetaData, *, variable: str, default: str, url: str | None = None) -> None:
        self._name = name
        self._tables = tables
        self._variable, self._default, self._url = variable, default, url
        self._opened = _Opened()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Give a connection on which every statement sees what is committed when it starts."""
        opened = self._here()
        assert opened.reader is not None
        with self._told(), opened.reader.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Give a connection whose statements are committed together, or not at all."""
        opened = self._here()
        assert opened.engine is not None
        with self._told(), opened.turn, opened.engine.begin() as connection:
            if connection.dialect.name == "sqlite":
                # a transaction that begins as a reader cannot wait for a writer when it turns into one: SQLITE_BUSY
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield connection

    def insert_if_absent(self, table: Table) -> Insert:
        """Return the statement that adds a row to `table`, or does nothing where its key is taken.

        The `rowcount` of its result tells which.
        """
        opened = self._here()
        if table not in opened.inserts:
            assert opened.engine is not None
            insert = sqlite.insert if opened.engine.dialect.name == "sqlite" else postgresql.insert
            opened.inserts[table] = insert(table).on_conflict_do_nothing().execution_options(preserve_rowcount=True)
        return opened.inserts[table]

    def ping(self) -> None:
        """Read as little as can be, of a table; raises as every use does where the store does not answer."""
        with self.reading() as connection:
            connection.execute(select(literal(1)).select_from(self._tables.sorted_tables[0]).limit(1)).first()

    def close(self) -> None:
        """Close this process's connections; the next use opens new ones."""
        opened, self._opened = self._opened, _Opened()
        if opened.engine is not None and opened.pid == os.getpid():
            opened.engine.dispose()

    def _here(self) -> _Opened:
        if self._opened.pid != os.getpid():
            self._leave_to_parent()
        opened = self._opened
        if opened.reader is None:
            with opened.opening:
                if opened.reader is None:
                    self._open(opened)
        return opened

    def _leave_to_parent(self) -> None:
        if self._opened.engine is not None:
            _inherited.append(self._opened.engine)
        self._opened = _Opened()

    def _open(self, opened: _Opened) -> None:
        url = self._url if self._url is not None else os.environ.get(self._variable) or self._default
        engine = open_engine(store_url(url, variable=self._variable), variable=self._variable)
        try:
            with self._told(f" on opening what {self._variable} names"):
                _create_tables(engine, self._tables)
        except BaseException:
            engine.dispose()
            raise
        is_sqlite = engine.dialect.name == "sqlite"
        opened.turn = threading.Lock() if is_sqlite else nullcontext()
        opened.engine = engine
        # spares PostgreSQL the BEGIN and ROLLBACK around a single SELECT; SQLite's driver begins nothing by itself
        opened.reader = engine if is_sqlite else engine.execution_options(isolation_level="AUTOCOMMIT")

    @contextmanager
    def _told(self, when: str = "") -> Iterator[None]:
        """Tell of a database's failure without what the database says: that may quote the row."""
        try:
            yield
        except SQLAlchemyError as error:
            raise StoreError(self._name, _reason(error) + when) from None


def _create_tables(engine: Engine, tables: MetaData) -> None:
    """Create what is absent; of several processes at once, one creates and the others find it done."""
    lock = "BEGIN IMMEDIATE" if engine.dialect.name == "sqlite" else "SELECT pg_advisory_xact_lock(7014736671)"
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text(lock))
        tables.create_all(connection)


def _reason(error: SQLAlchemyError) -> str:
    """Name the failure by its class and the database's own code for it."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    code = getattr(cause, "sqlite_errorname", None) or getattr(cause, "sqlstate", None)
    return f"{type(cause).__name__} ({code})" if code else type(cause).__name__
