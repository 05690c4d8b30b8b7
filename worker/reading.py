"""Reading a lane on: as far as is worth it for a batch, or until no write can be unread that began before a moment."""

from typing import Final

from ledger import Position
from worker.lane_entries import LaneEntries
from worker.lanes import LaneStore
from worker.selection import select

READ_ENTRIES: Final = 64  # in one go: at most 16 MB of packs
READ_CAPTURES: Final = 512  # then there is enough for one commit, of 5 ms; in quiet traffic an entry holds one
READ_BYTES: Final = 8 * 1024 * 1024  # or then, where captures are large


class Reader:
    """Reads one lane into what is known of it; `at_end`: there was nothing behind what was read last."""

    def __init__(self, number: int, lanes: LaneStore, entries: LaneEntries) -> None:
        self._number = number
        self._lanes = lanes
        self._entries = entries
        self.at_end = False

    def read_on(self, wanted_us: int, error_us: int, position: Position) -> tuple[int, bool]:
        """Read what is new, always through the position; return the cut that holds for what was read, and of gaps.

        It lies below by the error of the clocks that stamped what was read, where that is more than the one given, so
        whatever is told to be due here is due for whoever asks: else the same would be read again and again. Bounded
        by the lane's byte cap alone: while a watermark holds everything back, only the end of the stream shows how far
        it may go.
        """
        entries = self._entries
        captures = size_bytes = 0
        while True:
            page = self._lanes.read(self._number, entries.last, READ_ENTRIES)
            entries.take(page.entries)
            self.at_end = len(page.entries) < READ_ENTRIES
            wider_us = max(0, entries.error_us - error_us)
            if self.at_end:
                return wanted_us - wider_us, page.gaps
            captures += sum(len(entry.items) for entry in page.entries)
            size_bytes += sum(len(item.line) for entry in page.entries for item in entry.items)
            if entries.disordered or (captures < READ_CAPTURES and size_bytes < READ_BYTES):
                continue
            # entries are left unread: below the promise that the newest one read carries, none of them can lie
            promised = min(wanted_us, entries.watermark - error_us) - wider_us
            if entries.last >= position.read and select(entries.waiting, position, promised).count:
                return promised, page.gaps

    def read_to(self, moment_us: int, error_us: int) -> bool:
        """Read on until no write is unread that began before a moment; returns whether there are gaps."""
        while True:
            page = self._lanes.read(self._number, self._entries.last, READ_ENTRIES)
            self._entries.take(page.entries)
            if len(page.entries) < READ_ENTRIES:
                return page.gaps
            if not self._entries.disordered and self._entries.watermark - error_us >= moment_us:
                return page.gaps
