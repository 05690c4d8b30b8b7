"""Parked captures that people want replayed again, as a batch of the lane that they came from.

They come behind everything: their users have gone on since. So a write is replayed, and puts its user into a gap until
that is verified; a read or generate call is `excluded: late`. What still cannot be read or replayed is parked again.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Final

import msgspec

from ledger import Finding, Hold, Ledger, Position, Retry
from worker.entries import LaneItem, item_of
from worker.journal import Journal
from worker.selection import Due, Selection, by_user

MOST: Final = 256  # in one batch: captures are at most a few KB, as a rule


class Retries:
    """What of one lane is to be replayed again, under one hold; what people ask for later is for the next."""

    def __init__(self, *, lane: int, hold: Hold, ledger: Ledger, journal: Journal) -> None:
        self._lane = lane
        self._ledger = ledger
        self._journal = journal
        self._waiting = hold.retrying > 0
        self._names: defaultdict[str, list[str]] = defaultdict(list)  # capture id → what it is kept under, of the batch

    def select(self, at: Position) -> Selection | None:
        """Return the next batch, which leaves the lane where it is; None where nothing is to be replayed again."""
        if not self._waiting:
            return None
        rows = self._ledger.retries(self._lane, MOST)
        self._waiting = len(rows) == MOST
        if not rows:
            return None
        items = [_item(row) for row in rows]
        self._names = defaultdict(list)
        for row, item in zip(rows, items, strict=True):
            self._names[_capture_id(item)].append(row.name)
        self._journal.forget(self._names)  # what was found before a person decided holds no more
        dues = [Due(item, late=True) for item in items]
        unreadable = [due for due in dues if due.item.capture is None]
        return Selection(after=at, by_user=by_user(dues), unreadable=unreadable, held=[], trim=None, count=len(dues))

    def settled(self, findings: Iterable[Finding]) -> tuple[Finding, ...]:
        """Return what came of a batch, each finding of one that was parked with the name that it was kept under."""
        names, self._names = self._names, defaultdict(list)
        return tuple(
            msgspec.structs.replace(found, unparks=kept.pop()) if (kept := names.get(found.capture_id)) else found
            for found in findings
        )


def _item(row: Retry) -> LaneItem:
    item = item_of(row.payload, (row.parked_us, row.name))
    # what cannot be read stays in the minute that it is counted in
    return item if item.capture is not None else msgspec.structs.replace(item, order=(row.called_us, row.name))


def _capture_id(item: LaneItem) -> str:
    return item.order[1] if item.capture is None else item.capture.id
