"""What can be told of an answer from its JSON alone: that it passes every fence, or is in canonical form already.

Looking through bytes takes a hundredth of what a walk over the values takes, so what this says yes to is never walked.
A doubt says no, and then the walk decides (`canonical`). Lines are as msgspec writes them, without white space.
"""

import re
from collections.abc import Set as AbstractSet
from typing import Any, Final
from unicodedata import is_normalized

import msgspec

from comparators.canonical import MAX_BYTES, MAX_ITEMS, MAX_MARKS, longest_run_of_marks
from comparators.identical import fits

_LONG_INTEGER: Final = b"0" * 4_000  # digits: fewer than the fence of 14,000 bits
_DIGITS: Final = bytes.maketrans(b"123456789", b"000000000")
_ENDS_OF_INSTANTS: Final = bytes.maketrans(b"123456789Zz", b"00000000000")
_NOT_FINITE: Final = re.compile(rb"\xcb[\x7f\xff][\xf0-\xff]")  # a double of MessagePack whose exponent is all ones
_MARKS: Final = re.compile(f"[^\x00-\u02ff]{{{MAX_MARKS + 1},}}")  # the first combining mark is U+0300
_KEY_WITH_OFFSET: Final = re.compile(rb':\d\d":')
_WHOLE_FLOAT: Final = re.compile(rb"\.0(?!\d)")
# an instant that is not in UTC, or not spelled as the canonical form spells it
_INSTANT: Final = re.compile(
    rb'"\d{4}-\d\d-\d\d(?:[t ]|T(?!(?:[01]\d|2[0-3]):\d\d:\d\d(?:\.\d{0,11}[1-9])?Z"))',
)


def within_fences(line: bytes, *values: Any) -> bool:
    """Tell whether an answer certainly has few enough values and levels, and in `values` no number that JSON lacks."""
    return len(line) <= MAX_BYTES and fits(line) and _is_finite(line, values)


def is_same_but_for(left_out: AbstractSet[str], legacy: Any, enhanced: Any) -> bool:
    """Tell whether two answers are certainly equal to the byte but for fields of their records."""
    before, after = _encode(_without(legacy, left_out)), _encode(_without(enhanced, left_out))
    return before == after and within_fences(before, legacy, enhanced)


def _without(value: Any, left_out: AbstractSet[str]) -> Any:
    if type(value) is list:
        return [_without(item, left_out) if type(item) is dict else item for item in value]
    if type(value) is dict:
        return {name: field for name, field in value.items() if name not in left_out}
    return value


_encode: Final = msgspec.json.Encoder().encode


def is_judgeable(line: bytes, value: Any) -> bool:
    """Tell whether the walk over `value`, encoded as `line`, passes every fence but that of keys, for certain."""
    return (
        (len(line) <= 2 * MAX_ITEMS or line.count(b",") + line.count(b"[") + line.count(b"{") <= MAX_ITEMS)
        and within_fences(line, value)
        and (line.isascii() or _is_normal(line.decode()))
        and (len(line) < len(_LONG_INTEGER) or _LONG_INTEGER not in line.translate(_DIGITS))
    )


def has_different_keys(line: bytes) -> bool:
    """Tell whether no two keys of an object in a judgeable answer can be one: only instants have two spellings."""
    if line.translate(_ENDS_OF_INSTANTS).rfind(b'0":') < 0:
        return True
    return line.rfind(b'Z":') < 0 and line.rfind(b'z":') < 0 and _KEY_WITH_OFFSET.search(line) is None


def is_canonical(line: bytes) -> bool:
    """Tell whether a part of a judgeable answer, its keys sorted, is certainly in canonical form."""
    return _INSTANT.search(line) is None and not (b".0" in line and _WHOLE_FLOAT.search(line))


def _is_finite(line: bytes, values: tuple[Any, ...]) -> bool:
    """Tell whether no value holds NaN or infinity: JSON writes null for them, MessagePack writes them."""
    if line.rfind(b"null") < 0:  # from behind it takes half the time of `in`
        return True
    try:
        return not any(_NOT_FINITE.search(msgspec.msgpack.encode(value)) for value in values)
    except OverflowError:
        return False  # an integer of more than 64 bits


def _is_normal(text: str) -> bool:
    """Tell whether all texts within `text` are in NFC: it is closed under taking parts (Unicode TR 15, section 9)."""
    return is_normalized("NFC", text) and all(
        longest_run_of_marks(found[0]) <= MAX_MARKS for found in _MARKS.finditer(text)
    )
