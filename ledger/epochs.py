"""Epochs: which one is open, and how the next is opened; part of whatever transaction gives the reason for it."""

from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from ledger.models import EpochRow


def open_epoch(connection: Connection) -> int:
    """Return the number of the open epoch."""
    found = connection.scalar(select(func.max(EpochRow.epoch)).where(EpochRow.closed_at.is_(None)))
    assert found is not None
    return int(found)


def open_next(connection: Connection, **changes: Any) -> int:
    """Close the open epoch and open the next one, the same but for `changes`; returns its number.

    Captures carry it once the flags say so.
    """
    last = open_epoch(connection)
    row = connection.execute(select(EpochRow).where(EpochRow.epoch == last)).mappings().one()
    same = {name: row[name] for name in ("share", "build", "rules_version", "policy", "flags")}
    connection.execute(update(EpochRow).where(EpochRow.closed_at.is_(None)).values(closed_at=func.now()))
    connection.execute(insert(EpochRow).values(epoch=last + 1, **{**same, **changes}))
    return last + 1
