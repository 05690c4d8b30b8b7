"""The commit: once or not at all, every figure in agreement with every other, and nothing personal kept."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from comparators import Difference, Kind, Observation, Severity, judge
from gnomon.hashing import user_digest
from ledger import COUNTED, FencedError, Finding, KeptDifference, Outcome, Position

MINUTE_US = 60_000_000
NOON_US = 1_790_000_040_000_000  # the beginning of a minute
PLANTED = "ann.lee@example.com"
HOSTILE = {
    "quotes": """it's "quoted" \\ ; DROP TABLE tallies; -- %s :name {x}""",
    "unicode": "naïve 🌱 ‮right to left",
    "nul": "before\x00after",
    "surrogate": "before\ud800after",
    "long": "x" * 10_000,
}


def kept(path="$[0].content", kind=Kind.CHANGED, severity=Severity.MAJOR, *, operation="memory.recent", sides=(1, 2)):
    return KeptDifference.of(operation, Difference(path, kind, severity, *sides))


def outcomes(rows) -> Counter[str]:
    sums: Counter[str] = Counter()
    for row in rows:
        sums.update({str(name): row[name] for name in COUNTED if row[name]})
    return sums


# --- exactly once


def test_a_commit_counts_and_moves_the_lane(ledger, read, hold, finding):
    """Position, outcomes and the count of what is done change together."""
    commit = hold(ledger, 3).commit(finding(), finding(Outcome.EXCLUDED, reason="late", enhanced_returned=True))
    assert read(ledger, "positions") == {3: commit.after}
    assert read(ledger, "done") == 2
    [(operation, sums)] = read(ledger, "sums").items()
    assert operation == "memory.recent"
    assert +sums.outcomes == Counter(match=1, excluded=1)
    assert sums.excluded_returned == 1
    assert ledger.take(3) == (2, commit.after)


def test_the_same_commit_twice_counts_once(ledger, hold, finding, dump):
    """The repetition is refused, and not one figure moves."""
    commit = hold(ledger).commit(finding(), finding(Outcome.DIVERGED, differences=(kept(),)))
    before = dump()
    with pytest.raises(FencedError) as refused:
        ledger.commit(commit)
    assert (refused.value.lane, refused.value.fence) == (0, 1)
    assert dump() == before


def test_who_was_overtaken_commits_nothing(ledger, read, hold, finding, dump):
    """A stale fence is refused though the position is still the same; the new holder goes on."""
    old = hold(ledger)
    commit = old.next(finding(Outcome.DIVERGED, differences=(kept(),)))
    new = hold(ledger)
    before = dump()
    with pytest.raises(FencedError):
        ledger.commit(commit)
    assert dump() == before
    new.commit(finding())
    assert read(ledger, "done") == 1


@pytest.mark.parametrize(
    "stale",
    [
        Position((0, 1), (0, "")),
        Position((1, 0), (0, "")),
        Position((0, 0), (1, "")),
        Position((0, 0), (0, "a")),
    ],
)
def test_every_part_of_the_position_is_compared(ledger, hold, finding, dump, stale):
    """Who believes that the lane stands elsewhere, in whichever part, commits nothing."""
    commit = replace(hold(ledger).next(finding()), before=stale)
    before = dump()
    with pytest.raises(FencedError):
        ledger.commit(commit)
    assert dump() == before


def test_a_fence_nobody_gave_out_is_refused(ledger, read, hold, finding):
    """Not only older fences: one from the future, or a lane never taken, is no holder's either."""
    holder = hold(ledger)
    for wrong in (replace(holder.next(finding()), fence=9), replace(holder.next(finding()), lane=9)):
        with pytest.raises(FencedError):
            ledger.commit(wrong)
    assert (read(ledger, "done"), read(ledger, "sums")) == (0, {})


def test_a_commit_without_findings_moves_only_the_lane(ledger, read, hold):
    """A position may move on though nothing was found."""
    holder = hold(ledger)
    holder.commit()
    assert (read(ledger, "positions"), read(ledger, "done"), read(ledger, "sums")) == ({0: holder.position}, 0, {})


def test_a_commit_that_fails_half_way_leaves_nothing(ledger, read, hold, finding, dump):
    """An error after the counters were written takes them back, and the lane can be committed again."""
    holder = hold(ledger)
    broken = finding(Outcome.PARKED, payload="no bytes")
    before = dump()
    with pytest.raises(Exception, match=r".+"):
        ledger.commit(holder.next(finding(), broken))
    assert dump() == before
    holder.commit(finding())
    assert read(ledger, "done") == 1


# --- every figure agrees


def test_all_counters_add_up(ledger, read, hold, finding, dump):
    """Tallies, minutes, what lanes have done, reasons, users: one set of findings, one total everywhere."""
    found = [
        finding(
            outcome,
            user=f"u{n % 5}",
            epoch=1 + n % 2,
            operation=("memory.recent", "chat.send")[n % 3 == 0],
            exposure=("shadow", "served")[n % 4 == 0],
            called_at_us=NOON_US + n * MINUTE_US // 7,
            reason=("", "because")[n % 2],
            payload=b"line" if outcome is Outcome.PARKED else None,
        )
        for n, outcome in enumerate(list(COUNTED) * 7)
    ]
    holders = [hold(ledger, lane) for lane in range(3)]
    for n in range(0, len(found), 10):
        holders[n % 3].commit(*found[n : n + 10])
    tables = dump()
    expected = Counter(str(one.outcome) for one in found)
    assert outcomes(tables["tallies"]) == expected
    assert outcomes(tables["minutes"]) == expected
    assert read(ledger, "done") == len(found) == expected.total()
    assert sum((sums.outcomes for sums in read(ledger, "sums").values()), Counter()) == expected
    by_epoch = [sum((s.outcomes for s in read(ledger, "sums", epoch).values()), Counter()) for epoch in (1, 2)]
    assert by_epoch[0] + by_epoch[1] == expected
    assert sum(row["count"] for row in tables["reasons"]) == sum(bool(one.reason) for one in found)
    users = {(one.epoch, user_digest(one.user)) for one in found}
    assert {(row["epoch"], row["user_digest"]) for row in tables["epoch_users"]} == users
    assert read(ledger, "distinct_users", 1) + read(ledger, "distinct_users", 2) == len(users)
    assert len(tables["parked"]) == expected["parked"]
    assert len(tables["divergences"]) == expected["diverged"] + expected["failed"]


def test_each_tally_is_of_one_cluster_and_each_minute_of_one_minute(ledger, hold, finding, dump):
    """A user's calls fall into one cluster; a call counts in the minute in which it began."""
    found = [finding(user=f"u{n}", called_at_us=NOON_US + n * 20_000_000) for n in range(9)]
    hold(ledger).commit(*found)
    tables = dump()
    assert {r["cluster"]: r["match"] for r in tables["tallies"]} == Counter(one.cluster for one in found)
    first = NOON_US // MINUTE_US
    assert {row["minute"]: row["match"] for row in tables["minutes"]} == {first: 3, first + 1: 3, first + 2: 3}


def test_clusters_are_what_the_gate_reads(ledger, read, hold, finding):
    """One row for each exposure and cluster of an operation, of the epoch asked for alone."""
    hold(ledger).commit(finding(), finding(exposure="served"), finding(Outcome.FAILED), finding(epoch=2))
    rows = read(ledger, "clusters", 1)["memory.recent"]
    assert sorted((row["exposure"], row["match"], row["failed"]) for row in rows) == [("served", 1, 0), ("shadow", 1, 1)]
    assert len({row["cluster"] for row in rows}) == 1


def test_reasons_are_counted_most_frequent_first(ledger, read, hold, finding):
    """Over commits and epochs, or of one epoch."""
    holder = hold(ledger)
    holder.commit(*[finding(Outcome.EXCLUDED, reason="late") for _ in range(3)], finding(Outcome.PARKED, reason="poison"))
    holder.commit(finding(Outcome.EXCLUDED, reason="late", epoch=2), finding(reason=""))
    assert read(ledger, "reasons") == [("memory.recent", "excluded", "late", 4), ("memory.recent", "parked", "poison", 1)]
    assert read(ledger, "reasons", 2) == [("memory.recent", "excluded", "late", 1)]


_epochs = count(100)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.sampled_from(COUNTED),
            st.sampled_from(["memory.recent", "memory.save"]),
            st.sampled_from(["ann", "ben", "cem"]),
            st.booleans(),
            st.integers(0, 3),
        ),
        max_size=20,
    ),
    st.randoms(use_true_random=False),
)
def test_tallies_merge_by_addition(ledger, read, hold, finding, facts, random):
    """However findings are split into commits, over whichever lanes, the counters come out the same."""
    whole, split = next(_epochs), next(_epochs)

    def made(epoch: int) -> list[Finding]:
        return [
            finding(
                outcome,
                operation=operation,
                user=user,
                epoch=epoch,
                enhanced_returned=returned,
                called_at_us=NOON_US + minute * MINUTE_US,
                reason=f"r{minute}" * returned,
            )
            for outcome, operation, user, returned, minute in facts
        ]

    hold(ledger, 0).commit(*made(whole))
    holders, rest = [hold(ledger, lane) for lane in (0, 1)], made(split)
    while rest:
        cut = random.randint(1, len(rest))
        random.choice(holders).commit(*rest[:cut])
        rest = rest[cut:]
    assert read(ledger, "sums", split) == read(ledger, "sums", whole)
    assert read(ledger, "reasons", split).sort() == read(ledger, "reasons", whole).sort()
    assert read(ledger, "distinct_users", split) == read(ledger, "distinct_users", whole)

    def tallies(epoch: int) -> dict[str, list[tuple]]:
        return {name: sorted(map(str, rows)) for name, rows in read(ledger, "clusters", epoch).items()}

    assert tallies(split) == tallies(whole)


# --- divergences and groups


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
    for severity, path, times in [("minor", "$.a", 9), ("major", "$.b", 1), ("critical", "$.c", 1), ("major", "$.d", 2)]:
        found = [finding(Outcome.DIVERGED, differences=(kept(path, severity=Severity(severity)),)) for _ in range(times)]
        hold(ledger).commit(*found)
    assert [group.path for group in read(ledger, "groups")] == ["$.c", "$.d", "$.b", "$.a"]


@pytest.mark.parametrize("together", [True, False], ids=["in one commit", "later"])
def test_a_group_is_as_grave_as_its_gravest_difference(ledger, read, hold, finding, together):
    """Severity is no part of a fingerprint: what began minor and turned critical is shown critical."""
    found = [
        finding(Outcome.DIVERGED, differences=(kept(severity=severity),)) for severity in (Severity.MINOR, Severity.CRITICAL)
    ]
    holder = hold(ledger)
    for commit in [found] if together else [[one] for one in found]:
        holder.commit(*commit)
    [group] = read(ledger, "groups")
    assert (group.count, group.severity) == (2, "critical")


# --- nothing personal


def texts(tables) -> str:
    return "\n".join(str(value) for rows in tables.values() for row in rows for value in row.values())


@pytest.mark.parametrize(
    ("legacy", "enhanced"),
    [
        ([{"id": "1", "content": f"write to {PLANTED}"}], [{"id": "1", "content": "write to"}]),
        ([{"id": "1", "content": PLANTED}], []),
        ([], [{"id": "1", "metadata": {"from": [PLANTED]}}]),
        ([{"id": "1", "metadata": {PLANTED: 1, "slot": 2}}], []),
        (f"{PLANTED} wrote", {"reply": PLANTED}),
        pytest.param(
            [{"id": "1", "metadata": {PLANTED: 1, "slot": 2}}],
            [{"id": "1", "metadata": {"slot": 2}}],
        ),
    ],
    ids=["in a text", "in a lost item", "nested", "as a key of a lost item", "as the answer", "as a key that is lost"],
)
def test_no_table_holds_what_a_difference_was_about(ledger, hold, finding, dump, legacy, enhanced):
    """An e-mail address in an answer reaches no column of any table, wherever in the answer it stood."""
    judgement = judge("memory.recent", Observation.returned(legacy), Observation.returned(enhanced))
    assert judgement.differences
    differences = tuple(KeptDifference.of("memory.recent", found) for found in judgement.differences)
    hold(ledger).commit(finding(Outcome.DIVERGED, differences=differences, reason=judgement.reason, user=PLANTED))
    assert "example.com" not in texts(dump())


def test_no_table_holds_what_an_exception_said(ledger, hold, finding, dump):
    """Nor what stands in the message of an exception."""
    judgement = judge("memory.save", Observation.returned(1), Observation.raised("ValueError", f"no such user: {PLANTED}"))
    differences = tuple(KeptDifference.of("memory.save", found) for found in judgement.differences)
    hold(ledger).commit(finding(Outcome.FAILED, differences=differences, reason=judgement.reason, user=PLANTED))
    tables = dump()
    assert "ValueError" in texts(tables)
    assert "example.com" not in texts(tables)


# --- hostile values


@pytest.mark.parametrize("what", HOSTILE)
def test_any_user_id_can_be_committed(ledger, read, hold, finding, what):
    """Whatever an application calls its users: they have a digest and a cluster."""
    hold(ledger).commit(finding(user=HOSTILE[what]), finding(Outcome.PARKED, user=HOSTILE[what], payload=b"\x00\xff"))
    assert (read(ledger, "done"), read(ledger, "distinct_users", 1)) == (2, 1)


@pytest.mark.parametrize("what", HOSTILE)
def test_any_reason_can_be_committed(ledger, read, hold, finding, what):
    """It is cut to what its column holds."""
    hold(ledger).commit(finding(Outcome.INCONCLUSIVE, reason=HOSTILE[what]), finding(Outcome.FAILED, reason=HOSTILE[what]))
    assert read(ledger, "done") == 2


@pytest.mark.parametrize("what", HOSTILE)
def test_any_operation_name_can_be_committed(ledger, read, hold, finding, what):
    """A capture of an operation that nobody here knows is parked under its name, however it is spelt."""
    name = HOSTILE[what]
    hold(ledger).commit(finding(Outcome.PARKED, operation=name, reason="unknown_operation", payload=b"line"))
    [(_, sums)] = read(ledger, "sums").items()
    assert +sums.outcomes == Counter(parked=1)


@pytest.mark.parametrize("what", HOSTILE)
def test_any_difference_can_be_committed(ledger, read, hold, finding, what):
    """In values, and in the keys that make a path: both come from people's own data."""
    text = HOSTILE[what]
    observed = [Observation.returned([{"id": "1", "metadata": metadata}]) for metadata in ({"a": 1, text: text}, {"a": 1})]
    found = judge("memory.recent", *observed).differences or (
        Difference(f"$[0].metadata['{text}']", Kind.LOST, Severity.MAJOR, text),
    )
    differences = tuple(KeptDifference.of("memory.recent", difference) for difference in found)
    hold(ledger).commit(finding(Outcome.DIVERGED, differences=differences))
    assert (read(ledger, "done"), len(read(ledger, "groups"))) == (1, 1)


@pytest.mark.parametrize(
    "hostile",
    [
        {"capture_id": "c" * 1_000},
        {"capture_id": "c\x00"},
        {"epoch": 2**63},
        {"called_at_us": 2**100},
        {"called_at_us": -(10**18)},
        {"exposure": "elsewhere-and-longer"},
    ],
    ids=lambda hostile: "-".join(f"{name}={str(value)[:12]!a}" for name, value in hostile.items()),
)
def test_a_capture_with_impossible_facts_is_committed_or_refused_as_a_ledger_error(ledger, read, hold, finding, hostile):
    """What one foreign line says of itself must not end a drain in an error that nobody expects."""
    hold(ledger).commit(finding(Outcome.DIVERGED, differences=(kept(),), **hostile))
    assert read(ledger, "done") == 1
