"""SQLAlchemy engines as both memory systems need them; the settings of either database stand here and nowhere else."""

import sqlite3
import time
from typing import Any

from sqlalchemy import URL, Engine, create_engine, event

from gnomon_memory.checks import to_json
from gnomon_memory.errors import SettingError

__all__ = ["open_engine"]

BUSY_TIMEOUT_S = 30.0  # for a write: two processes of 16 threads each take turns far below it
CONNECTIONS = 16  # a worker process has 16 replay threads
POOL_TIMEOUT_S = 30.0


def open_engine(url: URL, *, variable: str) -> Engine:
    """Make the engine for `url`; PostgreSQL is not spoken to yet, a SQLite file is made."""
    sqlite = url.get_backend_name() == "sqlite"
    try:
        engine = create_engine(
            url,
            json_serializer=to_json,
            hide_parameters=True,  # a failing statement must not tell what it was to store
            pool_size=CONNECTIONS,
            max_overflow=CONNECTIONS,
            pool_timeout=POOL_TIMEOUT_S,
            # no isolation level: the driver begins no transaction by itself, so BEGIN IMMEDIATE can
            connect_args={"isolation_level": None, "timeout": BUSY_TIMEOUT_S} if sqlite else {},
        )
    except ModuleNotFoundError:
        raise SettingError(variable, "a SQLite URL unless gnomon[postgres] is installed") from None
    if sqlite:
        event.listen(engine, "connect", _set_up_sqlite)
    return engine


def _set_up_sqlite(connection: sqlite3.Connection, _record: Any) -> None:
    _use_wal(connection, deadline=time.monotonic() + BUSY_TIMEOUT_S)
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA foreign_keys = ON")


def _use_wal(connection: sqlite3.Connection, *, deadline: float) -> None:
    """Have readers and the writer not wait for each other; the file keeps the mode."""
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            # changing the mode does not wait for the process that does the same: SQLITE_BUSY whatever the timeout
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return
