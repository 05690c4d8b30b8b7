"""What one would write by hand: a Celery task a call that carries the payload, deepdiff, a row and a commit a result.

Written as a user would write it, with what the manuals advise: late acknowledgement, no result backend, SQLite in WAL
mode, one engine a process.
"""

import os
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final

from celery import Celery, shared_task
from deepdiff import DeepDiff
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from bench.operations import enhanced_recent

COMPARE: Final = "baseline.compare"

app = Celery("baseline", broker=os.environ.get("BASELINE_BROKER_URL"), set_as_current=False)


class Base(DeclarativeBase):
    """The baseline's tables."""


class Comparison(Base):
    """One compared call."""

    __tablename__ = "comparisons"
    id: Mapped[int] = mapped_column(primary_key=True)
    operation: Mapped[str]
    user_id: Mapped[str]
    differs: Mapped[bool]
    differences: Mapped[str]
    compared_at: Mapped[datetime]


def open_database(url: str) -> Engine:
    """Return an engine for the baseline's database."""
    engine = create_engine(url)
    if engine.dialect.name != "sqlite":
        return engine

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: object) -> None:
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "busy_timeout=30000"):
            connection.execute(f"PRAGMA {pragma}")

    return engine


@cache
def database() -> Engine:
    """Return this process's engine."""
    return open_database(os.environ["BASELINE_DATABASE_URL"])


@shared_task(name=COMPARE, acks_late=True, ignore_result=True)
def compare(operation: str, args: dict[str, Any], legacy: list[dict[str, Any]]) -> None:
    """Ask enhanced the same, compare, and keep the result."""
    enhanced = enhanced_recent(**args)
    difference = DeepDiff(legacy, enhanced, ignore_order=True)
    with Session(database()) as session:
        session.add(
            Comparison(
                operation=operation,
                user_id=args["user_id"],
                differs=bool(difference),
                differences=difference.to_json(),
                compared_at=datetime.now(UTC),
            )
        )
        session.commit()
