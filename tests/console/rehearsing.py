"""A rollout in simulated time: hours of traffic put into a ledger as workers would leave it, and its clock moved on.

What decides and acts is the real thing: the commands, and what Celery's beat asks for every minute.
"""

import contextlib
import random
import subprocess
import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from comparators import Difference, Severity
from comparators import Kind as Way
from gnomon import Kind
from gnomon.hashing import bucket_of, user_digest
from ledger import Evaluation, Finding, KeptDifference, LaneCommit, Ledger, Outcome, Position, Sent
from ledger.engine import open_engine
from ledger.epochs import open_epoch
from ledger.models import EpochRow, FunnelRow, LatencyRow, MinuteRow, PairRow, TallyRow, UserRow
from ledger.pairs import latency_bin, ratio_bin
from ledger.upsert import add_new, add_up
from tests.console.conftest import Gnomon, Ran

KINDS = {"memory.save": Kind.WRITE, "memory.recent": Kind.READ, "chat.send": Kind.GENERATE}
CLUSTERS = 256


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """How enhanced does: its rate of success, its time over legacy's, and the share of its calls that is captured."""

    success: float = 0.998
    ratio: float = 0.8
    coverage: float = 1.0


@dataclass
class Rehearsal:
    """One rollout: its commands, its ledger, and whoever looks at it every minute."""

    gnomon: Gnomon
    database_url: str
    dice: random.Random = field(default_factory=lambda: random.Random(7))

    def __call__(self, *arguments: str) -> Ran:
        return self.gnomon(*arguments)

    def minute(self) -> str:
        """Let a minute go by: what beat asks for; returns the gate's state."""
        done = subprocess.run(
            [sys.executable, "-m", "tests.console.look"],
            env=self.gnomon.environ,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip().splitlines()[-1]

    def minutes(self, count: int) -> str:
        """Let some go by; returns the last state."""
        return [self.minute() for _ in range(count)][-1]

    def approve_and_promote(self) -> Ran:
        """Do what people do at the end of a stage."""
        approved = self("approve", "--by", "ann")
        assert approved.code == 0, approved.err
        return self("promote", "--by", "ann", "--json")

    def hours(self, hours: int, candidate: Candidate, *, calls: int = 2_000, users: int = 1_000) -> None:
        """Let hours of traffic go by in the open epoch, so many calls of each operation in each."""
        engine = open_engine(self.database_url)
        with engine.begin() as connection:
            epoch = open_epoch(connection)
            share = connection.scalar(sa.select(EpochRow.share).where(EpochRow.epoch == epoch))
            connection.execute(
                sa.update(EpochRow)
                .where(EpochRow.epoch == epoch)
                .values(opened_at=datetime.now(UTC) - timedelta(hours=hours + 1))
            )
            add_new(connection, UserRow, [_user(epoch, number) for number in range(users)])
            for operation, kind in KINDS.items():
                self._operation(connection, epoch, share / 100, operation, kind, candidate, hours, calls)
        engine.dispose()

    def _operation(
        self,
        connection: sa.Connection,
        epoch: int,
        share: float,
        operation: str,
        kind: Kind,
        candidate: Candidate,
        hours: int,
        calls: int,
    ) -> None:
        served = 0.0 if kind is Kind.WRITE else share
        captured = round(hours * calls * candidate.coverage)
        key = {"operation": operation, "epoch": epoch}
        tallies: list[dict[str, Any]] = []
        for exposure, part in (("shadow", 1 - served), ("served", served)):
            of_exposure = round(captured * part)
            for cluster in range(CLUSTERS):
                count = of_exposure // CLUSTERS + (cluster < of_exposure % CLUSTERS)
                failed = sum(self.dice.random() > candidate.success for _ in range(count))
                if count:
                    counts = {"match": count - failed, "failed": failed, "failed_error": failed}
                    tallies.append({**key, "exposure": exposure, "cluster": cluster, **counts})
        add_up(connection, TallyRow, tallies)
        add_up(connection, MinuteRow, [*_minutes(tallies, hours)])
        whole = sum(row["match"] + row["failed"] for row in tallies)
        lost = hours * calls - captured
        funnel = {"eligible": whole + lost, "publish_failed": lost, "captured": whole, "done": whole}
        add_up(connection, FunnelRow, [{"lane": 0, **key, **funnel, "missed_served": round(lost * served)}])
        if whole >= 50 * CLUSTERS:  # of less there are hardly any pairs
            self._speed(connection, key, kind, candidate)

    def _speed(self, connection: sa.Connection, key: dict[str, Any], kind: Kind, candidate: Candidate) -> None:
        timed = {**key, "exposure": "shadow"}
        if kind is Kind.READ:
            faster = candidate.ratio < 1
            counts = {"wins": 40 if faster else 10, "losses": 10 if faster else 40}
            add_up(connection, PairRow, [{**timed, "cluster": cluster, **counts} for cluster in range(CLUSTERS)])
            place = ratio_bin(round(candidate.ratio * 1_000_000), 1_000_000)
            add_up(connection, LatencyRow, [{**timed, "measure": "ratio", "bin": place, "count": 50 * CLUSTERS}])
        else:
            sides = {"live_legacy": 1_000.0, "live_enhanced": 1_000.0 * candidate.ratio}
            rows = [{**timed, "measure": side, "bin": latency_bin(us), "count": 500} for side, us in sides.items()]
            add_up(connection, LatencyRow, rows)


def _user(epoch: int, number: int) -> dict[str, Any]:
    user = f"user-{number}"
    return {"epoch": epoch, "user_digest": user_digest(user), "bucket": bucket_of(user)}


def _minutes(tallies: list[dict[str, Any]], hours: int) -> list[dict[str, Any]]:
    """Spread what was counted over the hours, the one under way among them."""
    now = int(datetime.now(UTC).timestamp()) // 60
    rows = []
    for exposure in ("shadow", "served"):
        of_it = [row for row in tallies if row["exposure"] == exposure]
        sums = {name: sum(row[name] for row in of_it) for name in ("match", "failed")}
        for ago in range(hours if of_it else 0):
            counts = {name: total // hours + (ago < total % hours) for name, total in sums.items()}
            key = {name: of_it[0][name] for name in ("operation", "epoch", "exposure")}
            rows.append({**key, "minute": now - 60 * ago, **counts})
    return rows


def moved(rollout: Rehearsal, statement: sa.Update | sa.Delete) -> None:
    engine = open_engine(rollout.database_url)
    with engine.begin() as connection:
        connection.execute(statement)
    engine.dispose()


def diverge(rollout: Rehearsal) -> None:
    """Have one critical divergence committed, as a worker does."""
    found = Difference("$[0].content", Way.CHANGED, Severity.CRITICAL, "a", "b")
    finding = Finding(
        capture_id="c-1",
        operation="memory.recent",
        epoch=1,
        user="ann",
        called_at_us=int(time.time() * 1_000_000),
        outcome=Outcome.DIVERGED,
        differences=(KeptDifference.of("memory.recent", found),),
    )
    with contextlib.closing(Ledger(rollout.database_url)) as ledger:
        fence, before, *_ = ledger.take(3)
        sent = {"p": Sent(0, {f"memory.recent|1|{name}": 1 for name in ("eligible", "captured")})}
        after = Position((1, 0), (1, ""))
        ledger.commit(LaneCommit(lane=3, fence=fence, before=before, after=after, findings=(finding,), sent=sent))


def history(rollout: Rehearsal) -> list[Evaluation]:
    with contextlib.closing(Ledger(rollout.database_url)) as ledger, ledger.reading() as reading:
        return reading.rollout.history(10)
