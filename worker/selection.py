"""Decides which captures of a lane may be replayed now, and where the lane stands when they are: pure.

A capture is done when its entry's id is at or below the position's and its order is at or below the position's cut.
Below a watermark is not a prefix of arrival, so entries above the cut stay, and a newer entry below it is late.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from ledger import Position
from worker.lanes import EntryId, LaneEntry, LaneItem


@dataclass(frozen=True, slots=True)
class Due:
    """A capture to be dealt with; `late` when it arrived behind the cut."""

    item: LaneItem
    late: bool


@dataclass(frozen=True, slots=True)
class Selection:
    """What one commit of a lane will cover."""

    after: Position
    by_user: dict[str, list[Due]]
    unreadable: list[Due]
    #: entries that still hold something above the cut
    held: list[LaneEntry]
    #: where the stream can be cut off once committed, and the bytes appended up to there; None to keep all
    trim: tuple[EntryId, int] | None
    count: int = field(default=0)


def select(entries: list[LaneEntry], before: Position, cut_us: int, *, limit: int | None = None) -> Selection:
    """Split `entries`, all that were read and are not done, at the cut, or lower: `limit` bounds one commit."""
    allowed = max(before.cut, (cut_us, ""))
    orders = sorted(found.item.order for entry in entries for found in _due(entry, before, allowed))[:limit]
    # no higher than what is done: what arrives below the watermark and above all that was replayed is not late
    cut = max([before.cut, *orders[-1:]])
    read = max([before.read, *(entry.id for entry in entries)])
    held = [entry for entry in entries if any(item.order > cut for item in entry.items)]
    due = [found for entry in entries for found in _due(entry, before, cut)]
    return Selection(
        after=Position(read, cut),
        by_user=_by_user(due),
        unreadable=[found for found in due if found.item.capture is None],
        held=held,
        trim=_trim(entries, held),
        count=len(due),
    )


def _due(entry: LaneEntry, before: Position, cut: tuple[int, str]) -> Iterable[Due]:
    known = entry.id <= before.read
    for item in entry.items:
        behind = item.order <= before.cut
        if item.order <= cut and not (known and behind):
            yield Due(item, late=behind)


def _by_user(due: Iterable[Due]) -> dict[str, list[Due]]:
    users: defaultdict[str, list[Due]] = defaultdict(list)
    for found in due:
        if found.item.capture is not None:
            users[found.item.capture.user].append(found)
    for of_user in users.values():
        of_user.sort(key=lambda found: found.item.order)
    return dict(users)


def _trim(entries: list[LaneEntry], held: list[LaneEntry]) -> tuple[EntryId, int] | None:
    """Only what lies before the oldest entry not done may go: what lies behind it stays until that is done."""
    oldest = held[0].id if held else None
    gone = [entry for entry in entries if oldest is None or entry.id < oldest]
    if not gone:
        return None
    ms, seq = gone[-1].id
    return (oldest or (ms, seq + 1), gone[-1].appended)
