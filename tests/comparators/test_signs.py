"""What replies give away beside their slots."""

import pytest

from comparators.signs import clash, hedges, signs_of


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("The leak has been fixed.", "The leak will be fixed."),
        ("I've sent you the form.", "I'll send you the form."),
        ("The agent called you.", "The agent can call you."),
        ("We are checking it.", "We have checked it."),
        ("It is furnished.", "It will be furnished."),
        ("The agent may call.", "The agent will call."),
        ("I'll call you.", "Call me."),
        ("Could you send the form?", "I will send the form."),
        ("The rent was $1,000.", "The rent is $1,000."),
        ("It was free in May.", "It will be free in May."),
        ("When can you pay?", "Where can you pay?"),
        ("It's your turn.", "It's my turn."),
    ],
)
def test_signs_that_exclude_each_other_clash(left, right):
    """Whichever reply has which."""
    assert clash(signs_of(left), signs_of(right))
    assert clash(signs_of(right), signs_of(left))


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("I have reserved your viewing.", "Your viewing is reserved."),
        ("Nobody is home.", "Nobody will be home."),
        ("You can move in on April 1st.", "The move-in date is April 1st."),
        ("I could not find anything.", "I found nothing."),
        ("May 1st", "May 1st, 2026"),
        ("I booked it. You can cancel.", "It is booked; cancel as you like."),
    ],
)
def test_a_sign_that_only_one_has_is_no_difference(left, right):
    """Most can be said without it."""
    assert not clash(signs_of(left), signs_of(right))


def test_a_hedge_is_told_from_a_courtesy():
    """It is in what is said, not in how it is asked."""
    assert [hedges(text) for text in ("You might get it.", "It could be late.")] == [True, True]
    assert [hedges(text) for text in ("Could you tell me?", "It could not be booked.")] == [False, False]
