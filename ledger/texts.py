"""Text as every database takes it, and the graver of two severities in SQL: what several writers of rows share."""

from typing import Any

from sqlalchemy import case, or_

from ledger.facts import GRAVITY


def storable(text: str, length: int) -> str:
    """Return text as every database takes it: no NUL, no lone surrogate, no longer than its column."""
    if text.isascii() and len(text) <= length and "\0" not in text:
        return text
    return text.encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")[:length]


def graver(known: Any, new: Any) -> Any:
    """Return the worse of two severities, in SQL."""
    *grave, harmless = GRAVITY
    return case(*((or_(known == name, new == name), name) for name in grave), else_=harmless)
