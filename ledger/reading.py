"""Reads the ledger: everything asked of one `Reading` is from one moment, so that figures agree with each other."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from functools import reduce
from operator import add
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, bindparam, func, select

from comparators import RuleSet
from ledger import complaints, paired, reviews, summing
from ledger import rules as rulebook
from ledger.accounts import NOBODY, LaneAccount, of_lanes
from ledger.base import Instant
from ledger.complaints import KeptComplaint
from ledger.facts import (
    COUNTED,
    FUNNEL,
    GRAVITY,
    MISSED_SERVED,
    Failure,
    Group,
    KeptSample,
    OperationSums,
    Outcome,
    Position,
)
from ledger.models import (
    EpochRow,
    FunnelRow,
    LaneRow,
    LossRow,
    MinuteRow,
    ParkedRow,
    ReasonRow,
    StandingRow,
    TallyRow,
    UserRow,
)
from ledger.paired import PairSums
from ledger.pairs import PAIRED, Measure
from ledger.parked import Choice, Parked, ParkedState, listed, totals
from ledger.review_models import GroupRow, GroupUserRow, SampleRow
from ledger.reviews import Review
from ledger.rollouts import RolloutReading
from ledger.trends import Trend, trends


class Cluster(NamedTuple):
    """What one cluster of users came to under one exposure: the calls that enhanced answered, and those it did not."""

    operation: str
    exposure: str
    cluster: int
    answered: int  #: of these `diverged`, and of those `critical`
    diverged: int
    critical: int
    failed: int
    unknown: int
    excluded_returned: int


_UNKNOWN: Final = (TallyRow.inconclusive, TallyRow.parked, TallyRow.lost, TallyRow.expired, TallyRow.discarded)
# built once, and added up by the database: there are many rows, and the gate asks for them every minute
_CLUSTERS: Final = select(
    TallyRow.operation,
    TallyRow.exposure,
    TallyRow.cluster,
    (TallyRow.match + TallyRow.ignored + TallyRow.diverged),
    TallyRow.diverged,
    TallyRow.diverged_critical,
    TallyRow.failed,
    reduce(add, _UNKNOWN),
    TallyRow.excluded_returned,
).where(TallyRow.epoch == bindparam("epoch"), TallyRow.cluster != NOBODY)
_OUTCOME_NAMES: Final = (*map(str, COUNTED), "excluded_returned", "excluded_superseded", "diverged_critical")
_OUTCOMES: Final = (
    select(TallyRow.operation, TallyRow.exposure, *(func.sum(getattr(TallyRow, name)) for name in _OUTCOME_NAMES))
    .where(TallyRow.epoch == bindparam("epoch"), TallyRow.cluster != NOBODY)
    .group_by(TallyRow.operation, TallyRow.exposure)
)
_LOST: Final = (
    select(TallyRow.operation, func.sum(TallyRow.lost))
    .where(TallyRow.epoch == bindparam("epoch"), TallyRow.cluster == NOBODY)
    .group_by(TallyRow.operation)
)
# distinct first: PostgreSQL counts distinct values by sorting all
_HOURS: Final = select(func.count()).select_from(
    select(MinuteRow.minute // 60).where(MinuteRow.epoch == bindparam("epoch")).distinct().subquery()
)


_USERS: Final = select(func.count()).select_from(UserRow)


class Reading:
    """One snapshot of the ledger."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.rollout = RolloutReading(connection)

    def sums(self, epoch: int | None = None) -> dict[str, OperationSums]:
        """Return funnel and outcomes of every operation, over one epoch or all."""
        sums: defaultdict[str, OperationSums] = defaultdict(OperationSums)
        for row in self._summed(FunnelRow, (*FUNNEL, MISSED_SERVED), epoch):
            sums[row["operation"]].funnel = Counter({name: int(row[name]) for name in FUNNEL})
            sums[row["operation"]].missed_served = int(row[MISSED_SERVED])
        failed = {str(failure): f"failed_{failure}" for failure in Failure}
        for row in self._summed(
            TallyRow, (*map(str, COUNTED), "excluded_returned", "diverged_critical", *failed.values()), epoch
        ):
            sums[row["operation"]].outcomes = Counter({str(name): int(row[name]) for name in COUNTED})
            sums[row["operation"]].failures = Counter({name: int(row[column]) for name, column in failed.items()})
            sums[row["operation"]].excluded_returned = int(row["excluded_returned"])
            sums[row["operation"]].diverged_critical = int(row["diverged_critical"])
        return dict(sorted(sums.items()))

    def done(self) -> int:
        """Return how many captures all lanes have finished, counted apart from the tallies."""
        return self._scalar(select(func.sum(LaneRow.done)))

    def positions(self) -> dict[int, Position]:
        """Return how far each lane is drained."""
        query = select(LaneRow.lane, LaneRow.read_ms, LaneRow.read_seq, LaneRow.cut_us, LaneRow.cut_id)
        rows = self._connection.execute(query)
        return {row.lane: Position((row.read_ms, row.read_seq), (row.cut_us, row.cut_id)) for row in rows}

    def accounts(self) -> dict[int, LaneAccount]:
        """Return how every lane stands: where it is, what was captured, what is done, and who sent it."""
        return of_lanes(self._connection)

    def reasons(self, epoch: int | None = None) -> list[tuple[str, str, str, int]]:
        """Return operation, outcome, reason and count, most frequent first."""
        total = func.sum(ReasonRow.count)
        query = select(ReasonRow.operation, ReasonRow.outcome, ReasonRow.reason, total)
        query = query.group_by(ReasonRow.operation, ReasonRow.outcome, ReasonRow.reason).order_by(total.desc())
        query = query.having(total > 0)  # what was parked once may be no more
        if epoch is not None:
            query = query.where(ReasonRow.epoch == epoch)
        return [(row[0], row[1], row[2], int(row[3])) for row in self._connection.execute(query)]

    def parked(self, choice: Choice, states: Iterable[ParkedState], limit: int | None = None) -> list[Parked]:
        """Return parked captures, those parked last first."""
        return [Parked(**row) for row in self._connection.execute(listed(choice, states, limit)).mappings()]

    def parked_totals(self, choice: Choice, states: Iterable[ParkedState]) -> dict[tuple[str, str], int]:
        """Return how many captures are parked, by reason and state."""
        rows = self._connection.execute(totals(choice, states))
        return {(reason, state): int(count) for reason, state, count in rows}

    def payload(self, capture_id: str) -> bytes | None:
        """Return what a parked capture holds; None where it is not known."""
        query = select(ParkedRow.payload).where(ParkedRow.capture_id == capture_id)
        found: bytes | None = self._connection.scalar(query)
        return found

    def why_parked(self) -> dict[str, int]:
        """Return how many captures are parked, by reason, the most frequent first."""
        why: Counter[str] = Counter()
        for _, outcome, reason, count in self.reasons():
            why.update({reason: count} if outcome == Outcome.PARKED else {})
        return dict(why.most_common())

    def retrying(self) -> int:
        """Return how many parked captures are to be replayed again."""
        return self._scalar(select(func.sum(LaneRow.retrying)))

    def gaps(self) -> dict[str, int]:
        """Return how many users are in a gap, by reason; a gap of a whole lane counts as one."""
        query = select(StandingRow.reason, func.count()).where(StandingRow.closed_us.is_(None))
        return {row[0]: int(row[1]) for row in self._connection.execute(query.group_by(StandingRow.reason))}

    def losses(self) -> list[tuple[str, int, int, datetime]]:
        """Return what was booked as lost with Redis, and taken back: operation, epoch, captures, when; latest first."""
        query = select(LossRow.operation, LossRow.epoch, LossRow.captures, LossRow.noticed_at)
        rows = self._connection.execute(query.order_by(LossRow.id.desc()))
        return [(row[0], row[1], row[2], row[3]) for row in rows]

    def pairs(
        self,
        epoch: int | None = None,
        measures: Collection[Measure] = PAIRED,
        counters: Sequence[str] = paired.COUNTERS,
    ) -> dict[str, PairSums]:
        """Return the paired reads of every operation that has any, over one epoch or all.

        With histograms of `measures` alone, and of all that is counted the `counters`.
        """
        return paired.sums(self._connection, epoch, measures, counters)

    def groups(self) -> list[Group]:
        """Return all groups, the gravest and largest first."""
        users = select(GroupUserRow.group_id, func.count().label("users")).group_by(GroupUserRow.group_id).subquery()
        query = select(GroupRow, users.c.users).join(users, users.c.group_id == GroupRow.id)
        names = Group.__dataclass_fields__
        rows = self._connection.execute(query).mappings()
        found = [Group(**{name: row[name] for name in names}) for row in rows]
        return sorted(found, key=lambda group: (GRAVITY.index(group.severity), -group.count, group.id))

    def trends(self) -> dict[str, Trend]:
        """Return how often each group was seen in the last hour, and in the day before it."""
        return trends(self._connection)

    def samples(self, group: str) -> list[KeptSample]:
        """Return the divergences of a group that are kept as a whole, those called first first."""
        names = (*KeptSample.__dataclass_fields__,)
        query = select(*(getattr(SampleRow, name) for name in names)).where(SampleRow.group_id == group)
        rows = self._connection.execute(query.order_by(SampleRow.called_at, SampleRow.slot)).mappings()
        return [KeptSample(**row) for row in rows]

    def clusters(self, epoch: int) -> dict[str, list[Cluster]]:
        """Return, for each operation, its outcomes by exposure and cluster of users; what is lost is of none."""
        clusters: defaultdict[str, list[Cluster]] = defaultdict(list)
        for row in map(Cluster._make, self._connection.execute(_CLUSTERS, {"epoch": epoch}).all()):
            clusters[row.operation].append(row)
        return clusters

    def outcomes(self, epoch: int) -> dict[tuple[str, str], Counter[str]]:
        """Return, by operation and exposure, the outcomes of an epoch, without what is lost and nobody's."""
        rows = self._connection.execute(_OUTCOMES, {"epoch": epoch})
        return {(row[0], row[1]): Counter(dict(zip(_OUTCOME_NAMES, map(int, row[2:]), strict=True))) for row in rows}

    def funnels(self, epoch: int) -> dict[str, Counter[str]]:
        """Return the funnel of every operation of an epoch, `missed_served` beside it."""
        names = (*FUNNEL, MISSED_SERVED)
        rows = self._summed(FunnelRow, names, epoch)
        return {row["operation"]: Counter({name: int(row[name]) for name in names}) for row in rows}

    def lost(self, epoch: int) -> dict[str, int]:
        """Return how many captures of every operation of an epoch are lost, and nobody knows whose."""
        return {operation: int(lost) for operation, lost in self._connection.execute(_LOST, {"epoch": epoch})}

    def epoch(self) -> EpochRow:
        """Return the epoch that is open."""
        query = select(EpochRow).where(EpochRow.closed_at.is_(None)).order_by(EpochRow.epoch.desc()).limit(1)
        return EpochRow(**self._connection.execute(query).mappings().one())

    def rules(self, *, ended: bool = False) -> list[rulebook.Listed]:
        """Return the rules with their history, those made last first; with those that have ended where asked for."""
        return rulebook.listed(self._connection, ended=ended)

    def rules_version(self) -> int:
        """Return the version of the rule set."""
        return rulebook.version(self._connection)

    def rules_age_s(self) -> float:
        """Return for how long the rule set has been as it is."""
        return rulebook.age_s(self._connection)

    def in_force(self) -> RuleSet:
        """Return the rules in force."""
        return rulebook.in_force(self._connection)

    def not_rejudged(self) -> bool:
        """Tell whether the open epoch is still to be counted anew by the latest rule."""
        return rulebook.not_rejudged(self._connection)

    def distinct_users(self, epoch: int) -> int:
        """Return how many users an epoch saw."""
        return self._scalar(_USERS.where(UserRow.epoch == epoch))

    def users_below(self, epoch: int, bucket: int) -> int:
        """Return how many users of an epoch are in a rollout bucket below this one."""
        return self._scalar(_USERS.where(UserRow.epoch == epoch, UserRow.bucket < bucket))

    def unplaced_users(self, epoch: int) -> int:
        """Return of how many users of an epoch the bucket is not known: they were seen before it was kept."""
        return self._scalar(_USERS.where(UserRow.epoch == epoch, UserRow.bucket.is_(None)))

    def since(self, epoch: int, minute: int) -> dict[tuple[str, str], Counter[str]]:
        """Return, by operation and exposure, the outcomes of an epoch's calls made from a minute on, since 1970."""
        names = (*map(str, COUNTED), "excluded_returned")
        columns = [func.sum(getattr(MinuteRow, name)) for name in names]
        keys = (MinuteRow.operation, MinuteRow.exposure)
        query = select(*keys, *columns).where(MinuteRow.epoch == epoch, MinuteRow.minute >= minute)
        rows = self._connection.execute(query.group_by(*keys))
        return {(row[0], row[1]): Counter(dict(zip(names, map(int, row[2:]), strict=True))) for row in rows}

    def reviews(self) -> dict[str, Review]:
        """Return the latest decision on each group that people have decided of."""
        return reviews.reviews(self._connection)

    def complaints(self, *, decided: bool = False) -> list[KeptComplaint]:
        """Return complaints, the latest first: those that are open, or all."""
        return complaints.listed(self._connection, decided=decided)

    def open_complaints(self) -> int:
        """Return how many complaints nobody has decided."""
        return complaints.count_open(self._connection)

    def hours(self, epoch: int) -> int:
        """Return how many distinct hours of an epoch hold calls."""
        return self._scalar(_HOURS, epoch=epoch)

    def now(self) -> datetime:
        """Return the database's own time."""
        found = self._connection.scalar(select(func.now(type_=Instant())))
        assert isinstance(found, datetime)
        return found

    def _summed(self, model: summing.Model, names: tuple[str, ...], epoch: int | None) -> list[Mapping[str, Any]]:
        rows = summing.sums(self._connection, model, ("operation",), names, epoch=epoch)
        return [dict(zip(("operation", *names), row, strict=True)) for row in rows]

    def _scalar(self, query: Any, **values: Any) -> int:
        return int(self._connection.scalar(query, values) or 0)
