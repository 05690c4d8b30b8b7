"""The first steps of every comparison: fences, then one form for values that mean the same.

The canonical form is JSON: text in NFC, instants in UTC, integers exact, floats finite, tuples as lists, sets sorted,
keys sorted; other types become what the wire makes of them. A number has no type beyond JSON's: 1.0 is 1 where a float
is exact, and True is no number. What passes a fence is `Unjudgeable`, whose reason names the fence and no payload.
"""

import math
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from enum import Enum
from typing import Any, Final
from unicodedata import combining, normalize

import msgspec

from comparators.instants import datetime_text, instant_text

MAX_BYTES: Final = 1 << 20  # of one side in canonical form
MAX_DEPTH: Final = 64  # deepdiff needs 1.7 s for 400 levels and the interpreter's stack ends before 900
MAX_ITEMS: Final = 25_000  # values of one side, at all levels: the worst pair of them takes half a second
_MAX_BITS: Final = 14_000  # the interpreter writes integers of up to 4,300 digits
MAX_MARKS: Final = 30  # in a row (Unicode TR 15, stream-safe text): ordering them takes time squared
_EXACT: Final = 2.0**53  # beyond it a float stands for several integers

JSON = Any  # None, bool, int, float, str, a list of these, or a dict of these by text


class Unjudgeable(Exception):  # noqa: N818 -- a finding about the value, no fault
    """A value that no comparison could be fair to, or could finish in time; `reason` names the fence."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def canonical(value: Any) -> JSON:
    """Return the canonical form of `value`; raises `Unjudgeable` past a fence, and nothing else."""
    try:
        form = _Walk().form(value, 0)
        if len(encoded(form)) > MAX_BYTES:
            raise _too_many_bytes()
    except RecursionError:
        raise _too_deep() from None
    return form


encoded: Final[Callable[[JSON], bytes]] = msgspec.json.Encoder(order="sorted").encode
"""Return the bytes of a canonical form: equal bytes are equal values, types included."""


def same(left: JSON, right: JSON) -> bool:
    """Tell whether two canonical forms are equal; unlike `==` it does not take True for 1."""
    return bool(left == right) and (type(left) is type(right) is str or encoded(left) == encoded(right))


def _too_many_bytes() -> Unjudgeable:
    return Unjudgeable(f"bytes: more than {MAX_BYTES}")


def _too_deep() -> Unjudgeable:
    return Unjudgeable(f"depth: more than {MAX_DEPTH}")


class _Walk:
    """One walk over one value, counting what it meets so that it stops at a fence and not after it."""

    def __init__(self) -> None:
        self._items_left = MAX_ITEMS
        self._bytes_left = MAX_BYTES

    def form(self, value: Any, depth: int) -> JSON:
        kind = type(value)
        if kind is str:
            return self._text(value)
        if value is None or kind is bool:
            return value
        make = _MAKERS.get(kind)
        return make(self, value, depth) if make is not None else self._other(value, depth)

    def _text(self, text: str) -> str:
        self._bytes_left -= len(text)
        if self._bytes_left < 0:
            raise _too_many_bytes()
        if not text.isascii():
            text = _normal(text)
        return instant_text(text) if text[4:5] == "-" else text  # all but few texts end here, cheaply

    def integer(self, value: int, _: int) -> int:
        if value.bit_length() > _MAX_BITS:
            raise Unjudgeable(f"integer: more than {_MAX_BITS} bits")
        return value

    def number(self, value: float, _: int) -> float | int:
        if not math.isfinite(value):
            raise Unjudgeable("number: not finite")
        return int(value) if value.is_integer() and abs(value) < _EXACT else value

    def array(self, values: Collection[Any], depth: int) -> list[JSON]:
        self._enter(values, depth)
        return [self.form(value, depth + 1) for value in values]

    def unordered(self, values: Collection[Any], depth: int) -> list[JSON]:
        return sorted(self.array(values, depth), key=encoded)

    def mapping(self, values: Mapping[Any, Any], depth: int) -> dict[str, JSON]:
        self._enter(values, depth)
        forms = {self._key(key): self.form(value, depth + 1) for key, value in values.items()}
        if len(forms) < len(values):
            raise Unjudgeable("keys: two with one canonical form")
        return dict(sorted(forms.items()))

    def _enter(self, values: Collection[Any], depth: int) -> None:
        self._items_left -= len(values)
        if depth >= MAX_DEPTH:
            raise _too_deep()
        if self._items_left < 0:
            raise Unjudgeable(f"items: more than {MAX_ITEMS}")

    def _key(self, key: Any) -> str:
        if type(key) is str:
            return self._text(key)
        form = self.form(key, MAX_DEPTH)
        if isinstance(form, str):
            return form
        if isinstance(form, int) and not isinstance(form, bool):
            return str(form)  # as the wire writes it
        raise Unjudgeable(f"key: of type {type(key).__name__}")

    def _other(self, value: Any, depth: int) -> JSON:
        """Bring a value of any further type to one that JSON has, then walk that."""
        if isinstance(value, Enum):
            return self.form(value.value, depth + 1)
        if isinstance(value, datetime):
            return datetime_text(value)
        for base, plain in _BASES:
            if isinstance(value, base):
                return self.form(plain(value), depth)
        return self.form(_builtins(value), depth + 1)


_MAKERS: Final[dict[type, Callable[[_Walk, Any, int], JSON]]] = {
    int: _Walk.integer,
    float: _Walk.number,
    list: _Walk.array,
    tuple: _Walk.array,
    dict: _Walk.mapping,
    set: _Walk.unordered,
    frozenset: _Walk.unordered,
}

# subclasses by their base, read past whatever they override
_BASES: Final[tuple[tuple[type, Callable[[Any], Any]], ...]] = (
    (str, str.__str__),
    (int, int.__int__),
    (float, float.__float__),
    (dict, dict),
    (list, list),
    (tuple, list),
    (set, frozenset),
    (frozenset, frozenset.copy),
)


def _builtins(value: Any) -> Any:
    """Return a dataclass, struct, UUID, decimal, date or the like as the wire would write it."""
    try:
        plain = msgspec.to_builtins(value, str_keys=True)
    except RecursionError:
        raise
    except Exception:
        raise Unjudgeable(f"unserialisable: {type(value).__name__}") from None
    if type(plain) is type(value):
        raise Unjudgeable(f"unserialisable: {type(value).__name__}")
    return plain


def _normal(text: str) -> str:
    """Return `text` in NFC; refuses what is no Unicode or would take time squared."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Unjudgeable("text: a lone surrogate") from None
    if longest_run_of_marks(text) > MAX_MARKS:
        raise Unjudgeable(f"text: more than {MAX_MARKS} combining marks in a row")
    return normalize("NFC", text)


def longest_run_of_marks(text: str) -> int:
    """Return how many combining marks follow each other in `text` at most."""
    longest = run = 0
    if len(text) > MAX_MARKS:
        for character in text:
            run = run + 1 if combining(character) else 0
            longest = max(longest, run)
    return longest
