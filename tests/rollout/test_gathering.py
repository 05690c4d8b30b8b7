"""Evidence is what the ledger holds: gathered in one snapshot, worst case where nobody can say."""

from datetime import UTC, datetime, timedelta

import pytest

from comparators import Difference, Severity
from comparators import Kind as Way
from gnomon import Kind
from ledger import (
    Comparison,
    Draft,
    Field,
    Finding,
    LaneCommit,
    Ledger,
    Outcome,
    PairedRuns,
    Position,
    Sent,
)
from rollout import Policy, State, decide
from rollout.gathering import gather

KINDS = {"memory.recent": Kind.READ}


@pytest.fixture
def ledger(tmp_path):
    opened = Ledger(f"sqlite:///{tmp_path}/ledger.sqlite3")
    opened.migrate()
    yield opened
    opened.close()


def finding(number: int, outcome: Outcome = Outcome.MATCH) -> Finding:
    return Finding(
        capture_id=f"c-{number}",
        operation="memory.recent",
        epoch=1,
        user=f"user-{number % 7}",
        called_at_us=1_769_997_600_000_000 + number * 60_000_000,
        outcome=outcome,
    )


def commit(ledger: Ledger, findings: list[Finding], captured: int) -> None:
    fence, before, *_ = ledger.take(3)
    sent = {"p": Sent(0, {f"memory.recent|1|{name}": captured for name in ("eligible", "captured")})}
    after = Position((before.read[0] + 1, 0), (before.cut[0] + 1, ""))
    ledger.commit(LaneCommit(lane=3, fence=fence, before=before, after=after, findings=tuple(findings), sent=sent))


def test_evidence_is_what_was_committed(ledger):
    """Counts, clusters, users and hours, from the tallies alone."""
    commit(ledger, [finding(n) for n in range(90)] + [finding(90, Outcome.DIVERGED)], captured=91)
    with ledger.reading() as reading:
        evidence = gather(reading, KINDS)
    [row] = evidence.operations
    assert (row.outcomes.match, row.outcomes.diverged, row.outcomes.pending) == (90, 1, 0)
    assert row.funnel.is_exact
    assert sum(cluster.trials for cluster in row.clusters) == 91
    assert (evidence.distinct_users, evidence.hours_with_data) == (7, 2)
    assert (evidence.lag_s, evidence.required) == (0.0, ("memory.recent",))
    assert decide(evidence, Policy()).state is State.COLLECTING


def test_what_waits_is_lag(ledger):
    """A capture that is not judged yet is as old as its entry says, or as the epoch where nobody can say."""
    commit(ledger, [finding(0)], captured=2)
    with ledger.reading() as reading:
        now = reading.now()
        known = gather(reading, KINDS, oldest_pending=now - timedelta(minutes=30))
        unknown = gather(reading, KINDS)
    assert known.operations[0].outcomes.pending == 1
    assert 1800 <= known.lag_s <= 1800 + (datetime.now(UTC) - now).total_seconds() + 1  # SQLite tells whole seconds
    assert unknown.lag_s == unknown.age_s


def test_an_empty_ledger_is_never_eligible(ledger):
    """No data, no promotion."""
    with ledger.reading() as reading:
        assert decide(gather(reading, KINDS), Policy()).state is not State.ELIGIBLE


def test_noise_in_what_a_rule_allows_excuses_nothing(ledger):
    """Those divergences are not counted, so neither is what legacy differs from itself in there."""
    field = Field.of("memory.recent", Difference("$[3].score", Way.CHANGED, Severity.MINOR, 1, 2))
    differs = Comparison(diverged=True, fields=(field,))
    fence, before, *_ = ledger.take(3)
    pairs = tuple(
        PairedRuns(
            capture_id=f"c-{n}",
            operation="memory.recent",
            epoch=1,
            exposure="shadow",
            user="ann",
            ended_us=1,
            legacy_ns=1,
            first_ns=1,
            enhanced_ns=1,
            repeated=differs,
            compared=differs,
        )
        for n in range(3)
    )
    after, found = Position((1, 0), (1, "")), (finding(1),)
    ledger.commit(LaneCommit(lane=3, fence=fence, before=before, after=after, findings=found, pairs=pairs))
    with ledger.reading() as reading:
        assert gather(reading, KINDS).operations[0].excused == 3
    ledger.add_rule(Draft(operation="memory.recent", path="$[*].score", kind="changed", author="ann", reason="rounded"))
    with ledger.reading() as reading:
        assert gather(reading, KINDS).operations[0].excused == 0


def test_the_hour_under_way_is_counted_apart(ledger):
    """By the clock, so that no call is in two hours; an epoch's first hour has the number 1."""
    with ledger.reading() as reading:
        hour_us = int(reading.now().timestamp()) // 3_600 * 3_600_000_000
    this_hour = [finding_at(hour_us, n, Outcome.FAILED if n < 2 else Outcome.MATCH) for n in range(5)]
    before = [finding_at(hour_us - 60_000_000, n, Outcome.FAILED) for n in range(5, 8)]
    commit(ledger, [*this_hour, *before, finding_at(hour_us, 8, Outcome.LOST)], captured=9)
    with ledger.reading() as reading:
        [row] = gather(reading, KINDS).operations
    assert (row.window.number, row.window.good, row.window.trials) in {(1, 4, 6), (2, 4, 6)}  # the hour may turn
    assert row.counts.trials == 9


def finding_at(called_at_us: int, number: int, outcome: Outcome) -> Finding:
    return Finding(
        capture_id=f"at-{number}",
        operation="memory.recent",
        epoch=1,
        user=f"user-{number}",
        called_at_us=called_at_us,
        outcome=outcome,
    )
