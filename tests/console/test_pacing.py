"""When a call is due: an absolute schedule, so that nothing drifts; and how lateness is told."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.pacing import AtRate, AtSpeed, Lateness, Unpaced

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


def test_at_a_rate_calls_are_due_evenly():
    """The millionth to the microsecond where it belongs, whatever was recorded."""
    pace = AtRate(500)
    assert [pace.due_s(number, NOON) for number in (0, 1, 1_000_000)] == [0, 0.002, 2_000]


def test_at_a_speed_calls_keep_their_rhythm():
    """Ten times as fast; by `at`, not by number; across time zones."""
    pace = AtSpeed(10)
    assert [pace.due_s(number, NOON + timedelta(seconds=at)) for number, at in enumerate((0, 1, 31))] == [0, 0.1, 3.1]
    assert pace.due_s(3, datetime.fromisoformat("2026-01-05T13:01:00+01:00")) == 6


def test_without_a_pace_every_call_is_due_at_once():
    """And nothing is said to have been asked for."""
    assert Unpaced().due_s(7, NOON) < -1e9
    assert [pace.as_json() for pace in (Unpaced(), AtRate(5), AtSpeed(2))] == [{}, {"asked_per_s": 5}, {"speed": 2}]


@given(st.lists(st.floats(0, 3_600), min_size=1, max_size=300), st.floats(0.01, 1))
def test_lateness_is_told_to_a_tenth(late_s, share):
    """A quantile is never below what it says it is, and at most a tenth (or a µs) above; the worst is exact."""
    lateness = Lateness()
    for each in late_s:
        lateness.add(each)
    exact_ms = sorted(late_s)[max(0, -int(-share * len(late_s) // 1) - 1)] * 1_000
    told_ms = lateness.quantile_ms(share)
    assert exact_ms - 1e-6 <= told_ms <= exact_ms * 1.1 + 0.002
    assert lateness.as_json()["max"] == round(max(late_s) * 1_000, 3)


@pytest.mark.parametrize("late_s", [-1.0, 0.0])
def test_what_is_early_is_not_late(late_s):
    """A call that begins on time, by a clock's grain before it."""
    lateness = Lateness()
    lateness.add(late_s)
    assert lateness.as_json() == {"p50": 0, "p99": 0, "max": 0}
