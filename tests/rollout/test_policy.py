import pytest

from gnomon import ConfigurationError
from rollout import Policy


def test_the_defaults_are_the_migration_plans():
    """Without a word from an operator: 95 %, 5 %, faster, 48 hours, 200 users, and one wrong answer in a hundred."""
    policy = Policy()
    assert (policy.success, policy.error, policy.divergence, policy.gain) == (0.95, 0.05, 0.01, 0.0)
    assert (policy.tail, policy.no_worse) == (1.10, 1.25)
    assert (policy.dwell_h, policy.hours_with_data, policy.lag_s) == (48.0, 45, 900.0)
    assert (policy.coverage, policy.excluded, policy.users, policy.served_calls) == (0.99, 0.20, 200, 154)
    assert (policy.alpha, policy.alpha_harm, policy.t_opt) == (0.05, 0.01, 1000.0)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("success", 1.2),
        ("success", 1.0),
        ("error", 0),
        ("divergence", -0.1),
        ("gain", 0.05),
        ("tail", float("nan")),
        ("no_worse", float("inf")),
        ("dwell_h", -1),
        ("lag_s", -1.0),
        ("coverage", 1.01),
        ("users", 0),
        ("served_calls", "154"),
        ("alpha", True),
        ("alpha_harm", 0.5),
        ("t_opt", 10),
    ],
)
def test_a_limit_that_makes_no_sense_is_refused_by_name(field, value):
    """A policy that cannot be meant is refused at once, naming the field and what was expected."""
    with pytest.raises(ConfigurationError, match=f"^{field}: cannot use .*; expected a number from") as refusal:
        Policy(**{field: value})
    assert refusal.value.variable == field


def test_equal_policies_have_one_digest():
    """The digest depends on the limits, not on how they are written."""
    assert Policy(dwell_h=48).digest() == Policy().digest()
    assert Policy(dwell_h=47).digest() != Policy().digest()
