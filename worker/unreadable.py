"""What comes of a line that is no capture: it is parked, and counted where it says that it belongs."""

from typing import Annotated

import msgspec

from gnomon.wire import Name
from ledger import Finding, Outcome
from worker.selection import Due


def unreadable(due: Due) -> Finding:
    """Return the finding of a line that is no capture."""
    said = _said(due.item.line)
    return Finding(
        capture_id=due.item.order[1],
        operation=said.op,
        epoch=said.epoch,
        user=said.user,
        called_at_us=due.item.order[0],
        outcome=Outcome.PARKED,
        reason=due.item.reason,
        payload=due.item.line,
    )


class _Said(msgspec.Struct):
    """What an unreadable line may still say of itself, so that it is counted where it belongs."""

    op: Name = "unknown"
    epoch: Annotated[int, msgspec.Meta(ge=0, le=2**31)] = 0
    user: str = ""


def _said(line: bytes) -> _Said:
    try:
        return msgspec.json.decode(line, type=_Said)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return _Said()
