"""Where a difference lies: JSONPath-like text, built step by step, and wildcarded for the names of groups."""

import re
from collections.abc import Iterable
from typing import Final

ROOT: Final = "$"
LONGEST_KEY: Final = 64  # characters; a key can be a payload of its own

_IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_STEP: Final = re.compile(
    r"\.(?P<name>[A-Za-z_][A-Za-z0-9_]*)|\[(?P<index>\d+)\]|\['(?P<quoted>(?:[^'\\]|\\.)*+)'\]", re.ASCII
)
_PATTERN: Final = re.compile(rf"\$(?:{_STEP.pattern}|\[\*\])*", re.ASCII)
_DIGITS_OF_AN_ID: Final = 4  # `line_2` names a field, `u12345` somebody


def item(path: str, index: int) -> str:
    """Return the path of the item at `index` of the list at `path`."""
    return f"{path}[{index}]"


def member(path: str, key: str) -> str:
    """Return the path of the field `key` of the object at `path`; quoted where it is no identifier."""
    if len(key) > LONGEST_KEY:
        key = key[:LONGEST_KEY] + "…"
    if _IDENTIFIER.fullmatch(key):
        return f"{path}.{key}"
    escaped = key.replace("\\", "\\\\").replace("'", "\\'")
    return f"{path}['{escaped}']"


def below(path: str, steps: Iterable[str | int]) -> str:
    """Return the path that `steps`, keys and indices, lead to from `path`."""
    for step in steps:
        path = item(path, step) if isinstance(step, int) else member(path, step)
    return path


def is_path(text: str) -> bool:
    """Tell whether `text` is a path from end to end, wildcards allowed; one that was cut short is none."""
    return _PATTERN.fullmatch(text) is not None


def wildcard(path: str) -> str:
    """Return `path` with every index, and every key that is an id or a person's own, replaced by `[*]`."""
    return _STEP.sub(_general, path)


def _general(step: re.Match[str]) -> str:
    name, index, quoted = step.groups()
    if index is not None:
        return "[*]"
    return "[*]" if _individual(quoted if name is None else name) else step[0]


def _individual(key: str) -> bool:
    """Tell a key that stands for one thing or person from the name of a field."""
    if key.isalpha():
        return len(key) > LONGEST_KEY
    digits = sum(character.isdigit() for character in key)
    return key.isdigit() or digits >= _DIGITS_OF_AN_ID or "@" in key or len(key) > LONGEST_KEY
