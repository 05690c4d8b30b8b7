"""Sums of counters by key, by statements that are built once: building one takes as long as carrying it out."""

from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import BigInteger, Connection, Row, Select, bindparam, cast, func, select
from sqlalchemy.orm import DeclarativeBase

Model = type[DeclarativeBase]


def sums(
    connection: Connection,
    model: Model,
    keys: Sequence[str],
    counters: Sequence[str],
    *,
    epoch: int | None = None,
    among: tuple[str, Sequence[str]] | None = None,
) -> Sequence[Row[Any]]:
    """Return for each of the keys that there are, in order, the sums of counters: over one epoch or all.

    `among`: a column and the values of it that count.
    """
    column, values = among or ("", ())
    statement = _statement(model, tuple(keys), tuple(counters), epoch is not None, column)
    return connection.execute(statement, {"epoch": epoch, "among": list(values)} if among else {"epoch": epoch}).all()


@cache
def _statement(
    model: Model,
    keys: tuple[str, ...],
    counters: tuple[str, ...],
    of_epoch: bool,  # noqa: FBT001 — cached by what it is given
    column: str,
) -> Select[Any]:
    by = [getattr(model, name) for name in keys]
    # PostgreSQL adds whole numbers up to a decimal, which takes as long to read as all the rest
    totals = (cast(func.sum(getattr(model, name)), BigInteger) for name in counters)
    query = select(*by, *totals).group_by(*by).order_by(*by)
    if of_epoch:
        query = query.where(getattr(model, "epoch") == bindparam("epoch"))  # noqa: B009 — not every model has one
    return query.where(getattr(model, column).in_(bindparam("among", expanding=True))) if column else query
