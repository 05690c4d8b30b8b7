"""Trends of groups: how often one was seen in the last hour, beside the day before that hour.

By the time of the calls, and up to the newest call that was judged: a run that has ended has a last hour too.
"""

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from sqlalchemy import Connection, ScalarSelect, func, select

from ledger.facts import Outcome
from ledger.models import MinuteRow
from ledger.review_models import GroupMemberRow, GroupRow

HOUR: Final = 60  # minutes
BEFORE: Final = 23 * HOUR
FEWEST: Final = 5  #: divergences in the two spans: fewer tell nothing
CHANGED: Final = 2  #: times as often is another tendency
_MINUTE_S: Final = 60
_COMPARED: Final = (Outcome.MATCH, Outcome.IGNORED, Outcome.DIVERGED, Outcome.FAILED)


class Tendency(StrEnum):
    """How a group develops."""

    RISING = "rising"  #: at least twice as often in the last hour
    STEADY = "steady"  #: neither
    FALLING = "falling"  #: at most half as often
    UNKNOWN = "unknown"  #: too few, or nothing was compared before


@dataclass(frozen=True, slots=True, kw_only=True)
class Trend:
    """Divergences of a group and comparisons of its operation, in the last hour and in the 23 hours before it."""

    last_hour: int = 0
    compared: int = 0
    before: int = 0
    compared_before: int = 0

    @property
    def tendency(self) -> Tendency:
        """How the share in the last hour stands to the share before."""
        if self.last_hour + self.before < FEWEST or not self.compared_before or not self.compared:
            return Tendency.UNKNOWN
        now, then = self.last_hour * self.compared_before, self.before * self.compared
        if now >= CHANGED * then:
            return Tendency.RISING
        return Tendency.FALLING if now * CHANGED <= then else Tendency.STEADY


def trends(connection: Connection) -> dict[str, Trend]:
    """Return the trend of every group."""
    newest = connection.scalar(select(func.max(MinuteRow.minute)))
    if newest is None:
        return {}
    last, first = newest + 1 - HOUR, newest + 1 - HOUR - BEFORE
    compared, before = _compared(connection, last, newest + 1), _compared(connection, first, last)
    rows = connection.execute(
        select(GroupRow.id, GroupRow.operation, _members(last, newest + 1), _members(first, last))
    )
    return {
        group: Trend(last_hour=now, compared=compared[operation], before=then, compared_before=before[operation])
        for group, operation, now, then in rows
    }


def _members(since: int, until: int) -> ScalarSelect[int]:
    """Count a group's divergences of some minutes: a range of its own part of the key."""
    called_at = GroupMemberRow.called_at
    within = (called_at >= _moment(since), called_at < _moment(until), GroupMemberRow.group_id == GroupRow.id)
    return select(func.count()).select_from(GroupMemberRow).where(*within).correlate(GroupRow).scalar_subquery()


def _moment(minute: int) -> datetime:
    return datetime.fromtimestamp(minute * _MINUTE_S, UTC)


def _compared(connection: Connection, since: int, until: int) -> Counter[str]:
    count = sum(getattr(MinuteRow, outcome) for outcome in _COMPARED)
    query = select(MinuteRow.operation, func.sum(count)).where(MinuteRow.minute >= since, MinuteRow.minute < until)
    return Counter({name: int(found) for name, found in connection.execute(query.group_by(MinuteRow.operation))})
