"""What lies in a lane: entries, each with captures of one user, and lines that are none, which are named."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from gnomon.errors import WireError
from gnomon.readiness import EVERYBODY
from gnomon.wire import Capture, decode, unpack

MOST_CAPTURES: Final = 4_096  # in one entry; producers pack 32
LONGEST_NUMBER: Final = 19  # digits: below 2**63
_DIGEST_CHARS: Final = 16

EntryId = tuple[int, int]


@dataclass(frozen=True, slots=True)
class LaneItem:
    """One capture in its lane, or a line that is none (`capture` None) with the reason."""

    order: tuple[int, str]
    line: bytes
    capture: Capture | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class LaneEntry:
    """One stream entry: captures of one user. `appended` counts the lane's bytes up to and with it."""

    id: EntryId
    watermark: int
    appended: int
    items: tuple[LaneItem, ...]
    digest: str = ""  #: stands for the user; empty where the entry does not say


def spelled(entry: EntryId) -> str:
    """Return an entry's id as Redis spells it."""
    return f"{entry[0]}-{entry[1]}"


def entry_of(raw_id: bytes, fields: dict[bytes, bytes]) -> LaneEntry:
    """Return a stream entry as what it holds; whoever wrote it, it is read."""
    ms, seq = map(int, raw_id.split(b"-"))
    items = tuple(_items(ms, f"{ms}-{seq}", fields))
    watermark, appended = _number(fields, b"w", 0), _number(fields, b"b", 0)
    return LaneEntry((ms, seq), watermark, appended, items, digest_of(fields.get(b"u", b"")))


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
        yield _item(line, (ms * 1_000, f"{entry_id}/{place}"))
    # what the entry says it holds and does not: each is accounted for
    for missing in range(len(lines), count):
        yield LaneItem((ms * 1_000, f"{entry_id}/{missing}"), payload, reason=reason)


def _item(line: bytes, arrived: tuple[int, str]) -> LaneItem:
    """Return a line as the capture it is, or, in the place of its arrival, as one that cannot be read."""
    try:
        capture = decode(line)
    except WireError as error:
        return LaneItem(arrived, line, reason=error.reason)
    return LaneItem(capture.order, line, capture)
