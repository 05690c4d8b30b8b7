"""Whatever an application calls its users, operations and keys, and whatever a foreign line says of itself, can be kept.

A commit that a value makes impossible would be tried again for ever, and the lane behind it would stand still.
"""

import pytest

from comparators import Difference, Kind, Observation, Severity, judge
from ledger import KeptDifference, Outcome

HOSTILE = {
    "quotes": """it's "quoted" \\ ; DROP TABLE tallies; -- %s :name {x}""",
    "unicode": "naïve 🌱 \u202eright to left",
    "nul": "before\x00after",
    "surrogate": "before\ud800after",
    "long": "x" * 10_000,
}
UNCLEAN = (
    "ledger/commit.py writes text as it is: no database takes a lone surrogate, PostgreSQL no NUL and no longer text"
)


def database(url: str) -> str:
    return "sqlite" if url.startswith("sqlite") else "postgres"


@pytest.fixture
def broken_on(request, url):
    """Expect the failures that are known, on the database that has them."""

    def mark(reason: str, *databases: str) -> None:
        if database(url) in databases:
            request.applymarker(pytest.mark.xfail(strict=True, reason=reason))

    return mark


def test_every_name_of_a_user_can_be_committed(ledger, read, hold, finding):
    """They are kept by digest and cluster alone."""
    users = [finding(user=user) for user in HOSTILE.values()]
    parked = [finding(Outcome.PARKED, user=user, payload=b"\x00\xff") for user in HOSTILE.values()]
    hold(ledger).commit(*users, *parked)
    assert (read(ledger, "done"), read(ledger, "distinct_users", 1)) == (10, 5)


@pytest.mark.parametrize("what", HOSTILE)
def test_any_reason_can_be_committed(ledger, read, hold, finding, what, broken_on):
    """It is cut to what its column holds."""
    broken_on(UNCLEAN, *{"surrogate": ["sqlite", "postgres"], "nul": ["postgres"]}.get(what, []))
    hold(ledger).commit(
        finding(Outcome.INCONCLUSIVE, reason=HOSTILE[what]), finding(Outcome.FAILED, reason=HOSTILE[what])
    )
    assert read(ledger, "done") == 2


@pytest.mark.parametrize("what", HOSTILE)
def test_any_operation_name_can_be_committed(ledger, read, hold, finding, what, broken_on):
    """A capture of an operation that nobody here knows is parked under its name, however it is spelt."""
    broken_on(UNCLEAN, *{"surrogate": ["sqlite", "postgres"], "nul": ["postgres"], "long": ["postgres"]}.get(what, []))
    hold(ledger).commit(finding(Outcome.PARKED, operation=HOSTILE[what], reason="unknown_operation", payload=b"line"))
    assert [sums.outcomes["parked"] for sums in read(ledger, "sums").values()] == [1]


@pytest.mark.parametrize("what", HOSTILE)
def test_any_difference_can_be_committed(ledger, read, hold, finding, what, broken_on):
    """In values, and in the keys that make a path: both come from people's own data."""
    broken_on(UNCLEAN, *{"nul": ["postgres"]}.get(what, []))
    text = HOSTILE[what]
    answers = [[{"id": "1", "metadata": metadata}] for metadata in ({"a": 1, text: text}, {"a": 1})]
    found = judge("memory.recent", *map(Observation.returned, answers)).differences
    if what == "surrogate":  # which no comparator lets through
        found = (Difference(f"$[0].metadata['{text}']", Kind.LOST, Severity.MAJOR, text),)
    differences = tuple(KeptDifference.of("memory.recent", difference) for difference in found)
    assert differences
    hold(ledger).commit(finding(Outcome.DIVERGED, differences=differences))
    assert (read(ledger, "done"), len(read(ledger, "groups"))) == (1, 1)


@pytest.mark.parametrize(
    ("impossible", "broken"),
    [
        ({"capture_id": "c" * 1_000}, ["postgres"]),
        ({"capture_id": "c\x00"}, ["postgres"]),
        ({"epoch": 2**63}, ["sqlite", "postgres"]),
        ({"called_at_us": 2**100}, ["sqlite", "postgres"]),
        ({"called_at_us": -(10**18)}, ["sqlite", "postgres"]),
    ],
    ids=["a long capture id", "a capture id with NUL", "a huge epoch", "a huge time", "a time before all"],
)
def test_impossible_facts_can_be_committed(ledger, read, hold, finding, impossible, broken, broken_on):
    """A line says its own id, epoch and times: what no column holds is cut or replaced, not passed on."""
    broken_on("ledger/commit.py writes ids, epochs and times as a line gave them", *broken)
    hold(ledger).commit(finding(Outcome.FAILED, **impossible))
    assert read(ledger, "done") == 1
