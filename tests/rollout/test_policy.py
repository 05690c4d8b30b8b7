from datetime import date

import pytest

from gnomon import ConfigurationError
from rollout import Policy
from rollout.policy import Waiver


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


@pytest.mark.parametrize(
    "stages", [(0, 10, 1, 100), (0, 1, 1, 100), (1, 10, 100), (0, 50), (0, 5, 100), (), (0, 100.5)]
)
def test_stages_rise_from_nobody_to_everybody(stages):
    """Whatever else is refused, and told what it may be."""
    with pytest.raises(ConfigurationError, match=r"^stages: cannot use .*; expected shares that rise from 0 to 100"):
        Policy(stages=stages)


def test_a_policy_may_leave_stages_out():
    """It is another policy then."""
    assert Policy(stages=(0, 10, 100)).digest() != Policy().digest()


def test_an_operation_may_have_limits_of_its_own():
    """The others, and all other limits, are as they were."""
    policy = Policy(operations={"chat.send": {"divergence": 0.05, "no_worse": 2}})
    assert (policy.of("chat.send").divergence, policy.of("chat.send").no_worse) == (0.05, 2)
    assert policy.of("chat.send").success == policy.success
    assert policy.of("memory.recent") == policy
    assert policy.digest() != Policy().digest()


@pytest.mark.parametrize(
    ("own", "named"),
    [
        ({"success": 1.2}, r'operations."chat.send".success: cannot use 1.2'),
        ({"users": 5}, r'operations."chat.send".users: is no limit of one operation'),
        ({"alpha": 0.2}, r'operations."chat.send".alpha: is no limit of one operation'),
    ],
)
def test_an_own_limit_that_makes_no_sense_is_refused(own, named):
    """What holds for the epoch as a whole no operation can change."""
    with pytest.raises(ConfigurationError, match=named):
        Policy(operations={"chat.send": own})


def waiver(**changes):
    made = {"operation": "memory.save", "criterion": "traffic", "author": "ann", "reason": "seldom called"}
    return Waiver(**{**made, "until": date(2026, 12, 31), **changes})


def test_a_waiver_ends():
    """With the end of its last day; its digest goes with it, and so does what was approved under it."""
    policy = Policy(waivers=(waiver(),))
    assert policy.on(date(2026, 12, 31)) == policy
    assert policy.on(date(2027, 1, 1)) == Policy()
    assert policy.digest() != Policy().digest()
    assert Policy(waivers=(waiver(), waiver(criterion="tail"))).digest() == (
        Policy(waivers=(waiver(criterion="tail"), waiver())).digest()
    )


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"criterion": "harm"}, "waivers.criterion: cannot use 'harm'; expected one of coverage"),
        ({"criterion": "complaints"}, "waivers.criterion"),
        ({"author": " "}, "waivers.author: is empty"),
        ({"reason": ""}, "waivers.reason: is empty"),
    ],
)
def test_a_waiver_has_an_author_and_a_reason_and_excuses_no_harm(change, named):
    """Nor does it excuse what concerns the epoch as a whole."""
    with pytest.raises(ConfigurationError, match=named):
        waiver(**change)
