"""The ledger as the rest of Gnomon uses it: take a lane's fence, commit, fold the funnel, read a snapshot."""

import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from sqlalchemy import select, update

from ledger import commit as committing
from ledger import schema
from ledger.engine import answering, open_engine
from ledger.facts import FUNNEL, FunnelKey, Hold, LaneCommit, Position
from ledger.models import FunnelRow, LaneRow, StandingRow
from ledger.reading import Reading
from ledger.standings import Standing
from ledger.upsert import add_new, grow_to

PAGE: Final = 500  # users asked for at once: below what either database takes as parameters
_STANDING: Final = (
    StandingRow.user_digest,
    StandingRow.opened_us,
    StandingRow.until_us,
    StandingRow.closed_us,
    StandingRow.reason,
)


class Ledger:
    """One ledger; safe to share between threads, opened anew in each process."""

    def __init__(self, url: str, *, namespace: str = "default") -> None:
        self.namespace = namespace
        self._engine = open_engine(url)
        # one moment for all of a reading; SQLite's transactions are that already
        isolated = {} if self._engine.dialect.name == "sqlite" else {"isolation_level": "REPEATABLE READ"}
        self._reading = self._engine.execution_options(reading=True, **isolated)
        # SQLite has one writer at a time: threads of a process queue here rather than in its busy loop
        self._writing = threading.Lock()

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
        with self._writing, answering(self._engine), self._engine.begin() as connection:
            add_new(connection, LaneRow, [{"lane": lane}])
            taken = (
                update(LaneRow)
                .where(LaneRow.lane == lane)
                .values(fence=LaneRow.fence + 1)
                .returning(
                    LaneRow.fence,
                    LaneRow.read_ms,
                    LaneRow.read_seq,
                    LaneRow.cut_us,
                    LaneRow.cut_id,
                    LaneRow.standings,
                )
            )
            row = connection.execute(taken).one()
        return Hold(row.fence, Position((row.read_ms, row.read_seq), (row.cut_us, row.cut_id)), row.standings)

    def standings(self, digests: Collection[str]) -> dict[str, Standing]:
        """Return where users stand, by digest; who was never given a standing is left out."""
        wanted = sorted(digests)
        pages = [wanted[start : start + PAGE] for start in range(0, len(wanted), PAGE)]
        with answering(self._engine), self._reading.connect() as connection:
            queries = [select(*_STANDING).where(StandingRow.user_digest.in_(page)) for page in pages]
            rows = [row for query in queries for row in connection.execute(query)]
        return {row.user_digest: _standing(*row) for row in rows}

    def commit(self, commit: LaneCommit) -> None:
        """Commit one lane's findings and position together; raises FencedError where another worker took the lane."""
        with self._writing, answering(self._engine), self._engine.begin() as connection:
            committing.write(connection, commit)

    def fold_funnels(self, counters: Mapping[FunnelKey, int]) -> None:
        """Take in lanes' cumulative funnels; repeatable, and never backwards."""
        rows = committing.funnel_rows(counters)
        known = self._folded()
        fresh = [row for row in rows if known.get((row["lane"], row["operation"], row["epoch"])) != row]
        if fresh:
            with self._writing, answering(self._engine), self._engine.begin() as connection:
                grow_to(connection, FunnelRow, fresh)

    def _folded(self) -> dict[tuple[int, str, int], dict[str, object]]:
        with answering(self._engine), self._reading.connect() as connection:
            rows = [dict(row) for row in connection.execute(select(FunnelRow)).mappings()]
        names = ("lane", "operation", "epoch", *FUNNEL)
        return {(r["lane"], r["operation"], r["epoch"]): {name: r[name] for name in names} for r in rows}

    @contextmanager
    def reading(self) -> Iterator[Reading]:
        """Open a snapshot: all that is read through it is from one moment."""
        with answering(self._engine), self._reading.connect() as connection:
            yield Reading(connection)


def _standing(digest: str, opened_us: int, until_us: int, closed_us: int | None, reason: str) -> Standing:
    return Standing(digest=digest, opened_us=opened_us, until_us=until_us, closed_us=closed_us, reason=reason)
