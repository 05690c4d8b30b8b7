"""Instants: one moment written in many ways becomes one text, before any two values are compared."""

import re
from datetime import UTC, datetime
from typing import Final

# the whole text must be an RFC 3339 instant (section 5.6); without an offset it names no instant and stays as it is
_INSTANT: Final = re.compile(
    r"(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2}:\d{2})(?:\.(\d{1,12}))?([Zz]|[+-]\d{2}:\d{2})",
    re.ASCII,
)
_SHORTEST, _LONGEST = 20, 38  # characters of what the pattern can match


def instant_text(text: str) -> str:
    """Return `text` as its UTC instant where all of it is an RFC 3339 instant, else unchanged."""
    if not _SHORTEST <= len(text) <= _LONGEST:
        return text
    found = _INSTANT.fullmatch(text)
    return text if found is None else _in_utc(text, *found.groups())


def _in_utc(text: str, date: str, time: str, fraction: str | None, offset: str) -> str:
    zone = "+00:00" if offset in "Zz" else offset
    try:
        moment = datetime.fromisoformat(f"{date}T{time}{zone}").astimezone(UTC)
    except (ValueError, OverflowError):
        return text  # 30 February, a leap second, or outside of years 1 to 9999 once in UTC
    digits = (fraction or "").rstrip("0")
    return f"{moment.replace(tzinfo=None).isoformat()}{'.' if digits else ''}{digits}Z"


def datetime_text(moment: datetime) -> str:
    """Return an aware datetime as its UTC instant; a naive one as text without a zone, which equals no instant."""
    if moment.tzinfo is not None:
        try:
            moment = moment.astimezone(UTC)
        except OverflowError:
            return moment.isoformat()
    return instant_text(moment.isoformat())
