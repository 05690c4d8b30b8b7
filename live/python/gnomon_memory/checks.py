"""What both systems ask of their arguments, before either touches its store.

One module for both sides: an argument that one refuses and the other takes would be a difference of the migration's
own making. The bounds are those of the narrower database: PostgreSQL stores neither NUL nor lone surrogates in text,
and its B-tree index takes at most 2,704 bytes a row, which two keys of 256 characters of four bytes stay below.
"""

import json
import math
from collections.abc import Mapping
from typing import Any

from gnomon_memory.errors import InvalidArgumentError

__all__ = ["check_key", "check_limit", "check_text", "is_key", "json_object", "to_json"]

MAX_KEY_CHARS = 256
MAX_LIMIT = 10_000  # memories in one answer; also keeps the number within a database's integer
MAX_DEPTH = 64  # of nested metadata; deeper values are compared by nobody


def is_text(value: object) -> bool:
    """Tell whether `value` is a string that every database stores unchanged."""
    if not isinstance(value, str) or "\x00" in value:
        return False
    return value.isascii() or not any("\ud800" <= character <= "\udfff" for character in value)


def is_key(value: object) -> bool:
    """Tell whether `value` can be indexed: text of 1 to 256 characters."""
    return is_text(value) and isinstance(value, str) and 0 < len(value) <= MAX_KEY_CHARS


def check_key(argument: str, value: object) -> None:
    """Refuse what is no key: an empty user id, a type that is no text."""
    if not is_key(value):
        raise InvalidArgumentError(argument, f"text of 1 to {MAX_KEY_CHARS} characters, without NUL or lone surrogates")


def check_text(argument: str, value: object) -> None:
    """Refuse what is no text."""
    if not is_text(value):
        raise InvalidArgumentError(argument, "text, without NUL or lone surrogates")


def check_limit(value: object) -> None:
    """Refuse a limit that asks for nothing, or for more than an answer holds."""
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MAX_LIMIT:
        raise InvalidArgumentError("limit", f"a whole number from 1 to {MAX_LIMIT}")


def json_object(argument: str, value: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return a copy of `value` as it will be read back: tuples are lists, None is `{}`."""
    if value is None:
        return {}
    if not isinstance(value, Mapping) or not _is_json(dict(value), MAX_DEPTH):
        raise InvalidArgumentError(
            argument, f"a JSON object with finite numbers, nested at most {MAX_DEPTH} deep, or None"
        )
    try:
        copy: dict[str, Any] = json.loads(to_json(dict(value)))
    except ValueError:  # an integer of more digits than Python writes
        raise InvalidArgumentError(argument, "a JSON object whose integers have at most 4,300 digits") from None
    return copy


def to_json(value: object) -> str:
    """Write JSON as both stores keep it."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _is_json(value: object, depth: int) -> bool:
    match value:
        case str():
            return is_text(value)
        case None | int():
            return True
        case float():
            return math.isfinite(value)
        case dict() | list() | tuple():
            return depth > 0 and _are_json(value, depth - 1)
        case _:
            return False


def _are_json(values: dict[Any, Any] | list[Any] | tuple[Any, ...], depth: int) -> bool:
    if not isinstance(values, dict):
        return all(_is_json(value, depth) for value in values)
    return all(is_text(key) and _is_json(value, depth) for key, value in values.items())
