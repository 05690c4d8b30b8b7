"""The two that are compared: each offers calls to workers of its own and knows how many have been judged."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from celery import Celery
from sqlalchemy import func, select

from bench import baseline, operations
from bench.counts import LANES
from bench.measuring import BenchError
from bench.memories import USERS, answer, user_of
from bench.workers import PROCESSES, ROOT, BaselineWorker, standing_by
from console.processes import WorkerProcess
from gnomon import Gnomon
from ledger import Ledger, PairSums

FLUSH_EVERY: Final = 2_000  # calls; the driver must never outrun the buffer, as a live application may
FLUSH_S: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Where contenders keep what they find, and how long enhanced waits for each answer.

    Several share one Valkey: each has a namespace for ours and a database number for the messages of the other.
    """

    name: str  #: empty for the first, which the others are told apart from
    namespace: str
    broker_db: int
    database: Callable[[str], str]  #: makes an empty one by name and returns its URL
    io_s: float = 0.0

    def named(self, side: str) -> str:
        """Name a side in this setting."""
        return f"{side}, {self.name}" if self.name else side


def files_in(folder: Path) -> Callable[[str], str]:
    """Return what makes a SQLite file in a folder by name."""
    return lambda name: f"sqlite:///{folder}/{name}.sqlite3"


class Contender(Protocol):
    """A way to have calls compared."""

    worker: WorkerProcess

    def offer(self, count: int) -> None:
        """Make `count` calls and hand them over to the workers."""

    def done(self) -> int:
        """Return how many are committed."""

    def differing(self) -> int:
        """Return how many of them were found to differ."""


class HandWritten:
    """One Celery task a call."""

    def __init__(self, worker: WorkerProcess, task: Any, database_url: str) -> None:
        self.worker = worker
        self._task = task
        self._database = baseline.open_database(database_url)
        baseline.Base.metadata.create_all(self._database)

    def offer(self, count: int) -> None:
        """Send the messages, one by one, as the live path would."""
        for number in range(count):
            user = user_of(number)
            self._task.delay("memory.recent", {"user_id": user, "number": number}, answer(user, number))

    def done(self) -> int:
        """Return how many rows there are."""
        return self._count()

    def differing(self) -> int:
        """Return how many rows say so."""
        return self._count(baseline.Comparison.differs)

    def _count(self, *where: Any) -> int:
        with self._database.connect() as connection:
            return int(connection.scalar(select(func.count()).select_from(baseline.Comparison).where(*where)) or 0)

    def close(self) -> None:
        """Close its connections."""
        self._database.dispose()


@contextlib.contextmanager
def hand_written(folder: Path, redis_url: str, setting: Setting) -> Iterator[HandWritten]:
    """Bring the baseline up and down again."""
    broker = redis_url.removesuffix("/0") + f"/{setting.broker_db}"
    database = setting.database(f"{setting.namespace}-baseline")
    environment = {
        "BASELINE_BROKER_URL": broker,
        "BASELINE_DATABASE_URL": database,
        "PYTHONPATH": str(ROOT),
        operations.IO_VARIABLE: str(setting.io_s),
    }
    with (
        producing(broker) as task,
        standing_by(BaselineWorker(environment, folder / f"{setting.namespace}-baseline.log")) as worker,
        contextlib.closing(HandWritten(worker, task, database)) as contender,
    ):
        yield contender


@contextlib.contextmanager
def producing(broker_url: str) -> Iterator[Any]:
    """Give the baseline's task as a live application has it, which only sends."""
    app = Celery("producer", broker=broker_url, set_as_current=False)
    try:
        yield app.tasks[baseline.COMPARE]
    finally:
        app.close()


class Ours:
    """Captures into lanes, drained by Gnomon's worker."""

    def __init__(self, worker: WorkerProcess, environment: Mapping[str, str]) -> None:
        self.worker = worker
        self._environment = environment
        self._ledger = Ledger(environment["GNOMON_DATABASE_URL"], namespace=environment["GNOMON_NAMESPACE"])

    def offer(self, count: int) -> None:
        """Make the calls through the wrapped operation, as fast as they go, until all lie in their lanes."""
        with self.calling() as make:
            make(range(count), USERS)

    @contextlib.contextmanager
    def calling(self) -> Iterator[Callable[[range, int], None]]:
        """Be one live process for longer: yields what makes the calls of these numbers, by so many users in turn."""
        client = self.client()
        try:
            recent = operations.register(client)
            yield lambda numbers, users: _make(client, recent, numbers, users)
        finally:
            client.close()

    def client(self) -> Gnomon:
        """Return a client of a live process."""
        return Gnomon.from_env(self._environment)

    def done(self) -> int:
        """Return how many captures the lanes have finished."""
        with self._ledger.reading() as reading:
            return reading.done()

    def differing(self) -> int:
        """Return how many diverged."""
        with self._ledger.reading() as reading:
            return sum(sums.outcomes["diverged"] for sums in reading.sums().values())

    def pairs(self) -> PairSums:
        """Return the reads that its workers made of both systems."""
        with self._ledger.reading() as reading:
            return reading.pairs().get("memory.recent", PairSums())

    def close(self) -> None:
        """Close its connections."""
        self._ledger.close()


def _make(client: Gnomon, recent: Any, numbers: range, users: int) -> None:
    for made, number in enumerate(numbers, 1):
        recent(user_of(number, users), number)
        if made % FLUSH_EVERY == 0:
            _flush(client)
    _flush(client)


def _flush(client: Gnomon) -> None:
    if not client.flush(FLUSH_S):
        raise BenchError(f"Valkey has taken no captures for {FLUSH_S:g} s")


@contextlib.contextmanager
def ours(
    folder: Path,
    redis_url: str,
    setting: Setting,
    *,
    lanes: int = LANES,
    settings: Mapping[str, str] | None = None,
) -> Iterator[Ours]:
    """Bring ours up and down again; its workers with the `settings` given."""
    environment = {
        "GNOMON_REDIS_URL": redis_url,
        "GNOMON_DATABASE_URL": setting.database(f"{setting.namespace}-ledger"),
        "GNOMON_NAMESPACE": setting.namespace,
        "GNOMON_OPERATIONS": operations.__name__,
        "GNOMON_CONCURRENCY": str(PROCESSES),
        "GNOMON_LANES": str(lanes),
        "PYTHONPATH": str(ROOT),
        operations.IO_VARIABLE: str(setting.io_s),
        **{f"GNOMON_{name.upper()}": value for name, value in (settings or {}).items()},
    }
    _migrate(environment)
    with (
        standing_by(WorkerProcess(environment, folder / f"{setting.namespace}-worker.log")) as worker,
        contextlib.closing(Ours(worker, environment)) as contender,
    ):
        yield contender


def _migrate(environment: Mapping[str, str]) -> None:
    url, namespace = environment["GNOMON_DATABASE_URL"], environment["GNOMON_NAMESPACE"]
    with contextlib.closing(Ledger(url, namespace=namespace)) as ledger:
        ledger.migrate()
