"""The partitions of what grows with time, in PostgreSQL: one a day, made ahead, dropped whole.

Their names say what they hold: `divergences_20261129` that day (UTC), `divergences_before_20261129` what an older
version left up to that day, `divergences_rest` what belongs to no day that there is: captures older than the ledger,
clocks that are ahead. So whatever is committed finds a place.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final, Self

from sqlalchemy import Connection, text

DAYS_AHEAD: Final = 7  # so long may nobody look after partitions until rows go to the rest
LOCK_MS: Final = 5_000  # commits wait behind whoever waits for a lock: rather try again later
_MINUTES: Final = 1_440  # a day's
_EPOCH: Final = date(1970, 1, 1)
_NAME: Final = re.compile(r"^(divergences|group_members|minutes)_(?:(before_)?(\d{8})|rest)$")

#: what is partitioned, and by what; members of groups before what they are members of
TABLES: Final = {"group_members": "called_at", "divergences": "called_at", "minutes": "minute"}


@dataclass(frozen=True, slots=True)
class Partition:
    """One partition as its name tells it; `day` is None for the rest."""

    name: str
    table: str
    day: date | None
    before: bool = False  #: holds what came before that day

    @classmethod
    def named(cls, name: str) -> Self | None:
        """Read a table's name; None where it is no partition of ours."""
        found = _NAME.match(name)
        if found is None:
            return None
        day = datetime.strptime(found[3], "%Y%m%d").replace(tzinfo=UTC).date() if found[3] else None
        return cls(name, found[1], day, bool(found[2]))

    def is_over(self, cutoff: date) -> bool:
        """Tell whether all that it holds is older than the day `cutoff`."""
        return self.day is not None and (self.day <= cutoff if self.before else self.day < cutoff)


def is_partition(name: str) -> bool:
    """Tell whether a table is a partition of ours."""
    return Partition.named(name) is not None


def boundary(table: str, day: date) -> str:
    """Return the beginning of a day as SQL, in the unit by which a table is partitioned."""
    if TABLES[table] == "minute":
        return str((day - _EPOCH).days * _MINUTES)
    return f"timestamptz '{day:%Y-%m-%d} 00:00:00+00'"


def existing(connection: Connection, table: str) -> list[Partition]:
    """Return the partitions that a table has."""
    query = text(
        "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid "
        "WHERE i.inhparent = to_regclass(:name) ORDER BY 1"
    )
    found = (Partition.named(name) for name in connection.scalars(query, {"name": table}))
    return [partition for partition in found if partition is not None]


def today(connection: Connection) -> date:
    """Return the day that it is for the database, in UTC."""
    found = connection.scalar(text("SELECT (now() AT TIME ZONE 'UTC')::date"))
    assert isinstance(found, date)
    return found


def missing(connection: Connection) -> Iterator[Partition]:
    """Yield the partitions from today on that there should be and are not."""
    first = today(connection)
    for table in TABLES:
        found = existing(connection, table)
        if all(partition.day for partition in found):
            continue  # an older version's table, without a rest: not partitioned yet
        names = {partition.name for partition in found}
        held = max((each.day for each in found if each.before and each.day), default=first)
        for ahead in range(DAYS_AHEAD + 1):
            day = first + timedelta(days=ahead)
            name = f"{table}_{day:%Y%m%d}"
            if day >= held and name not in names:
                yield Partition(name, table, day)


def make(connection: Connection, partition: Partition) -> None:
    """Make a day's partition; what of that day lies in the rest moves into it.

    Attached, not made in place: commits go on meanwhile, but for those into the rest.
    """
    assert partition.day is not None
    table, name, column = partition.table, partition.name, TABLES[partition.table]
    since, until = (boundary(table, partition.day + timedelta(days=days)) for days in (0, 1))
    within = f"{column} >= {since} AND {column} < {until}"
    _patiently(connection)
    connection.exec_driver_sql(f"CREATE TABLE {name} (LIKE {table} INCLUDING ALL)")
    connection.exec_driver_sql(f"LOCK TABLE {table}_rest IN ACCESS EXCLUSIVE MODE")
    connection.exec_driver_sql(
        f"WITH moved AS (DELETE FROM {table}_rest WHERE {within} RETURNING *) INSERT INTO {name} SELECT * FROM moved"  # noqa: S608 — names of ours
    )
    connection.exec_driver_sql(f"ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM ({since}) TO ({until})")


def drop(connection: Connection, partition: Partition) -> None:
    """Drop a partition with all that it holds."""
    _patiently(connection)
    connection.exec_driver_sql(f"DROP TABLE {partition.name}")


def _patiently(connection: Connection) -> None:
    connection.exec_driver_sql(f"SET LOCAL lock_timeout = {LOCK_MS}")
