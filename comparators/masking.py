"""Masking: what identifies a person or opens a door is taken out of values before they are stored, logged or shown.

Patterns are possessive or bounded, so a hostile text costs no more than its length; structures are cut in depth and
items. Text inside values is masked; a number that is no text stays, unless its field's name says what it is.
"""

# ruff: noqa: RUF001, RUF002 -- these quotation marks tell a mask from what people write

import re
from collections.abc import Collection, Mapping
from datetime import date, time
from decimal import Decimal
from enum import Enum
from itertools import islice
from typing import Any, Final
from uuid import UUID

LONGEST_TEXT: Final = 200  # characters shown of one text
DEEPEST: Final = 12
MOST_ITEMS: Final = 100  # shown of one list or object
MOST_VALUES: Final = 1_000  # shown of all
_READ: Final = 2_000  # characters read of one text; what is cut there may be half a secret, so the end is dropped
_DROPPED: Final = 400
_MAX_BITS: Final = 256  # of an integer that is shown
_ELLIPSIS: Final = "…"
USER: Final = "‹user›"
_JSON_BITS: Final = 63  # of an integer that every JSON writer takes

_SECRET: Final = re.compile(
    r"""
      \beyJ[\w-]{8,}+\.[\w-]{4,}+(?:\.[\w-]*+)?                               # JSON web token
    | \b(?:sk|pk|rk|ghp|gho|ghs|ghu|glpat|xox[abposr]|hf|npm|pypi)[-_][\w-]{12,}+  # keys that say whose they are
    | \bgithub_pat_\w{20,}+
    | \b(?:AKIA|ASIA)[A-Z0-9]{16}\b
    | \bAIza[\w-]{30,}+
    | (?i:\bbearer\s{1,4})[\w.~+/=-]{8,}+
    | (?i:\b(?:api[_-]?key|access[_-]?key|secret|token|password|passwd|pwd)\b["']?\s{0,4}[:=]\s{0,4}["']?)[^\s"',;]{4,}+
    | (?<=://)[^\s/:@]{0,64}:[^\s/@]{1,128}(?=@)                               # a password in an address
    | -----BEGIN\ [A-Z ]{0,30}PRIVATE\ KEY-----[\s\S]*+
    """,
    re.VERBOSE,
)
# without one of these no secret is found, and looking for them takes a fifth of the time
_HINT_OF_SECRET: Final = re.compile(r"[-_:=]|eyJ|A(?:KIA|SIA|Iza)|(?i:bearer)")
_DIGIT: Final = re.compile(r"\d")
_EMAIL: Final = re.compile(r"[\w.%+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}")
_CARD: Final = re.compile(r"(?<!\d)\d(?:[ -]?\d){12,18}(?!\d)")
_PHONE: Final = re.compile(r"(?<![\w.])\+?\(?\d(?:[ ().-]{0,2}\d){6,14}(?!\w)")
_LOCAL_PHONE: Final = re.compile(r"\(?\d{3}\)?[ .-]\d{4}")
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}")
_FEWEST_DIGITS: Final = 10  # of a phone number that has neither a plus nor the usual gap
_PRIVATE_FIELD: Final = re.compile(
    r"[\w-]{0,40}(?:pass(?:word|wd|phrase)|secret|api[_-]?key|authorization|credentials?|token|card_?number)",
    re.IGNORECASE,
)


def mask(value: Any) -> Any:
    """Return `value` with what is private in its texts replaced by `‹email›` and the like, long parts cut short."""
    return _Mask().value(value, 0)


def nameless(value: Any, user: Any) -> Any:
    """Return a masked value in which the id `user` stands nowhere as a whole, and every integer fits 64 bits."""
    match value:
        case bool():
            return value
        case dict():
            return {key: nameless(part, user) for key, part in value.items()}
        case list():
            return [nameless(part, user) for part in value]
        case str() | int() if value and str(value) == user:
            return USER
        case int() if value.bit_length() > _JSON_BITS:
            return str(value)
    return value


class _Mask:
    """One masked copy in the making, and how many values it may still show."""

    def __init__(self) -> None:
        self._left = MOST_VALUES

    def value(self, value: Any, depth: int) -> Any:
        self._left -= 1
        if self._left < 0:
            return _ELLIPSIS
        if type(value) is str:  # most are
            return mask_text(value)
        if isinstance(value, Mapping):
            return self._object(value, depth) if depth < DEEPEST else _ELLIPSIS
        if isinstance(value, list | tuple | set | frozenset):
            return self._list(value, depth) if depth < DEEPEST else _ELLIPSIS
        return _masked_leaf(value)

    def _list(self, values: Collection[Any], depth: int) -> list[Any]:
        shown = [self.value(value, depth + 1) for value in islice(values, MOST_ITEMS)]
        return [*shown, _ELLIPSIS] if len(values) > MOST_ITEMS else shown

    def _object(self, values: Mapping[Any, Any], depth: int) -> dict[str, Any]:
        shown = {
            mask_text(str(key)): "‹secret›" if _is_private(key) else self.value(value, depth + 1)
            for key, value in islice(values.items(), MOST_ITEMS)
        }
        return {**shown, _ELLIPSIS: _ELLIPSIS} if len(values) > MOST_ITEMS else shown


def mask_text(text: str) -> str:
    """Return `text` with what is private in it replaced, and no more than its first 200 characters."""
    masked = text[:_READ]
    if not masked.isascii():
        masked = masked.encode(errors="replace").decode()  # a lone surrogate could not be stored
    if _HINT_OF_SECRET.search(masked):
        masked = _SECRET.sub("‹secret›", masked)
    if "@" in masked:
        masked = _EMAIL.sub("‹email›", masked)
    if _DIGIT.search(masked):
        masked = _CARD.sub(_masked_card, masked)
        masked = _PHONE.sub(_masked_phone, masked)
    if len(text) > _READ:
        masked = masked[:-_DROPPED]
    cut = len(text) > _READ or len(masked) > LONGEST_TEXT
    return masked[: LONGEST_TEXT - 1] + _ELLIPSIS if cut else masked


def _masked_leaf(value: Any) -> Any:
    match value:
        case Enum():  # the sentinel for what is absent, too
            return value
        case str():
            return mask_text(value)
        case None | bool() | float():
            return value
        case int():
            return value if value.bit_length() <= _MAX_BITS else f"‹integer of {value.bit_length()} bits›"
        case date() | time() | Decimal() | UUID():
            return str(value)
    return f"‹{type(value).__name__}›"


def _is_private(field: object) -> bool:
    return isinstance(field, str) and _PRIVATE_FIELD.fullmatch(field) is not None


def _masked_card(found: re.Match[str]) -> str:
    return "‹card›" if _passes_luhn(re.sub(r"\D", "", found[0])) else found[0]


def _passes_luhn(digits: str) -> bool:
    """Tell whether the check digit is right (ISO/IEC 7812-1, annex B)."""
    doubled = sum(sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return (doubled + sum(map(int, digits[-1::-2]))) % 10 == 0


def _masked_phone(found: re.Match[str]) -> str:
    digits = sum(character.isdigit() for character in found[0])
    usual = found[0].startswith("+") or digits >= _FEWEST_DIGITS or _LOCAL_PHONE.fullmatch(found[0])
    return "‹phone›" if usual and not _DATE.match(found[0]) else found[0]
