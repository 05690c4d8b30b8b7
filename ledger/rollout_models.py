"""What the rollout keeps, as tables: where it stands, what was decided of it, who approved it, and who complained."""

from datetime import datetime
from typing import Final

from sqlalchemy import BigInteger, ForeignKey, Index, Integer, String, func
from sqlalchemy.orm import Mapped, mapped_column

from ledger.base import Base

_ID: Final = BigInteger().with_variant(Integer, "sqlite")
ONLY: Final = 1  #: the id of the one row of a table that has one


class RolloutRow(Base):
    """One row: what the last evaluation came to, and when complaints were last asked for."""

    __tablename__ = "rollout"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    state: Mapped[str] = mapped_column(String(20), default="")
    epoch: Mapped[int] = mapped_column(default=0)  #: that it was of
    clean: Mapped[int | None]  #: evaluations in a row without a reason to hold; None: it does not hold
    rolled_back: Mapped[bool] = mapped_column(default=False)  #: nothing is promoted until a person resumes
    taken_back: Mapped[str] = mapped_column(String(500), default="")  #: why it was
    barred: Mapped[str | None] = mapped_column(String(200))  #: the build that harm was proven of
    switched_off: Mapped[str] = mapped_column(String(200), default="")  #: flags that were on before the rollback
    summary: Mapped[str] = mapped_column(String(1_000), default="")
    evaluated_at: Mapped[datetime | None]
    complaints_read_at: Mapped[datetime | None]


class PauseRow(Base):
    """A time in which a person let the rollout rest; it is none of the dwell."""

    __tablename__ = "pauses"
    id: Mapped[int] = mapped_column(_ID, primary_key=True)
    epoch: Mapped[int]
    paused_at: Mapped[datetime] = mapped_column(server_default=func.now())
    paused_by: Mapped[str] = mapped_column(String(200), default="")
    why: Mapped[str] = mapped_column(String(500), default="")
    resumed_at: Mapped[datetime | None]
    resumed_by: Mapped[str] = mapped_column(String(200), default="")


class EvaluationRow(Base):
    """One look of the gate at the open epoch."""

    __tablename__ = "evaluations"
    id: Mapped[int] = mapped_column(_ID, primary_key=True)
    at: Mapped[datetime] = mapped_column(server_default=func.now())
    epoch: Mapped[int]
    share: Mapped[int]
    state: Mapped[str] = mapped_column(String(20))
    digest: Mapped[str] = mapped_column(String(64))  #: of the evidence
    summary: Mapped[str] = mapped_column(String(1_000))
    __table_args__ = (Index(None, "at"),)


class AuditRow(Base):
    """One thing that was decided or done; each row holds the digest of the one before."""

    __tablename__ = "audit"
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    at: Mapped[str] = mapped_column(String(40))
    actor: Mapped[str] = mapped_column(String(200))
    action: Mapped[str] = mapped_column(String(40))
    body: Mapped[bytes]  #: canonical JSON, compressed
    previous: Mapped[str] = mapped_column(String(64))
    digest: Mapped[str] = mapped_column(String(64))


class AuditHeadRow(Base):
    """One row: the last of the audit, so that cutting its end off shows."""

    __tablename__ = "audit_head"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    number: Mapped[int]
    digest: Mapped[str] = mapped_column(String(64))


class ReviewRow(Base):
    """What a person decided of a group of divergences; the latest holds."""

    __tablename__ = "reviews"
    id: Mapped[int] = mapped_column(_ID, primary_key=True)
    group_id: Mapped[str] = mapped_column(ForeignKey("groups.id"))
    decision: Mapped[str] = mapped_column(String(10))
    by: Mapped[str] = mapped_column(String(200))
    why: Mapped[str] = mapped_column(String(500))
    epoch: Mapped[int]
    at: Mapped[datetime] = mapped_column(server_default=func.now())
    __table_args__ = (Index(None, "group_id"),)


class ApprovalRow(Base):
    """A person's word that the evidence seen allows the next stage."""

    __tablename__ = "approvals"
    id: Mapped[int] = mapped_column(_ID, primary_key=True)
    epoch: Mapped[int]
    evidence: Mapped[str] = mapped_column(String(64))  #: digest of what was seen
    review: Mapped[str] = mapped_column(String(64))  #: digest of what had been decided of the groups
    by: Mapped[str] = mapped_column(String(200))
    why: Mapped[str] = mapped_column(String(500))
    at: Mapped[datetime] = mapped_column(server_default=func.now())


class ComplaintRow(Base):
    """A user's complaint, masked."""

    __tablename__ = "complaints"
    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    user_digest: Mapped[str] = mapped_column(String(16))
    text: Mapped[str] = mapped_column(String(2_000))
    conversation: Mapped[str] = mapped_column(String(200), default="")
    at: Mapped[datetime]
    epoch: Mapped[int]
    share: Mapped[int]
    filed_by: Mapped[str] = mapped_column(String(200), default="")
    state: Mapped[str] = mapped_column(String(10), default="open")  #: open, confirmed or dismissed
    decided_by: Mapped[str] = mapped_column(String(200), default="")
    why: Mapped[str] = mapped_column(String(500), default="")
    decided_at: Mapped[datetime | None]
    __table_args__ = (Index(None, "state"),)
