"""Retention: what grows with time is kept for some days; the gate's tallies and the funnel never end.

In PostgreSQL days are dropped whole; what lies in no day's partition, and all in SQLite, is deleted in small
transactions, so that no commit waits for long.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final

import structlog
from sqlalchemy import Connection, Engine, Integer, delete, func, literal_column, select, text
from sqlalchemy.exc import OperationalError

from ledger import partitions
from ledger.base import Instant
from ledger.models import DivergenceRow, MinuteRow
from ledger.review_models import GroupMemberRow, SampleRow
from ledger.rollout_models import EvaluationRow

log = structlog.get_logger()

CHUNK: Final = 500  # rows of divergences in one transaction: some 10 ms
MOST_CHUNKS: Final = 100  # in one go; the next one takes up where it ended
_LOCK: Final = 7_103_552  # who looks after partitions, of all hosts


@dataclass(frozen=True, slots=True)
class Retained:
    """What retention did: partitions made and dropped, rows deleted one by one."""

    made: int = 0
    dropped: int = 0
    deleted: int = 0


def retain(engine: Engine, days: int) -> Retained:
    """Keep the last `days` days, by the database's clock, and today; make partitions ahead."""
    if engine.dialect.name == "postgresql":
        return _Partitioned(engine, days).retain()
    with engine.connect().execution_options(reading=True) as connection:
        now = connection.scalar(select(func.now(type_=Instant())))
    assert isinstance(now, datetime)
    return Retained(deleted=_delete_whole(engine, now.date() - timedelta(days=days)))


def make_ahead(connection: Connection) -> int:
    """Make the partitions that are missing, where there are any; returns how many."""
    if connection.dialect.name != "postgresql":
        return 0
    found = list(partitions.missing(connection))
    for partition in found:
        partitions.make(connection, partition)
    return len(found)


class _Partitioned:
    """A ledger in PostgreSQL, looked after by one host at a time."""

    def __init__(self, engine: Engine, days: int) -> None:
        self._engine = engine
        self._days = days
        self._made = self._dropped = 0

    def retain(self) -> Retained:
        with self._engine.connect() as connection:
            wanted = list(partitions.missing(connection))
            cutoff = partitions.today(connection) - timedelta(days=self._days)
            found = [each for table in partitions.TABLES for each in partitions.existing(connection, table)]
        self._made = sum(self._alone(partitions.make, each) for each in wanted)
        self._dropped = sum(self._alone(partitions.drop, each) for each in found if each.is_over(cutoff))
        deleted = _delete_samples(self._engine, cutoff) + _delete_evaluations(self._engine, cutoff)
        left = [each for each in found if not each.is_over(cutoff) and (each.before or each.day is None)]
        return Retained(self._made, self._dropped, deleted + sum(self._empty(each, cutoff) for each in left))

    def _alone(self, change: Callable[[Connection, partitions.Partition], None], one: partitions.Partition) -> bool:
        """Make one change; False where another host is at it, or a lock was not to be had: the next time, then."""
        try:
            with self._engine.begin() as connection:
                if not connection.scalar(select(func.pg_try_advisory_xact_lock(_LOCK))):
                    return False
                there = one in partitions.existing(connection, one.table)
                if there is not (change is partitions.drop):
                    return False  # another host was quicker
                change(connection, one)
        except OperationalError as error:
            log.warning("retention.waits", partition=one.name, error=type(error.orig).__name__)
            return False
        return True

    def _empty(self, partition: partitions.Partition, cutoff: date) -> int:
        """Delete what is too old in a partition that holds more."""
        bound = f"{partitions.TABLES[partition.table]} < {partitions.boundary(partition.table, cutoff)}"
        statement = text(
            f"DELETE FROM {partition.name} WHERE ctid = ANY (ARRAY("  # noqa: S608 — names of ours
            f"SELECT ctid FROM {partition.name} WHERE {bound} LIMIT {CHUNK}))"
        )
        return _in_chunks(self._engine, lambda connection: connection.execute(statement).rowcount)


def _delete_whole(engine: Engine, cutoff: date) -> int:
    """Delete what is older than a day, where there are no partitions."""
    since = datetime.combine(cutoff, time(), UTC)
    minute = int(since.timestamp()) // 60
    deleted = _in_chunks(engine, lambda connection: _delete_divergences(connection, since))
    deleted += _delete_samples(engine, cutoff) + _delete_evaluations(engine, cutoff)
    rowid = literal_column("rowid", Integer)
    old = select(rowid).select_from(MinuteRow).where(MinuteRow.minute < minute).limit(CHUNK)
    return deleted + _in_chunks(
        engine, lambda connection: _count(connection.execute(delete(MinuteRow).where(rowid.in_(old))))
    )


def _delete_divergences(connection: Connection, since: datetime) -> int:
    query = select(DivergenceRow.capture_id).where(DivergenceRow.called_at < since)
    names = list(connection.scalars(query.order_by(DivergenceRow.called_at).limit(CHUNK)))
    for row in (GroupMemberRow, DivergenceRow):
        connection.execute(delete(row).where(row.capture_id.in_(names), row.called_at < since))
    return len(names)


def _delete_samples(engine: Engine, cutoff: date) -> int:
    """Delete samples that are older than a day; there are but three a group."""
    since = datetime.combine(cutoff, time(), UTC)
    with engine.begin() as connection:
        return _count(connection.execute(delete(SampleRow).where(SampleRow.called_at < since)))


def _delete_evaluations(engine: Engine, cutoff: date) -> int:
    """Delete looks of the gate that are older than a day; what they changed is in the audit, which does not end."""
    since = datetime.combine(cutoff, time(), UTC)
    old = select(EvaluationRow.id).where(EvaluationRow.at < since).order_by(EvaluationRow.id).limit(CHUNK)
    return _in_chunks(
        engine,
        lambda connection: _count(connection.execute(delete(EvaluationRow).where(EvaluationRow.id.in_(old)))),
    )


def _count(result: Any) -> int:
    return int(result.rowcount)


def _in_chunks(engine: Engine, delete_some: Callable[[Connection], int]) -> int:
    """Delete until nothing is left, or enough is done for once; returns how many."""
    deleted = 0
    for _ in range(MOST_CHUNKS):
        with engine.begin() as connection:
            gone = delete_some(connection)
        deleted += gone
        if gone < CHUNK:
            break
    return deleted
