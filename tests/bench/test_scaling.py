"""What `bench scaling-captures` tells of, and how many captures it may be asked for."""

import pytest

from bench.measuring import BenchError
from bench.scaling import MOST_VARIABLE, Window, asked, windows

pytestmark = pytest.mark.performance


@pytest.mark.parametrize(
    ("most", "ends"),
    [(5_000, [5_000]), (10_000, [10_000]), (60_000, [10_000, 60_000]), (1_000_000, [10_000, 100_000, 1_000_000])],
)
def test_each_power_of_ten_has_its_window(most, ends):
    """The first from the beginning, the others the last tenth."""
    told = windows(most)
    assert [window.end for window in told] == ends
    assert told[0].start == 0
    assert told[1:] == [Window(start=end * 9 // 10, end=end) for end in ends[1:]]


@pytest.mark.parametrize("text", ["", "many", "-1", "100", "1e6"])
def test_what_is_no_number_of_captures_is_an_error(monkeypatch, text):
    """By the variable's name."""
    monkeypatch.setenv(MOST_VARIABLE, text)
    with pytest.raises(BenchError, match=MOST_VARIABLE):
        asked()


def test_a_million_are_asked_for_where_nothing_is_said(monkeypatch):
    """Or as many as the variable says."""
    monkeypatch.delenv(MOST_VARIABLE, raising=False)
    assert asked() == 1_000_000
    monkeypatch.setenv(MOST_VARIABLE, "100000")
    assert asked() == 100_000
