"""The commit: once or not at all, and every figure in agreement with every other."""

from collections import Counter
from dataclasses import replace
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from comparators import Difference, Kind, Severity
from gnomon.hashing import user_digest
from ledger import COUNTED, FencedError, Finding, KeptDifference, Outcome, Position

MINUTE_US = 60_000_000
NOON_US = 1_790_000_040_000_000  # the beginning of a minute


def kept():
    return KeptDifference.of("memory.recent", Difference("$[0].content", Kind.CHANGED, Severity.MAJOR, 1, 2))


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
    assert ledger.take(3)[:3] == (2, commit.after, 0)


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
    explained = [one for one in found if one.reason and one.outcome is not Outcome.DIVERGED]  # those have groups
    assert sum(row["count"] for row in tables["reasons"]) == len(explained)
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
    assert sorted((row.exposure, row.answered, row.failed) for row in rows) == [("served", 1, 0), ("shadow", 1, 1)]
    assert len({row.cluster for row in rows}) == 1


def test_reasons_are_counted_most_frequent_first(ledger, read, hold, finding):
    """Over commits and epochs, or of one epoch."""
    holder = hold(ledger)
    holder.commit(
        *[finding(Outcome.EXCLUDED, reason="late") for _ in range(3)], finding(Outcome.PARKED, reason="poison")
    )
    holder.commit(finding(Outcome.EXCLUDED, reason="late", epoch=2), finding(reason=""))
    assert read(ledger, "reasons") == [
        ("memory.recent", "excluded", "late", 4),
        ("memory.recent", "parked", "poison", 1),
    ]
    assert read(ledger, "reasons", 2) == [("memory.recent", "excluded", "late", 1)]


_epochs = count(100)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
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
    assert sorted(read(ledger, "reasons", split)) == sorted(read(ledger, "reasons", whole))
    assert read(ledger, "distinct_users", split) == read(ledger, "distinct_users", whole)

    assert read(ledger, "outcomes", split) == read(ledger, "outcomes", whole)

    def clusters(epoch: int) -> dict[str, list[tuple]]:
        return {name: sorted(rows) for name, rows in read(ledger, "clusters", epoch).items()}

    assert clusters(split) == clusters(whole)
