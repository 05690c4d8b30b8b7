"""Alembic's entry: migrates the connection handed over, or the database that GNOMON_DATABASE_URL names."""

import os

from alembic import context
from sqlalchemy import Connection

from ledger.base import Base
from ledger.engine import open_engine
from ledger.partitions import is_partition


def run() -> None:
    connection = context.config.attributes.get("connection")
    if connection is not None:
        _migrate(connection)
        return
    with open_engine(os.environ["GNOMON_DATABASE_URL"]).begin() as opened:
        _migrate(opened)


def _migrate(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=Base.metadata, include_name=_is_compared)
    with context.begin_transaction():
        context.run_migrations()


def _is_compared(name: str | None, kind: str, _of: object) -> bool:
    """Leave partitions out: they come and go by the day."""
    return not (kind == "table" and name and is_partition(name))


run()
