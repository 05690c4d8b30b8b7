"""Ledgers on both databases, one test body for the two, and the words to fill them with."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from ledger import Finding, LaneCommit, Ledger, Outcome, Position

MINUTE_US = 60_000_000


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.slow)])
def url(request, tmp_path) -> str:
    """Give the URL of an empty database: a SQLite file, then one on a real PostgreSQL."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ledger.sqlite3'}"
    return request.getfixturevalue("postgres_url")


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
    made = open_ledger()
    made.migrate()
    return made


@pytest.fixture
def dump(url) -> Iterator[Callable[[], dict[str, list[dict[str, Any]]]]]:
    """Read every row of every table there is, whatever the models say."""
    engine = sa.create_engine(url)

    def tables() -> dict[str, list[dict[str, Any]]]:
        found = sa.MetaData()
        with engine.connect() as connection:
            found.reflect(connection)
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
        self.fence, self.position = ledger.take(lane)

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
