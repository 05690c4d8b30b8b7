import pytest

from comparators.facts import clock_text, facts_of, folded, negations_in, sentences, words_of


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        ("$4,450.50 or 4450.5", [("number", "4450.5")] * 2),
        ("1.5k and 12 k, 007", [("number", "1500"), ("number", "12000"), ("number", "7")]),
        ("3 bedrooms, three baths", [("number", "3")] * 2),
        ("3pm, 3 p.m, 15:00 and 15:00", [("time", "15:00")] * 4),
        ("12 am, midnight, 12pm, noon", [("time", "00:00")] * 2 + [("time", "12:00")] * 2),
        ("March 1st, 1 March, the 1st of March, 2026-03-01, mar. 1", [("date", "03-01")] * 5),
        ("on the 11th", [("date", "11")]),
        ("on Tuesday, Tuesdays, tomorrow", [("day", "tuesday")] * 2 + [("day", "tomorrow")]),
        ("(408) 259-0427 or 408.259.0427", [("phone", "4082590427")] * 2),
        ("You like Bay Ridge, don't you", [("name", "bay"), ("name", "ridge")]),
        ("We have that one for you", []),
        ("Rex\N{RIGHT SINGLE QUOTATION MARK}s bowl", [("name", "rex")]),
    ],
)
def test_a_fact_has_one_spelling(text, facts):
    """However it is written, it is the same fact."""
    assert facts_of(text) == facts


def test_clock_times_of_twelve_hours_become_those_of_twenty_four():
    """Only what is such a time."""
    assert [clock_text(text) for text in ("3pm", "12:30 AM", "9:05", "15 pm", "pm")] == [
        "15:00", "00:30", "09:05", "15 pm", "pm",
    ]  # fmt: skip


def test_folding_leaves_only_what_reads_differently():
    """White space, clock times, thousands and pauses fold; case and words do not."""
    assert folded("Tuesday,  3pm\n for 1,200") == folded("Tuesday 15:00 for 1200")
    assert folded("Polish") != folded("polish")
    assert folded("1,2") != folded("12")


def test_sentences_end_at_marks_and_not_in_numbers():
    """An amount or a time is not cut in two."""
    assert sentences(" It is $4,450.50 a month. Ok? Yes ") == ["It is $4,450.50 a month.", "Ok?", "Yes"]
    assert sentences("") == []


def test_contractions_deny_like_their_long_forms():
    """don't, can't and won't are do not, can not and will not."""
    assert words_of("We don't, can't, won't") == ["we", "do", "not", "can", "not", "will", "not"]
    assert negations_in("No, they don't.") == 2
