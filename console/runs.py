"""Runs: each `run` and `demo` has a folder of its own with its namespace, its stores and its ledger."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex
from typing import Final

import msgspec
from sqlalchemy.engine import URL

from console.errors import UsageError
from ledger import LedgerError, database_url

ROOT: Final = Path(".gnomon") / "runs"
#: nobody waits in a run, so it sheds nobody and lets nothing expire however long it takes, unless told to
_PATIENCE: Final = {
    "GNOMON_TOTAL_BYTES": str(4 * 1024**3),
    "GNOMON_SHED_LAG_S": "1e9",
    "GNOMON_EXPIRE_AFTER_S": "1e9",
}
_MANIFEST: Final = "run.json"


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One run: what it was started with, kept as `run.json` in its folder. `folder` is absolute."""

    id: str
    folder: str
    namespace: str
    operations: str
    database_url: str
    legacy_url: str
    enhanced_url: str
    redis_url: str | None = None  #: None: an embedded Valkey, gone with the run
    up: str | None = None  #: where its Redis is, while it is up
    traffic: str = ""

    @property
    def path(self) -> Path:
        """Its folder."""
        return Path(self.folder)

    def environment(self, redis_url: str) -> dict[str, str]:
        """Return the variables that live path and workers of this run are started with."""
        return {
            "GNOMON_REDIS_URL": redis_url,
            "GNOMON_DATABASE_URL": self.database_url,
            "GNOMON_NAMESPACE": self.namespace,
            "GNOMON_OPERATIONS": self.operations,
            "GNOMON_MEMORY_LEGACY_URL": self.legacy_url,
            "GNOMON_MEMORY_ENHANCED_URL": self.enhanced_url,
            **{name: os.environ.get(name, default) for name, default in _PATIENCE.items()},
        }

    def save(self) -> None:
        """Write the manifest."""
        self.path.mkdir(parents=True, exist_ok=True)
        (self.path / _MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(self)))


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run keeps its tables: a folder of SQLite files, or a schema of a PostgreSQL database."""

    ledger: str
    legacy: str
    enhanced: str


def new_run(*, operations: str, traffic: str = "", environ: Mapping[str, str] = os.environ) -> Run:
    """Make a run against the configured Redis and database, or the embedded ones."""
    run_id = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{token_hex(2)}"
    folder = (ROOT / run_id).absolute()
    folder.mkdir(parents=True)
    configured = environ.get("GNOMON_DATABASE_URL", "").strip()
    place = _place(configured, f"gnomon_run_{run_id.replace('-', '_')}", folder)
    return Run(
        id=run_id,
        folder=str(folder),
        namespace=f"run-{run_id}",
        operations=operations,
        database_url=place.ledger,
        legacy_url=place.legacy,
        enhanced_url=place.enhanced,
        redis_url=environ.get("GNOMON_REDIS_URL", "").strip() or None,
        traffic=traffic,
    )


def _place(configured: str, schema: str, folder: Path) -> Place:
    if not configured or _url(configured).get_backend_name() == "sqlite":
        files = (f"sqlite:///{folder / name}.sqlite3" for name in ("ledger", "legacy", "enhanced"))
        return Place(*files)
    url = _url(configured).update_query_dict({"options": f"-csearch_path={schema}"})
    spelled = url.render_as_string(hide_password=False)
    return Place(spelled, spelled, spelled)


def _url(configured: str) -> URL:
    try:
        return database_url(configured)
    except LedgerError as error:
        raise UsageError(f"GNOMON_DATABASE_URL: {error}") from None


def schema_of(run: Run) -> str | None:
    """Return the PostgreSQL schema that a run's tables live in; None where they are files."""
    url = database_url(run.database_url)
    options = str(url.query.get("options", ""))
    return options.partition("search_path=")[2] or None


def open_run(name: str | None = None) -> Run | None:
    """Return the run named, or the latest; None where there is none yet. Raises UsageError for an unknown name."""
    if name is not None:
        return _read(ROOT / name / _MANIFEST, name)
    manifests = sorted(ROOT.glob(f"*/{_MANIFEST}"))
    return _read(manifests[-1], manifests[-1].parent.name) if manifests else None


def _read(manifest: Path, name: str) -> Run:
    try:
        return msgspec.json.decode(manifest.read_bytes(), type=Run)
    except FileNotFoundError:
        raise UsageError(f"there is no run {name!r} under {ROOT}/") from None
    except msgspec.MsgspecError:
        raise UsageError(f"run {name!r}: {manifest} cannot be read") from None
