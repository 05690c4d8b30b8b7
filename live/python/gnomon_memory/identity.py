"""Who a memory is on both sides: legacy mints its id and time, enhanced takes them over.

On the data's way this stands where the worker hands the enhanced system what legacy returned (`gnomon.call().origin`):
saving the same call twice, live and replayed, then finds the same memory.
"""

import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import gnomon
from gnomon_memory.checks import is_key

__all__ = ["Identity", "as_text", "conversation_in_call", "identity_in_call", "identity_of", "mint", "timestamp"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """The id of a memory, and the time it is sorted by."""

    id: str
    created_at: str


class _Clock:
    """Microseconds since the epoch that never repeat or step back within a process, whatever the machine's clock does.

    Two memories saved in one microsecond, or around a correction of the clock, still sort in the order of saving.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last_us = 0

    def tick_us(self) -> int:
        with self._lock:
            self._last_us = max(time.time_ns() // 1000, self._last_us + 1)
            return self._last_us


_clock = _Clock()


def timestamp() -> str:
    """Return now, ISO-8601 in UTC with microseconds: fixed in width, so that text order is time order."""
    return _iso(_EPOCH + timedelta(microseconds=_clock.tick_us()))


def mint() -> Identity:
    """Return an identity that no other memory has."""
    return Identity(id=str(uuid4()), created_at=timestamp())


def identity_in_call() -> Identity:
    """Return the identity that legacy gave in the running call; outside of one, mint our own.

    Where legacy gave no id, the call's own key is the id: a replay then still finds what the first run stored.
    """
    current = gnomon.call()
    if current is None:
        return mint()
    origin_id, created_at = _given(current.origin)
    return Identity(id=origin_id or current.capture_id, created_at=created_at or timestamp())


def identity_of(origin: Any) -> Identity | None:
    """Return the identity that `origin` gives whenever it is replayed; None where it lacks an id or a time."""
    origin_id, created_at = _given(origin)
    return None if origin_id is None or created_at is None else Identity(id=origin_id, created_at=created_at)


def as_text(moment: datetime) -> str:
    """Write a time as it is stored: ISO-8601 in UTC with microseconds; one without a zone is taken for UTC."""
    return _iso((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC))


def conversation_in_call() -> str:
    """Return the conversation that legacy began in the running call; outside of one, begin our own."""
    current = gnomon.call()
    begun = None if current is None else _field(current.origin, "conversation_id")
    return _id(begun) or str(uuid4())


def _given(origin: Any) -> tuple[str | None, str | None]:
    return _id(_field(origin, "id")), _utc(_field(origin, "created_at"))


def _field(origin: Any, name: str) -> object:
    # legacy's answer may be anything: a recorded one comes from a file
    return origin.get(name) if isinstance(origin, dict) else None


def _id(value: object) -> str | None:
    text = str(value) if isinstance(value, int) else value
    return text if isinstance(text, str) and is_key(text) else None


def _utc(value: object) -> str | None:
    """Bring another system's ISO time into our form; one without a zone is read as UTC."""
    if not isinstance(value, str):
        return None
    try:
        return as_text(datetime.fromisoformat(value))
    except (ValueError, OverflowError):
        return None


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds")
