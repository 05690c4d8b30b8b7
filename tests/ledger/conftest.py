"""Ledgers on both databases, one test body for the two, and the words to fill them with."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from ledger import Finding, LaneCommit, Ledger, Outcome, Position
from ledger.base import Base

DATABASES = ["sqlite", pytest.param("postgres", marks=pytest.mark.slow)]


@pytest.fixture(params=DATABASES)
def empty_url(request, tmp_path) -> str:
    """Give the URL of an empty database: a SQLite file, then one on a real PostgreSQL."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ledger.sqlite3'}"
    return request.getfixturevalue("postgres_url")


@pytest.fixture(scope="session")
def migrated_postgres_url(postgres_server) -> str:
    """Give one migrated PostgreSQL database for all tests of a ledger: making one for each takes half of their time."""
    with psycopg.connect(postgres_server.get_uri(), autocommit=True) as connection:
        connection.execute("CREATE DATABASE ledger_tests")
    url = postgres_server.get_uri("ledger_tests").replace("postgresql://", "postgresql+psycopg://", 1)
    ledger = Ledger(url)
    ledger.migrate()
    ledger.close()
    return url


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory) -> Path:
    """Give a migrated SQLite file to copy."""
    file = tmp_path_factory.mktemp("ledger") / "migrated.sqlite3"
    ledger = Ledger(f"sqlite:///{file}")
    ledger.migrate()
    ledger.close()
    return file


@pytest.fixture(params=DATABASES)
def url(request, tmp_path) -> str:
    """Give the URL of a migrated database without findings."""
    if request.param == "postgres":
        migrated = request.getfixturevalue("migrated_postgres_url")
        tables = ", ".join(name for name in Base.metadata.tables if name not in ("about", "epochs"))
        with psycopg.connect(migrated.replace("+psycopg", "")) as connection:
            connection.execute(f"TRUNCATE {tables} RESTART IDENTITY".encode())
            connection.execute(b"DELETE FROM epochs WHERE epoch > 1")
            first = "closed_at = NULL, rules_version = 0, share = 0, build = '', policy = '', why = '', flags = -1"
            connection.execute(f"UPDATE epochs SET {first}".encode())
        return migrated
    return f"sqlite:///{shutil.copy(request.getfixturevalue('migrated_file'), tmp_path / 'ledger.sqlite3')}"


@pytest.fixture
def open_ledger(url) -> Iterator[Callable[..., Ledger]]:
    """Open ledgers on the database, closed after the test."""
    opened: list[Ledger] = []

    def factory(*, namespace: str = "default") -> Ledger:
        opened.append(Ledger(url, namespace=namespace))
        return opened[-1]

    yield factory
    for ledger in opened:
        ledger.close()


@pytest.fixture
def ledger(open_ledger) -> Ledger:
    """Give a migrated ledger."""
    return open_ledger()


@pytest.fixture
def dump(url) -> Iterator[Callable[..., dict[str, list[dict[str, Any]]]]]:
    """Read every row of every table there is, or of some, whatever the models say."""
    engine = sa.create_engine(url)

    def tables(*names: str) -> dict[str, list[dict[str, Any]]]:
        found = sa.MetaData()
        with engine.connect() as connection:
            found.reflect(connection, only=names or None)
            return {
                name: [dict(row) for row in connection.execute(sa.select(table)).mappings()]
                for name, table in found.tables.items()
            }

    yield tables
    engine.dispose()


@pytest.fixture(scope="session")
def read() -> Callable[..., Any]:
    """Ask one thing of a ledger, by name, in a snapshot of its own."""

    def asked(ledger: Ledger, name: str, *args: Any) -> Any:
        with ledger.reading() as reading:
            return getattr(reading, name)(*args)

    return asked


class Holder:
    """Holds one lane and commits to it, each commit one step on."""

    def __init__(self, ledger: Ledger, lane: int = 0) -> None:
        self.ledger = ledger
        self.lane = lane
        taken = ledger.take(lane)
        self.fence, self.position = taken.fence, taken.position

    def next(self, *findings: Finding) -> LaneCommit:
        (ms, _), (cut, _) = self.position
        after = Position((ms + 1, 0), (cut + 1, ""))
        return LaneCommit(lane=self.lane, fence=self.fence, before=self.position, after=after, findings=findings)

    def commit(self, *findings: Finding) -> LaneCommit:
        commit = self.next(*findings)
        self.ledger.commit(commit)
        self.position = commit.after
        return commit


@pytest.fixture(scope="session")
def hold() -> type[Holder]:
    """Take a lane of a ledger, to commit to it."""
    return Holder


@pytest.fixture(scope="session")
def finding() -> Callable[..., Finding]:
    """Make findings, each of another capture unless told otherwise."""
    numbers = iter(range(1, 10_000_000))

    def make(outcome: Outcome = Outcome.MATCH, **more: Any) -> Finding:
        made = {
            "capture_id": f"p-{next(numbers)}",
            "operation": "memory.recent",
            "epoch": 1,
            "user": "ann",
            "called_at_us": 1_790_000_000_000_000,
        }
        return Finding(outcome=outcome, **{**made, **more})

    return make
