"""Options that several commands share, and the place that they look at."""

import contextlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

import redis
import typer

from console.errors import UsageError
from console.runs import Run, open_run
from gnomon import Kind
from gnomon.connecting import connect
from ledger import Ledger
from rollout import Policy
from rollout.policy_file import policy_in_force
from worker.lanes import LaneStore
from worker.registry import load_operations
from worker.settings import WorkerSettings, load

Json = Annotated[bool, typer.Option("--json", help="Print JSON alone on stdout.")]
RunName = Annotated[str | None, typer.Option("--run", metavar="ID", help="Look at this run instead of the latest.")]
Live = Annotated[bool, typer.Option("--live", help="Look at the deployment that the GNOMON_* variables name.")]


_NOWHERE = "redis://127.0.0.1:0/0"  # for settings that must name one where there is none any more


@dataclass(frozen=True, slots=True)
class Place:
    """What a command looks at: a run, or the deployment."""

    settings: WorkerSettings
    run: Run | None

    @property
    def name(self) -> str:
        """What it is called where it has to be told from another."""
        return f"run {self.run.id}" if self.run else f"namespace {self.settings.namespace}"

    @property
    def ended(self) -> bool:
        """Whether it is a run whose embedded Valkey is gone; its ledger is there."""
        return self.run is not None and not (self.run.redis_url or self.run.up)

    def ledger(self) -> Ledger:
        """Open its ledger; raises LedgerError where it cannot be used."""
        ledger = Ledger(self.settings.database_url.get_secret_value(), namespace=self.settings.namespace)
        ledger.check()
        return ledger

    def lanes(self) -> LaneStore:
        """Open its lanes; whether Redis answers shows at the first question."""
        return LaneStore(connect(self.settings.redis_url.get_secret_value()), self.settings.namespace)

    @property
    def all_lanes(self) -> range:
        """The numbers of its lanes."""
        return range(self.settings.lanes)

    def oldest_pending(self) -> datetime | None:
        """Return since when captures wait; None where none do, or where Redis does not answer."""
        if self.ended:
            return None
        with contextlib.closing(self.lanes()) as lanes, contextlib.suppress(redis.RedisError):
            return lanes.oldest(self.all_lanes)
        return None

    def policy(self) -> Policy:
        """Return what a candidate must prove today; raises ConfigurationError for a file that cannot be used."""
        return policy_in_force(self.settings.policy, datetime.now(UTC).date())

    def kinds(self) -> dict[str, Kind]:
        """Return its operations and their kinds; raises ConfigurationError where they cannot be loaded."""
        return {name: b.kind for name, b in load_operations(self.settings.operation_modules).items()}


def place(run: str | None, *, live: bool) -> Place:
    """Return what to look at: the run named, the deployment, or by default the latest run, else the deployment."""
    if live and run:
        raise UsageError("--run and --live exclude each other")
    found = None if live else open_run(run)
    if found is None:
        return Place(load(), None)
    settings = load(
        redis_url=found.redis_url or found.up or _NOWHERE,
        database_url=found.database_url,
        operations=found.operations,
        namespace=found.namespace,
    )
    return Place(settings, found)
