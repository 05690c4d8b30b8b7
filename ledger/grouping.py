"""Groups: the divergences of a commit gathered by their fingerprints, with users, epochs and a few whole samples."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import msgspec
from sqlalchemy import Connection, case, func

from comparators import wildcard
from ledger.facts import GRAVITY, Finding, KeptDifference
from ledger.review_models import GroupMemberRow, GroupRow, GroupUserRow, SampleRow
from ledger.tallying import operation_name
from ledger.texts import graver, storable
from ledger.upsert import Statement, add_new, insert_into


def record(connection: Connection, findings: Sequence[Finding]) -> None:
    """Put divergences into their groups; part of a commit, which takes each of them in once."""
    _merge(connection, _merging_groups, list(_groups(findings).values()))
    members = [(gid, finding) for finding in findings for gid in _fingerprints(finding)]
    add_new(connection, GroupMemberRow, [_member(gid, finding) for gid, finding in members])
    users = {(gid, finding.digest) for gid, finding in members}
    add_new(connection, GroupUserRow, [{"group_id": gid, "user_digest": digest} for gid, digest in users])
    samples = {(gid, found.sample.slot): found for gid, found in reversed(members) if found.sample is not None}
    _merge(connection, _merging_samples, [_sample(gid, finding) for (gid, _), finding in samples.items()])


def _member(group_id: str, finding: Finding) -> dict[str, Any]:
    return {"group_id": group_id, "called_at": finding.called_at, "capture_id": storable(finding.capture_id, 64)}


def _fingerprints(finding: Finding) -> set[str]:
    return {kept.group for kept in finding.counted}


def _groups(findings: Sequence[Finding]) -> dict[str, dict[str, Any]]:
    groups: dict[str, dict[str, Any]] = {}
    for finding in findings:
        called_at, epoch = finding.called_at, finding.epoch
        graver_last = sorted(finding.counted, key=lambda kept: kept.severity.rank)
        for gid, kept in {kept.group: kept for kept in graver_last}.items():
            group = groups.get(gid) or groups.setdefault(gid, _new_group(gid, finding, kept))
            group["severity"] = min(group["severity"], kept.severity, key=GRAVITY.index)
            group["count"] += 1
            group["first_seen"] = min(group["first_seen"], called_at)
            group["last_seen"] = max(group["last_seen"], called_at)
            group["first_epoch"] = min(group["first_epoch"], epoch)
            group["last_epoch"] = max(group["last_epoch"], epoch)
    return groups


def _new_group(gid: str, finding: Finding, kept: KeptDifference) -> dict[str, Any]:
    return {
        "id": gid,
        "operation": operation_name(finding.operation),
        "kind": kept.kind,
        "path": storable(wildcard(kept.path), 500),
        "severity": str(kept.severity),
        "explanation": storable(kept.explanation, 500),
        "count": 0,
        "first_seen": finding.called_at,
        "last_seen": finding.called_at,
        "example": storable(finding.capture_id, 64),
        "first_epoch": finding.epoch,
        "last_epoch": finding.epoch,
        "regressed_epoch": 0,
    }


def _sample(group_id: str, finding: Finding) -> dict[str, Any]:
    sample = finding.sample
    assert sample is not None
    document = msgspec.to_builtins(sample)
    document.pop("slot")
    return {
        **_member(group_id, finding),
        "slot": sample.slot,
        "epoch": finding.epoch,
        "user_digest": finding.digest,
        "sample": document,
    }


@cache
def _merging_groups(dialect: str) -> Statement:
    statement = insert_into(dialect, GroupRow)
    known, new = GroupRow, statement.excluded
    earliest, latest = (func.least, func.greatest) if dialect == "postgresql" else (func.min, func.max)
    # an epoch lies between: it was gone, and is back
    is_back = (known.last_epoch > 0) & (new.last_epoch > known.last_epoch + 1)
    is_empty = known.count == 0  # by re-judging: what it named is no longer in it
    merged = {
        "count": known.count + new.count,
        "first_seen": earliest(known.first_seen, new.first_seen),
        "last_seen": case((is_empty, new.last_seen), else_=latest(known.last_seen, new.last_seen)),
        "severity": graver(known.severity, new.severity),
        "first_epoch": earliest(known.first_epoch, new.first_epoch),
        "last_epoch": latest(known.last_epoch, new.last_epoch),
        "example": case((is_empty, new.example), else_=known.example),
        "regressed_epoch": case((is_back, new.last_epoch), else_=known.regressed_epoch),
    }
    return statement.on_conflict_do_update(index_elements=["id"], set_=merged)


@cache
def _merging_samples(dialect: str) -> Statement:
    """Keep those of the latest epoch, and of these the first: each is another build's."""
    statement = insert_into(dialect, SampleRow)
    new = statement.excluded
    names = ("capture_id", "epoch", "called_at", "user_digest", "sample")
    return statement.on_conflict_do_update(
        index_elements=["group_id", "slot"],
        set_={name: new[name] for name in names},
        where=new.epoch > SampleRow.epoch,
    )


def _merge(connection: Connection, merging: Any, rows: list[dict[str, Any]]) -> None:
    if rows:
        ordered = sorted(rows, key=lambda row: (row.get("id") or row["group_id"], row.get("slot", 0)))
        connection.execute(merging(connection.dialect.name), ordered)
