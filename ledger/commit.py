"""The exactly-once commit: position, tallies and divergences of one lane, in one transaction or not at all.

The compare-and-set on position and fence is what makes the counters exact: whoever was overtaken writes nothing.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

import msgspec
from sqlalchemy import Connection, CursorResult, case, func, or_, update

from comparators import wildcard
from ledger import accounts, parked
from ledger.engine import FencedError
from ledger.facts import COUNTED, GRAVITY, CallsKey, Failure, Finding, KeptDifference, LaneCommit, Outcome
from ledger.models import (
    DivergenceRow,
    GroupMemberRow,
    GroupRow,
    GroupUserRow,
    LaneRow,
    MinuteRow,
    ParkedRow,
    ReasonRow,
    StandingRow,
    TallyRow,
    UserRow,
)
from ledger.standings import Standing
from ledger.upsert import add_new, add_up, insert, put

RECORDED = (Outcome.DIVERGED, Outcome.FAILED)  # what people review; the rest is counted


def storable(text: str, length: int) -> str:
    """Return text as every database takes it: no NUL, no lone surrogate, no longer than its column."""
    return text.encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")[:length]


def write(connection: Connection, commit: LaneCommit) -> int:
    """Write one lane's commit; returns how many captures turned out to be lost.

    Raises FencedError, and then the transaction must be rolled back.
    """
    _advance(connection, commit)
    findings = commit.findings
    taken = _taken_out(connection, commit)
    done = _done(findings, taken)
    accounts.take_in(connection, commit.lane, commit.sent, seen=commit.seen, done=done)
    if commit.refilled or (taken.rows and done):
        accounts.take_back(connection, commit.lane)
    add_up(connection, TallyRow, taken.tallies(_counted(findings, _tally_key)))
    add_up(connection, MinuteRow, taken.minutes(_counted(findings, _minute_key)))
    add_up(connection, ReasonRow, taken.reasons(_reasons(findings)))
    add_new(connection, UserRow, _users(findings))
    _record(connection, [finding for finding in findings if finding.outcome in RECORDED])
    kept = [finding for finding in findings if finding.outcome is Outcome.PARKED]
    add_new(connection, ParkedRow, [_parked(commit.lane, finding) for finding in kept if not finding.unparks])
    add_new(connection, ParkedRow, [_parked_again(taken, finding) for finding in kept if finding.unparks])
    put(connection, StandingRow, [_standing(commit.lane, standing) for standing in commit.standings])
    if commit.set_back_us is not None:
        _set_back(connection, commit.lane, commit.set_back_us)
    return accounts.book_lost(connection, commit).total() if commit.settling else 0


def _taken_out(connection: Connection, commit: LaneCommit) -> parked.Taken:
    taken = parked.take_out(connection, commit.lane, commit.findings)
    if taken is None:
        raise FencedError(commit.lane, commit.fence)  # this very commit went in before
    return taken


def _done(findings: Iterable[Finding], taken: parked.Taken) -> dict[CallsKey, int]:
    """Return how many captures are done, by whose they are; one that was parked is done already, under what it said."""
    done = Counter((storable(finding.operation, 200), finding.epoch) for finding in findings)
    done.subtract(taken.calls)
    return {calls: count for calls, count in done.items() if count}


def _advance(connection: Connection, commit: LaneCommit) -> None:
    again = sum(bool(finding.unparks) for finding in commit.findings)
    (read_ms, read_seq), (cut_us, cut_id) = commit.after
    (old_ms, old_seq), (old_us, old_id) = commit.before
    statement = (
        update(LaneRow)
        .where(LaneRow.lane == commit.lane, LaneRow.fence == commit.fence)
        .where(LaneRow.read_ms == old_ms, LaneRow.read_seq == old_seq)
        .where(LaneRow.cut_us == old_us, LaneRow.cut_id == old_id)
        .values(
            read_ms=read_ms,
            read_seq=read_seq,
            cut_us=cut_us,
            cut_id=cut_id,
            done=LaneRow.done + len(commit.findings) - again,
            retrying=LaneRow.retrying - again,
            standings=LaneRow.standings + len(commit.standings),
            committed_at=func.now(),
        )
    )
    result: CursorResult[Any] = connection.execute(statement)
    if result.rowcount != 1:
        raise FencedError(commit.lane, commit.fence)


def _tally_key(finding: Finding) -> dict[str, Any]:
    return {**_key(finding), "cluster": finding.cluster}


def _minute_key(finding: Finding) -> dict[str, Any]:
    return {**_key(finding), "minute": finding.called_at_us // 60_000_000}


def _key(finding: Finding) -> dict[str, Any]:
    return {"operation": storable(finding.operation, 200), "epoch": finding.epoch, "exposure": finding.exposure}


def _counted(findings: Iterable[Finding], key_of: Any) -> list[dict[str, Any]]:
    sums: defaultdict[tuple[tuple[str, Any], ...], Counter[str]] = defaultdict(Counter)
    for finding in findings:
        counts = sums[tuple(key_of(finding).items())]
        counts[finding.outcome] += 1
        if finding.outcome is Outcome.EXCLUDED and finding.enhanced_returned:
            counts["excluded_returned"] += 1
        if finding.outcome is Outcome.FAILED:
            counts[failed_as(finding.failure or Failure.ERROR)] += 1
    names = [*map(str, COUNTED), "excluded_returned", *map(failed_as, Failure)]
    return [{**dict(key), **{name: counts[name] for name in names}} for key, counts in sums.items()]


def failed_as(failure: Failure) -> str:
    """Return the column that counts a way of failing."""
    return f"failed_{failure}"


def _reasons(findings: Iterable[Finding]) -> list[dict[str, Any]]:
    explained = [f for f in findings if f.reason and f.outcome is not Outcome.DIVERGED]  # those have groups
    counts = Counter((storable(f.operation, 200), f.epoch, str(f.outcome), storable(f.reason, 100)) for f in explained)
    names = ("operation", "epoch", "outcome", "reason")
    return [{**dict(zip(names, key, strict=True)), "count": count} for key, count in counts.items()]


def _users(findings: Iterable[Finding]) -> list[dict[str, Any]]:
    distinct = {(finding.epoch, finding.digest) for finding in findings}
    return [{"epoch": epoch, "user_digest": digest} for epoch, digest in distinct]


def _parked(lane: int, finding: Finding) -> dict[str, Any]:
    return {
        **_tally_key(finding),
        **_minute_key(finding),
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
    """Bring gaps that were closed in a time that has not come yet back to now: they exclude what began before."""
    of_lane = update(StandingRow).where(StandingRow.lane == lane)
    connection.execute(of_lane.where(StandingRow.closed_us > now_us).values(closed_us=now_us))
    connection.execute(of_lane.where(StandingRow.until_us > now_us).values(until_us=now_us))


def _record(connection: Connection, findings: list[Finding]) -> None:
    add_new(connection, DivergenceRow, [_divergence(finding) for finding in findings])
    groups = _groups(findings)
    _merge_groups(connection, list(groups.values()))
    members = [(gid, f) for f in findings for gid in _fingerprints(f)]
    add_new(connection, GroupMemberRow, [_member(gid, finding) for gid, finding in members])
    users = {(gid, finding.digest) for gid, finding in members}
    add_new(connection, GroupUserRow, [{"group_id": gid, "user_digest": digest} for gid, digest in users])


def _member(group_id: str, finding: Finding) -> dict[str, Any]:
    return {"group_id": group_id, "called_at": finding.called_at, "capture_id": storable(finding.capture_id, 64)}


def _divergence(finding: Finding) -> dict[str, Any]:
    return {
        **_key(finding),
        "capture_id": storable(finding.capture_id, 64),
        "verdict": str(finding.outcome),
        "severity": str(finding.severity),
        "reason": storable(finding.reason, 100),
        "user_digest": finding.digest,
        "called_at": finding.called_at,
        "differences": [_as_json(kept) for kept in finding.differences],
    }


def _as_json(kept: KeptDifference) -> dict[str, Any]:
    document: dict[str, Any] = msgspec.to_builtins(kept)
    return {name: document[name] for name in document if name not in ("group", "explanation")}


def _fingerprints(finding: Finding) -> set[str]:
    return {kept.group for kept in finding.differences}


def _groups(findings: list[Finding]) -> dict[str, dict[str, Any]]:
    groups: dict[str, dict[str, Any]] = {}
    for finding in findings:
        graver_last = sorted(finding.differences, key=lambda kept: kept.severity.rank)
        for gid, kept in {kept.group: kept for kept in graver_last}.items():
            group = groups.setdefault(gid, _new_group(gid, finding, kept))
            group["severity"] = min(group["severity"], kept.severity, key=GRAVITY.index)
            group["count"] += 1
            group["first_seen"] = min(group["first_seen"], finding.called_at)
            group["last_seen"] = max(group["last_seen"], finding.called_at)
    return groups


def _new_group(gid: str, finding: Finding, kept: KeptDifference) -> dict[str, Any]:
    return {
        "id": gid,
        "operation": storable(finding.operation, 200),
        "kind": kept.kind,
        "path": storable(wildcard(kept.path), 500),
        "severity": str(kept.severity),
        "explanation": storable(kept.explanation, 500),
        "count": 0,
        "first_seen": finding.called_at,
        "last_seen": finding.called_at,
        "example": storable(finding.capture_id, 64),
    }


def _graver(known: Any, new: Any) -> Any:
    """The worse of two severities, in SQL."""
    *grave, harmless = GRAVITY
    return case(*((or_(known == name, new == name), name) for name in grave), else_=harmless)


def _merge_groups(connection: Connection, groups: list[dict[str, Any]]) -> None:
    if not groups:
        return
    statement = insert(connection, GroupRow)
    new = statement.excluded
    earliest, latest = (func.least, func.greatest) if connection.dialect.name == "postgresql" else (func.min, func.max)
    merged = {
        "count": GroupRow.count + new.count,
        "first_seen": earliest(GroupRow.first_seen, new.first_seen),
        "last_seen": latest(GroupRow.last_seen, new.last_seen),
        "severity": _graver(GroupRow.severity, new.severity),
    }
    ordered = sorted(groups, key=lambda group: group["id"])
    connection.execute(statement.on_conflict_do_update(index_elements=["id"], set_=merged), ordered)
