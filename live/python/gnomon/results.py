"""Whether what enhanced returned may take the place of what legacy would have: its type is the one legacy declares."""

import inspect
import types
import typing
from collections.abc import Callable
from typing import Any

import msgspec

from gnomon.wire import NO_JSON_FORM, encode_value

Check = Callable[[Any], bool]


class InvalidResultError(Exception):
    """Enhanced answered with something that legacy never returns; only its type is told."""

    def __init__(self, value: object) -> None:
        super().__init__(f"a {type(value).__name__} is no valid result")


def declared_types(function: Callable[..., Any]) -> dict[str, Any]:
    """Return the resolved type hints of a callable; none where they cannot be resolved."""
    try:
        return typing.get_type_hints(function)
    except (NameError, TypeError, AttributeError):
        return {}


def check_of(legacy: Callable[..., Any]) -> Check:
    """Return what tells a valid result: by the declared return type, else whether it has a JSON form."""
    declared = declared_types(legacy).get("return", Any)
    if declared is Any or isinstance(declared, typing.TypeVar):
        return has_json_form
    plain = _plain_types(declared)
    if not _convertible(declared):
        return (lambda value: isinstance(value, plain)) if plain else has_json_form
    return lambda value: (not plain or isinstance(value, plain)) and _converts(value, declared)


def discard(value: object) -> None:
    """Close an awaitable that nobody will await."""
    if inspect.iscoroutine(value):
        value.close()


def _plain_types(declared: Any) -> tuple[type, ...]:
    """Return the classes that a declared type stands for at the top; none where that cannot be told."""
    if declared is None or declared is type(None):
        return (type(None),)
    origin = typing.get_origin(declared) or declared
    if origin in {typing.Union, types.UnionType}:
        members = [_plain_types(member) for member in typing.get_args(declared)]
        return tuple(found for member in members for found in member) if all(members) else ()
    if typing.is_typeddict(declared):
        return (dict,)
    if origin is float:
        return (float, int)
    return (origin,) if isinstance(origin, type) and not getattr(origin, "_is_protocol", False) else ()


def _convertible(declared: Any) -> bool:
    if getattr(declared, "_is_protocol", False):  # no value could be told to be one
        return False
    try:
        msgspec.json.Decoder(declared)
    except (TypeError, ValueError):
        return False
    return True


def _converts(value: Any, declared: Any) -> bool:
    try:
        msgspec.convert(value, declared)
    except (msgspec.ValidationError, TypeError, ValueError, RecursionError):
        return False
    return True


def has_json_form(value: Any) -> bool:
    """Tell whether a value can be captured."""
    try:
        encode_value(value)
    except NO_JSON_FORM:
        return False
    return True
