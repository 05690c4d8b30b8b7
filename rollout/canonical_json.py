"""One text, and one digest, for equal documents, however they were written."""

from hashlib import sha256
from typing import Any

import msgspec


def digest(value: Any) -> str:
    """Return the SHA-256 of the canonical JSON of a struct or document, in hexadecimal."""
    document = _canonical(msgspec.to_builtins(value))
    return sha256(msgspec.json.encode(document, order="sorted")).hexdigest()


def _canonical(value: Any) -> Any:
    """Return `value` with one form for one number: 48.0 and 48 are equal, so they are written alike."""
    match value:
        case dict():
            return {key: _canonical(item) for key, item in value.items()}
        case list() | tuple():
            return [_canonical(item) for item in value]
        case float() if value.is_integer():
            return int(value)
        case _:
            return value
