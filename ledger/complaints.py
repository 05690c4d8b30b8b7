"""Users' complaints in the ledger: taken in once, masked, open until a person other than the one who filed it decides.

ComplaintError
├── UnknownComplaintError   no complaint has that id
├── DecidedError            somebody has decided it already
└── OwnComplaintError       who filed it decides it
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Connection, func, select, update

from comparators.masking import mask_text
from gnomon.hashing import user_digest
from ledger.engine import LedgerError
from ledger.models import EpochRow
from ledger.rollout_models import ComplaintRow
from ledger.texts import storable
from ledger.upsert import add_new

_LONGEST: Final = 2_000  # as the column is long; of a masked text there are 200


class ComplaintState(StrEnum):
    """What becomes of a complaint."""

    OPEN = "open"  #: the rollout holds until somebody has decided
    CONFIRMED = "confirmed"  #: enhanced was at fault: everybody is rolled back
    DISMISSED = "dismissed"  #: it was not


class ComplaintError(LedgerError):
    """What was asked of a complaint cannot be done; nothing was changed."""


class UnknownComplaintError(ComplaintError):
    """No complaint has that id."""

    def __init__(self, complaint: str) -> None:
        super().__init__(f"{complaint[:40]!r} is not the id of a complaint; nothing was changed")
        self.complaint = complaint


class DecidedError(ComplaintError):
    """Somebody has decided it already."""

    def __init__(self, complaint: str, state: str, by: str) -> None:
        super().__init__(f"complaint {complaint} was {state} by {by} already; nothing was changed")
        self.complaint = complaint


class OwnComplaintError(ComplaintError):
    """Whoever filed it wants to decide it."""

    def __init__(self, complaint: str, by: str) -> None:
        super().__init__(f"complaint {complaint} was filed by {by}: another person has to decide; nothing was changed")
        self.complaint = complaint


@dataclass(frozen=True, slots=True, kw_only=True)
class Filed:
    """A complaint on its way into the ledger, as it was made."""

    id: str
    user: str
    text: str
    at: datetime
    epoch: int
    conversation: str = ""
    filed_by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptComplaint:
    """A complaint as it is kept: its text masked, its user by digest; `share` is the stage it was made at, percent."""

    id: str
    user_digest: str
    text: str
    conversation: str
    at: datetime
    epoch: int
    share: int
    filed_by: str
    state: ComplaintState
    decided_by: str
    why: str
    decided_at: datetime | None


def take_in(connection: Connection, filed: Iterable[Filed]) -> None:
    """Keep complaints; one that is kept already stays as it is."""
    shares = {row.epoch: row.share for row in connection.execute(select(EpochRow.epoch, EpochRow.share))}
    add_new(connection, ComplaintRow, [_row(one, shares.get(one.epoch, 0)) for one in filed])


def _row(filed: Filed, share: int) -> dict[str, Any]:
    return {
        "id": storable(filed.id, 40),
        "user_digest": user_digest(filed.user),
        "text": storable(mask_text(filed.text), _LONGEST),
        "conversation": storable(filed.conversation, 200),
        "at": filed.at,
        "epoch": filed.epoch,
        "share": share,
        "filed_by": storable(filed.filed_by, 200),
        "state": str(ComplaintState.OPEN),
        "decided_by": "",
        "why": "",
    }


def count_open(connection: Connection) -> int:
    """Return how many complaints nobody has decided."""
    is_open = ComplaintRow.state == str(ComplaintState.OPEN)
    return int(connection.scalar(select(func.count()).select_from(ComplaintRow).where(is_open)) or 0)


def listed(connection: Connection, *, decided: bool = False) -> list[KeptComplaint]:
    """Return complaints, the latest first: those that are open, or all."""
    query = select(ComplaintRow.__table__).order_by(ComplaintRow.at.desc(), ComplaintRow.id)
    if not decided:
        query = query.where(ComplaintRow.state == str(ComplaintState.OPEN))
    return [_kept(row) for row in connection.execute(query).mappings()]


def check(connection: Connection, complaint: str, *, by: str) -> None:
    """Raise ComplaintError where somebody cannot decide a complaint."""
    query = select(ComplaintRow.__table__).where(ComplaintRow.id == complaint)
    row = connection.execute(query).mappings().one_or_none()
    if row is None:
        raise UnknownComplaintError(complaint)
    known = _kept(row)
    if known.state is not ComplaintState.OPEN:
        raise DecidedError(complaint, known.state, known.decided_by)
    if known.filed_by and known.filed_by.casefold() == by.casefold():
        raise OwnComplaintError(complaint, by)


def decide(connection: Connection, complaint: str, state: ComplaintState, *, by: str, why: str) -> KeptComplaint:
    """Confirm or dismiss a complaint; raises ComplaintError, and nothing is changed."""
    by = storable(by, 200)
    check(connection, complaint, by=by)
    query = select(ComplaintRow.__table__).where(ComplaintRow.id == complaint)
    values = {"state": str(state), "decided_by": by, "why": storable(why, 500), "decided_at": func.now()}
    connection.execute(update(ComplaintRow).where(ComplaintRow.id == complaint).values(**values))
    return _kept(connection.execute(query).mappings().one())


def _kept(row: Any) -> KeptComplaint:
    known = {name: row[name] for name in KeptComplaint.__dataclass_fields__ if name != "state"}
    return KeptComplaint(**known, state=ComplaintState(row["state"]))
