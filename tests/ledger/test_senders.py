"""Entries by number: what was read is known whatever the order, and what is missing has a name."""

from hypothesis import given
from hypothesis import strategies as st

from ledger.senders import MOST_MISSING, Seen, count_key, grown


@given(st.lists(st.lists(st.integers(1, 40), max_size=8), max_size=8))
def test_what_was_read_is_known_and_nothing_else(readings):
    """However numbers arrive, in whatever groups: exactly those that came are known."""
    seen, came = Seen(), set()
    for numbers in readings:
        seen = seen.after(numbers)
        came |= set(numbers)
    assert {number for number in range(1, 60) if seen.has(number)} == came


def test_in_order_nothing_is_missing():
    """The usual case costs one number."""
    assert Seen().after([1, 2]).after([3]) == Seen(3, frozenset())


def test_what_is_skipped_is_missing_until_it_comes():
    """A hole is remembered, and filled."""
    seen = Seen(2).after([5])
    assert seen == Seen(5, frozenset({3, 4}))
    assert seen.after([4]) == Seen(5, frozenset({3}))


def test_what_is_missing_is_bounded():
    """A process whose beginnings nobody saw does not fill the ledger."""
    seen = Seen().after([10**9])
    assert (len(seen.missing), max(seen.missing)) == (MOST_MISSING - 1, 10**9 - 1)


def test_counters_only_grow():
    """What Redis has forgotten is no reason to count less."""
    assert grown({"a": 5, "b": 2}, {"a": 7, "b": 1, "c": 3}) == {"a": 2, "c": 3}


def test_a_counter_is_named_by_operation_epoch_and_place():
    """An operation may have any name."""
    assert count_key("a|b|2|shed") == ("a|b", 2, "shed")
    assert [count_key(name) for name in ("batch", "a|shed", "a|x|shed", "")] == [None] * 4
