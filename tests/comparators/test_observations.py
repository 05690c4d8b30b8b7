import pytest

from comparators import Call, Observation


def test_an_observation_returned_or_raised():
    """One side returned a value or raised an exception; its duration may be unknown."""
    returned = Observation.returned([1], duration_ms=2.5, context=["told"])
    raised = Observation.raised("ValueError", "no")
    assert (returned.value, returned.exception, returned.duration_ms, returned.context) == ([1], None, 2.5, ("told",))
    assert (raised.exception.type, raised.exception.message, raised.duration_ms) == ("ValueError", "no", None)


def test_observations_and_calls_are_facts():
    """Neither can be altered."""
    with pytest.raises(AttributeError):
        Observation.returned(1).value = 2
    with pytest.raises(AttributeError):
        Call("ann", {}, None).user = "ben"
