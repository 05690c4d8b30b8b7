"""The ledger as the rest of Gnomon uses it: take a lane's fence, commit, fold the funnel, read the sums."""

import threading
from collections import Counter, defaultdict
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, func, select, update

from ledger import commit as committing
from ledger import schema
from ledger.engine import answering, open_engine
from ledger.facts import COUNTED, Group, LaneCommit, Loss, OperationSums, Position
from ledger.models import EpochRow, FunnelRow, GroupRow, GroupUserRow, LaneRow, MinuteRow, ReasonRow, TallyRow, UserRow
from ledger.upsert import add_new, insert

FUNNEL: Final = ("eligible", *map(str, Loss))


class Ledger:
    """One ledger; safe to share between threads, opened anew in each process."""

    def __init__(self, url: str, *, namespace: str = "default") -> None:
        self.namespace = namespace
        self._engine = open_engine(url)
        self._reading = self._engine.execution_options(reading=True)
        # SQLite has one writer at a time: threads of a process queue here rather than in its busy loop
        self._writing = threading.Lock()

    def migrate(self) -> None:
        """Create or upgrade the tables."""
        schema.migrate(self._engine, self.namespace)

    def check(self) -> None:
        """Raise LedgerError where the ledger cannot be used as it is."""
        schema.check(self._engine, self.namespace)

    def close(self) -> None:
        """Close its connections."""
        self._engine.dispose()

    # --- written by workers

    def take(self, lane: int) -> tuple[int, Position]:
        """Take over a lane: every earlier holder can no longer commit. Returns the new fence and the position."""
        with self._writing, answering(self._engine), self._engine.begin() as connection:
            add_new(connection, LaneRow, [{"lane": lane}])
            taken = (
                update(LaneRow)
                .where(LaneRow.lane == lane)
                .values(fence=LaneRow.fence + 1)
                .returning(LaneRow.fence, LaneRow.read_ms, LaneRow.read_seq, LaneRow.cut_us, LaneRow.cut_id)
            )
            row = connection.execute(taken).one()
        return row.fence, Position((row.read_ms, row.read_seq), (row.cut_us, row.cut_id))

    def commit(self, commit: LaneCommit) -> None:
        """Commit one lane's findings and position together; raises FencedError where another worker took the lane."""
        with self._writing, answering(self._engine), self._engine.begin() as connection:
            committing.write(connection, commit)

    def fold_funnels(self, counters: Mapping[tuple[int, str, int, str], int]) -> None:
        """Take in the lanes' cumulative funnels, by lane, operation, epoch and counter; repeatable."""
        rows: defaultdict[tuple[int, str, int], dict[str, int]] = defaultdict(lambda: dict.fromkeys(FUNNEL, 0))
        for (lane, operation, epoch, counter), count in counters.items():
            if counter in FUNNEL:
                rows[lane, operation, epoch][counter] = count
        for key in [key for key, sums in self._folded().items() if rows.get(key) == sums]:
            del rows[key]
        if not rows:
            return
        with self._writing, answering(self._engine), self._engine.begin() as connection:
            names = ("lane", "operation", "epoch")
            values = [{**dict(zip(names, key, strict=True)), **sums} for key, sums in sorted(rows.items())]
            statement = insert(connection, FunnelRow)
            grown = {name: statement.excluded[name] for name in FUNNEL}
            connection.execute(statement.on_conflict_do_update(index_elements=list(names), set_=grown), values)

    def _folded(self) -> dict[tuple[int, str, int], dict[str, int]]:
        with answering(self._engine), self._reading.connect() as connection:
            rows = connection.execute(select(FunnelRow)).mappings().all()
        return {(r["lane"], r["operation"], r["epoch"]): {name: r[name] for name in FUNNEL} for r in rows}

    # --- read by people and the gate

    def sums(self, epoch: int | None = None) -> dict[str, OperationSums]:
        """Return funnel and outcomes of every operation, over one epoch or all."""
        sums: defaultdict[str, OperationSums] = defaultdict(OperationSums)
        with answering(self._engine), self._reading.connect() as connection:
            for row in _summed(connection, FunnelRow, FUNNEL, epoch):
                sums[row["operation"]].funnel = Counter({name: int(row[name]) for name in FUNNEL})
            for row in _summed(connection, TallyRow, (*map(str, COUNTED), "excluded_returned"), epoch):
                sums[row["operation"]].outcomes = Counter({str(name): int(row[name]) for name in COUNTED})
                sums[row["operation"]].excluded_returned = int(row["excluded_returned"])
        return dict(sorted(sums.items()))

    def done(self) -> int:
        """Return how many captures all lanes have finished, counted apart from the tallies."""
        with answering(self._engine), self._reading.connect() as connection:
            return int(connection.scalar(select(func.coalesce(func.sum(LaneRow.done), 0))) or 0)

    def positions(self) -> dict[int, Position]:
        """Return how far each lane is drained."""
        with answering(self._engine), self._reading.connect() as connection:
            rows = connection.execute(
                select(LaneRow.lane, LaneRow.read_ms, LaneRow.read_seq, LaneRow.cut_us, LaneRow.cut_id)
            )
            return {row.lane: Position((row.read_ms, row.read_seq), (row.cut_us, row.cut_id)) for row in rows}

    def reasons(self, epoch: int | None = None) -> list[tuple[str, str, str, int]]:
        """Return operation, outcome, reason and count, most frequent first."""
        total = func.sum(ReasonRow.count)
        query = select(ReasonRow.operation, ReasonRow.outcome, ReasonRow.reason, total)
        query = query.group_by(ReasonRow.operation, ReasonRow.outcome, ReasonRow.reason).order_by(total.desc())
        if epoch is not None:
            query = query.where(ReasonRow.epoch == epoch)
        with answering(self._engine), self._reading.connect() as connection:
            return [(row[0], row[1], row[2], int(row[3])) for row in connection.execute(query)]

    def groups(self) -> list[Group]:
        """Return all groups, the gravest and largest first."""
        users = select(GroupUserRow.group_id, func.count().label("users")).group_by(GroupUserRow.group_id).subquery()
        query = select(GroupRow, users.c.users).join(users, users.c.group_id == GroupRow.id)
        with answering(self._engine), self._reading.connect() as connection:
            rows = connection.execute(query).mappings().all()
        names = ("id", "operation", "kind", "path", "severity", "explanation", "count", "users")
        found = [Group(**{name: row[name] for name in names}, **_seen(row)) for row in rows]
        gravity = {"critical": 0, "major": 1, "minor": 2}
        return sorted(found, key=lambda group: (gravity[group.severity], -group.count, group.id))

    def clusters(self, epoch: int) -> dict[str, list[dict[str, int]]]:
        """Return, for each operation, its outcomes by exposure and cluster of users."""
        query = select(TallyRow).where(TallyRow.epoch == epoch)
        clusters: defaultdict[str, list[dict[str, int]]] = defaultdict(list)
        with answering(self._engine), self._reading.connect() as connection:
            for row in connection.execute(query).mappings():
                clusters[row["operation"]].append({key: row[key] for key in row if key not in ("operation", "epoch")})
        return clusters

    def epoch(self) -> EpochRow:
        """Return the epoch that is open."""
        query = select(EpochRow).where(EpochRow.closed_at.is_(None)).order_by(EpochRow.epoch.desc()).limit(1)
        with answering(self._engine), self._reading.connect() as connection:
            row = connection.execute(query).mappings().one()
        return EpochRow(**row)

    def distinct_users(self, epoch: int) -> int:
        """Return how many users an epoch saw."""
        return self._scalar(select(func.count()).select_from(UserRow).where(UserRow.epoch == epoch))

    def hours(self, epoch: int) -> int:
        """Return how many distinct hours of an epoch hold calls."""
        hour = MinuteRow.minute / 60 if self._engine.dialect.name == "sqlite" else func.div(MinuteRow.minute, 60)
        return self._scalar(select(func.count(hour.distinct())).where(MinuteRow.epoch == epoch))

    def now(self) -> datetime:
        """Return the database's own time."""
        with answering(self._engine), self._reading.connect() as connection:
            found = connection.scalar(select(func.now()))
        assert isinstance(found, datetime)
        return found if found.tzinfo else found.astimezone()

    def _scalar(self, query: Any) -> int:
        with answering(self._engine), self._reading.connect() as connection:
            return int(connection.scalar(query) or 0)


def _summed(connection: Connection, model: Any, names: tuple[str, ...], epoch: int | None) -> list[Mapping[str, Any]]:
    columns = [func.coalesce(func.sum(getattr(model, name)), 0).label(name) for name in names]
    query = select(model.operation, *columns).group_by(model.operation)
    if epoch is not None:
        query = query.where(model.epoch == epoch)
    return [dict(row) for row in connection.execute(query).mappings()]


def _seen(row: Mapping[Any, Any]) -> dict[str, Any]:
    return {"first_seen": row["first_seen"], "last_seen": row["last_seen"], "example": row["example"]}
