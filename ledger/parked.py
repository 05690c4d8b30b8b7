"""Parked captures: kept until a person has them replayed again or throws them away, and counted once all the while.

People and workers never change the same row: a person's decision takes rows that are `parked`, a commit those that are
`retrying`, in the lane that it holds. Each moves what was counted in the same transaction.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, RowMapping, Select, delete, func, select, update

from ledger.engine import LedgerError
from ledger.facts import CallsKey, Finding, Outcome
from ledger.models import LaneRow, MinuteRow, ParkedRow, ReasonRow, TallyRow
from ledger.upsert import add_up

MOST_NAMED: Final = 5  # captures in one message
_TALLY: Final = ("operation", "epoch", "exposure", "cluster")
_MINUTE: Final = ("operation", "epoch", "exposure", "minute")
_REASON: Final = ("operation", "epoch", "reason")
_PAGE: Final = 500  # names asked for at once: below what either database takes as parameters
_MINUTE_US: Final = 60_000_000


class ParkedState(StrEnum):
    """What becomes of a parked capture."""

    PARKED = "parked"  #: waits for a person
    RETRYING = "retrying"  #: the next holder of its lane replays it again
    DISCARDED = "discarded"  #: thrown away by a person; what it held is gone


class NotParkedError(LedgerError):
    """Captures were named that nobody can decide upon; `found` says in which state each is, or that it is unknown."""

    def __init__(self, found: Mapping[str, str]) -> None:
        named = [f"{name} ({state})" for name, state in sorted(found.items())]
        more = f" and {len(named) - MOST_NAMED:,} more" if len(named) > MOST_NAMED else ""
        super().__init__(f"not parked, so nothing was changed: {', '.join(named[:MOST_NAMED])}{more}")
        self.found = found


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The parked captures that are meant: those named (None: all), of one reason, of one operation."""

    names: tuple[str, ...] | None = None
    reason: str | None = None
    operation: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Parked:
    """One parked capture, without what it holds."""

    capture_id: str
    lane: int
    operation: str
    reason: str
    state: str
    retries: int
    epoch: int
    exposure: str
    user_digest: str
    parked_at: datetime
    decided_by: str
    decided_at: datetime | None
    why: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Retry:
    """A parked capture to be replayed again: `called_us` is the minute that it is counted in."""

    name: str
    payload: bytes
    called_us: int
    parked_us: int


def name_of(lane: int, capture_id: str) -> str:
    """Return the name under which a capture is kept; a line that nobody can read has that of its place in the lane."""
    return f"{lane}/{capture_id}" if "/" in capture_id else capture_id


# --- asking


def listed(choice: Choice, states: Iterable[ParkedState], limit: int | None = None) -> Select[Any]:
    """Return the query for parked captures, those parked last first."""
    size = func.length(ParkedRow.payload).label("size_bytes")
    columns = [getattr(ParkedRow, name) for name in Parked.__dataclass_fields__ if name != size.name]
    query = select(*columns, size).where(ParkedRow.state.in_([*map(str, states)]), *_conditions(choice))
    return query.order_by(ParkedRow.parked_at.desc(), ParkedRow.capture_id.desc()).limit(limit)


def totals(choice: Choice, states: Iterable[ParkedState]) -> Select[str, str, int]:
    """Return the query for reason, state, and how many of those there are."""
    query = select(ParkedRow.reason, ParkedRow.state, func.count().label("captures"))
    query = query.where(ParkedRow.state.in_([*map(str, states)]), *_conditions(choice))
    return query.group_by(ParkedRow.reason, ParkedRow.state)


def retries(connection: Connection, lane: int, limit: int) -> list[Retry]:
    """Return captures of a lane that are to be replayed again, in the order of their calls as far as rows tell it."""
    columns = (ParkedRow.capture_id, ParkedRow.payload, ParkedRow.minute, ParkedRow.parked_at)
    query = select(*columns).where(ParkedRow.lane == lane, ParkedRow.state == ParkedState.RETRYING)
    # a process numbers its captures, and the number ends the name: the shorter one is the earlier
    order = (ParkedRow.minute, func.length(ParkedRow.capture_id), ParkedRow.capture_id)
    rows = connection.execute(query.order_by(*order).limit(limit))
    return [Retry(name, payload, minute * _MINUTE_US, _us(parked_at)) for name, payload, minute, parked_at in rows]


def _us(moment: datetime) -> int:
    return int(moment.timestamp() * 1_000_000)


def _conditions(choice: Choice) -> list[ColumnElement[bool]]:
    wanted = {ParkedRow.reason: choice.reason, ParkedRow.operation: choice.operation}
    found = [column == value for column, value in wanted.items() if value is not None]
    return found if choice.names is None else [*found, ParkedRow.capture_id.in_(choice.names)]


# --- people decide


def retry(connection: Connection, choice: Choice, by: str) -> dict[int, int]:
    """Ask for captures to be replayed again; returns how many, by lane. Raises NotParkedError, with nothing changed."""
    rows = _decide(connection, choice, {"state": ParkedState.RETRYING, "decided_by": by, "why": ""})
    by_lane = Counter(row["lane"] for row in rows)
    add_up(connection, LaneRow, [{"lane": lane, "retrying": count} for lane, count in by_lane.items()])
    return dict(by_lane)


def discard(connection: Connection, choice: Choice, by: str, why: str) -> int:
    """Throw captures away, with what they hold; returns how many. Raises NotParkedError, with nothing changed."""
    rows = _decide(connection, choice, {"state": ParkedState.DISCARDED, "decided_by": by, "why": why, "payload": b""})
    gone, came = str(Outcome.PARKED), str(Outcome.DISCARDED)
    for model, names in ((TallyRow, _TALLY), (MinuteRow, _MINUTE)):
        add_up(connection, model, [{**key, gone: -count, came: count} for key, count in _summed(rows, names)])
    explained = _explained(rows)
    taken = [{**key, "outcome": gone, "count": -count} for key, count in explained]
    add_up(connection, ReasonRow, [*taken, *({**key, "outcome": came, "count": count} for key, count in explained)])
    return len(rows)


def _decide(connection: Connection, choice: Choice, values: Mapping[str, Any]) -> Sequence[RowMapping]:
    """Change the rows that are meant, or none of them; returns where each was counted."""
    if choice.names is None:
        return _changed(connection, choice, values)
    wanted = set(choice.names)
    rows = [row for page in _pages(wanted) for row in _changed(connection, Choice(names=page), values)]
    if missing := wanted - {row["capture_id"] for row in rows}:
        raise NotParkedError(_states(connection, missing))
    return rows


def _changed(connection: Connection, choice: Choice, values: Mapping[str, Any]) -> Sequence[RowMapping]:
    parked = [ParkedRow.state == ParkedState.PARKED, *_conditions(choice)]
    # two people take rows in the same order, so that neither waits for the other in a circle
    locking = select(ParkedRow.capture_id).where(*parked).order_by(ParkedRow.capture_id).with_for_update()
    taken = connection.scalars(locking).all()
    columns = (getattr(ParkedRow, name) for name in ("capture_id", "lane", *dict.fromkeys(_TALLY + _MINUTE + _REASON)))
    statement = update(ParkedRow).values(decided_at=func.now(), **values).returning(*columns)
    # those alone: what was parked since then would be taken out of that order
    pages = (statement.where(ParkedRow.capture_id.in_(page)) for page in _pages(taken))
    return [row for page in pages for row in connection.execute(page).mappings()]


def _states(connection: Connection, names: set[str]) -> dict[str, str]:
    """Return the states of captures; one that is in none is unknown."""
    found = dict.fromkeys(names, "unknown")
    for page in _pages(names):
        query = select(ParkedRow.capture_id, ParkedRow.state).where(ParkedRow.capture_id.in_(page))
        found |= {row.capture_id: row.state for row in connection.execute(query)}
    return found


def _pages(names: Collection[str]) -> Iterator[tuple[str, ...]]:
    ordered = sorted(names)
    return (tuple(ordered[start : start + _PAGE]) for start in range(0, len(ordered), _PAGE))


# --- a commit settles


@dataclass(frozen=True, slots=True)
class Taken:
    """The rows that a commit has taken out, by name: where their captures are counted until it counts them anew."""

    rows: Mapping[str, RowMapping]

    @property
    def calls(self) -> Counter[CallsKey]:
        """Whose captures they were."""
        return Counter((row["operation"], row["epoch"]) for row in self.rows.values())

    def tallies(self, counted: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return what a commit adds to tallies, with these taken back."""
        return self._with(counted, _TALLY)

    def minutes(self, counted: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return what a commit adds to minutes, with these taken back."""
        return self._with(counted, _MINUTE)

    def reasons(self, counted: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return what a commit adds to reasons, with these taken back."""
        explained, parked = _explained(self.rows.values()), str(Outcome.PARKED)
        return [*counted, *({**key, "outcome": parked, "count": -count} for key, count in explained)]

    def _with(self, counted: Sequence[dict[str, Any]], names: Sequence[str]) -> list[dict[str, Any]]:
        zeros = dict.fromkeys(counted[0], 0) if counted else {}  # every row names the same counters
        taken = _summed(self.rows.values(), names)
        return [*counted, *({**zeros, **key, str(Outcome.PARKED): -count} for key, count in taken)]


def take_out(connection: Connection, lane: int, findings: Iterable[Finding]) -> Taken | None:
    """Take out the parked captures that findings settle; None where one of them is not there to be settled any more.

    Somebody else has committed what came of it, then.
    """
    names = [finding.unparks for finding in findings if finding.unparks]
    if not names:
        return Taken({})
    mine = (ParkedRow.lane == lane, ParkedRow.state == ParkedState.RETRYING, ParkedRow.capture_id.in_(names))
    statement = delete(ParkedRow).where(*mine).returning(*ParkedRow.__table__.columns)
    rows = {row["capture_id"]: row for row in connection.execute(statement).mappings()}
    return Taken(rows) if len(rows) == len(names) else None


def _summed(rows: Iterable[RowMapping], names: Sequence[str]) -> list[tuple[dict[str, Any], int]]:
    counts = Counter(tuple(row[name] for name in names) for row in rows)
    return [(dict(zip(names, key, strict=True)), count) for key, count in counts.items()]


def _explained(rows: Iterable[RowMapping]) -> list[tuple[dict[str, Any], int]]:
    """Return the reasons as they are counted: where there is none, nothing is."""
    return _summed((row for row in rows if row["reason"]), _REASON)
