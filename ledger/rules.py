"""The rule set in the ledger: who allowed what, why and until when; each change makes a new version of it.

Loosening stays in the open epoch, whose divergences `ledger.rejudging` then counts anew. Tightening opens another: what
was ignored is not kept, so nobody could count it anew.

RuleError
├── DuplicateRuleError   the same is allowed already
├── CriticalRuleError    it would name what was critical
└── UnknownRuleError     a rule was named that is not there, or has ended
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import ColumnElement, Connection, Select, func, insert, select, text, update

from comparators import Rule, RuleSet, Severity
from ledger.base import Instant
from ledger.engine import LedgerError
from ledger.epochs import open_epoch, open_next
from ledger.models import EpochRow
from ledger.review_models import GroupRow, RuleHitRow, RuleRow, RuleSetRow
from ledger.texts import storable

PICKED_UP_S: Final = 6.0  # by then every worker process judges by a new rule set: it looks every 2 s (worker.rules)
NOT_MADE: Final = 2**62  #: the number of a rule that is only thought of
_LOCK: Final = 7_103_553  # whoever changes rules, or counts anew by them


class RuleError(LedgerError):
    """What was asked of the rules cannot be done; nothing was changed."""


class DuplicateRuleError(RuleError):
    """The same is allowed already."""

    def __init__(self, rule: int) -> None:
        super().__init__(f"rule {rule} allows the same already; nothing was changed")
        self.rule = rule


class CriticalRuleError(RuleError):
    """A rule would name what was critical."""

    def __init__(self, group: str) -> None:
        super().__init__(
            f"refused: group {group} holds critical differences, which no rule may hide; nothing was changed"
        )
        self.group = group


class UnknownRuleError(RuleError):
    """A rule was named that is not there, or that has ended."""

    def __init__(self, rule: int, *, ended: bool) -> None:
        said = "has ended already" if ended else "is not there"
        super().__init__(f"rule {rule} {said}; nothing was changed")
        self.rule = rule


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A rule as a person asks for it."""

    operation: str
    path: str
    kind: str
    author: str
    reason: str
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A rule with its history: `hits` are comparisons in which it allowed something, in all and in the open epoch."""

    id: int
    operation: str
    path: str
    kind: str
    author: str
    reason: str
    made_at: datetime
    since: int
    expires_at: datetime | None
    until: int | None
    ended_at: datetime | None
    ended_by: str
    ended_why: str
    hits: int = 0
    hits_in_epoch: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """What a change led to: the version in force now, the epoch that is open now, and the rules it was about."""

    version: int
    epoch: int
    rules: tuple[int, ...]


def lock(connection: Connection) -> None:
    """Let nobody else change rules, or count anew by them, until the transaction ends; SQLite has one writer anyhow."""
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))


def version(connection: Connection) -> int:
    """Return the version of the rule set; 0 before the first rule."""
    return int(connection.scalar(select(func.max(RuleSetRow.version))) or 0)


def age_s(connection: Connection) -> float:
    """Return for how long the rule set has been as it is, by the database's clock; endless before the first rule."""
    made_at = connection.scalar(select(func.max(RuleSetRow.made_at, type_=Instant())))
    now = connection.scalar(select(func.now(type_=Instant())))
    return float("inf") if made_at is None or now is None else (now - made_at).total_seconds()


def in_force(connection: Connection) -> RuleSet:
    """Return the rules in force now, by the database's clock."""
    columns = (RuleRow.id, RuleRow.operation, RuleRow.path, RuleRow.kind)
    query = select(*columns).where(RuleRow.until.is_(None), ~_expired()).order_by(RuleRow.id)
    return RuleSet(version(connection), [Rule(**row) for row in connection.execute(query).mappings()])


def listed(connection: Connection, *, ended: bool = False) -> list[Listed]:
    """Return the rules, those made last first; with those that have ended where asked for."""
    query = select(RuleRow) if ended else select(RuleRow).where(RuleRow.until.is_(None))
    hits, epoch = _hits(connection), open_epoch(connection)
    rows = connection.execute(query.order_by(RuleRow.id.desc())).mappings()
    return [
        Listed(**row, hits=sum(hits.get(row["id"], {}).values()), hits_in_epoch=hits.get(row["id"], {}).get(epoch, 0))
        for row in rows
    ]


def _hits(connection: Connection) -> dict[int, dict[int, int]]:
    found: dict[int, dict[int, int]] = {}
    for rule, epoch, hits in connection.execute(select(RuleHitRow.rule_id, RuleHitRow.epoch, RuleHitRow.hits)):
        found.setdefault(rule, {})[epoch] = int(hits)
    return found


# --- changes


def add(connection: Connection, draft: Draft) -> Changed:
    """Allow something more, in the open epoch.

    Raises DuplicateRuleError, and CriticalRuleError where what it names was ever critical.
    """
    lock(connection)
    if (known := connection.scalar(_same(draft))) is not None:
        raise DuplicateRuleError(known)
    if (group := connection.scalar(_critical(draft.operation, draft.path, draft.kind))) is not None:
        raise CriticalRuleError(group)
    lengths = {"author": 200, "reason": 500}
    values = {name: getattr(draft, name) for name in Draft.__dataclass_fields__}
    values |= {name: storable(values[name], length) for name, length in lengths.items()}
    number = version(connection) + 1
    made = insert(RuleRow).values(**values, since=number, ended_by="", ended_why="").returning(RuleRow.id)
    rule = connection.scalars(made).one()
    epoch = open_epoch(connection)
    connection.execute(update(EpochRow).where(EpochRow.epoch == epoch).values(rules_version=number))
    _write_version(connection, number, "added", draft.author, epoch)
    return Changed(version=number, epoch=epoch, rules=(rule,))


def retire(connection: Connection, rule: int, by: str, why: str) -> Changed:
    """End a rule, and open another epoch; raises UnknownRuleError where it is not in force."""
    lock(connection)
    found = connection.execute(select(RuleRow.until).where(RuleRow.id == rule)).one_or_none()
    if found is None or found.until is not None:
        raise UnknownRuleError(rule, ended=found is not None)
    return _end(connection, RuleRow.id == rule, "retired", by, why)


def expired(connection: Connection) -> bool:
    """Tell whether the time of a rule is over that has not been ended yet."""
    return connection.scalar(select(RuleRow.id).where(RuleRow.until.is_(None), _expired()).limit(1)) is not None


def expire(connection: Connection) -> Changed | None:
    """End the rules whose time is over, and open another epoch; None where there are none."""
    lock(connection)
    return _end(connection, _expired(), "expired", "", "") if expired(connection) else None


def _end(connection: Connection, which: ColumnElement[bool], change: str, by: str, why: str) -> Changed:
    number = version(connection) + 1
    ended = {"until": number, "ended_at": func.now(), "ended_by": by, "ended_why": why}
    statement = update(RuleRow).where(RuleRow.until.is_(None), which).values(**ended).returning(RuleRow.id)
    rules = tuple(sorted(connection.scalars(statement)))
    epoch = open_next(connection, rules_version=number)
    _write_version(connection, number, change, by, epoch)
    return Changed(version=number, epoch=epoch, rules=rules)


def _write_version(connection: Connection, number: int, change: str, author: str, epoch: int) -> None:
    connection.execute(insert(RuleSetRow).values(version=number, change=change, author=author, epoch=epoch))


def mark_rejudged(connection: Connection) -> None:
    """Note that the open epoch is counted by the rules in force."""
    latest = update(RuleSetRow).where(RuleSetRow.version == version(connection))
    connection.execute(latest.values(rejudged_at=func.now()))


# --- conditions


def _expired() -> ColumnElement[bool]:
    return RuleRow.expires_at.is_not(None) & (RuleRow.expires_at <= func.now(type_=Instant()))


def _same(draft: Draft) -> Select[int]:
    place = (RuleRow.operation == draft.operation, RuleRow.path == draft.path, RuleRow.kind == draft.kind)
    # one whose time is over is no longer in force, whoever has not noted it yet
    return select(RuleRow.id).where(*place, RuleRow.until.is_(None), ~_expired())


def groups_of(operation: str, path: str, kind: str) -> ColumnElement[bool]:
    """Return the condition for the groups that a rule names."""
    return (GroupRow.operation == operation) & (GroupRow.path == path) & (GroupRow.kind == kind)


def _critical(operation: str, path: str, kind: str) -> Select[str]:
    critical = GroupRow.severity == str(Severity.CRITICAL)
    return select(GroupRow.id).where(groups_of(operation, path, kind), critical).limit(1)


def not_rejudged(connection: Connection) -> bool:
    """Tell whether the latest change still asks for the open epoch to be counted anew."""
    latest = select(RuleSetRow.change, RuleSetRow.rejudged_at).order_by(RuleSetRow.version.desc()).limit(1)
    row = connection.execute(latest).one_or_none()
    return row is not None and row.change == "added" and row.rejudged_at is None
