"""Evidence is what the ledger holds: gathered in one snapshot, worst case where nobody can say."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from comparators import Difference, Severity
from comparators import Kind as Way
from gnomon import Kind
from ledger import (
    SUPERSEDED,
    Comparison,
    Draft,
    Field,
    Filed,
    Finding,
    LaneCommit,
    Ledger,
    Outcome,
    PairedRuns,
    Position,
    Sent,
    Settling,
)
from rollout import Policy, State, decide
from rollout.gathering import gather
from rollout.soundness import examine

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


def served(number: int, outcome: Outcome = Outcome.MATCH, **more) -> Finding:
    return msgspec.structs.replace(finding(number, outcome), exposure="served", **more)


def test_exposures_are_told_apart(ledger):
    """Each with its own outcomes and clusters, both exact; what ended before its capture concerns whom it did."""
    findings = [finding(n) for n in range(60)] + [served(n, Outcome.FAILED) for n in range(60, 100)]
    fence, before, *_ = ledger.take(3)
    counts = {"eligible": 120, "captured": 104, "shed": 10, "not_sampled": 6, "missed_served": 4}
    sent = {"p": Sent(0, {f"memory.recent|1|{name}": count for name, count in counts.items()})}
    after = Position((1, 0), (1, ""))
    ledger.commit(LaneCommit(lane=3, fence=fence, before=before, after=after, findings=tuple(findings), sent=sent))
    with ledger.reading() as reading:
        evidence = gather(reading, KINDS, share=0.0)
    shadow, answered = evidence.operations
    assert [str(row.exposure) for row in (shadow, answered)] == ["shadow", "served"]
    assert (shadow.outcomes.match, shadow.outcomes.pending, shadow.outcomes.failed) == (60, 4, 0)
    assert (answered.outcomes.match, answered.outcomes.pending, answered.outcomes.failed) == (0, 0, 40)
    assert all(row.funnel.is_exact and row.outcomes.total == row.funnel.captured for row in evidence.operations)
    assert (shadow.missing, answered.missing) == (6, 4)
    assert not examine(evidence).problems


def test_what_is_lost_is_laid_to_both(ledger):
    """By what is known of each, rounded against the served."""
    findings = [finding(n) for n in range(75)] + [served(n) for n in range(75, 100)]
    commit(ledger, findings, captured=110)
    fence, before, *_ = ledger.take(3)
    settling = Settling(now_us=1)
    ledger.commit(LaneCommit(lane=3, fence=fence, before=before, after=before, settling=settling))
    with ledger.reading() as reading:
        evidence = gather(reading, KINDS)
    assert [row.outcomes.lost for row in evidence.operations] == [7, 3]
    assert not examine(evidence).problems


def test_live_times_of_what_is_no_read_are_compared(ledger):
    """At their 95th percentiles; a failure is slower than anything."""
    kinds = {"memory.recent": Kind.WRITE}
    commit(ledger, [served(n, live_us=(1_000, 1_100)) for n in range(40)], captured=40)
    with ledger.reading() as reading:
        [row] = gather(reading, kinds).operations
    assert row.p95_ratio == pytest.approx(1.1, rel=0.06)
    commit(ledger, [served(n, live_us=(1_000, 1_000_000_000)) for n in range(40, 44)], captured=44)
    with ledger.reading() as reading:
        [row] = gather(reading, kinds).operations
    assert row.p95_ratio > 1_000


def test_superseded_calls_are_shown_apart(ledger):
    """They are excluded, and not held against the limit."""
    findings = [msgspec.structs.replace(finding(n, Outcome.EXCLUDED), reason=SUPERSEDED) for n in range(5)]
    commit(ledger, [*findings, finding(5, Outcome.EXCLUDED)], captured=6)
    with ledger.reading() as reading:
        [row] = gather(reading, KINDS).operations
    assert (row.outcomes.excluded, row.excluded_apart) == (6, 5)


def test_the_rollout_is_part_of_it(ledger):
    """Pauses, rollbacks and complaints, as the ledger has them."""
    ledger.rollout.put_under("p", {})
    ledger.rollout.pause(by="ann", why="lunch")
    ledger.rollout.take_complaints([Filed(id="k", user="ann", text="no", at=datetime.now(UTC), epoch=1)])
    with ledger.reading() as reading:
        evidence = gather(reading, KINDS, share=0.0)
    assert (evidence.paused, evidence.open_complaints, evidence.epoch.policy) == ("ann: lunch", 1, "p")
    assert 0 <= evidence.complaint_feed_age_s < 60
    ledger.rollout.rolled_back(epoch=1, by="gate", why="harm", barred="", switched_off=(), body={})
    with ledger.reading() as reading:
        assert gather(reading, KINDS).rolled_back == "harm"
