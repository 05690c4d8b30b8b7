"""The ledger as the rest of Gnomon uses it: take a lane's fence, commit, fold the funnel, read a snapshot."""

import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Final

from sqlalchemy import Connection, bindparam, delete, func, select, update

from comparators import Rule, RuleSet
from ledger import accounts, parked, rejudging, retention, schema
from ledger import commit as committing
from ledger import rules as rulebook
from ledger.engine import answering, open_engine
from ledger.facts import Hold, LaneCommit, Position
from ledger.models import FunnelRow, LaneRow, SenderRow, StandingRow
from ledger.reading import Reading
from ledger.senders import Sent
from ledger.standings import Standing
from ledger.steering import Steering
from ledger.texts import storable
from ledger.upsert import add_new

PAGE: Final = 500  # users asked for at once: below what either database takes as parameters
_STANDING: Final = (
    StandingRow.user_digest,
    StandingRow.opened_us,
    StandingRow.until_us,
    StandingRow.closed_us,
    StandingRow.reason,
)
# built once, as for a commit: building takes longer than carrying it out
_TAKING: Final = (
    update(LaneRow)
    .where(LaneRow.lane == bindparam("lane_taken"))
    .values(fence=LaneRow.fence + 1)
    .returning(
        LaneRow.fence,
        LaneRow.read_ms,
        LaneRow.read_seq,
        LaneRow.cut_us,
        LaneRow.cut_id,
        LaneRow.standings,
        LaneRow.retrying,
    )
)


class Ledger:
    """One ledger; safe to share between threads, opened anew in each process."""

    def __init__(
        self,
        url: str,
        *,
        namespace: str = "default",
        undisturbed: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        """Open it. What `undisturbed` returns is entered in each transaction once it may write: others wait for it."""
        self.namespace = namespace
        self._undisturbed = undisturbed
        self._engine = open_engine(url)
        # one moment for all of a reading; SQLite's transactions are that already
        isolated = {} if self._engine.dialect.name == "sqlite" else {"isolation_level": "REPEATABLE READ"}
        self._reading = self._engine.execution_options(reading=True, **isolated)
        self._committing = self._engine.execution_options(short=True)
        # SQLite has one writer at a time: threads of a process queue here rather than in its busy loop
        self._writing = threading.Lock()
        self.rollout = Steering(self._transaction, self._connected)

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        with self._writing, answering(self._engine), self._committing.begin() as connection, self._undisturbed():
            yield connection

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        with answering(self._engine), self._reading.connect() as connection:
            yield connection

    def migrate(self) -> str:
        """Create or upgrade the tables; returns the revision they are at."""
        return schema.migrate(self._engine, self.namespace)

    def check(self) -> None:
        """Raise LedgerError where the ledger cannot be used as it is."""
        schema.check(self._engine, self.namespace)

    def close(self) -> None:
        """Close its connections."""
        self._engine.dispose()

    def take(self, lane: int) -> Hold:
        """Take over a lane: every earlier holder can no longer commit."""
        with self._transaction() as connection:
            add_new(connection, LaneRow, [{"lane": lane}])
            row = connection.execute(_TAKING, {"lane_taken": lane}).one()
            seen = accounts.senders(connection, lane)
        position = Position((row.read_ms, row.read_seq), (row.cut_us, row.cut_id))
        return Hold(row.fence, position, row.standings, seen, row.retrying)

    def fence(self, lane: int) -> int:
        """Return how often a lane was taken over; 0 for one that never was."""
        with self._connected() as connection:
            return connection.scalar(select(LaneRow.fence).where(LaneRow.lane == lane)) or 0

    def standings(self, digests: Collection[str]) -> dict[str, Standing]:
        """Return where users stand, by digest; who was never given a standing is left out."""
        wanted = sorted(digests)
        pages = [wanted[start : start + PAGE] for start in range(0, len(wanted), PAGE)]
        with self._connected() as connection:
            queries = [select(*_STANDING).where(StandingRow.user_digest.in_(page)) for page in pages]
            rows = [row for query in queries for row in connection.execute(query)]
        return {row.user_digest: _standing(*row) for row in rows}

    def commit(self, commit: LaneCommit) -> int:
        """Commit one lane's findings and position together; returns how many captures turned out to be lost.

        Raises FencedError where another worker took the lane.
        """
        with self._transaction() as connection:
            return committing.write(connection, commit)

    def commit_together(self, commits: Collection[LaneCommit]) -> set[int]:
        """Commit what several lanes have found, all of it `plain`, in one transaction; returns the lanes it went in of.

        What is missing was taken by another worker: of that lane nothing is written, and of the others everything.
        """
        with self._transaction() as connection:
            return committing.write_together(connection, commits)

    def fold(self, sent: Mapping[int, Mapping[str, Sent]]) -> None:
        """Take in what processes say they have sent, by lane and process; repeatable, and never backwards."""
        lanes = sorted(lane for lane, told in sent.items() if told)
        if not lanes:
            return
        with self._transaction() as connection:
            accounts.lock(connection, lanes)
            for lane in lanes:
                accounts.take_in(connection, lane, sent[lane])

    def retry(self, choice: parked.Choice, *, by: str) -> dict[int, int]:
        """Ask for parked captures to be replayed again, in a person's name; returns how many, by lane.

        Raises NotParkedError where one of those named is not parked, and nothing is changed.
        """
        with self._transaction() as connection:
            return parked.retry(connection, choice, storable(by, 200))

    def discard(self, choice: parked.Choice, *, by: str, why: str) -> int:
        """Throw parked captures away for good, in a person's name; returns how many.

        Raises NotParkedError where one of those named is not parked, and nothing is changed.
        """
        by, why = storable(by, 200), storable(why, 500)
        with self._transaction() as connection:
            return parked.discard(connection, choice, by, why)

    def retrying(self) -> list[int]:
        """Return the lanes with parked captures that are to be replayed again."""
        with self._connected() as connection:
            return list(connection.scalars(select(LaneRow.lane).where(LaneRow.retrying > 0).order_by(LaneRow.lane)))

    def retries(self, lane: int, limit: int) -> list[parked.Retry]:
        """Return up to so many parked captures of a lane that are to be replayed again, in the order of their calls."""
        with self._connected() as connection:
            return parked.retries(connection, lane, limit)

    def rules(self) -> RuleSet:
        """Return the rules in force."""
        with self._connected() as connection:
            return rulebook.in_force(connection)

    def preview(self, operation: str, path: str, kind: str) -> rejudging.Preview:
        """Return what a rule would hide of what is kept."""
        with self._connected() as connection:
            return rejudging.preview(connection, Rule(id=rulebook.NOT_MADE, operation=operation, path=path, kind=kind))

    def add_rule(self, draft: rulebook.Draft) -> rulebook.Changed:
        """Allow something more, in the open epoch; raises RuleError, and nothing is changed."""
        with self._transaction() as connection:
            return rulebook.add(connection, draft)

    def retire_rule(self, rule: int, *, by: str, why: str) -> rulebook.Changed:
        """End a rule and open another epoch; raises UnknownRuleError, and nothing is changed."""
        by, why = storable(by, 200), storable(why, 500)
        with self._transaction() as connection:
            return rulebook.retire(connection, rule, by, why)

    def expire_rules(self) -> rulebook.Changed | None:
        """End the rules whose time is over and open another epoch; None where there are none."""
        with self._connected() as connection:
            if not rulebook.expired(connection):
                return None
        with self._transaction() as connection:
            return rulebook.expire(connection)

    def rejudge(self, after: rejudging.Place | None = None) -> rejudging.Rejudged:
        """Count some divergences of the open epoch anew by the rules in force; go on until `after` of it is None."""
        with self._transaction() as connection:
            return rejudging.step(connection, after)

    def forget_senders(self, before_us: int, alive: Collection[str]) -> None:
        """Forget what processes have sent that were not heard of since, so long ago that none of them can come back."""
        gone = delete(SenderRow).where(SenderRow.changed_us < before_us, SenderRow.producer.not_in(sorted(alive)))
        with self._transaction() as connection:
            connection.execute(gone)

    def retain(self, days: int) -> retention.Retained:
        """Drop what is older than so many days and grows with time; make room for the days to come."""
        with self._writing, answering(self._engine):
            return retention.retain(self._engine, days)

    def unsettled(self) -> dict[int, int]:
        """Return by lane how many captures are not done and not lost."""
        query = select(FunnelRow.lane, func.sum(FunnelRow.captured - FunnelRow.done - FunnelRow.lost))
        query = query.where(FunnelRow.captured != FunnelRow.done + FunnelRow.lost).group_by(FunnelRow.lane)
        with self._connected() as connection:
            return {lane: int(count) for lane, count in connection.execute(query)}

    @contextmanager
    def reading(self) -> Iterator[Reading]:
        """Open a snapshot: all that is read through it is from one moment."""
        with self._connected() as connection:
            yield Reading(connection)


def _standing(digest: str, opened_us: int, until_us: int, closed_us: int | None, reason: str) -> Standing:
    return Standing(digest=digest, opened_us=opened_us, until_us=until_us, closed_us=closed_us, reason=reason)
