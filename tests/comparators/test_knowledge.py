import pytest

from comparators.knowledge import Knowledge

KNOWN = Knowledge(["city: San Jose", "number_of_beds: 3", "furnished: True", "visit on 2026-03-01 at 15:00"])


@pytest.mark.parametrize(
    "text",
    [
        "You want 3 bedrooms in San Jose.",
        "You asked for three beds.",
        "Your visit is on March 1st at 3 pm.",
        "You prefer it furnished.",
        "Great! Anything else?",
        "",
    ],
)
def test_what_was_told_bears_out_what_is_said(text):
    """In any spelling; a courtesy needs no support."""
    assert KNOWN.supports(text)


@pytest.mark.parametrize(
    "text",
    [
        "You want 4 bedrooms in San Jose.",
        "You want 3 bedrooms in Hayward.",
        "Your visit is on March 2nd.",
        "You don't want it furnished.",
        "Elephants prefer swimming pools.",
        "You want it furnished. Your dog is called Rex.",
    ],
)
def test_one_thing_untold_is_not_borne_out(text):
    """A fact, a denial or a claim that is in none of the texts."""
    assert not KNOWN.supports(text)


def test_a_courtesy_answers_nothing():
    """To answer is to say something that was told."""
    assert KNOWN.answers("In San Jose.")
    assert not KNOWN.answers("Great!")
    assert not Knowledge([]).answers("In San Jose.")
