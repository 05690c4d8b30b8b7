"""Divergences and their groups: one group for each kind of difference, found by whoever reads the report."""

from collections import Counter
from datetime import UTC, datetime

import pytest

from comparators import Difference, Kind, Observation, Severity, judge
from gnomon.hashing import user_digest
from ledger import KeptDifference, Outcome

MINUTE_US = 60_000_000
NOON_US = 1_790_000_040_000_000


def kept(path="$[0].content", kind=Kind.CHANGED, severity=Severity.MAJOR):
    return KeptDifference.of("memory.recent", Difference(path, kind, severity, 1, 2))


def test_a_divergence_is_in_a_group_for_each_kind_of_difference(ledger, read, hold, finding, dump):
    """Two differences of one kind count once in their group; another kind is another group."""
    differences = (kept("$[0].content"), kept("$[7].content"), kept("$[1].created_at", Kind.LOST))
    first = finding(Outcome.DIVERGED, differences=differences, user="ann", reason="2 changed, 1 lost")
    second = finding(Outcome.DIVERGED, differences=(kept("$[3].content"),), user="ben")
    third = finding(Outcome.DIVERGED, differences=(kept("$[3].content"),), user="ann")
    holder = hold(ledger)
    holder.commit(first, second)
    holder.commit(third)
    tables = dump()
    found = [(group.path, group.kind, group.count, group.users, group.example) for group in read(ledger, "groups")]
    assert found == [
        ("$[*].content", "changed", 3, 2, first.capture_id),
        ("$[*].created_at", "lost", 1, 1, first.capture_id),
    ]
    members = Counter(row["group_id"] for row in tables["group_members"])
    assert members == {group.id: group.count for group in read(ledger, "groups")}
    assert Counter(row["group_id"] for row in tables["group_users"]) == {g.id: g.users for g in read(ledger, "groups")}
    [row] = [row for row in tables["divergences"] if row["capture_id"] == first.capture_id]
    assert [found["path"] for found in row["differences"]] == ["$[0].content", "$[7].content", "$[1].created_at"]
    assert (row["verdict"], row["reason"], row["user_digest"]) == ("diverged", "2 changed, 1 lost", user_digest("ann"))


def test_a_group_knows_when_it_was_first_and_last_seen(ledger, read, hold, finding):
    """By the time of the live calls, in whatever order they are committed; in UTC on both databases."""
    holder = hold(ledger)
    for minute in (5, 1, 9):
        at = NOON_US + minute * MINUTE_US
        holder.commit(finding(Outcome.DIVERGED, differences=(kept(),), called_at_us=at))
    [group] = read(ledger, "groups")
    expected = [datetime.fromtimestamp((NOON_US + minute * MINUTE_US) / 1e6, UTC) for minute in (1, 9)]
    assert [group.first_seen, group.last_seen] == expected


def test_failures_are_grouped_too(ledger, read, hold, finding):
    """What enhanced raises is a difference like another: people find it among the groups."""
    judgement = judge("memory.recent", Observation.returned([]), Observation.raised("KeyError", "'user'"))
    differences = tuple(KeptDifference.of("memory.recent", found) for found in judgement.differences)
    hold(ledger).commit(*[finding(Outcome.FAILED, differences=differences) for _ in range(2)])
    assert [(group.kind, group.path, group.count) for group in read(ledger, "groups")] == [("failure", "$", 2)]


def test_what_is_equal_or_allowed_is_counted_and_not_kept(ledger, read, hold, finding, dump):
    """Only diverged and failed captures have a row of their own; an ignored one makes no group."""
    hold(ledger).commit(finding(), finding(Outcome.IGNORED, differences=(kept(),)), finding(Outcome.INCONCLUSIVE))
    assert (dump()["divergences"], read(ledger, "groups")) == ([], [])


def test_groups_come_gravest_first_then_largest(ledger, read, hold, finding):
    """So that the first line of a report is the one to read first."""
    for severity, path, times in [
        ("minor", "$.a", 9),
        ("major", "$.b", 1),
        ("critical", "$.c", 1),
        ("major", "$.d", 2),
    ]:
        found = [
            finding(Outcome.DIVERGED, differences=(kept(path, severity=Severity(severity)),)) for _ in range(times)
        ]
        hold(ledger).commit(*found)
    assert [group.path for group in read(ledger, "groups")] == ["$.c", "$.d", "$.b", "$.a"]


@pytest.mark.parametrize("together", [True, False], ids=["in one commit", "later"])
def test_a_group_is_as_grave_as_its_gravest_difference(ledger, read, hold, finding, together):
    """Severity is no part of a fingerprint: what began minor and turned critical is shown critical."""
    found = [
        finding(Outcome.DIVERGED, differences=(kept(severity=severity),))
        for severity in (Severity.MINOR, Severity.CRITICAL)
    ]
    holder = hold(ledger)
    for commit in [found] if together else [[one] for one in found]:
        holder.commit(*commit)
    [group] = read(ledger, "groups")
    assert (group.count, group.severity) == (2, "critical")
