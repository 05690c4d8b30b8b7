"""Where the rollout stands: epochs and pauses, what evaluations came to, approvals.

Whoever changes any of it holds one lock until the transaction ends, so that two who promote at the same moment are one
who promotes and one who is told.

RolloutError
├── MovedOnError    the epoch that was meant is not open any more
└── PausedError     it is paused already, or is not
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, exists, func, insert, select, text, update

from ledger.base import Instant
from ledger.engine import LedgerError
from ledger.epochs import open_epoch, open_next
from ledger.models import EpochRow, UserRow
from ledger.rollout_models import ONLY, ApprovalRow, EvaluationRow, PauseRow, RolloutRow
from ledger.texts import storable
from ledger.upsert import put

_LOCK: Final = 7_103_554  # whoever changes where the rollout stands
_BY: Final = 200
_WHY: Final = 500
_SUMMARY: Final = 1_000
_UNDER_WAY: Final = select(PauseRow.id).where(PauseRow.resumed_at.is_(None))


class RolloutError(LedgerError):
    """What was asked of the rollout cannot be done; nothing was changed."""


class MovedOnError(RolloutError):
    """The epoch that was meant is not open any more."""

    def __init__(self, meant: int, found: int) -> None:
        super().__init__(f"epoch {meant} is not open any more, epoch {found} is; nothing was changed")
        self.meant = meant
        self.found = found


class PausedError(RolloutError):
    """It is paused already, or is not."""

    def __init__(self, *, paused: bool) -> None:
        super().__init__(f"the rollout is {'paused already' if paused else 'not paused'}; nothing was changed")
        self.paused = paused


@dataclass(frozen=True, slots=True)
class Paused:
    """How long an epoch was paused, and since when it is, where it is."""

    seconds: float = 0.0
    since: datetime | None = None
    by: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """One look of the gate at an epoch."""

    epoch: int
    share: int
    state: str
    clean: int | None = None  #: evaluations in a row, this one included, without a reason to hold; None: it holds not
    digest: str = ""
    summary: str = ""
    at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stand:
    """Where the rollout was left: by the last evaluation, and by a rollback that nobody has resumed after.

    `barred` is the build that harm was proven of; None: of none.
    """

    state: str = ""
    epoch: int = 0
    clean: int | None = None
    summary: str = ""
    rolled_back: bool = False
    taken_back: str = ""  #: why
    barred: str | None = None
    switched_off: tuple[str, ...] = ()
    evaluated_at: datetime | None = None
    complaints_read_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """A person's word on evidence seen, and how old it is."""

    id: int
    epoch: int
    evidence: str
    review: str
    by: str
    why: str
    age_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """How an epoch came to be: by whom, why, and by which version of the flags (-1: by none)."""

    epoch: int
    share: int
    build: str
    policy: str
    by: str
    why: str
    flags: int
    opened_at: datetime


class RolloutReading:
    """What a snapshot of the ledger says of the rollout."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def opened(self) -> Opened:
        """Return how the open epoch came to be."""
        query = select(EpochRow.__table__).where(EpochRow.epoch == open_epoch(self._connection))
        return _opened(self._connection.execute(query).mappings().one())

    def attempts(self, share: int, epoch: int) -> int:
        """Return which attempt at a share this epoch is: earlier ones count in which anybody was seen."""
        seen = exists().where(UserRow.epoch == EpochRow.epoch)
        query = select(func.count()).select_from(EpochRow).where(EpochRow.share == share, EpochRow.epoch < epoch, seen)
        return 1 + int(self._connection.scalar(query) or 0)

    def paused(self, epoch: int) -> Paused:
        """Return how much of an epoch was paused, and by whom it is; a pause outlives the epoch that it began in."""
        opened_at = self._connection.scalar(select(EpochRow.opened_at).where(EpochRow.epoch == epoch))
        assert opened_at is not None
        lasting = PauseRow.resumed_at.is_(None) | (PauseRow.resumed_at > opened_at)
        rows = self._connection.execute(select(PauseRow.__table__).where(lasting)).mappings().all()
        now = _now(self._connection)
        seconds, under_way = 0.0, None
        for row in rows:
            seconds += max(0.0, ((row["resumed_at"] or now) - max(row["paused_at"], opened_at)).total_seconds())
            under_way = row if row["resumed_at"] is None else under_way
        if under_way is None:
            return Paused(seconds)
        return Paused(seconds, under_way["paused_at"], under_way["paused_by"], under_way["why"])

    def standing(self) -> Stand:
        """Return where the last evaluation, rollback or resumption has left it."""
        row = self._connection.execute(select(RolloutRow.__table__)).mappings().one_or_none()
        if row is None:
            return Stand()
        known = {name: row[name] for name in Stand.__dataclass_fields__ if name != "switched_off"}
        return Stand(**known, switched_off=tuple(filter(None, row["switched_off"].split(","))))

    def history(self, limit: int) -> list[Evaluation]:
        """Return the last evaluations, the latest first."""
        names = ("epoch", "share", "state", "digest", "summary", "at")
        query = select(*(getattr(EvaluationRow, name) for name in names)).order_by(EvaluationRow.id.desc())
        return [Evaluation(**row) for row in self._connection.execute(query.limit(limit)).mappings()]

    def approval(self, epoch: int) -> Approval | None:
        """Return the last approval of an epoch; None where there is none."""
        names = ("id", "epoch", "evidence", "review", "by", "why", "at")
        query = select(*(getattr(ApprovalRow, name) for name in names)).where(ApprovalRow.epoch == epoch)
        row = self._connection.execute(query.order_by(ApprovalRow.id.desc()).limit(1)).mappings().one_or_none()
        if row is None:
            return None
        now = _now(self._connection)
        known = {name: row[name] for name in names if name != "at"}
        return Approval(**known, age_s=(now - row["at"]).total_seconds())


# --- changes


def lock(connection: Connection) -> None:
    """Let nobody else change where the rollout stands until the transaction ends; SQLite has one writer anyhow."""
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))


def check_open(connection: Connection, epoch: int) -> None:
    """Raise MovedOnError where another epoch is open; the lock is held."""
    found = open_epoch(connection)
    if found != epoch:
        raise MovedOnError(epoch, found)


def advance(connection: Connection, epoch: int, *, by: str, why: str, **changes: Any) -> int:
    """Close `epoch` and open the next one, with `changes`; returns its number. Raises MovedOnError."""
    check_open(connection, epoch)
    return open_next(connection, opened_by=storable(by, _BY), why=storable(why, _WHY), **changes)


def put_under(connection: Connection, policy: str) -> int:
    """See that the open epoch is under a policy, by its digest; returns the epoch that is open then.

    One that was never evaluated is put under it; one under another policy ends.
    """
    epoch = open_epoch(connection)
    under = connection.scalar(select(EpochRow.policy).where(EpochRow.epoch == epoch))
    if under == policy:
        return epoch
    if not under:
        connection.execute(update(EpochRow).where(EpochRow.epoch == epoch).values(policy=policy))
        return epoch
    return open_next(connection, policy=policy, opened_by="", why="another policy")


def put_build(connection: Connection, build: str) -> int | None:
    """Open an epoch of another build, at the same stage; returns its number, None where the build is the same."""
    epoch = open_epoch(connection)
    known = connection.scalar(select(EpochRow.build).where(EpochRow.epoch == epoch))
    return None if known == build else open_next(connection, build=build, why="another build")


def pause(connection: Connection, *, by: str, why: str) -> None:
    """Let the rollout rest, whatever epochs come; raises PausedError where it does."""
    if connection.scalar(_UNDER_WAY) is not None:
        raise PausedError(paused=True)
    epoch = open_epoch(connection)
    connection.execute(insert(PauseRow).values(epoch=epoch, paused_by=storable(by, _BY), why=storable(why, _WHY)))


def resume(connection: Connection, *, by: str) -> None:
    """Let the rollout go on; raises PausedError where it does."""
    if not _end_pause(connection, by):
        raise PausedError(paused=False)


def _end_pause(connection: Connection, by: str) -> bool:
    ended = {"resumed_at": func.now(), "resumed_by": storable(by, _BY)}
    result = connection.execute(update(PauseRow).where(PauseRow.resumed_at.is_(None)).values(**ended))
    return result.rowcount > 0


def keep(connection: Connection, found: Evaluation) -> None:
    """Keep an evaluation, as the last one and in the history."""
    summary = storable(found.summary, _SUMMARY)
    last = {"id": ONLY, "state": found.state, "epoch": found.epoch, "clean": found.clean, "summary": summary}
    put(connection, RolloutRow, [{**last, "evaluated_at": _now(connection)}])
    names = ("epoch", "share", "state", "digest")
    values = {name: getattr(found, name) for name in names}
    connection.execute(insert(EvaluationRow).values(**values, summary=summary))


def note_complaints_read(connection: Connection) -> None:
    """Note that complaints were asked for just now."""
    put(connection, RolloutRow, [{"id": ONLY, "complaints_read_at": _now(connection)}])


def note_rolled_back(connection: Connection, *, why: str, barred: str | None, switched_off: Iterable[str]) -> None:
    """Note that nothing is promoted until a person resumes; `barred`: the build that harm was proven of."""
    flags, why = storable(",".join(switched_off), 200), storable(why, _WHY)
    put(
        connection,
        RolloutRow,
        [{"id": ONLY, "rolled_back": True, "taken_back": why, "barred": barred, "switched_off": flags}],
    )


def note_resumed(connection: Connection, *, by: str) -> None:
    """Note that a person has resumed after a rollback; a pause is over with it."""
    _end_pause(connection, by)
    nothing = {"rolled_back": False, "taken_back": "", "barred": None, "switched_off": ""}
    put(connection, RolloutRow, [{"id": ONLY, **nothing}])


def approve(connection: Connection, *, epoch: int, evidence: str, review: str, by: str, why: str) -> int:
    """Keep an approval; returns its number. Raises MovedOnError."""
    check_open(connection, epoch)
    values = {"epoch": epoch, "evidence": evidence, "review": review}
    values |= {"by": storable(by, _BY), "why": storable(why, _WHY)}
    return int(connection.scalars(insert(ApprovalRow).values(**values).returning(ApprovalRow.id)).one())


def _now(connection: Connection) -> datetime:
    found = connection.scalar(select(func.now(type_=Instant())))
    assert isinstance(found, datetime)
    return found


def _opened(row: Any) -> Opened:
    same = {name: row[name] for name in ("epoch", "share", "build", "policy", "why", "flags", "opened_at")}
    return Opened(**same, by=row["opened_by"])
