"""What people review, as tables: groups of divergences with their samples, and the rules that allow some."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, Integer, String, func
from sqlalchemy.orm import Mapped, mapped_column

from ledger.base import Base


class GroupRow(Base):
    """All divergences that share a fingerprint."""

    __tablename__ = "groups"
    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    operation: Mapped[str] = mapped_column(String(200))
    kind: Mapped[str] = mapped_column(String(40))
    path: Mapped[str] = mapped_column(String(500))
    severity: Mapped[str] = mapped_column(String(10))
    explanation: Mapped[str] = mapped_column(String(500))
    count: Mapped[int] = mapped_column(default=0)
    first_seen: Mapped[datetime]
    last_seen: Mapped[datetime]
    example: Mapped[str] = mapped_column(String(64))  #: capture id of the first divergence
    # 0: kept before this was
    first_epoch: Mapped[int] = mapped_column(default=0)
    last_epoch: Mapped[int] = mapped_column(default=0)
    regressed_epoch: Mapped[int] = mapped_column(default=0)  #: the last in which it came back; 0: it never did


class GroupMemberRow(Base):
    """Which divergences a group holds; a divergence with several kinds of difference is in several groups.

    It refers to a divergence without a foreign key: both are written together, and both end with their day.
    """

    __tablename__ = "group_members"
    group_id: Mapped[str] = mapped_column(ForeignKey("groups.id"), primary_key=True)
    called_at: Mapped[datetime] = mapped_column(primary_key=True, server_default=func.now())  #: the divergence's
    capture_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    __table_args__ = (Index(None, "capture_id"), {"postgresql_partition_by": "RANGE (called_at)"})


class GroupUserRow(Base):
    """The distinct users that a group affects."""

    __tablename__ = "group_users"
    group_id: Mapped[str] = mapped_column(ForeignKey("groups.id"), primary_key=True)
    user_digest: Mapped[str] = mapped_column(String(16), primary_key=True)


class SampleRow(Base):
    """A divergence of a group as a whole: what was asked, and what both sides said; masked. Up to three a group."""

    __tablename__ = "group_samples"
    group_id: Mapped[str] = mapped_column(ForeignKey("groups.id"), primary_key=True)
    slot: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)  #: of three, by user and what differs
    capture_id: Mapped[str] = mapped_column(String(64))
    epoch: Mapped[int]
    called_at: Mapped[datetime]
    user_digest: Mapped[str] = mapped_column(String(16))
    sample: Mapped[dict[str, Any]]  #: args, legacy, enhanced


class RuleRow(Base):
    """What a person allows, from one version of the rule set to another; never changed but by being ended."""

    __tablename__ = "rules"
    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    operation: Mapped[str] = mapped_column(String(200))
    path: Mapped[str] = mapped_column(String(500))  #: indices and ids as [*]
    kind: Mapped[str] = mapped_column(String(40))
    author: Mapped[str] = mapped_column(String(200))
    reason: Mapped[str] = mapped_column(String(500))
    made_at: Mapped[datetime] = mapped_column(server_default=func.now())
    since: Mapped[int]  #: the version that brought it
    expires_at: Mapped[datetime | None]
    until: Mapped[int | None]  #: the version that has it no more
    ended_at: Mapped[datetime | None]
    ended_by: Mapped[str] = mapped_column(String(200), default="")
    ended_why: Mapped[str] = mapped_column(String(500), default="")


class RuleSetRow(Base):
    """One version of the rule set: what changed, who did it, the epoch it was open in, and when that was re-judged."""

    __tablename__ = "rule_sets"
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    change: Mapped[str] = mapped_column(String(10))  #: added, retired or expired
    author: Mapped[str] = mapped_column(String(200))
    made_at: Mapped[datetime] = mapped_column(server_default=func.now())
    epoch: Mapped[int]
    rejudged_at: Mapped[datetime | None]


class RuleHitRow(Base):
    """In how many comparisons of an epoch a rule allowed something."""

    __tablename__ = "rule_hits"
    rule_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    epoch: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    hits: Mapped[int] = mapped_column(default=0)
