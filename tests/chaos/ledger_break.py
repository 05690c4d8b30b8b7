"""The ledger's database is stopped, locked, or has no room left."""

import contextlib
import sqlite3
from collections.abc import Iterator

from tests.chaos.naming import fault
from tests.chaos.rig import Store
from tests.chaos.trial import Trial

LOCKED_S = 33.0  # longer than a worker waits for SQLite


@fault("PostgreSQL stopped", "stopped in immediate mode in the midst of commits, started again", store=Store.POSTGRES)
def _stopped(trial: Trial) -> Iterator[None]:
    postgres = trial.rig.postgres
    assert postgres
    for _ in range(trial.size.times):
        trial.hold(1)
        postgres.stop()
        trial.hold(min(trial.size.hold_s, 3))
        postgres.start()
    yield


@fault("PostgreSQL row locked", "the rows of all lanes locked by somebody else's transaction", store=Store.POSTGRES)
def _row(trial: Trial) -> Iterator[None]:
    _locked(trial, "SELECT * FROM lanes ORDER BY lane FOR UPDATE")
    yield


@fault("PostgreSQL table locked", "the tallies locked against every access", store=Store.POSTGRES)
def _table(trial: Trial) -> Iterator[None]:
    _locked(trial, "LOCK TABLE tallies IN ACCESS EXCLUSIVE MODE")
    yield


def _locked(trial: Trial, statement: str) -> None:
    assert trial.rig.postgres
    with trial.rig.postgres.connect() as connection:
        connection.execute(statement.encode())
        trial.hold()
        connection.rollback()


@fault("SQLite locked", "BEGIN EXCLUSIVE held for longer than its busy timeout of 30 s")
def _exclusive(trial: Trial) -> Iterator[None]:
    with contextlib.closing(sqlite3.connect(trial.rig.ledger_file, isolation_level=None)) as connection:
        connection.execute("PRAGMA busy_timeout=10000")
        connection.execute("BEGIN EXCLUSIVE")
        trial.hold(trial.size.hold_s if trial.size.hurried else LOCKED_S)
        connection.execute("ROLLBACK")
    yield


@fault("ledger's disk full", "no byte left where SQLite writes, then room again", small=("ledger",))
def _disk(trial: Trial) -> Iterator[None]:
    with trial.rig.rooms["ledger"].full():
        trial.hold()
    yield
