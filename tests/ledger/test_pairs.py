"""What a pair adds to the counters, and that it is the same in whatever order pairs come in."""

from collections import Counter
from math import exp, log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comparators import Difference, Kind, Severity
from ledger import Comparison, Field, Measure, PairedRuns, Unpaired
from ledger.pairs import (
    NO_RATIO,
    RATIO_LIMIT,
    latency_bin,
    latency_middle,
    ratio_above,
    ratio_bin,
    ratio_middle,
)


def pair(**more) -> PairedRuns:
    facts = {"capture_id": "p-1", "operation": "memory.recent", "epoch": 1, "exposure": "shadow", "user": "ann"}
    return PairedRuns(**{**facts, "first_ns": 3_000_000, "legacy_ns": 2_000_000, "enhanced_ns": 1_000_000, **more})


def field(path: str = "$[3].score", severity: Severity = Severity.MINOR) -> Field:
    return Field.of("memory.recent", Difference(path, Kind.CHANGED, severity))


def test_a_field_is_named_without_places_and_without_what_is_private():
    """Two records that differ in the same field are one field."""
    assert field("$[3].score") == field("$[7].score")
    assert field().path == "$[*].score"
    assert "ann@example.org" not in field("$.metadata['ann@example.org']").path


@pytest.mark.parametrize(
    ("enhanced_ns", "counts"),
    [
        (1_000_000, {"wins": 1}),
        (4_000_000, {"losses": 1}),
        (2_000_999, {"ties": 1}),
        (1_999_001, {"ties": 1}),
        (2_001_000, {"losses": 1}),
    ],
)
def test_a_pair_is_won_lost_or_tied(enhanced_ns, counts):
    """A microsecond is what reading a clock costs: less than that is no difference."""
    found = pair(enhanced_ns=enhanced_ns).counts()
    ratio = log(enhanced_ns / 2_000_000)
    assert found == counts | {"log_sum": round(ratio * 1e6), "log_squares": round(ratio * ratio * 1e6)}


def test_failures_have_no_ratio_and_are_the_slowest():
    """A fast failure is no speed."""
    failed = pair(failed=True, enhanced_ns=0)
    assert failed.counts() == {"losses": 1, "failed": 1}
    assert failed.bins()[Measure.RATIO] == NO_RATIO > RATIO_LIMIT
    assert Measure.ENHANCED not in failed.bins()


@pytest.mark.parametrize("reason", list(Unpaired))
def test_what_is_no_pair_is_counted_by_why(reason):
    """And is in no histogram."""
    assert (pair(unpaired=reason).counts(), pair(unpaired=reason).bins()) == ({str(reason): 1}, {})


def test_noise_is_what_is_not_critical():
    """A critical difference is a difference, and never noise."""
    minor, critical = (
        Comparison(diverged=True, fields=(field(severity=s),)) for s in (Severity.MINOR, Severity.CRITICAL)
    )
    assert pair(repeated=minor).counts()["noisy"] == 1
    assert pair(repeated=critical).counts()["noisy"] == 0
    assert pair(compared=critical).counts()["differing"] == 1


@given(st.integers(1, 10**12), st.integers(1, 10**12))
def test_a_ratio_lies_in_its_bin(one, other):
    """Up to a thousand times either way; beyond is one bin."""
    place, ratio = ratio_bin(one, other), one / other
    if abs(place) < RATIO_LIMIT:
        assert ratio_above(place - 1) * (1 - 1e-9) <= ratio <= ratio_above(place) * (1 + 1e-9)
    else:
        assert (place > 0) is (ratio > 1)
    assert ratio_above(RATIO_LIMIT) == ratio_middle(NO_RATIO) == float("inf")


@given(st.floats(0, 1e9))
def test_a_time_is_told_to_three_percent(us):
    """From a microsecond to minutes."""
    told = latency_middle(latency_bin(us))
    if 1 <= us < exp(19):
        assert abs(told / us - 1) < 0.03


pairs = st.builds(
    pair,
    user=st.sampled_from(["ann", "bob", "cid"]),
    legacy_ns=st.integers(0, 10**9),
    enhanced_ns=st.integers(0, 10**9),
    failed=st.booleans(),
    unpaired=st.sampled_from([None, None, None, *Unpaired]),
    repeated=st.sampled_from([None, Comparison(diverged=False), Comparison(diverged=True, fields=(field(),))]),
)


@given(st.lists(pairs, max_size=30), st.randoms())
def test_sums_are_whole_numbers_and_know_no_order(made, chance):
    """Whatever is merged in whatever order gives the same."""

    def summed(of: list[PairedRuns]) -> Counter[object]:
        total: Counter[object] = Counter()
        for one in of:
            total.update(one.counts())
            total.update(one.bins().items())
        return total

    before = summed(made)
    chance.shuffle(made)
    assert summed(made) == before
    assert all(isinstance(count, int) for count in before.values())
