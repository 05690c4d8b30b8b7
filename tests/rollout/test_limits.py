import pytest

from rollout import Exposure, Policy, Stage, Standing, limits

POLICY = Policy()
PASSED, OPEN, BROKEN, NOT_APPLICABLE = Standing.PASSED, Standing.OPEN, Standing.BROKEN, Standing.NOT_APPLICABLE


@pytest.mark.parametrize(
    ("criterion", "changes", "standing"),
    [
        (limits.dwell, {"age_s": 48 * 3600.0}, PASSED),
        (limits.dwell, {"age_s": 48 * 3600.0 - 1}, OPEN),
        (limits.dwell, {"age_s": float("nan")}, OPEN),
        (limits.hours_with_data, {"hours_with_data": 45}, PASSED),
        (limits.hours_with_data, {"hours_with_data": 44}, OPEN),
        (limits.users, {"distinct_users": 200}, PASSED),
        (limits.users, {"distinct_users": 199}, OPEN),
        (limits.lag, {"lag_s": 900.0}, PASSED),
        (limits.lag, {"lag_s": 900.1}, BROKEN),
        (limits.lag, {"lag_s": float("nan")}, BROKEN),
        (limits.complaints, {}, PASSED),
        (limits.complaints, {"open_complaints": 1}, BROKEN),
        (limits.complaints, {"complaint_feed_age_s": None}, OPEN),
        (limits.complaints, {"complaint_feed_age_s": 901.0}, BROKEN),
        (limits.complaints, {"complaint_feed_age_s": float("nan")}, BROKEN),
        (limits.complaints, {"stage": Stage.SHADOW}, NOT_APPLICABLE),
        (limits.complaints, {"stage": Stage.SHADOW, "open_complaints": 1}, BROKEN),
    ],
)
def test_limits_of_the_epoch(make_evidence, criterion, changes, standing):
    """Time, users, lag and complaints: too little is open, too much is broken, silence at stage 0 says nothing."""
    assert criterion(make_evidence(**changes), POLICY).standing is standing


def test_silence_of_complaints_only_bounds_their_rate(make_evidence):
    """None of N users bounds the rate at about 3/N, and the sentence says so."""
    assert limits.complaints(make_evidence(), POLICY).why == "none of 1,000 users complained: at most about 0.3 % would"


def test_a_required_operation_needs_traffic(make_row):
    """Without a call nothing is known about it."""
    assert limits.traffic("memory.recent", ()).standing is OPEN
    assert limits.traffic("memory.recent", (make_row(calls=1),)).standing is PASSED


def test_served_calls_are_asked_for_once_enhanced_answers(make_evidence, make_row):
    """154 answered calls from stage 1 on; none of writes, which legacy answers, and none at stage 0."""
    served = [make_row(exposure=Exposure.SERVED, calls=calls) for calls in (153, 154)]
    evidence, nobody = make_evidence(), make_evidence(stage=Stage.SHADOW)
    standings = [limits.served_calls("memory.recent", (row,), evidence, POLICY).standing for row in served]
    assert standings == [OPEN, PASSED]
    assert limits.served_calls("memory.recent", (make_row(),), evidence, POLICY).standing is OPEN
    assert limits.served_calls("memory.recent", (make_row(),), nobody, POLICY).standing is NOT_APPLICABLE
    assert limits.served_calls("memory.save", (make_row("memory.save"),), evidence, POLICY).standing is NOT_APPLICABLE


@pytest.mark.parametrize(
    ("lost_before", "standing"), [({"shed": 10}, PASSED), ({"shed": 11}, BROKEN), ({"not_sampled": 9_000}, PASSED)]
)
def test_coverage(make_row, lost_before, standing):
    """Of the calls wanted, 99 % were captured; what sampling left out was not wanted."""
    row = make_row(calls=990, funnel=lost_before)
    assert limits.coverage(row, POLICY).standing is standing


def test_coverage_of_nothing_is_open(make_row):
    """No call that was to be captured proves no coverage."""
    assert limits.coverage(make_row(calls=0, funnel={"not_sampled": 5}), POLICY).standing is OPEN


def test_excluded_calls(make_row):
    """At most a fifth of the settled calls; those with a reason shown apart do not count."""
    assert limits.excluded(make_row(calls=1_000, excluded=200), POLICY).standing is PASSED
    assert limits.excluded(make_row(calls=1_000, excluded=201), POLICY).standing is BROKEN
    assert limits.excluded(make_row(calls=1_100, excluded=201, pending=100), POLICY).standing is BROKEN
    assert limits.excluded(make_row(calls=1_000, excluded=201, fields={"excluded_apart": 1}), POLICY).standing is PASSED
    assert limits.excluded(make_row(calls=5, pending=5), POLICY).standing is OPEN


@pytest.mark.parametrize(
    ("ratios", "standing"), [((1.0, 1.10), PASSED), ((1.0, 1.11), OPEN), ((None, 1.0), PASSED), ((None, None), OPEN)]
)
def test_tail_of_paired_reads(make_row, ratios, standing):
    """The worst measured bound counts; one above the limit may still come down."""
    rows = tuple(make_row(fields={"p95_ratio": ratio}) for ratio in ratios)
    assert limits.tail(rows, POLICY).standing is standing


@pytest.mark.parametrize(
    ("ratio", "stage", "standing"),
    [
        (1.25, Stage.TENTH, PASSED),
        (1.26, Stage.TENTH, BROKEN),
        (None, Stage.TENTH, OPEN),
        (None, Stage.SHADOW, NOT_APPLICABLE),
    ],
)
def test_latency_of_writes(make_evidence, make_row, ratio, stage, standing):
    """Hardly slower live; unmeasured is never a pass, and at stage 0 there is nothing live to measure."""
    row = make_row("memory.save", fields={"p95_ratio": ratio})
    assert limits.latency((row,), make_evidence(stage=stage), POLICY).standing is standing
