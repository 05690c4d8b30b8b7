"""What lies in a lane: entries, each with captures of one user, and lines that are none, which are named."""

from collections.abc import Iterator
from typing import Final

import msgspec

from gnomon.errors import WireError
from gnomon.readiness import EVERYBODY
from gnomon.wire import Capture, decode, unpack

MOST_CAPTURES: Final = 4_096  # in one entry; producers pack 32
LONGEST_NUMBER: Final = 19  # digits: below 2**63
LONGEST_PRODUCER: Final = 64
MOST_ERROR_US: Final = 1_000_000  # a process that says worse has not heard of Redis yet, and appends nothing
AHEAD_US: Final = 10_000_000  # a capture that claims to end later than it arrived, by more than clocks are apart
_DIGEST_CHARS: Final = 16

EntryId = tuple[int, int]


class LaneItem(msgspec.Struct, frozen=True, gc=False):
    """One capture in its lane, or a line that is none (`capture` None) with the reason.

    `misplaced`: what the capture says of its place cannot be, so it is where it arrived.
    """

    order: tuple[int, str]
    line: bytes
    capture: Capture | None = None
    reason: str = ""
    misplaced: bool = False


class LaneEntry(msgspec.Struct, frozen=True, gc=False):
    """One stream entry: captures of one user. `appended` counts the lane's bytes up to and with it.

    `sender` is who sent it, and its number among theirs; None where the entry does not say. `known`: it was read before
    the last commit, so what lies at or below the cut is done.
    """

    id: EntryId
    watermark: int
    appended: int
    items: tuple[LaneItem, ...]
    digest: str = ""  #: stands for the user; empty where the entry does not say
    sender: tuple[str, int] | None = None
    known: bool = False
    error_us: int = 0  #: how far from Redis's clock its captures may be stamped


def spelled(entry: EntryId) -> str:
    """Return an entry's id as Redis spells it."""
    return f"{entry[0]}-{entry[1]}"


def entry_of(raw_id: bytes, fields: dict[bytes, bytes]) -> LaneEntry:
    """Return a stream entry as what it holds; whoever wrote it, it is read."""
    ms, seq = map(int, raw_id.split(b"-"))
    items = tuple(_items(ms, f"{ms}-{seq}", fields))
    watermark, appended = _number(fields, b"w", 0), _number(fields, b"b", 0)
    digest, sender = digest_of(fields.get(b"u", b"")), _sender(fields.get(b"s", b""))
    error_us = min(_number(fields, b"e", 0), MOST_ERROR_US)
    return LaneEntry((ms, seq), watermark, appended, items, digest, sender, error_us=error_us)


def _sender(text: bytes) -> tuple[str, int] | None:
    producer, _, number = text.decode("utf-8", "replace").rpartition(":")
    named = 0 < len(producer) <= LONGEST_PRODUCER and number.isascii() and number.isdigit()
    return (producer, int(number)) if named and len(number) < LONGEST_NUMBER else None


def digest_of(text: bytes) -> str:
    """Return a user digest as it was written, `*` for everybody; empty where it is none."""
    if text == EVERYBODY.encode():
        return EVERYBODY
    return text.decode() if text.isalnum() and len(text) <= _DIGEST_CHARS else ""


def _number(fields: dict[bytes, bytes], name: bytes, otherwise: int) -> int:
    """What a foreign entry does not say is taken as nothing: it must not stop its lane."""
    text = fields.get(name, b"")
    return int(text) if text.isdigit() and len(text) < LONGEST_NUMBER else otherwise


def _items(ms: int, entry_id: str, fields: dict[bytes, bytes]) -> Iterator[LaneItem]:
    count = min(_number(fields, b"n", 1), MOST_CAPTURES)
    payload = fields.get(b"p", b"")
    try:
        lines = unpack(payload)
    except WireError as error:
        lines, reason = [], error.reason
    else:
        reason = "malformed"
    for place, line in enumerate(lines):
        yield item_of(line, (ms * 1_000, f"{entry_id}/{place}"))
    # what the entry says it holds and does not: each is accounted for
    for missing in range(len(lines), count):
        yield LaneItem((ms * 1_000, f"{entry_id}/{missing}"), payload, reason=reason)


def item_of(line: bytes, arrived: tuple[int, str]) -> LaneItem:
    """Return a line as the capture it is, or, in the place of its arrival, as one that cannot be read.

    A capture from the future has the place of its arrival too: nobody can wait for what it says.
    """
    try:
        capture = decode(line)
    except WireError as error:
        return LaneItem(arrived, line, reason=error.reason)
    if capture.end > arrived[0] + AHEAD_US:
        return LaneItem((arrived[0], capture.id), line, capture, misplaced=True)
    return LaneItem(capture.order, line, capture)
