"""Spoken forms brought into their written ones, before a reply is read into slots: words only, no judgement.

"half past two in the afternoon" becomes `2:30 pm`, "two thousand dollars" `2000 dollars`, "half an hour" `30 minutes`.
"""

import re
from collections.abc import Callable, Iterable
from typing import Final

from comparators.facts import plain
from comparators.phrases import PHRASES
from comparators.slot_tables import CARDINALS, ORDINALS, SCALES, UNITS


def _either(words: Iterable[str]) -> str:
    return "|".join(sorted(map(re.escape, words), key=len, reverse=True))


_CARDINAL: Final = _either(CARDINALS)
_NUMBER_WORDS: Final = re.compile(
    rf"\b(?:{_CARDINAL})(?:[\s-](?:and\s)?(?:{_CARDINAL}|{_either(SCALES)})){{0,8}}\b", re.IGNORECASE
)
_ORDINAL: Final = re.compile(rf"(?<!\ba )\b(?:{_either(ORDINALS)})\b", re.IGNORECASE)
_TENTH_AND: Final = re.compile(rf"\b(twenty|thirty)[\s-]({_either(ORDINALS)})\b", re.IGNORECASE)  # twenty-first
_COUNTED: Final = re.compile(rf"\s*-?(?:{_either(UNITS)}|dollars?|euros?|pounds?|o'clock|[ap]\.?m)\b", re.IGNORECASE)
_WORD: Final = re.compile(r"[a-z']+")
_THE: Final = re.compile(r"\bthe (?=\d)", re.IGNORECASE)
_MARKS: Final = re.compile(r"\*\*|__|`|(?:^|\s)[-•]\s(?=\S)")
_MARKED: Final = ("**", "__", "`", "- ", "•")
_COUNTING: Final = frozenset({*CARDINALS, *ORDINALS})
_TELLING_TIME: Final = frozenset(
    ("past", "quarter", "half", "o'clock", "morning", "afternoon", "evening", "night", "am", "pm", "m")
)


def _places() -> dict[str, list[tuple[int, frozenset[str]]]]:
    """Return for a word the phrases that it may belong to, each with the words that must be there too."""
    places: dict[str, list[tuple[int, frozenset[str]]]] = {}
    for place, (needed, _, _) in enumerate(PHRASES):
        for words in needed:
            longest = max(sorted(words), key=len)  # short words are everywhere
            places.setdefault(longest, []).append((place, words))
    return places


_PLACES: Final = _places()


def written(text: str) -> str:
    """Return `text` with numbers, times and spans in digits, markup taken off, and phrases in one word."""
    text = plain(text)
    if any(mark in text for mark in _MARKED):
        text = _MARKS.sub(" , ", text)
    text = " ".join(text.split())
    words = set(_WORD.findall(text.lower()))
    counts = not words.isdisjoint(_COUNTING)
    if counts:
        text = _ORDINAL.sub(_ordinal, _NUMBER_WORDS.sub(_number, _TENTH_AND.sub(_tenth_and, text)))
    if (counts and "to" in words) or not words.isdisjoint(_TELLING_TIME):  # "ten to five" is a time
        for telling, pattern, spelled in _CLOCKS:
            if not words.isdisjoint(telling):
                text = pattern.sub(spelled, text)
    text = _THE.sub("", text)
    for place in sorted(
        {place for word in _PLACES.keys() & words for place, all_of in _PLACES[word] if all_of <= words}
    ):
        _, pattern, said = PHRASES[place]
        changed = pattern.sub(said, text)
        text = text if changed == text else " ".join(changed.split())
    return text


def _number(found: re.Match[str]) -> str:
    words = re.split(r"[\s-]+", found[0].lower())
    if words == ["one"] and not _COUNTED.match(found.string, found.end()):
        return found[0]  # "that one" counts nothing
    numbers, total, part = [], 0, 0
    for word in words:
        if word in SCALES:
            scaled = max(part, 1) * SCALES[word]
            total, part = (total, scaled) if word == "hundred" else (total + scaled, 0)
        elif word in CARDINALS:
            if part and not _joins(part, CARDINALS[word]):
                numbers.append(total + part)
                total = part = 0
            part += CARDINALS[word]
    return " ".join(map(str, [*numbers, total + part]))


def _joins(part: int, value: int) -> bool:
    """Tell whether a number word goes on with the one before it: twenty-one, hundred and five, not eleven thirty."""
    return (part % 100 == 0 and value > 0) or (part % 10 == 0 and part % 100 >= 20 and 0 < value < 10)  # noqa: PLR2004 -- as English counts


def _ordinal(found: re.Match[str]) -> str:
    return f"{ORDINALS[found[0].lower()]}th"


def _tenth_and(found: re.Match[str]) -> str:
    return f"{CARDINALS[found[1].lower()] + ORDINALS[found[2].lower()]}th"


def _oclock(found: re.Match[str]) -> str:
    return f"{found[1]}{found[2] or ':00'}"


def _past(found: re.Match[str]) -> str:
    minutes = {"half": 30, "quarter": 15}.get(found[1].lower()) or int(found[1])
    hour = int(found[3])
    if found[2].lower() == "to":
        hour, minutes = (hour - 1) or 12, 60 - minutes
    return f"{hour}:{minutes:02d}"


def _half_day(found: re.Match[str]) -> str:
    return f"{found[1]}{found[2] or ''} {_HALVES[found[3].lower()]}"


_HALVES: Final = {"in the morning": "am", "in the afternoon": "pm", "in the evening": "pm", "at night": "pm"}
#: the words of which a text has one where a time is spoken, the time, and how it is written
_CLOCKS: Final[tuple[tuple[frozenset[str], re.Pattern[str], Callable[[re.Match[str]], str] | str], ...]] = tuple(
    (frozenset(words.split()), re.compile(pattern, re.IGNORECASE), spelled)
    for words, pattern, spelled in (
        ("am pm a p m", r"\b(\d{1,2})[. ](\d{2})(?= ?[ap]\.?m\b)", r"\1:\2"),
        ("past to", r"\b(half|quarter|\d{1,2}) (past|to) (\d{1,2})\b", _past),
        ("o'clock", r"\b(\d{1,2})(:\d\d)? ?o'clock\b", _oclock),
        ("morning afternoon evening night", rf"\b(\d{{1,2}})(:\d\d)? ({'|'.join(_HALVES)})\b", _half_day),
    )
)
