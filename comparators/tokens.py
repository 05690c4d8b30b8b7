"""A reply's text, cut into facts, words and the marks between them; the first step of reading it into slots.

Every fact comes in one spelling: `15:00` for 3 pm, `USD 1200` for $1,200, `03-11` for the eleventh of March. Patterns
are bounded, so cutting takes time in proportion to the text.
"""

import re
from collections.abc import Callable, Iterator
from datetime import date, timedelta
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

# what begins with a digit or a sign, then what begins with a letter: each is tried only where it can match at all
_TOKEN: Final = re.compile(
    rf"""
      (?=[\d(+$€£\#])(?:
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
    """,
    re.IGNORECASE | re.VERBOSE,
)

Read = Iterator[Token]


def tokens(text: str, today: date | None = None) -> Read:
    """Yield what `text` consists of, in order; with `today` days that count from it are dates."""
    for found in _TOKEN.finditer(text):
        yield from _READERS[found.lastgroup or ""](found, today)


def _phone(found: re.Match[str], _: date | None) -> Read:
    digits = _digits(found[0])
    yield Token("phone", digits[1:] if len(digits) == _WITH_COUNTRY and digits[0] == "1" else digits)


_WITH_COUNTRY: Final = 11  # digits of a number of North America with its 1


def _digits(text: str) -> str:
    return re.sub(r"\D", "", text)


def _iso(found: re.Match[str], _: date | None) -> Read:
    year, month, day = found[0].split("-")
    return _dated(month, day, year)


def _slashed(found: re.Match[str], _: date | None) -> Read:
    month, day, year = found[0].split("/")
    return _dated(month.zfill(2), day.zfill(2), year)


def _spoken_date(found: re.Match[str], _: date | None) -> Read:
    month = re.search(MONTHS, found[0], re.IGNORECASE)
    day, *year = re.findall(r"\d+", found[0])
    assert month is not None
    return _dated(MONTH_NUMBERS[month[0][:3].lower()], day.zfill(2), *year)


def _dated(month: str, day: str, year: str = "") -> Read:
    yield Token("date", f"{month}-{day}")
    if year:
        yield Token("year", year)


def _on(day: date) -> Token:
    return Token("date", f"{day.month:02d}-{day.day:02d}")


def _day(found: re.Match[str], today: date | None) -> Read:
    """Read the 11th: of this month or, where that has passed, of the next that has one."""
    day = int(_digits(found[0]))
    coming = [] if today is None else [today + timedelta(ahead) for ahead in range(62)]
    yield next((_on(each) for each in coming if each.day == day), Token("date", f"{day:02d}"))


_AHEAD: Final = {"day after tomorrow": 2, "tomorrow": 1, "today": 0, "tonight": 0, "yesterday": -1}


def _relative(found: re.Match[str], today: date | None) -> Read:
    said = " ".join(found[0].lower().split())
    yield Token("day", said) if today is None or said not in _AHEAD else _on(today + timedelta(_AHEAD[said]))


def _weekday(found: re.Match[str], _: date | None) -> Read:
    if found[0] in {"sat", "sun", "wed"}:  # words of their own, but for the capital
        yield Token(WORD, found[0])
    else:
        yield Token("day", found[0].lower().removeprefix("next ").removeprefix("this ")[:3])


def _clock(found: re.Match[str], _: date | None) -> Read:
    yield Token("time", clock_text(found[0].rstrip(".")))
    rest = found.string[found.end() :].lstrip()
    if found[0].endswith(".") and (not rest or rest[0].isupper()):
        yield Token(END, ".")


def _money(found: re.Match[str], _: date | None) -> Read:
    said = re.search(r"[$€£]|[a-z]{2,}", re.sub(r"(?<=\d)\s?k\b", "", found[0].lower()))
    assert said is not None
    yield Token("money", f"{CURRENCIES[said[0]]} {_amount(found[0])}")


def _counted(found: re.Match[str], _: date | None) -> Read:
    unit = re.search(rf"(?:{_UNIT})\Z", found[0], re.IGNORECASE)
    assert unit is not None
    name, each = UNITS[unit[0].lower()]
    amount = _amount(found[0])
    yield Token(name, str(int(amount) * each) if amount.isdigit() and each > 1 else amount)


def _flat(found: re.Match[str], _: date | None) -> Read:
    value = re.search(r"\w+\Z", found[0])
    assert value is not None
    yield Token("flat", value[0].lower())


def _month(found: re.Match[str], _: date | None) -> Read:
    yield Token(WORD, "may") if found[0] == "may" else Token("month", MONTH_NUMBERS[found[0][:3].lower()])


def _word(found: re.Match[str], _: date | None) -> Read:
    word = found[0].lower()
    yield Token("time", CLOCK_WORDS[word]) if word in CLOCK_WORDS else Token(WORD, found[0])


def _amount(text: str) -> str:
    """Return an amount in one spelling: no commas, no idle zeros, thousands written out."""
    found = re.search(_AMOUNT, text, re.IGNORECASE)
    assert found is not None
    digits, thousands, _ = found[0].lower().replace(",", "").partition("k")
    whole, _, fraction = digits.strip().partition(".")
    whole, fraction = whole.lstrip("0") or "0", fraction.rstrip("0")
    if thousands:
        whole, fraction = (whole + fraction[:3].ljust(3, "0")).lstrip("0") or "0", fraction[3:]
    return f"{whole}.{fraction}" if fraction else whole


_Reader = Callable[[re.Match[str], date | None], Read]


def _as(sort: str, value: Callable[[str], str] = str.lower) -> _Reader:
    return lambda found, _: iter((Token(sort, value(found[0])),))


_READERS: Final[dict[str, _Reader]] = {
    "phone": _phone,
    "iso": _iso,
    "slashed": _slashed,
    "clock": _clock,
    "hour": _clock,
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
    "word": _word,
    "end": _as(END),
    "pause": _as(PAUSE),
}
