from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comparators.reply_agreement import Agreement, agreement, extends
from comparators.slots import read

TODAY = date(2026, 3, 4)
WORDS = st.lists(
    st.sampled_from(
        "Anna Ben paid the rent deposit not no unfurnished is available 3 pm 15:00 $1,200 and , . ? March 5th".split()  # noqa: SIM905
    ),
    max_size=12,
).map(" ".join)


def agreed(left, right):
    return agreement(read(left, TODAY), read(right, TODAY), TODAY)


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        ("It allows pets", "It doesn't allow pets", True),
        ("Anna paid Ben", "Ben paid Anna", True),
        ("Anna paid Ben", "Yes, Anna paid Ben", False),
        ("It is on March 1st", "On March 1st it is", False),
        ("It is furnished", "It is unfurnished", True),
        ("It is not furnished", "It is unfurnished", False),
        ("Tom lives above Julia", "Julia lives below Tom", False),
        ("Tom lives above Julia", "Tom lives below Julia", True),
        ("The rent is $9 and the deposit $5", "The deposit is $5 and the rent $9", False),
        ("The rent is $9 and the deposit is $5", "The deposit is $9 and the rent is $5", True),
        ("Bel Air is at 3 pm and Alborada at 5 pm", "Alborada is at 5 pm and Bel Air at 3 pm", False),
        ("Bel Air is at 3 pm and Alborada at 5 pm", "Bel Air is at 5 pm and Alborada at 3 pm", True),
        ("Anna's dog bit Ben's cat", "Ben's cat bit Anna's dog", True),
        ("The tenant called the landlord", "The landlord called the tenant", True),
        ("Anna and Ben will come", "Ben and Anna will come", False),
        ("I booked it for you, not for Ben", "I booked it for Ben, not for you", True),
    ],
)
def test_a_contradiction_denies_or_swaps(left, right, expected):
    """Denied, or with its parties or values swapped; to list in another order, or to turn a relation, is neither."""
    assert (agreed(left, right) is Agreement.CONTRADICTORY) is expected
    assert (agreed(right, left) is Agreement.CONTRADICTORY) is expected


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        ("It has three beds", "It has 3 beds", Agreement.SAME),
        ("It has 3 beds", "There are 3 beds", Agreement.REPHRASED),
        ("It has 3 beds and a pool", "It has 3 beds and a gym", Agreement.DIFFERENT),
        ("Bel Air has a garage and Alborada a pool", "Bel Air has a pool and Alborada a garage", Agreement.DIFFERENT),
        ("It has 3 beds", "It has beds", Agreement.UNEQUAL),
        ("It has 3 beds", "It has 4 beds", Agreement.CONTRADICTORY),
        ("I booked it", "I will book it", Agreement.CONTRADICTORY),
        ("Your visit is booked", "Is your visit booked?", Agreement.DIFFERENT),
    ],
)
def test_likeness_counts_only_where_all_slots_agree(left, right, expected):
    """From the same words to a contradiction; the same either way round."""
    assert agreed(left, right) is agreed(right, left) is expected


@given(left=WORDS, right=WORDS)
@settings(max_examples=300)
def test_agreement_mirrors_and_a_reply_agrees_with_itself(left, right):
    """Whatever is said."""
    assert agreed(left, left) is Agreement.SAME
    assert agreed(left, right) is agreed(right, left)


def test_more_is_borne_out_only_by_what_is_known():
    """Nothing of the first is missing or turned, and all that is more is known."""
    left, right = read("It has a pool."), read("It has a pool in Hayward.")
    assert extends(left, right, read("area: Hayward"))
    assert not extends(left, right, read("area: Fremont"))
    assert not extends(right, left, read("area: Hayward"))
    assert not extends(left, read("It has a heated pool."), read("likes pools"))


@pytest.mark.parametrize(
    ("legacy", "enhanced", "expected"),
    [
        ("You can use the pool.", "The pool is for you.", Agreement.REPHRASED),
        ("You keep the keys.", "You give the keys.", Agreement.DIFFERENT),
        ("Please bring an ID.", "You have to bring an ID.", Agreement.REPHRASED),
        ("Please bring an ID.", "Bringing an ID is optional.", Agreement.DIFFERENT),
        ("They accept pets.", "They accepted pets.", Agreement.DIFFERENT),
        ("You wanted a garden.", "You want a garden.", Agreement.REPHRASED),
        ("You prefer a house to a flat.", "You prefer a flat to a house.", Agreement.DIFFERENT),
        ("You will get it.", "You might get it.", Agreement.CONTRADICTORY),
        ("You get it.", "You might get it.", Agreement.UNEQUAL),
        ("Anna is the agent.", "The agent is Anna.", Agreement.REPHRASED),
        ("Anna asked the agent to call you.", "The agent asked Anna to call you.", Agreement.CONTRADICTORY),
    ],
)
def test_what_carries_a_word_is_less_than_a_word(legacy, enhanced, expected):
    """It may be missing, a tense may not change, and nothing may change places."""
    assert agreement(read(legacy), read(enhanced)) is expected
