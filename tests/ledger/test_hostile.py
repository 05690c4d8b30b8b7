"""Whatever an application calls its users, operations and keys can be kept.

A commit that a value makes impossible would be tried again for ever, and the lane behind it would stand still.
"""

import pytest

from comparators import Difference, Kind, Observation, Severity, judge
from ledger import KeptDifference, Outcome

QUOTES = """it's "quoted" \\ ; DROP TABLE tallies; -- %s :name {x}"""
UNICODE = "naïve 🌱 \u202eright to left"
NUL = "before\x00after"
SURROGATE = "before\ud800after"
LONG = "x" * 10_000
HOSTILE = [QUOTES, UNICODE, NUL, SURROGATE, LONG]


def test_every_name_of_a_user_can_be_committed(ledger, read, hold, finding):
    """They are kept by digest and cluster alone."""
    users = [finding(user=user) for user in HOSTILE]
    parked = [finding(Outcome.PARKED, user=user, payload=b"\x00\xff") for user in HOSTILE]
    hold(ledger).commit(*users, *parked)
    assert (read(ledger, "done"), read(ledger, "distinct_users", 1)) == (10, 5)


@pytest.mark.parametrize("text", [QUOTES, UNICODE, LONG], ids=["quotes", "unicode", "long"])
def test_a_reason_is_kept_as_far_as_its_column_goes(ledger, read, hold, finding, text):
    """Whole or cut."""
    hold(ledger).commit(finding(Outcome.INCONCLUSIVE, reason=text), finding(Outcome.FAILED, reason=text))
    assert [row[2:] for row in read(ledger, "reasons")] == [(text[:100], 1), (text[:100], 1)]


@pytest.mark.parametrize("text", [QUOTES, UNICODE, LONG[:200]], ids=["quotes", "unicode", "long"])
def test_an_operation_is_kept_under_its_name(ledger, read, hold, finding, text):
    """Also one that nobody here knows: it is parked under the name that its capture gave."""
    hold(ledger).commit(finding(Outcome.PARKED, operation=text, reason="unknown_operation", payload=b"line"))
    assert {name: sums.outcomes["parked"] for name, sums in read(ledger, "sums").items()} == {text: 1}


def test_text_that_no_database_takes_is_replaced(ledger, read, hold, finding):
    """NUL, lone surrogates, too long a name: the second line of defence, should the first ever let one pass."""
    holder = hold(ledger)
    for text in (NUL, SURROGATE, LONG):
        holder.commit(finding(Outcome.INCONCLUSIVE, reason=text))
        holder.commit(finding(Outcome.PARKED, operation=text, payload=b"line"))
        holder.commit(finding(Outcome.FAILED, capture_id=text))
    assert read(ledger, "done") == 9


def differing(key: str, value: str) -> tuple[KeptDifference, ...]:
    answers = [[{"id": "1", "metadata": metadata}] for metadata in ({"a": 1, key: value}, {"a": 1})]
    found = judge("memory.recent", *map(Observation.returned, answers)).differences
    if SURROGATE in (key, value):  # which no comparator lets through
        found = (Difference(f"$[0].metadata['{key}']", Kind.LOST, Severity.MAJOR, value),)
    return tuple(KeptDifference.of("memory.recent", difference) for difference in found)


def test_any_value_of_a_difference_can_be_committed(ledger, read, hold, finding):
    """They come from people's own data; each is in the one group that it belongs to."""
    texts = [text for text in HOSTILE if text != SURROGATE]  # whose pair nobody can judge
    hold(ledger).commit(*[finding(Outcome.DIVERGED, differences=differing("slot", text)) for text in texts])
    assert (read(ledger, "done"), [group.count for group in read(ledger, "groups")]) == (4, [4])


@pytest.mark.parametrize("key", HOSTILE, ids=["quotes", "unicode", "nul", "surrogate", "long"])
def test_any_key_of_a_difference_can_be_committed(ledger, read, hold, finding, key):
    """A key makes the path, the name of a group and its explanation."""
    hold(ledger).commit(finding(Outcome.DIVERGED, differences=differing(key, "x")))
    assert (read(ledger, "done"), len(read(ledger, "groups"))) == (1, 1)
