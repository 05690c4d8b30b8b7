import json

import pytest

from rollout import Criterion, Decision, Standing, State
from rollout.decision import worst_standing


def criterion(standing: Standing, why: str = "because", **figures: float) -> Criterion:
    return Criterion(name="dwell", standing=standing, why=why, **figures)


@pytest.mark.parametrize(
    ("standing", "passed"),
    [
        (Standing.PASSED, True),
        (Standing.OPEN, None),
        (Standing.NOT_APPLICABLE, None),
        (Standing.BROKEN, False),
        (Standing.HARM, False),
    ],
)
def test_passed_is_three_valued(standing, passed):
    """Yes, no, and neither."""
    assert criterion(standing).passed is passed


def test_as_json_has_the_keys_of_the_contract():
    """State and criteria, each with seven keys."""
    document = Decision(State.HOLD, (criterion(Standing.BROKEN, observed=0.9, threshold=0.95, n=40),)).as_json()
    assert document == {
        "state": "hold",
        "criteria": [
            {
                "name": "dwell",
                "passed": False,
                "observed": 0.9,
                "bound": None,
                "threshold": 0.95,
                "n": 40,
                "why": "because",
            }
        ],
    }


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_as_json_has_finite_numbers_only(number):
    """What is no number is null, so any JSON parser reads it."""
    document = criterion(Standing.OPEN, observed=number, bound=number, threshold=number).as_json()
    assert json.loads(json.dumps(document, allow_nan=False))["observed"] is None


def test_the_summary_gives_the_first_reason_for_the_state():
    """One line: the state, the first of the worst criteria, and how many more there are."""
    broken = [criterion(Standing.BROKEN, "it lags"), criterion(Standing.BROKEN, "calls were shed")]
    criteria = (criterion(Standing.PASSED), criterion(Standing.OPEN, "too early"), *broken)
    assert Decision(State.HOLD, criteria).summary == "hold: it lags (and 1 more)"
    assert Decision(State.ELIGIBLE, criteria[:1]).summary == "eligible: all criteria are met"


def test_the_worst_criterion_decides():
    """Harm outweighs what is not met, that what is missing, that what is met; nothing at all proves nothing."""
    order = [Standing.HARM, Standing.BROKEN, Standing.OPEN, Standing.PASSED, Standing.NOT_APPLICABLE]
    for place, standing in enumerate(order):
        assert worst_standing(criterion(each) for each in order[place:]) is standing
    assert worst_standing([]) is Standing.OPEN
