"""What is kept of a difference names nobody: values are masked before they reach any table."""

import pytest

from comparators import Observation, judge
from ledger import KeptDifference, Outcome

PLANTED = "ann.lee@example.com"


def texts(tables) -> str:
    return "\n".join(str(value) for rows in tables.values() for row in rows for value in row.values())


@pytest.mark.parametrize(
    ("legacy", "enhanced"),
    [
        ([{"id": "1", "content": f"write to {PLANTED}"}], [{"id": "1", "content": "write to"}]),
        ([{"id": "1", "content": PLANTED}], []),
        ([], [{"id": "1", "metadata": {"from": [PLANTED]}}]),
        ([{"id": "1", "metadata": {PLANTED: 1, "slot": 2}}], []),
        (f"{PLANTED} wrote", {"reply": PLANTED}),
        ([{"id": "1", "metadata": {PLANTED: 1, "slot": 2}}], [{"id": "1", "metadata": {"slot": 2}}]),
    ],
    ids=["in a text", "in a lost item", "nested", "as a key of a lost item", "as the answer", "as a key that is lost"],
)
def test_no_table_holds_what_a_difference_was_about(ledger, hold, finding, dump, legacy, enhanced):
    """An e-mail address in an answer reaches no column of any table, wherever in the answer it stood."""
    judgement = judge("memory.recent", Observation.returned(legacy), Observation.returned(enhanced))
    assert judgement.differences
    differences = tuple(KeptDifference.of("memory.recent", found) for found in judgement.differences)
    hold(ledger).commit(finding(Outcome.DIVERGED, differences=differences, reason=judgement.reason, user=PLANTED))
    assert "example.com" not in texts(dump())


def test_no_table_holds_what_an_exception_said(ledger, hold, finding, dump):
    """Nor what stands in the message of an exception."""
    judgement = judge(
        "memory.save", Observation.returned(1), Observation.raised("ValueError", f"no such user: {PLANTED}")
    )
    differences = tuple(KeptDifference.of("memory.save", found) for found in judgement.differences)
    hold(ledger).commit(finding(Outcome.FAILED, differences=differences, reason=judgement.reason, user=PLANTED))
    tables = dump()
    assert "ValueError" in texts(tables)
    assert "example.com" not in texts(tables)
