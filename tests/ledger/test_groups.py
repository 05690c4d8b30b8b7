"""Divergences and their groups: one group for each kind of difference, found by whoever reads the report."""

from collections import Counter
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from comparators import Difference, Kind, Observation, Severity, judge
from gnomon.hashing import user_digest
from ledger import KeptDifference, Outcome, Sample, Trend

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


# --- epochs


@pytest.mark.parametrize(
    ("epochs", "expected"),
    [
        ([1], (1, 1, 0)),
        ([1, 2], (1, 2, 0)),
        ([1, 3], (1, 3, 3)),
        ([1, 3, 4], (1, 4, 3)),
        ([1, 3, 6], (1, 6, 6)),
        ([3, 1], (1, 3, 0)),
        ([2, 2, 5, 2], (2, 5, 5)),
    ],
)
def test_a_group_that_is_back_after_an_epoch_without_it_says_so(ledger, read, hold, finding, epochs, expected):
    """It was thought gone; what comes late from an epoch before is no return."""
    holder = hold(ledger)
    for epoch in epochs:
        holder.commit(finding(Outcome.DIVERGED, differences=(kept(),), epoch=epoch))
    [group] = read(ledger, "groups")
    assert (group.first_epoch, group.last_epoch, group.regressed_epoch) == expected
    assert [group.is_new(epoch) for epoch in (1, 2)] == [expected[0] == 1, expected[0] == 2]
    assert group.is_regressed(epochs[-1]) == (expected[2] == epochs[-1])


def test_a_group_of_an_older_version_is_not_back(ledger, read, hold, finding, url):
    """When it was seen last is not known."""
    holder = hold(ledger)
    holder.commit(finding(Outcome.DIVERGED, differences=(kept(),)))
    with ledger._engine.begin() as connection:
        connection.execute(sa.text("UPDATE groups SET first_epoch = 0, last_epoch = 0"))
    holder.commit(finding(Outcome.DIVERGED, differences=(kept(),), epoch=7))
    [group] = read(ledger, "groups")
    assert (group.first_epoch, group.last_epoch, group.regressed_epoch) == (0, 7, 0)


# --- samples


def sample(slot, value) -> Sample:
    return Sample(slot=slot, args={"limit": 3}, legacy=[value], enhanced=[])


def test_a_few_divergences_of_a_group_are_kept_whole(ledger, read, hold, finding):
    """The first of each kind, in every group that it is in; the others as differences."""
    holder = hold(ledger)
    for n, slot in enumerate((1, 1, 0, 2, 0)):
        found = finding(
            Outcome.DIVERGED,
            differences=(kept(), kept("$[1].tag")),
            capture_id=f"c-{n}",
            sample=sample(slot, n),
            called_at_us=NOON_US + n,
        )
        holder.commit(found)
    holder.commit(finding(Outcome.DIVERGED, differences=(kept(),)))
    for group in read(ledger, "groups"):
        samples = read(ledger, "samples", group.id)
        assert [one.capture_id for one in samples] == ["c-0", "c-2", "c-3"]
        assert samples[0].sample == {"args": {"limit": 3}, "legacy": [0], "enhanced": []}
        assert (samples[0].epoch, samples[0].user_digest) == (1, user_digest("ann"))


def test_samples_are_those_of_the_latest_epoch(ledger, read, hold, finding):
    """Each is another build's; what comes late from before takes no place."""
    holder = hold(ledger)
    for n, epoch in enumerate((1, 2, 1, 2)):
        more = {"capture_id": f"c-{n}", "epoch": epoch, "sample": sample(0, n)}
        holder.commit(finding(Outcome.DIVERGED, differences=(kept(),), **more))
    [group] = read(ledger, "groups")
    assert [one.capture_id for one in read(ledger, "samples", group.id)] == ["c-1"]


def test_a_batch_may_hold_many_samples(ledger, read, hold, finding):
    """The first of each kind is kept, whatever the order of groups."""
    found = [
        finding(Outcome.DIVERGED, differences=(kept(f"$.f{n % 4}"),), capture_id=f"c-{n:02}", sample=sample(n % 3, n))
        for n in range(24)
    ]
    hold(ledger).commit(*found)
    for group in read(ledger, "groups"):
        n = int(group.path[-1])
        names = {one.capture_id for one in read(ledger, "samples", group.id)}
        assert names == {f"c-{n:02}", f"c-{n + 4:02}", f"c-{n + 8:02}"}


def test_what_is_no_divergence_leaves_no_sample(ledger, hold, finding, dump):
    """A rule may have allowed it since it was taken."""
    hold(ledger).commit(finding(Outcome.IGNORED, differences=(kept(),), sample=sample(0, 1)))
    assert dump()["group_samples"] == []


# --- trends


@pytest.mark.parametrize(
    ("last_hour", "before", "tendency"),
    [
        ((8, 100), (0, 2_000), "rising"),
        ((20, 100), (100, 1_000), "rising"),
        ((10, 100), (100, 1_000), "steady"),
        ((5, 100), (100, 1_000), "falling"),
        ((0, 100), (100, 1_000), "falling"),
        ((4, 100), (0, 1_000), "unknown"),
        ((50, 100), (0, 0), "unknown"),
        ((0, 0), (50, 1_000), "unknown"),
    ],
)
def test_a_trend_is_the_share_of_the_last_hour_beside_the_day_before(last_hour, before, tendency):
    """Twice as often, half as often, neither; of few, or without a before, nothing is said."""
    names = ("last_hour", "compared", "before", "compared_before")
    assert Trend(**dict(zip(names, (*last_hour, *before), strict=True))).tendency == tendency


def test_trends_are_counted_by_the_time_of_the_calls(ledger, read, hold, finding):
    """Up to the newest call: a run that has ended has a last hour too; a day before is no longer counted."""
    hour_us = 60 * MINUTE_US
    newest = NOON_US // MINUTE_US * MINUTE_US
    findings = []
    for ago_us in (0, 59 * MINUTE_US, hour_us, 5 * hour_us, 24 * hour_us - MINUTE_US, 24 * hour_us, 40 * hour_us):
        findings.append(finding(Outcome.DIVERGED, differences=(kept(),), called_at_us=newest - ago_us))
        findings += [finding(called_at_us=newest - ago_us), finding(Outcome.EXCLUDED, called_at_us=newest - ago_us)]
    hold(ledger).commit(*findings, finding(operation="chat.send", called_at_us=newest))
    [group] = read(ledger, "groups")
    assert read(ledger, "trends") == {group.id: Trend(last_hour=2, compared=4, before=3, compared_before=6)}


def test_without_calls_there_are_no_trends(ledger, read):
    """Nor groups."""
    assert read(ledger, "trends") == {}
