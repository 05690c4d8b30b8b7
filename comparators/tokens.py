"""A reply's text, cut into facts, words and the marks between them; the first step of reading it into slots.

Every fact comes in one spelling: `15:00` for 3 pm, `USD 1200` for $1,200, `03-11` for the eleventh of March. Patterns
are bounded, so cutting takes time in proportion to the text.
"""

import re
from collections.abc import Callable
from datetime import date, timedelta
from functools import lru_cache
from typing import Final, NamedTuple

from comparators.english import CLOCK_WORDS, MONTH_NUMBERS, MONTHS
from comparators.facts import clock_text
from comparators.slot_tables import CURRENCIES, UNITS

WORD, PAUSE, END = "word", "pause", "end"  # what is no fact


class Token(NamedTuple):
    """A fact with its sort and value, or a word or mark as it stands."""

    sort: str
    value: str


_AMOUNT: Final = r"(?:\d{1,3}(?:,\d{3})+|\d{1,40})(?:\.\d{1,20})?(?:\s?k\b)?"
_COINS: Final = r"usd|dollars?|bucks?|€|eur|euros?|£|gbp|pounds?"
_UNIT: Final = "|".join(sorted(map(re.escape, UNITS), key=len, reverse=True))
_WEEKDAY: Final = (
    r"mon(?:day)?|tue(?:s(?:day)?)?|wed(?:nesday)?|thu(?:rs(?:day)?)?|fri(?:day)?|sat(?:urday)?|sun(?:day)?"
)

#: how words begin that may be more than that, alone or with what follows
_BEGINNINGS: Final = (
    "jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec|mon|tue|wed|thu|fri|sat|sun|tod|ton|tom|yes|day|next|this"
    "|ap|unit|suite|room|no|usd|eur|gbp|week|year|mor|after|even"
)
# words that can be nothing else, as most; then what begins with a digit or a sign, then what begins with a letter: each
# is tried only where it can match at all
_TOKEN: Final = re.compile(
    rf"""
      \s*+(?:  # or every search would begin at a space, in vain
      (?P<plain>(?!{_BEGINNINGS})[^\W\d_][\w']*+)
    | (?=[\d(+$€£\#])(?:
        (?P<phone>(?<!\w)(?:\+?1[ .-])?\(?\d{{3}}\)?[ .-]\d{{3}}[ .-]\d{{4}}(?!\w)|(?<!\w)\d{{3}}-\d{{4}}(?!\w))
      | (?P<iso>\b\d{{4}}-\d{{2}}-\d{{2}}(?!\d))
      | (?P<slashed>\b\d{{1,2}}/\d{{1,2}}/\d{{4}}\b)
      | (?P<clock>\b\d{{1,2}}:\d{{2}}(?::\d{{2}})?(?:\s?[ap]\.?m\b\.?)?)
      | (?P<hour>\b\d{{1,2}}\s?[ap]\.?m\b\.?)
      | (?P<day_month>\b\d{{1,2}}(?:st|nd|rd|th)?\s(?:of\s)?(?:{MONTHS})\b(?:,?\s\d{{4}}\b)?)
      | (?P<floor>\b\d{{1,3}}(?:st|nd|rd|th)\sfloor\b)
      | (?P<day>\b\d{{1,2}}(?:st|nd|rd|th)\b)
      | (?P<money>[$€£]\s?{_AMOUNT}|(?<![\w.]){_AMOUNT}\s?(?:{_COINS})(?!\w))
      | (?P<hash>(?<!\w)\#\s?\w{{1,5}}\b)
      | (?P<counted>(?<![\w.]){_AMOUNT}[\s-]?(?:{_UNIT})(?!\w))
      | (?P<number>(?<![\w.]){_AMOUNT}(?!\w))
      | (?P<code>\b\d{{1,6}}[a-z]\b)
      | (?P<mixed>\d\w{{0,40}}+)
      )
    | (?=[jfmasond])(?:
        (?P<month_day>\b(?:{MONTHS})\b\.?\s\d{{1,2}}(?:st|nd|rd|th)?\b(?:,?\s\d{{4}}\b)?)
      | (?P<month>\b(?:{MONTHS})\b)
      )
    | (?=[tdyn])(?P<relative>
        \bday\safter\stomorrow\b|\b(?:today|tonight|tomorrow|yesterday)\b|\b(?:next|this)\s(?:week|month)\b)
    | (?=[mtwfsn])(?P<weekday>\b(?:(?:next|this)\s)?(?:{_WEEKDAY})(?:'?s)?\b\.?)
    | (?=[aursn])(?P<flat>\b(?:apartment|apt\.?|unit|suite|room|no\.)\s\#?\d{{1,5}}[a-z]?\b)
    | (?=[uegmwya])(?:
        (?P<coins>\b(?:usd|eur|gbp)\s?{_AMOUNT})
      | (?P<period>\b(?:monthly|weekly|yearly)\b)
      | (?P<part>\b(?:morning|afternoon|evening)\b)
      )
    | (?P<word>[^\W\d_][\w']*+)
    | (?P<end>[.!?]++(?=\s|\Z))
    | (?P<pause>[,;:\u2013\u2014])
    )
    """,
    re.IGNORECASE | re.VERBOSE,
)

Read = tuple[Token, ...]
_WORDS: Final = frozenset({"plain", "word"})
_CLOCKS: Final = frozenset({"clock", "hour"})


_AMOUNT_IN: Final = re.compile(_AMOUNT, re.IGNORECASE)
_UNIT_AT_END: Final = re.compile(rf"(?:{_UNIT})\Z", re.IGNORECASE)
_CURRENCY: Final = re.compile(r"[$€£]|[a-z]{2,}")
_THOUSANDS: Final = re.compile(r"(?<=\d)\s?k\b")
_LAST_WORD: Final = re.compile(r"\w+\Z")
_NO_DIGIT: Final = re.compile(r"\D")


def tokens(text: str, today: date | None = None) -> list[Token]:
    """Return what `text` consists of, in order; with `today` days that count from it are dates."""
    read: list[Token] = []
    for found in _TOKEN.finditer(text):
        sort = found.lastgroup or ""
        said = found[sort]
        if sort in _WORDS:  # most are: a reader of its own would take as long as finding it
            read.append(_word(said))
        elif sort in _CLOCKS:
            read += _clock(said, text[found.end() :])
        else:
            read += _READERS[sort](said, today)
    return read


def _phone(said: str, _: date | None) -> Read:
    digits = _digits(said)
    return (Token("phone", digits[1:] if len(digits) == _WITH_COUNTRY and digits[0] == "1" else digits),)


_WITH_COUNTRY: Final = 11  # digits of a number of North America with its 1


def _digits(text: str) -> str:
    return _NO_DIGIT.sub("", text)


def _iso(said: str, _: date | None) -> Read:
    year, month, day = said.split("-")
    return _dated(month, day, year)


def _slashed(said: str, _: date | None) -> Read:
    month, day, year = said.split("/")
    return _dated(month.zfill(2), day.zfill(2), year)


def _spoken_date(said: str, _: date | None) -> Read:
    month = re.search(MONTHS, said, re.IGNORECASE)
    day, *year = re.findall(r"\d+", said)
    assert month is not None
    return _dated(MONTH_NUMBERS[month[0][:3].lower()], day.zfill(2), *year)


def _dated(month: str, day: str, year: str = "") -> Read:
    found = Token("date", f"{month}-{day}")
    return (found, Token("year", year)) if year else (found,)


def _on(day: date) -> Token:
    return Token("date", f"{day.month:02d}-{day.day:02d}")


def _day(said: str, today: date | None) -> Read:
    """Read the 11th: of this month or, where that has passed, of the next that has one."""
    day = int(_digits(said))
    coming = [] if today is None else [today + timedelta(ahead) for ahead in range(62)]
    return (next((_on(each) for each in coming if each.day == day), Token("date", f"{day:02d}")),)


_AHEAD: Final = {"day after tomorrow": 2, "tomorrow": 1, "today": 0, "tonight": 0, "yesterday": -1}


def _relative(said: str, today: date | None) -> Read:
    said = " ".join(said.lower().split())
    if today is None or said not in _AHEAD:
        return (Token("day", said),)
    return (_on(today + timedelta(_AHEAD[said])),)


def _weekday(said: str, _: date | None) -> Read:
    if said in {"sat", "sun", "wed"}:  # words of their own, but for the capital
        return (Token(WORD, said),)
    return (Token("day", said.lower().removeprefix("next ").removeprefix("this ")[:3]),)


def _clock(said: str, rest: str) -> Read:
    found = Token("time", clock_text(said.rstrip(".")))
    rest = rest.lstrip()
    return (found, Token(END, ".")) if said.endswith(".") and (not rest or rest[0].isupper()) else (found,)


def _money(said: str, _: date | None) -> Read:
    currency = _CURRENCY.search(_THOUSANDS.sub("", said.lower()))
    assert currency is not None
    return (Token("money", f"{CURRENCIES[currency[0]]} {_amount(said)}"),)


def _counted(said: str, _: date | None) -> Read:
    unit = _UNIT_AT_END.search(said)
    assert unit is not None
    name, each = UNITS[unit[0].lower()]
    amount = _amount(said)
    return (Token(name, str(int(amount) * each) if amount.isdigit() and each > 1 else amount),)


def _flat(said: str, _: date | None) -> Read:
    value = _LAST_WORD.search(said)
    assert value is not None
    return (Token("flat", value[0].lower()),)


def _month(said: str, _: date | None) -> Read:
    return (Token(WORD, "may") if said == "may" else Token("month", MONTH_NUMBERS[said[:3].lower()]),)


@lru_cache(maxsize=8_192)  # most words of an assistant are the same few hundred
def _word(spoken: str) -> Token:
    word = spoken.lower()
    return Token("time", CLOCK_WORDS[word]) if word in CLOCK_WORDS else Token(WORD, spoken)


def _amount(text: str) -> str:
    """Return an amount in one spelling: no commas, no idle zeros, thousands written out."""
    found = _AMOUNT_IN.search(text)
    assert found is not None
    digits, thousands, _ = found[0].lower().replace(",", "").partition("k")
    whole, _, fraction = digits.strip().partition(".")
    whole, fraction = whole.lstrip("0") or "0", fraction.rstrip("0")
    if thousands:
        whole, fraction = (whole + fraction[:3].ljust(3, "0")).lstrip("0") or "0", fraction[3:]
    return f"{whole}.{fraction}" if fraction else whole


_Reader = Callable[[str, date | None], Read]


def _as(sort: str, value: Callable[[str], str] = str.lower) -> _Reader:
    return lambda said, _: (Token(sort, value(said)),)


_READERS: Final[dict[str, _Reader]] = {
    "phone": _phone,
    "iso": _iso,
    "slashed": _slashed,
    "month_day": _spoken_date,
    "day_month": _spoken_date,
    "floor": _as("floor", _digits),
    "day": _day,
    "relative": _relative,
    "weekday": _weekday,
    "money": _money,
    "coins": _money,
    "flat": _flat,
    "hash": _flat,
    "counted": _counted,
    "number": _as("number", _amount),
    "code": _as("flat"),
    "mixed": _as("number"),  # as 163rd: whatever it is, another one is another
    "month": _month,
    "period": _as("period"),
    "part": _as("part"),
    "end": _as(END),
    "pause": _as(PAUSE),
}
