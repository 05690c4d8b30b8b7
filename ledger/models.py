"""What was found, as tables: positions of lanes, tallies that merge by addition, divergences and their groups."""

from datetime import datetime
from typing import Any, Final

from sqlalchemy import BigInteger, Index, Integer, String, func, text
from sqlalchemy.orm import Mapped, mapped_column

from ledger.base import Base

_OPEN: Final = "closed_us IS NULL"


class About(Base):
    """One row: which namespace this ledger belongs to, so that two migrations never share one unnoticed."""

    __tablename__ = "about"
    namespace: Mapped[str] = mapped_column(String(100), primary_key=True)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class EpochRow(Base):
    """One uninterrupted stay at a stage with one enhanced build and one rule set, which may be loosened meanwhile."""

    __tablename__ = "epochs"
    epoch: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    share: Mapped[int]
    build: Mapped[str] = mapped_column(String(200), default="")
    rules_version: Mapped[int] = mapped_column(default=0)
    # by the database, for tables of an earlier revision get their first epoch too
    policy: Mapped[str] = mapped_column(String(64), server_default="")  #: its digest; empty before the first evaluation
    opened_by: Mapped[str] = mapped_column(String(200), server_default="")
    why: Mapped[str] = mapped_column(String(500), server_default="")
    flags: Mapped[int] = mapped_column(server_default="-1")  #: the version of the flags that it was opened by; -1: none
    opened_at: Mapped[datetime] = mapped_column(server_default=func.now())
    closed_at: Mapped[datetime | None]


class LaneRow(Base):
    """How far a lane has been drained: done are entries up to (read_ms, read_seq) whose captures lie up to the cut."""

    __tablename__ = "lanes"
    lane: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    fence: Mapped[int] = mapped_column(default=0)
    read_ms: Mapped[int] = mapped_column(default=0)
    read_seq: Mapped[int] = mapped_column(default=0)
    cut_us: Mapped[int] = mapped_column(default=0)
    cut_id: Mapped[str] = mapped_column(String(64), default="")
    done: Mapped[int] = mapped_column(default=0)
    committed_at: Mapped[datetime | None]
    standings: Mapped[int] = mapped_column(default=0)  #: given so far: 0 spares looking for them
    retrying: Mapped[int] = mapped_column(default=0)  #: parked captures that people want replayed again


class Outcomes:
    """The counters of every outcome that a judged or unjudgeable capture can have."""

    match: Mapped[int] = mapped_column(default=0)
    ignored: Mapped[int] = mapped_column(default=0)
    diverged: Mapped[int] = mapped_column(default=0)
    diverged_critical: Mapped[int] = mapped_column(default=0)  #: of the diverged: those with a critical difference
    failed: Mapped[int] = mapped_column(default=0)
    inconclusive: Mapped[int] = mapped_column(default=0)
    excluded: Mapped[int] = mapped_column(default=0)
    excluded_returned: Mapped[int] = mapped_column(default=0)
    excluded_superseded: Mapped[int] = mapped_column(default=0)
    parked: Mapped[int] = mapped_column(default=0)
    expired: Mapped[int] = mapped_column(default=0)
    discarded: Mapped[int] = mapped_column(default=0)
    erased: Mapped[int] = mapped_column(default=0)
    lost: Mapped[int] = mapped_column(default=0)
    # of the failed: how
    failed_error: Mapped[int] = mapped_column(default=0)
    failed_timeout: Mapped[int] = mapped_column(default=0)
    failed_refused: Mapped[int] = mapped_column(default=0)
    failed_garbage: Mapped[int] = mapped_column(default=0)
    failed_oversize: Mapped[int] = mapped_column(default=0)


class TallyRow(Outcomes, Base):
    """The gate's evidence: outcomes by cluster of users."""

    __tablename__ = "tallies"
    operation: Mapped[str] = mapped_column(String(200), primary_key=True)
    epoch: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    exposure: Mapped[str] = mapped_column(String(10), primary_key=True)
    cluster: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)


class MinuteRow(Outcomes, Base):
    """The same outcomes by minute of the call, for charts and windows; without clusters."""

    __tablename__ = "minutes"
    operation: Mapped[str] = mapped_column(String(200), primary_key=True)
    epoch: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    exposure: Mapped[str] = mapped_column(String(10), primary_key=True)
    minute: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)  #: minutes since 1970, UTC
    __table_args__ = (Index(None, "epoch", "minute"), {"postgresql_partition_by": "RANGE (minute)"})


class ReasonRow(Base):
    """How often each reason stood behind an outcome."""

    __tablename__ = "reasons"
    operation: Mapped[str] = mapped_column(String(200), primary_key=True)
    epoch: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    outcome: Mapped[str] = mapped_column(String(20), primary_key=True)
    reason: Mapped[str] = mapped_column(String(100), primary_key=True)
    count: Mapped[int] = mapped_column(default=0)


class UserRow(Base):
    """The distinct users of an epoch, by digest."""

    __tablename__ = "epoch_users"
    epoch: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    user_digest: Mapped[str] = mapped_column(String(16), primary_key=True)
    bucket: Mapped[int | None]  #: of 100,000; None: kept before this was
    __table_args__ = (Index(None, "epoch", "bucket"),)


class FunnelRow(Base):
    """Where eligible calls ended before they were captured, summed over their senders, and what came of the captured.

    `done` counts those that ended in any way but lost, `lost` those that are gone with Redis. `missed_served`: of those
    that ended before they were captured, and were wanted, how many enhanced was to answer.
    """

    __tablename__ = "funnel"
    lane: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    operation: Mapped[str] = mapped_column(String(200), primary_key=True)
    epoch: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    eligible: Mapped[int] = mapped_column(default=0)
    not_sampled: Mapped[int] = mapped_column(default=0)
    unserialisable: Mapped[int] = mapped_column(default=0)
    oversize: Mapped[int] = mapped_column(default=0)
    shed: Mapped[int] = mapped_column(default=0)
    publish_failed: Mapped[int] = mapped_column(default=0)
    missed_served: Mapped[int] = mapped_column(default=0)
    captured: Mapped[int] = mapped_column(default=0)
    done: Mapped[int] = mapped_column(default=0)
    lost: Mapped[int] = mapped_column(default=0)


class SenderRow(Base):
    """What one live process has sent to one lane, as far as it is folded in and read.

    Its counters are its own and absolute, so whatever Redis forgets or repeats, they are taken in exactly once.
    """

    __tablename__ = "senders"
    lane: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    producer: Mapped[str] = mapped_column(String(64), primary_key=True)
    counts: Mapped[dict[str, Any]]  #: operation|epoch|counter → calls, already in the funnel
    read: Mapped[int] = mapped_column(default=0)  #: the highest number among its entries that were read
    missing: Mapped[list[Any]]  #: numbers below that were not
    changed_us: Mapped[int] = mapped_column(default=0)  #: on Redis's clock


class LossRow(Base):
    """Captures that were in Redis and are gone with it."""

    __tablename__ = "losses"
    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    lane: Mapped[int]
    operation: Mapped[str] = mapped_column(String(200))
    epoch: Mapped[int]
    captures: Mapped[int]
    noticed_at: Mapped[datetime] = mapped_column(server_default=func.now())


class DivergenceRow(Base):
    """One capture whose outcomes differ; values are masked."""

    __tablename__ = "divergences"
    capture_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    operation: Mapped[str] = mapped_column(String(200))
    epoch: Mapped[int]
    exposure: Mapped[str] = mapped_column(String(10))
    verdict: Mapped[str] = mapped_column(String(20))
    severity: Mapped[str] = mapped_column(String(10))
    reason: Mapped[str] = mapped_column(String(100))
    user_digest: Mapped[str] = mapped_column(String(16))
    cluster: Mapped[int | None]  #: of users, where it is counted; None: kept before this was
    called_at: Mapped[datetime] = mapped_column(primary_key=True)  #: a capture has but one: partitions go by it
    differences: Mapped[list[Any]]  #: objects of path, kind, severity, legacy, enhanced, and the rule that allows it
    __table_args__ = (
        Index(None, "epoch", "operation"),
        Index(None, "user_digest"),
        Index(None, "called_at"),
        {"postgresql_partition_by": "RANGE (called_at)"},
    )


class PairRow(Base):
    """Reads that a worker made of both systems, one after another: which was faster, and what became of the others."""

    __tablename__ = "pairs"
    operation: Mapped[str] = mapped_column(String(200), primary_key=True)
    epoch: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    exposure: Mapped[str] = mapped_column(String(10), primary_key=True)
    cluster: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    wins: Mapped[int] = mapped_column(default=0)  #: enhanced was faster
    losses: Mapped[int] = mapped_column(default=0)  #: legacy was, or enhanced failed
    ties: Mapped[int] = mapped_column(default=0)
    failed: Mapped[int] = mapped_column(default=0)  #: of the losses: legacy returned, enhanced did not
    log_sum: Mapped[int] = mapped_column(default=0)  #: ln(enhanced/legacy) of the others, in millionths
    log_squares: Mapped[int] = mapped_column(default=0)  #: its squares, in millionths
    repeated: Mapped[int] = mapped_column(default=0)  #: legacy's two runs were compared with each other
    noisy: Mapped[int] = mapped_column(default=0)  #: and diverged, without a critical difference
    compared: Mapped[int] = mapped_column(default=0)  #: legacy's and enhanced's runs were compared
    differing: Mapped[int] = mapped_column(default=0)  #: and diverged
    # wanted, and not taken or not counted
    capped: Mapped[int] = mapped_column(default=0)
    behind: Mapped[int] = mapped_column(default=0)
    superseded: Mapped[int] = mapped_column(default=0)
    legacy_failed: Mapped[int] = mapped_column(default=0)
    given_up: Mapped[int] = mapped_column(default=0)


class LatencyRow(Base):
    """Histograms with bins of fixed logarithmic width, which merge by addition."""

    __tablename__ = "latencies"
    operation: Mapped[str] = mapped_column(String(200), primary_key=True)
    epoch: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    exposure: Mapped[str] = mapped_column(String(10), primary_key=True)
    measure: Mapped[str] = mapped_column(String(20), primary_key=True)
    bin: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    count: Mapped[int] = mapped_column(default=0)


class NoiseRow(Base):
    """In how many pairs a field differed: between legacy's two runs, and between legacy's run and enhanced's."""

    __tablename__ = "noise"
    epoch: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    group_id: Mapped[str] = mapped_column(String(40), primary_key=True)
    operation: Mapped[str] = mapped_column(String(200))
    kind: Mapped[str] = mapped_column(String(40))
    path: Mapped[str] = mapped_column(String(500))
    severity: Mapped[str] = mapped_column(String(10))  #: the gravest
    repeated: Mapped[int] = mapped_column(default=0)
    compared: Mapped[int] = mapped_column(default=0)


class ParkedRow(Base):
    """A capture that could not be replayed at all, kept with its reason until a person has decided."""

    __tablename__ = "parked"
    capture_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    lane: Mapped[int]
    operation: Mapped[str] = mapped_column(String(200))
    reason: Mapped[str] = mapped_column(String(100))
    user_digest: Mapped[str] = mapped_column(String(16))
    payload: Mapped[bytes]
    parked_at: Mapped[datetime] = mapped_column(server_default=func.now())
    # where its outcome is counted, so that it can be taken back there
    epoch: Mapped[int] = mapped_column(default=0)
    exposure: Mapped[str] = mapped_column(String(10), default="shadow")
    cluster: Mapped[int] = mapped_column(default=0)
    minute: Mapped[int] = mapped_column(default=0)
    state: Mapped[str] = mapped_column(String(10), default="parked")  #: parked, retrying or discarded
    retries: Mapped[int] = mapped_column(default=0)
    decided_by: Mapped[str] = mapped_column(String(200), default="")
    why: Mapped[str] = mapped_column(String(500), default="")
    decided_at: Mapped[datetime | None]
    __table_args__ = (Index("ix_parked_state", "state", "lane"),)


class StandingRow(Base):
    """Since when writes of a user may be missing in enhanced, and when that was made good (None: not yet)."""

    __tablename__ = "standings"
    user_digest: Mapped[str] = mapped_column(String(16), primary_key=True)  #: or * and a lane: all its users
    lane: Mapped[int]
    opened_us: Mapped[int]
    until_us: Mapped[int]  #: missing may be what ended by then
    closed_us: Mapped[int | None]
    reason: Mapped[str] = mapped_column(String(40))
    __table_args__ = (
        # status asks for the few that are open among the standings of all users
        Index("ix_standings_open", "reason", sqlite_where=text(_OPEN), postgresql_where=text(_OPEN)),
    )
