"""The exactly-once commit: position, tallies and divergences of a lane, in one transaction or not at all.

The compare-and-set on position and fence is what makes the counters exact: whoever was overtaken writes nothing. Lanes
that are due at the same moment share a transaction: most of what a commit costs, it costs once.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, CursorResult, Update, bindparam, func, update

from ledger import accounts, grouping, paired, parked, ruling
from ledger.engine import FencedError
from ledger.facts import CallsKey, Finding, KeptDifference, LaneCommit, Outcome
from ledger.models import DivergenceRow, LaneRow, MinuteRow, ParkedRow, ReasonRow, StandingRow, TallyRow, UserRow
from ledger.review_models import RuleHitRow
from ledger.standings import Standing
from ledger.tallying import Sums, operation_name, place_of
from ledger.texts import storable
from ledger.upsert import add_new, add_up, put

NOTHING: Final = parked.Taken({})
RECORDED = (Outcome.DIVERGED, Outcome.FAILED)  # what people review; the rest is counted


def write(connection: Connection, commit: LaneCommit) -> int:
    """Write one lane's commit; returns how many captures turned out to be lost.

    Raises FencedError, and then the transaction must be rolled back.
    """
    if not _advance(connection, commit):
        raise FencedError(commit.lane, commit.fence)
    taken = _taken_out(connection, commit)
    _record(connection, [commit], [_account(connection, commit, taken)], taken)
    if commit.set_back_us is not None:
        _set_back(connection, commit.lane, commit.set_back_us)
    return accounts.book_lost(connection, commit).total() if commit.settling else 0


def write_together(connection: Connection, commits: Iterable[LaneCommit]) -> set[int]:
    """Write commits of several lanes, all of them plain; returns the lanes whose commit went in.

    Nothing is written of a lane that another has taken, and the others are.
    """
    held = [commit for commit in sorted(commits, key=lambda commit: commit.lane) if _advance(connection, commit)]
    _record(connection, held, [_account(connection, commit, NOTHING) for commit in held], NOTHING)
    return {commit.lane for commit in held}


def _account(connection: Connection, commit: LaneCommit, taken: parked.Taken) -> Sums:
    """Account for the calls of a lane whose row is locked; returns what there is to count elsewhere."""
    sums = Sums.of(commit.findings)
    done = _done(sums, taken)
    accounts.take_in(connection, commit.lane, commit.sent, seen=commit.seen, done=done)
    if commit.refilled or (taken.rows and done):
        accounts.take_back(connection, commit.lane)
    return sums


def _record(
    connection: Connection, commits: Sequence[LaneCommit], counted: Sequence[Sums], taken: parked.Taken
) -> None:
    """Write what lanes share: counters, divergences, groups, users."""
    sums = Sums.of_all(counted)
    findings = [finding for commit in commits for finding in commit.findings]
    add_up(connection, TallyRow, taken.tallies(sums.tallies()))
    add_up(connection, MinuteRow, taken.minutes(sums.minutes()))
    add_up(connection, ReasonRow, taken.reasons(sums.reasons()))
    add_new(connection, UserRow, sums.users())
    add_up(connection, RuleHitRow, ruling.hits(findings))
    recorded = [finding for finding in findings if finding.outcome in RECORDED]
    add_new(connection, DivergenceRow, map(_divergence, recorded))
    grouping.record(connection, recorded)
    kept = [(commit.lane, found) for commit in commits for found in commit.findings if found.outcome is Outcome.PARKED]
    add_new(connection, ParkedRow, [_parked(lane, finding) for lane, finding in kept if not finding.unparks])
    add_new(connection, ParkedRow, [_parked_again(taken, finding) for _, finding in kept if finding.unparks])
    paired.write(connection, [pair for commit in commits for pair in commit.pairs])
    paired.write_live(connection, findings)
    standings = [(commit.lane, standing) for commit in commits for standing in commit.standings]
    put(connection, StandingRow, [_standing(lane, standing) for lane, standing in standings])


def _taken_out(connection: Connection, commit: LaneCommit) -> parked.Taken:
    taken = parked.take_out(connection, commit.lane, commit.findings)
    if taken is None:
        raise FencedError(commit.lane, commit.fence)  # this very commit went in before
    return taken


def _done(sums: Sums, taken: parked.Taken) -> dict[CallsKey, int]:
    """Return how many captures are done, by whose they are; one that was parked is done already, under what it said."""
    done = sums.calls()
    done.subtract(taken.calls)
    return {calls: count for calls, count in done.items() if count}


def _advancing() -> Update:
    lanes = LaneRow.__table__
    names = ("read_ms", "read_seq", "cut_us", "cut_id")
    expected = {name: lanes.c[name] == bindparam(f"old_{name}") for name in ("lane", "fence", *names)}
    return (
        update(LaneRow)
        .where(*expected.values())
        .values(
            **{name: bindparam(f"new_{name}") for name in names},
            done=lanes.c.done + bindparam("done_now"),
            retrying=lanes.c.retrying - bindparam("again"),
            standings=lanes.c.standings + bindparam("standings_now"),
            committed_at=func.now(),
        )
    )


_ADVANCING: Final = _advancing()


def _advance(connection: Connection, commit: LaneCommit) -> bool:
    """Move the lane on, and lock its row; False where another has taken it since."""
    again = sum(bool(finding.unparks) for finding in commit.findings)
    (read_ms, read_seq), (cut_us, cut_id) = commit.after
    (old_ms, old_seq), (old_us, old_id) = commit.before
    values = {
        "old_lane": commit.lane,
        "old_fence": commit.fence,
        "old_read_ms": old_ms,
        "old_read_seq": old_seq,
        "old_cut_us": old_us,
        "old_cut_id": old_id,
        "new_read_ms": read_ms,
        "new_read_seq": read_seq,
        "new_cut_us": cut_us,
        "new_cut_id": cut_id,
        "done_now": len(commit.findings) - again,
        "again": again,
        "standings_now": len(commit.standings),
    }
    result: CursorResult[Any] = connection.execute(_ADVANCING, values)
    return result.rowcount == 1


def _parked(lane: int, finding: Finding) -> dict[str, Any]:
    return {
        **place_of(finding),
        "capture_id": parked.name_of(lane, storable(finding.capture_id, 64)),
        "lane": lane,
        "reason": storable(finding.reason, 100),
        "user_digest": finding.digest,
        "payload": finding.payload or b"",
    }


def _parked_again(taken: parked.Taken, finding: Finding) -> dict[str, Any]:
    """Return the row of a capture that still cannot be replayed: the same, with what is known of it now."""
    row = taken.rows[finding.unparks]
    same = {name: row[name] for name in ("capture_id", "payload")}
    again = {"state": str(parked.ParkedState.PARKED), "retries": row["retries"] + 1}
    return {**row, **_parked(row["lane"], finding), **same, **again}


def _standing(lane: int, standing: Standing) -> dict[str, Any]:
    return {
        "user_digest": standing.digest,
        "lane": lane,
        "opened_us": standing.opened_us,
        "until_us": standing.until_us,
        "closed_us": standing.closed_us,
        "reason": storable(standing.reason, 40),
    }


def _set_back(connection: Connection, lane: int, now_us: int) -> None:
    """Bring gaps that were closed in a time that has not come yet back to now: they exclude what began before.

    One that was opened then, and is open, begins before everything.
    """
    of_lane = update(StandingRow).where(StandingRow.lane == lane)
    connection.execute(of_lane.where(StandingRow.closed_us > now_us).values(closed_us=now_us))
    connection.execute(of_lane.where(StandingRow.until_us > now_us).values(until_us=now_us))
    is_open = StandingRow.closed_us.is_(None)
    connection.execute(of_lane.where(is_open, StandingRow.opened_us > now_us).values(opened_us=0))


def _divergence(finding: Finding) -> dict[str, Any]:
    return {
        "operation": operation_name(finding.operation),
        "epoch": finding.epoch,
        "exposure": finding.exposure,
        "capture_id": storable(finding.capture_id, 64),
        "verdict": str(finding.outcome),
        "severity": str(finding.severity),
        "reason": storable(finding.reason, 100),
        "user_digest": finding.digest,
        "cluster": finding.cluster,
        "called_at": finding.called_at,
        "differences": [_as_json(kept) for kept in finding.differences],
    }


def _as_json(kept: KeptDifference) -> dict[str, Any]:
    document: dict[str, Any] = msgspec.to_builtins(kept)
    return {name: document[name] for name in document if name not in ("group", "explanation")}
