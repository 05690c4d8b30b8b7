"""Opens the ledger's database: SQLite in WAL mode where embedded, PostgreSQL in production."""

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DatabaseError

if TYPE_CHECKING:
    from collections.abc import Iterator

BUSY_MS: Final = 30_000  # longer than any checkpoint: a writer waits, it does not fail
IDLE_MS: Final = 15_000  # as long as a lease: a worker frozen in a transaction holds nobody up for longer
# nor does one that was frozen while it sent rows, whom the server takes to be at work; a commit takes 0.1 s at most
TRANSACTION_MS: Final = 30_000
_TRANSACTION_TIMEOUT_SINCE: Final = (17,)
#: for connections whose other end is gone without a word; what the URL says of them stands
_PATIENCE: Final = {
    "connect_timeout": "10",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
}
_POSTGRES: Final = ("postgres", "postgresql")


class LedgerError(Exception):
    """The ledger cannot be used.

    LedgerError
    ├── LedgerUnreachableError   the database does not answer, or the URL is none
    ├── LedgerSchemaError        its tables are missing, older or newer, or another namespace's
    ├── RuleError                what was asked of the rules cannot be done (ledger.rules)
    ├── NotParkedError           captures were named to be decided upon that are not parked (ledger.parked)
    └── FencedError              another worker has taken the lane since
    """


class LedgerUnreachableError(LedgerError):
    """The database does not answer, or its URL cannot be used."""


class LedgerSchemaError(LedgerError):
    """The tables are not those this version works with."""


class FencedError(LedgerError):
    """Another worker has taken the lane since: nothing was written."""

    def __init__(self, lane: int, fence: int) -> None:
        super().__init__(f"lane {lane} is no longer held under fence {fence}")
        self.lane = lane
        self.fence = fence


def database_url(text: str) -> URL:
    """Return a database URL with the drivers that Gnomon brings; raises LedgerUnreachableError for anything else."""
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise LedgerUnreachableError("not a database URL; expected sqlite:///FILE or postgresql://…") from None
    name = url.get_backend_name()
    if name in _POSTGRES:
        return url.set(drivername="postgresql+psycopg")
    if name == "sqlite" and url.database not in (None, "", ":memory:"):
        return url
    raise LedgerUnreachableError(f"cannot keep a ledger in {name!r}; expected sqlite:///FILE or postgresql://…")


def open_engine(text: str) -> Engine:
    """Return an engine; nothing is connected yet."""
    url = database_url(text)
    if url.get_backend_name() == "sqlite":
        _make_folder(Path(str(url.database)).parent)
        engine = create_engine(url, hide_parameters=True)
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    url = url.set(query={**_PATIENCE, **url.query})
    engine = create_engine(url, hide_parameters=True, pool_size=2, max_overflow=4, pool_pre_ping=True)
    event.listen(engine, "connect", _prepare_postgres)
    event.listen(engine, "begin", _begin_postgres)
    return engine


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LedgerUnreachableError(f"{folder}: {error.strerror or type(error).__name__}") from None


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # transactions are begun below, not by the driver
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", f"busy_timeout={BUSY_MS}", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _prepare_postgres(connection: Any, _record: object) -> None:
    name = "idle_in_transaction_session_timeout"
    with connection.cursor() as cursor:  # where nobody has set one: a statement passes PgBouncer, an option may not
        cursor.execute(f"SELECT set_config('{name}', '{IDLE_MS}', false) WHERE current_setting('{name}') = '0'")
    connection.commit()


def _begin_postgres(connection: Connection) -> None:
    version = connection.dialect.server_version_info or ()
    if connection.get_execution_options().get("short") and version >= _TRANSACTION_TIMEOUT_SINCE:
        name = "transaction_timeout"
        connection.exec_driver_sql(
            f"SELECT set_config('{name}', '{TRANSACTION_MS}', true) WHERE current_setting('{name}') = '0'"
        )


def _begin_sqlite(connection: Connection) -> None:
    # IMMEDIATE: a transaction that will write must not find out half-way that another one does
    reading = connection.get_execution_options().get("reading", False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")


@contextmanager
def answering(engine: Engine) -> "Iterator[None]":
    """Turn a database that does not answer into LedgerUnreachableError, without its URL's password."""
    try:
        yield
    except DatabaseError as error:
        place = engine.url.set(query={}).render_as_string(hide_password=True)  # a query may hold a password too
        why = str(error.orig).strip().splitlines()[0] if str(error.orig).strip() else type(error.orig).__name__
        raise LedgerUnreachableError(f"{place}: {why}") from None
