"""The facts that a reply states: numbers, times, dates, days, phone numbers and names, each in one spelling.

No measure of similarity tells "3 pm" from "5 pm", so replies are compared by these first. The patterns are bounded, so
reading takes time in proportion to the text.
"""

import re
from collections.abc import Callable
from typing import Final, NamedTuple

from comparators.english import (
    CLOCK_WORDS,
    CONTRACTIONS,
    MONTH_NUMBERS,
    MONTHS,
    NEGATIONS,
    NUMBER_WORDS,
    OPENERS,
    RELATIVE_DAYS,
    WEEKDAYS,
)

LONGEST_TEXT: Final = 20_000  # characters; a longer reply is not read for facts


class Fact(NamedTuple):
    """One fact: of which sort, and its value in the one spelling that all its spellings share."""

    sort: str
    value: str


_FACT: Final = re.compile(
    rf"""
      (?P<phone>(?<!\w)\(?\d{{3}}\)?[ .-]\d{{3}}[ .-]\d{{4}}(?!\w))
    | (?P<iso>\b\d{{4}}-\d{{2}}-\d{{2}}(?!\d))
    | (?P<clock>\b\d{{1,2}}:\d{{2}}(?::\d{{2}})?(?:\s?[ap]\.?m\b)?)
    | (?P<hour>\b\d{{1,2}}\s?[ap]\.?m\b)
    | (?P<month_day>\b(?:{MONTHS})\b\.?\s\d{{1,2}}(?:st|nd|rd|th)?\b)
    | (?P<day_month>\b\d{{1,2}}(?:st|nd|rd|th)?\s(?:of\s)?(?:{MONTHS})\b)
    | (?P<day>\b\d{{1,2}}(?:st|nd|rd|th)\b)
    | (?P<weekday>\b(?:{WEEKDAYS}|{RELATIVE_DAYS})\b)
    | (?P<number>(?<![\w.])(?:\d{{1,3}}(?:,\d{{3}})+|\d{{1,40}})(?:\.\d{{1,20}})?(?:\s?k\b)?)
    | (?P<word>[^\W\d_][\w']*+)
    """,
    re.IGNORECASE | re.VERBOSE,
)


def plain(text: str) -> str:
    """Return `text` with the typographer's apostrophe as the typist's, the only one that the word tables have."""
    return text.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")


def facts_of(text: str) -> list[Fact]:
    """Return the facts that `text` states, in its order."""
    return [
        fact for found in _FACT.finditer(plain(text)) if (fact := _READERS[found.lastgroup or ""](found)) is not None
    ]


def _phone(found: re.Match[str]) -> Fact:
    return Fact("phone", re.sub(r"\D", "", found[0]))


def _iso(found: re.Match[str]) -> Fact:
    return Fact("date", found[0][5:])  # spoken dates rarely name the year


def _clock(found: re.Match[str]) -> Fact:
    return Fact("time", clock_text(found[0]))


def _month_and_day(found: re.Match[str]) -> Fact:
    number, month = re.search(r"\d+", found[0]), re.search(MONTHS, found[0], re.IGNORECASE)
    assert number is not None
    assert month is not None
    return Fact("date", f"{MONTH_NUMBERS[month[0][:3].lower()]}-{int(number[0]):02d}")


def _day(found: re.Match[str]) -> Fact:
    return Fact("date", f"{int(found[0][:-2]):02d}")


def _weekday(found: re.Match[str]) -> Fact:
    return Fact("day", found[0].lower().removesuffix("s"))


def _number(found: re.Match[str]) -> Fact:
    digits, thousands, _ = found[0].lower().replace(",", "").partition("k")
    whole, _, fraction = digits.strip().partition(".")
    whole, fraction = whole.lstrip("0") or "0", fraction.rstrip("0")
    if thousands:
        whole, fraction = (whole + fraction[:3].ljust(3, "0")).lstrip("0") or "0", fraction[3:]
    return Fact("number", f"{whole}.{fraction}" if fraction else whole)


def _word(found: re.Match[str]) -> Fact | None:
    word = found[0].lower()
    if word in CLOCK_WORDS:
        return Fact("time", CLOCK_WORDS[word])
    if word in NUMBER_WORDS:
        return Fact("number", NUMBER_WORDS[word])
    names_nothing = not found[0][0].isupper() or word in OPENERS
    return None if names_nothing else Fact("name", word.removesuffix("'s"))


_READERS: Final[dict[str, Callable[[re.Match[str]], Fact | None]]] = {
    "phone": _phone,
    "iso": _iso,
    "clock": _clock,
    "hour": _clock,
    "month_day": _month_and_day,
    "day_month": _month_and_day,
    "day": _day,
    "weekday": _weekday,
    "number": _number,
    "word": _word,
}

_CLOCK: Final = re.compile(r"\b(\d{1,2})(?::(\d{2}))?(:\d{2})?(?:\s?([ap])\.?m\b)?", re.IGNORECASE)
_SPOKEN_CLOCK: Final = re.compile(r"\b\d{1,2}(?::\d{2})?\s?[ap]\.?m\b", re.IGNORECASE)
_THOUSANDS: Final = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_DIGIT: Final = re.compile(r"\d")
_PAUSE: Final = re.compile(r",(?=\s|\Z)")


def clock_text(spoken: str) -> str:
    """Return a time of day as `15:00`; what is no time of the twelve-hour clock stays as it is."""
    found = _CLOCK.fullmatch(spoken)
    if found is None:
        return spoken
    hour, minute, half = int(found[1]), found[2] or "00", (found[4] or "").lower()
    if not half:
        return f"{hour:02d}:{minute}"
    return f"{hour % 12 + (12 if half == 'p' else 0):02d}:{minute}" if 1 <= hour <= 12 else spoken  # noqa: PLR2004


def folded(text: str) -> str:
    """Return `text` with white space, clock times, thousands and pauses in one spelling: what reads the same."""
    text = " ".join(plain(text).split())
    if _DIGIT.search(text):
        text = _THOUSANDS.sub("", _SPOKEN_CLOCK.sub(lambda found: clock_text(found[0]), text))
    return _PAUSE.sub("", text) if "," in text else text


_SENTENCE_END: Final = re.compile(r"(?<=[.!?])\s+")


def sentences(text: str) -> list[str]:
    """Return the sentences of `text`."""
    return [sentence for sentence in _SENTENCE_END.split(text.strip()) if sentence]


_WORD: Final = re.compile(r"[^\W_]+(?:'[^\W_]+)*+")


def words_of(text: str) -> list[str]:
    """Return the words of `text` in lower case, contractions of "not" taken apart."""
    words: list[str] = []
    for found in _WORD.finditer(plain(text).lower()):
        word = CONTRACTIONS.get(found[0], found[0])
        words += (word.removesuffix("n't") + " not").split() if word.endswith("n't") else word.split()
    return words


def negations_in(text: str) -> int:
    """Count the words by which `text` denies something."""
    return sum(word in NEGATIONS for word in words_of(text))
