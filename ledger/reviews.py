"""What people decided of groups of divergences, and which of the open epoch they have still to decide upon.

ReviewError
├── UnknownGroupError   no group has that id
└── NeverNoiseError     a critical difference was called noise
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from sqlalchemy import Connection, func, insert, select

from ledger.engine import LedgerError
from ledger.epochs import open_epoch
from ledger.facts import Group
from ledger.review_models import GroupRow
from ledger.rollout_models import ReviewRow
from ledger.texts import storable

_CRITICAL: Final = "critical"


class Choice(StrEnum):
    """What a person may decide of a group."""

    ACCEPT = "accept"  #: known, and harmless: users may see it
    BUG = "bug"  #: enhanced is wrong: nothing is approved while the open epoch has it
    NOISE = "noise"  #: neither side's fault, such as legacy differing from itself
    REOPEN = "reopen"  #: to be decided anew


class ReviewError(LedgerError):
    """What was asked of a group cannot be done; nothing was changed."""


class UnknownGroupError(ReviewError):
    """No group has that id."""

    def __init__(self, group: str) -> None:
        super().__init__(f"{group[:40]!r} is not the id of a group; nothing was changed")
        self.group = group


class NeverNoiseError(ReviewError):
    """A critical difference was called noise."""

    def __init__(self, group: str) -> None:
        super().__init__(f"group {group} is critical, which is never noise: accept it or call it a bug")
        self.group = group


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """What a person decided of a group, in which epoch."""

    group: str
    decision: Choice
    by: str
    why: str
    epoch: int
    at: datetime


def reviews(connection: Connection, group: str | None = None) -> dict[str, Review]:
    """Return the latest decision on each group that there is one of; or on one."""
    latest = select(func.max(ReviewRow.id)).group_by(ReviewRow.group_id)
    query = select(ReviewRow.__table__).where(ReviewRow.id.in_(latest))
    if group is not None:
        query = query.where(ReviewRow.group_id == group)
    return {
        row["group_id"]: Review(
            group=row["group_id"],
            decision=Choice(row["decision"]),
            by=row["by"],
            why=row["why"],
            epoch=row["epoch"],
            at=row["at"],
        )
        for row in connection.execute(query).mappings()
    }


def review(connection: Connection, group: str, choice: Choice, *, by: str, why: str) -> Review:
    """Keep a decision; raises ReviewError, and nothing is changed."""
    severity = connection.scalar(select(GroupRow.severity).where(GroupRow.id == group))
    if severity is None:
        raise UnknownGroupError(group)
    if choice is Choice.NOISE and severity == _CRITICAL:
        raise NeverNoiseError(group)
    values = {"group_id": group, "decision": str(choice), "by": storable(by, 200), "why": storable(why, 500)}
    connection.execute(insert(ReviewRow).values(**values, epoch=open_epoch(connection)))
    return reviews(connection, group)[group]


def undecided(groups: Iterable[Group], decided: dict[str, Review], epoch: int) -> list[tuple[Group, str]]:
    """Return the groups of the open epoch that stand in the way of an approval, each with the reason.

    That is what is new in it, back in it or critical, until somebody has decided; and what was called a bug. What was
    decided before it went away and came back is to be decided anew.
    """
    found = ((group, _in_the_way(group, decided.get(group.id), epoch)) for group in groups if group.last_epoch >= epoch)
    return [(group, why) for group, why in found if why]


def _in_the_way(group: Group, decision: Review | None, epoch: int) -> str:
    if decision is None or decision.decision is Choice.REOPEN or decision.epoch < group.regressed_epoch:
        marks = {
            "critical": group.severity == _CRITICAL,
            "new": group.is_new(epoch),
            "back": group.is_regressed(epoch),
            "opened again": decision is not None and decision.decision is Choice.REOPEN,
        }
        said = [mark for mark, true in marks.items() if true]
        return f"{' and '.join(said)}, and nobody has decided" if said else ""
    return f"a bug, says {decision.by}" if decision.decision is Choice.BUG else ""
