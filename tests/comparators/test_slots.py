from datetime import date

import pytest

from comparators.senses import NEUTRAL
from comparators.slots import read
from comparators.spoken import written


def facts(text, today=None):
    return {(fact.sort, fact.value) for fact in read(text, today).facts}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("half past two in the afternoon", "2:30 pm"),
        ("quarter to five", "4:45"),
        ("eleven thirty am", "11:30 am"),
        ("two thousand three hundred and five", "2305"),
        ("twenty-one or that one", "21 or that one"),
        ("an hour and a half", "90 minutes"),
        ("a second, just a second", "a second, courtesy"),
        ("**Bel Air**", ", Bel Air ,"),
    ],
)
def test_spoken_forms_become_written_ones(text, expected):
    """Numbers, times and spans in digits; what counts nothing stays."""
    assert written(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$1,200, 1.2k dollars, USD 1200.00", {("money", "USD 1200")}),
        ("\N{EURO SIGN}950 or 950 euros", {("money", "EUR 950")}),
        ("3 beds, three bedrooms, 3 bed rooms", {("bedroom", "3")}),
        ("one year, 12 months", {("month", "12")}),
        ("the 2nd floor, the second floor", {("floor", "2")}),
        ("(408) 259-0427, +1 408-259-0427", {("phone", "4082590427")}),
        ("1546 Maurice Ln, 1546 maurice lane", {("number", "1546"), ("name", "maurice"), ("name", "lane")}),
        ("apt. 4B", {("flat", "4b")}),
        ("May 1st, 2026", {("date", "05-01"), ("year", "2026")}),
        ("Mr. Patel", {("name", "mr"), ("name", "patel")}),
        ("no, it is", {("answer", "no")}),
    ],
)
def test_a_fact_has_one_spelling(text, expected):
    """However it is written, it is the same slot with the same value."""
    assert facts(text) == expected


def test_days_count_from_the_day_of_the_call():
    """With it they are dates, without it they stay what they are."""
    today = date(2026, 3, 30)
    assert facts("tomorrow", today) == facts("the day after tomorrow", date(2026, 3, 29)) == {("date", "03-31")}
    assert facts("the 2nd", today) == {("date", "04-02")}
    assert facts("tomorrow and the 2nd") == {("day", "tomorrow"), ("date", "02")}


@pytest.mark.parametrize(
    ("text", "denied"),
    [
        ("Pets are not allowed", {"pet", "allow"}),
        ("They forbid pets", {"pet", "allow"}),
        ("The deposit is nonrefundable", {"deposit", "refund"}),
        ("The flat has no garage", {"garag"}),
        ("Dogs are fine, but cats are not allowed", {"cat", "allow"}),
        ("It is not unfurnished", set()),
    ],
)
def test_a_denial_reaches_as_far_as_its_clause(text, denied):
    """In whatever words; what stands before "no" and "without" is not denied."""
    found = {term.concept for term in read(text).terms if not term.affirmed}
    assert found - NEUTRAL == denied


@pytest.mark.parametrize(
    ("text", "again"),
    [
        ("If you can't come, tell me.", "Tell me if you can't come."),
        ("There's a non-refundable fee.", "The fee is non-refundable."),
        ("They accept cats but not dogs.", "Cats are fine, but dogs aren't."),
        ("They don't accept cats or dogs.", "Cats and dogs are not accepted."),
        ("The keys are ready on the twenty-first.", "The keys are ready on the 21st."),
    ],
)
def test_what_a_clause_denies_is_the_same_wherever_it_stands(text, again):
    """Before the main clause and after it, and on whichever side of the word that denies."""
    left, right = read(text), read(again)
    signs = [{term for term in slots.terms if term.concept in left.content & right.content} for slots in (left, right)]
    assert signs[0] == signs[1]
    assert left.facts == right.facts
