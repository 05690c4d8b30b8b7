"""One run from start to end: stores, Valkey and worker up; traffic through; everything down again."""

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError

from console.driving import MOST_PENDING, Backlog, Driven, Driver
from console.errors import StuckError, UsageError
from console.output import byte_progress, note, progress
from console.pacing import Pace, Unpaced
from console.processes import WorkerProcess, embedded_valkey
from console.report import Report, build
from console.runs import Run, schema_of
from console.sources import BadLine, Source
from console.traffic import TrafficCall
from gnomon import Gnomon, Kind
from gnomon.connecting import connect
from gnomon.operation import Binding
from ledger import Ledger, database_url
from rollout import Policy
from rollout.policy_file import policy_in_force
from worker.registry import clients, load_operations
from worker.settings import load

Calls = Callable[[Mapping[str, Binding]], Iterable[TrafficCall | BadLine]]


@dataclass(slots=True)
class Session:
    """A run that is up."""

    run: Run
    redis_url: str
    client: Gnomon
    kinds: dict[str, Kind]
    policy: Policy
    backlog: Backlog
    worker: WorkerProcess

    def drive(
        self, calls: Calls, source: Source, *, pace: Pace | None = None, callers: int = 1
    ) -> tuple[Driven, Report]:
        """Make the calls that `calls` reads from `source`, wait until all are judged, and report."""
        started = time.monotonic()
        with byte_progress() as shown:
            task = shown.add_task("calls", total=source.total_bytes)

            def tend() -> None:
                shown.update(task, completed=source.position_bytes)
                self._keep_worker()

            driver = Driver(
                self.client,
                pace or Unpaced(),
                callers=callers,
                tend=tend,
                hold=lambda: self.backlog.sink_to(MOST_PENDING, self._keep_worker),
            )
            driven = driver.drive(calls(self.client.operations))
        with progress() as shown:
            task = shown.add_task("pending", total=driven.calls)
            self.backlog.wait(self._keep_worker, lambda left: shown.update(task, completed=driven.calls - left))
        seconds = time.monotonic() - started
        return driven, build(self.backlog.ledger, self.kinds, self.policy, seconds=seconds)

    def _keep_worker(self) -> None:
        if self.worker.ensure():
            note("The worker had died; a new one goes on where it left off.")


@contextlib.contextmanager
def session(run: Run) -> Iterator[Session]:
    """Bring a run up and, whatever happens, down again."""
    with contextlib.ExitStack() as stack:
        if run.redis_url:
            load(redis_url=run.redis_url, database_url=run.database_url)  # names what is malformed before using it
        redis_url = run.redis_url or stack.enter_context(embedded_valkey(run.path / "valkey"))
        _check_redis(redis_url)
        msgspec.structs.replace(run, up=redis_url).save()
        stack.callback(run.save)
        os.environ.update(run.environment(redis_url))
        _prepare_database(run)
        settings = load()
        policy = policy_in_force(settings.policy, datetime.now(UTC).date())
        bindings = load_operations(settings.operation_modules)
        client = _only(clients(settings.operation_modules))
        backlog = Backlog(settings)
        stack.callback(backlog.close)
        stack.callback(backlog.leave)
        worker = WorkerProcess(run.environment(redis_url), run.path / "worker.log")
        stack.callback(worker.stop)
        stack.callback(backlog.settle)
        stack.callback(client.close)
        kinds = {name: binding.kind for name, binding in bindings.items()}
        yield Session(run, redis_url, client, kinds, policy, backlog, worker)


def _only(found: list[Gnomon]) -> Gnomon:
    if len(found) != 1:
        raise UsageError(f"GNOMON_OPERATIONS: {len(found)} clients in its modules; a run drives exactly one")
    if found[0].health().status == "off":
        raise StuckError(
            "the operations were loaded before the run's settings were in place: nothing would be captured"
        )
    return found[0]


def _check_redis(url: str) -> None:
    with contextlib.closing(connect(url)) as server:
        server.ping()


def _prepare_database(run: Run) -> None:
    if schema := schema_of(run):
        _create_schema(run.database_url, schema)
    ledger = Ledger(run.database_url, namespace=run.namespace)
    try:
        ledger.migrate()
    finally:
        ledger.close()


def _create_schema(url: str, schema: str) -> None:
    engine = create_engine(database_url(url))
    try:
        with engine.begin() as connection:
            connection.execute(text(f'CREATE SCHEMA IF NOT EXISTS "{schema}"'))
    except DBAPIError as error:
        raise StuckError(
            f"GNOMON_DATABASE_URL: {type(error.orig).__name__}: {str(error.orig).splitlines()[0]}"
        ) from None
    finally:
        engine.dispose()
