"""Brings the ledger's tables to this version and checks that they are."""

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection, Engine, column, inspect, select, table

from ledger import retention
from ledger.engine import LedgerSchemaError, answering
from ledger.models import About, EpochRow
from ledger.upsert import insert_into

if TYPE_CHECKING:
    from alembic.config import Config

# alembic is imported where something is migrated: it costs 0.2 s, and every command and worker checks the tables
# alembic keeps what it is migrating in a module: two threads of a process must take turns
_migrating = threading.Lock()
MIGRATIONS: Final = Path(__file__).parent / "migrations"
FIRST_EPOCH: Final = 1
_REVISION: Final = table("alembic_version", column("version_num"))  # alembic's own table


def config(connection: Connection | None = None) -> "Config":
    """Return alembic's configuration, bound to an open connection where given."""
    from alembic.config import Config

    made = Config()
    made.set_main_option("script_location", str(MIGRATIONS))
    made.attributes["connection"] = connection
    return made


def newest_revision() -> str:
    """Return the revision that this version's tables are at: the files are numbered in their order."""
    return max(file.name for file in (MIGRATIONS / "versions").glob("[0-9]*.py")).partition("_")[0]


def migrate(engine: Engine, namespace: str, *, revision: str = "head") -> str:
    """Create or upgrade the tables and write down whose they are; safe to repeat, and from two hosts at once."""
    from alembic import command
    from alembic.runtime.migration import MigrationContext

    with _migrating, answering(engine), engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7103551)")  # one migrates, the others wait
        command.upgrade(config(connection), revision)
        connection.execute(
            insert_into(connection.dialect.name, About).values(namespace=namespace).on_conflict_do_nothing()
        )
        first = insert_into(connection.dialect.name, EpochRow).values(
            epoch=FIRST_EPOCH, share=0, build="", rules_version=0
        )
        connection.execute(first.on_conflict_do_nothing())
        _check_namespace(connection, namespace)
        retention.make_ahead(connection)
        return str(MigrationContext.configure(connection).get_current_revision())


def check(engine: Engine, namespace: str) -> None:
    """Raise LedgerSchemaError where the tables are missing, of another version, or of another namespace."""
    head = newest_revision()
    with answering(engine), engine.connect().execution_options(reading=True) as connection:
        found = connection.scalar(select(_REVISION)) if inspect(connection).has_table(_REVISION.name) else None
        if found is None:
            raise LedgerSchemaError("the ledger has no tables yet; create them with: gnomon migrate")
        if found != head:
            raise LedgerSchemaError(
                f"the ledger is at revision {found}, this version works with {head}: gnomon migrate"
            )
        _check_namespace(connection, namespace)


def _check_namespace(connection: Connection, namespace: str) -> None:
    found = connection.scalars(select(About.namespace)).all()
    if list(found) != [namespace]:
        owners = ", ".join(map(repr, found))
        raise LedgerSchemaError(f"this ledger belongs to namespace {owners}, not {namespace!r} (GNOMON_NAMESPACE)")
