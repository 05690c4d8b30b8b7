"""The two that are compared: each offers calls to workers of its own and knows how many have been judged."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Protocol

from celery import Celery
from sqlalchemy import func, select

from bench import baseline, operations
from bench.counts import LANES
from bench.measuring import BenchError
from bench.memories import answer, user_of
from bench.workers import PROCESSES, ROOT, BaselineWorker, standing_by
from console.processes import WorkerProcess
from gnomon import Gnomon
from ledger import Ledger

FLUSH_EVERY: Final = 2_000  # calls; the driver must never outrun the buffer, as a live application may
FLUSH_S: Final = 30.0
NAMESPACE: Final = "bench"


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
def hand_written(folder: Path, redis_url: str) -> Iterator[HandWritten]:
    """Bring the baseline up and down again."""
    broker, database = redis_url.removesuffix("/0") + "/1", f"sqlite:///{folder}/baseline.sqlite3"
    environment = {"BASELINE_BROKER_URL": broker, "BASELINE_DATABASE_URL": database, "PYTHONPATH": str(ROOT)}
    with (
        producing(broker) as task,
        standing_by(BaselineWorker(environment, folder / "baseline.log")) as worker,
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
        client = self.client()
        try:
            _call(client, count)
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

    def close(self) -> None:
        """Close its connections."""
        self._ledger.close()


def _call(client: Gnomon, count: int) -> None:
    recent = operations.register(client)
    for number in range(count):
        recent(user_of(number), number)
        if number % FLUSH_EVERY == FLUSH_EVERY - 1:
            _flush(client)
    _flush(client)


def _flush(client: Gnomon) -> None:
    if not client.flush(FLUSH_S):
        raise BenchError(f"Valkey has taken no captures for {FLUSH_S:g} s")


@contextlib.contextmanager
def ours(folder: Path, redis_url: str) -> Iterator[Ours]:
    """Bring ours up and down again."""
    environment = {
        "GNOMON_REDIS_URL": redis_url,
        "GNOMON_DATABASE_URL": f"sqlite:///{folder}/ledger.sqlite3",
        "GNOMON_NAMESPACE": NAMESPACE,
        "GNOMON_OPERATIONS": operations.__name__,
        "GNOMON_CONCURRENCY": str(PROCESSES),
        "GNOMON_LANES": str(LANES),
        "PYTHONPATH": str(ROOT),
    }
    _migrate(environment)
    with (
        standing_by(WorkerProcess(environment, folder / "worker.log")) as worker,
        contextlib.closing(Ours(worker, environment)) as contender,
    ):
        yield contender


def _migrate(environment: Mapping[str, str]) -> None:
    with contextlib.closing(Ledger(environment["GNOMON_DATABASE_URL"], namespace=NAMESPACE)) as ledger:
        ledger.migrate()
