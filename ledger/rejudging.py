"""Counts the divergences of the open epoch anew by the rules in force, from what is kept of them: nothing is replayed.

A divergence is its own marker: the transaction that takes it out of the tallies marks in its row which rule allows
what. So each is taken over exactly once, whoever is killed in the midst of it and begins again. They are found by the
groups that a rule names: what no rule names is not read.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    Select,
    and_,
    bindparam,
    delete,
    exists,
    func,
    select,
    tuple_,
    update,
)

from comparators import Rule, RuleSet, Ruling, Severity, wildcard, worst
from ledger import rules as keeping
from ledger.epochs import open_epoch
from ledger.facts import Outcome
from ledger.models import DivergenceRow, MinuteRow, ReasonRow, TallyRow
from ledger.review_models import GroupMemberRow, GroupRow, GroupUserRow, RuleHitRow, SampleRow
from ledger.texts import storable
from ledger.upsert import add_up

CHUNK: Final = 500  # rows in one transaction: some 0.1 s, for which commits in SQLite have to wait
_MINUTE_S: Final = 60
_TALLY: Final = ("operation", "epoch", "exposure", "cluster")
_MINUTE: Final = ("operation", "epoch", "exposure", "minute")
_REASON: Final = ("operation", "epoch", "reason")


class Place(NamedTuple):
    """How far a re-judging has come: the group, and the last of its divergences."""

    group: str
    called_at: datetime | None = None
    capture_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejudged:
    """What one step did: rows looked at, now ignored, allowed in part; and where to go on (None: it was the last).

    `kept` are rows of an older version, which cannot be counted anew and stay as they are.
    """

    version: int
    epoch: int
    looked_at: int = 0
    ignored: int = 0
    in_part: int = 0
    kept: int = 0
    after: Place | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What a rule would hide of what is kept: all of `hides` divergences of the open epoch, of `in_part` a part.

    `critical` counts divergences of any epoch that it names and that are critical there: with any it is refused.
    """

    groups: tuple[str, ...]
    hides: int = 0
    in_part: int = 0
    critical: int = 0


def step(connection: Connection, after: Place | None) -> Rejudged:
    """Count some divergences anew, in one transaction with everything that they are counted in."""
    keeping.lock(connection)
    rules, epoch = keeping.in_force(connection), open_epoch(connection)
    group = next((each for each in named(connection, rules) if after is None or each >= after.group), None)
    if group is None:
        keeping.mark_rejudged(connection)
        return Rejudged(version=rules.version, epoch=epoch)
    begin = after if after is not None and after.group == group else Place(group)
    rows = connection.execute(_diverged(epoch, begin)).mappings().all()
    countable = [row for row in rows if row["cluster"] is not None]
    anew = [found for row in countable if (found := _Anew.of(row, rules)).changed]
    if anew:
        _Recount(connection, anew).write()
    ignored = sum(found.ruling.ignored for found in anew)
    return Rejudged(
        version=rules.version,
        epoch=epoch,
        looked_at=len(rows),
        ignored=ignored,
        in_part=len(anew) - ignored,
        kept=len(rows) - len(countable),
        after=Place(group, rows[-1]["called_at"], rows[-1]["capture_id"]) if rows else Place(f"{group}~"),
    )


def named(connection: Connection, rules: RuleSet) -> list[str]:
    """Return the groups that rules name, in order."""
    query = select(GroupRow.id, GroupRow.operation, GroupRow.path, GroupRow.kind).order_by(GroupRow.id)
    rows = connection.execute(query) if rules else ()
    return sorted(row.id for row in rows if rules.names(row.operation, row.path, row.kind))


def preview(connection: Connection, rule: Rule) -> Preview:
    """Return what `rule` would hide, beside the rules in force."""
    rules, epoch = keeping.in_force(connection).with_rule(rule), open_epoch(connection)
    alone = RuleSet(0, [rule])
    groups = tuple(named(connection, alone))
    counts: Counter[str] = Counter()
    for row in _all_of(connection, groups):
        found = _Anew.of(row, rules)
        counts["critical"] += found.names_critical(alone)
        if row["epoch"] == epoch and row["verdict"] == Outcome.DIVERGED and found.changed:
            counts["hides" if found.ruling.ignored else "in_part"] += 1
    return Preview(groups=groups, **counts)


# --- rows

_COLUMNS: Final = tuple(
    getattr(DivergenceRow, name)
    for name in (
        *("capture_id", "called_at", "operation", "epoch", "exposure", "cluster", "verdict", "reason", "user_digest"),
        "differences",
    )
)
_KEY: Final = (GroupMemberRow.called_at, GroupMemberRow.capture_id)
_IS_MEMBER: Final = (
    GroupMemberRow.capture_id == DivergenceRow.capture_id,
    GroupMemberRow.called_at == DivergenceRow.called_at,
)


def _of_group(after: Place) -> Select[Any]:
    """Return the query for the divergences of a group, in the order of their calls."""
    query = select(*_COLUMNS).join(GroupMemberRow, and_(*_IS_MEMBER)).where(GroupMemberRow.group_id == after.group)
    if after.called_at is not None:
        query = query.where(tuple_(*_KEY) > (after.called_at, after.capture_id))
    return query.order_by(*_KEY).limit(CHUNK)


def _diverged(epoch: int, after: Place) -> Select[Any]:
    diverged = (DivergenceRow.epoch == epoch, DivergenceRow.verdict == str(Outcome.DIVERGED))
    return _of_group(after).where(*diverged).with_for_update(of=DivergenceRow)


def _all_of(connection: Connection, groups: Iterable[str]) -> Iterator[RowMapping]:
    for group in groups:
        after = Place(group)
        while rows := connection.execute(_of_group(after)).mappings().all():
            yield from rows
            after = Place(group, rows[-1]["called_at"], rows[-1]["capture_id"])


@dataclass(frozen=True, slots=True)
class _Anew:
    """A divergence as it is kept, and what the rules make of it."""

    row: RowMapping
    ruling: Ruling

    @classmethod
    def of(cls, row: RowMapping, rules: RuleSet) -> "_Anew":
        found = [(kept["path"], kept["kind"], Severity(kept["severity"])) for kept in row["differences"]]
        return cls(row, rules.rule_on(row["operation"], found))

    @property
    def before(self) -> set[int]:
        """The rules that allowed something of it before."""
        return {kept["rule"] for kept in self.row["differences"] if kept.get("rule")}

    @property
    def changed(self) -> bool:
        """Whether a rule allows what none did before."""
        told = zip(self.row["differences"], self.ruling.rules, strict=True)
        return self.ruling.ignored or any(rule and not kept.get("rule") for kept, rule in told)

    def names_critical(self, rules: RuleSet) -> bool:
        """Tell whether a rule names something of it that is critical."""
        return any(
            kept["severity"] == Severity.CRITICAL and rules.names(self.row["operation"], kept["path"], kept["kind"])
            for kept in self.row["differences"]
        )

    @property
    def reason(self) -> str:
        """Who decided, or, where something is left, what it was before."""
        return storable(self.ruling.reason, 100) if self.ruling.ignored else str(self.row["reason"])

    def places(self) -> set[tuple[str, str]]:
        """Return the places and kinds that it is still grouped by."""
        if self.ruling.ignored:
            return set()
        told = zip(self.row["differences"], self.ruling.rules, strict=True)
        return {(storable(wildcard(kept["path"]), 500), kept["kind"]) for kept, rule in told if not rule}

    def values(self) -> dict[str, Any]:
        """Return its row as it is from now on."""
        told = list(zip(self.row["differences"], self.ruling.rules, strict=True))
        left = worst(Severity(kept["severity"]) for kept, rule in told if not rule)
        return {
            "of_capture": self.row["capture_id"],
            "of_moment": self.row["called_at"],
            "new_verdict": str(Outcome.IGNORED if self.ruling.ignored else Outcome.DIVERGED),
            "new_reason": self.reason,
            "new_severity": str(left or Severity.MINOR),
            "new_differences": [{**kept, "rule": rule} if rule else kept for kept, rule in told],
        }


class _Recount:
    """Some divergences taken out of where they were counted, and counted where they belong now.

    In the order in which a commit takes rows, so that neither waits for the other in a circle.
    """

    def __init__(self, connection: Connection, anew: Sequence[_Anew]) -> None:
        self._connection = connection
        self._anew = anew

    def write(self) -> None:
        moved = [_counted_at(found) for found in self._anew if found.ruling.ignored]
        for model, names in ((TallyRow, _TALLY), (MinuteRow, _MINUTE)):
            add_up(self._connection, model, [_moved(key, count) for key, count in _summed(moved, names)])
        ignored = {"outcome": str(Outcome.IGNORED)}
        reasons = [{**key, **ignored, "count": count} for key, count in _summed(moved, _REASON)]
        add_up(self._connection, ReasonRow, reasons)
        add_up(self._connection, RuleHitRow, self._hits())
        self._connection.execute(_REWRITING, [found.values() for found in self._anew])
        self._regroup()

    def _hits(self) -> list[dict[str, Any]]:
        counts = Counter(
            (rule, found.row["epoch"]) for found in self._anew for rule in set(found.ruling.named) - found.before
        )
        return [{"rule_id": rule, "epoch": epoch, "hits": count} for (rule, epoch), count in counts.items()]

    # --- groups

    def _regroup(self) -> None:
        left = self._left()
        ids = sorted(left)
        locking = select(GroupRow.id).where(GroupRow.id.in_(ids)).order_by(GroupRow.id).with_for_update()
        self._connection.execute(locking).close()
        for group in ids:
            self._leave(group, left[group])
        for group in ids:
            self._connection.execute(_refreshed(group))

    def _left(self) -> dict[str, list[RowMapping]]:
        """Return by group the divergences that are in it no more."""
        rows = {found.row["capture_id"]: (found.row, found.places()) for found in self._anew}
        columns = (GroupMemberRow.capture_id, GroupMemberRow.group_id, GroupRow.path, GroupRow.kind)
        query = select(*columns).join(GroupRow, GroupRow.id == GroupMemberRow.group_id)
        left: defaultdict[str, list[RowMapping]] = defaultdict(list)
        for capture_id, group, path, kind in self._connection.execute(
            query.where(GroupMemberRow.capture_id.in_(sorted(rows)))
        ):
            row, places = rows[capture_id]
            if (path, kind) not in places:
                left[group].append(row)
        return left

    def _leave(self, group: str, rows: Sequence[RowMapping]) -> None:
        moments = [{"of_group": group, "of_capture": row["capture_id"], "of_moment": row["called_at"]} for row in rows]
        self._connection.execute(_LEAVING, moments)
        fewer = update(GroupRow).where(GroupRow.id == group).values(count=GroupRow.count - len(rows))
        self._connection.execute(fewer)
        users = sorted({row["user_digest"] for row in rows})
        of_group = (GroupUserRow.group_id == group, GroupUserRow.user_digest.in_(users))
        self._connection.execute(delete(GroupUserRow).where(*of_group, ~_still_in(group)))
        captures = [row["capture_id"] for row in rows]
        of_sample = (SampleRow.group_id == group, SampleRow.capture_id.in_(captures))
        self._connection.execute(delete(SampleRow).where(*of_sample))


def _still_in(group: str) -> ColumnElement[bool]:
    """Tell whether a user of a group has a divergence in it."""
    user = DivergenceRow.user_digest == GroupUserRow.user_digest
    return exists().where(*_IS_MEMBER, GroupMemberRow.group_id == group, user).correlate(GroupUserRow)


def _refreshed(group: str) -> Any:
    """Return the statement by which a group names only what is in it: its last call, and an example."""
    in_group = GroupMemberRow.group_id == group
    last = select(func.max(GroupMemberRow.called_at)).where(in_group).scalar_subquery()
    order = (GroupMemberRow.called_at, GroupMemberRow.capture_id)
    first = select(GroupMemberRow.capture_id).where(in_group).order_by(*order).limit(1).scalar_subquery()
    values = {
        "last_seen": func.coalesce(last, GroupRow.last_seen),
        "example": func.coalesce(first, GroupRow.example),
    }
    return update(GroupRow).where(GroupRow.id == group).values(**values)


_OF_ROW: Final = (
    DivergenceRow.capture_id == bindparam("of_capture"),
    DivergenceRow.called_at == bindparam("of_moment"),
)
_REWRITING: Final = (
    update(DivergenceRow)
    .where(*_OF_ROW)
    .values({name: bindparam(f"new_{name}") for name in ("verdict", "reason", "severity", "differences")})
)
_LEAVING: Final = delete(GroupMemberRow).where(
    GroupMemberRow.group_id == bindparam("of_group"),
    GroupMemberRow.called_at == bindparam("of_moment"),
    GroupMemberRow.capture_id == bindparam("of_capture"),
)


def _counted_at(found: _Anew) -> dict[str, Any]:
    minute = int(found.row["called_at"].timestamp()) // _MINUTE_S
    return {**found.row, "minute": minute, "reason": found.reason}


def _moved(key: Mapping[str, Any], count: int) -> dict[str, Any]:
    return {**key, str(Outcome.DIVERGED): -count, str(Outcome.IGNORED): count}


def _summed(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> list[tuple[dict[str, Any], int]]:
    counts = Counter(tuple(row[name] for name in names) for row in rows)
    return [(dict(zip(names, key, strict=True)), count) for key, count in counts.items()]
