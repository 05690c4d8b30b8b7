"""Between the live call and the daemon thread: captures wait here, bounded by count and bytes.

It also knows the process's low watermark: nothing that this process will still append ends before it, and no write
that it will still append starts before it.
"""

import threading
from collections import Counter
from dataclasses import dataclass
from typing import Final, NamedTuple

from gnomon.clock import AlignedClock

WRITE_HOLDS_US: Final = 30_000_000  # a write in flight for longer stops holding everybody's replay back


class CounterKey(NamedTuple):
    """One figure of the funnel: which lane's, which operation's, which epoch's."""

    lane: int
    operation: str
    epoch: int
    counter: str


@dataclass(frozen=True, slots=True)
class Buffered:
    """One encoded capture on its way to its lane; `low` is what it holds the watermark to, µs."""

    lane: int
    operation: str
    epoch: int
    user: str
    line: bytes
    low: int


class Buffer:
    """Bounded, drop-newest, thread-safe; every method is short, for the live call waits on its lock."""

    def __init__(self, *, max_captures: int, max_bytes: int) -> None:
        self.clock = AlignedClock()
        self._max_captures = max_captures
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._items: list[Buffered] = []
        self._items_low: int | None = None
        self._counts: Counter[CounterKey] = Counter()
        self._open: dict[int, int] = {}
        self._next = 0
        self.captures = 0  #: waiting here or taken and not yet acknowledged
        self.size_bytes = 0  #: of those

    def begin(self, *, holds: bool) -> tuple[int, int]:
        """Stamp the start of a call and number it; one that `holds` (a write) keeps the watermark at its start."""
        with self._lock:
            self._next += 1
            start = self.clock.now_us()
            if holds:
                self._open[self._next] = start
            return self._next, start

    def end(self, number: int) -> int:
        """Stamp the end of a call and hold the watermark until it is offered or abandoned."""
        with self._lock:
            end = self.clock.now_us()
            self._open.setdefault(number, end)
            return end

    def abandon(self, number: int) -> None:
        """Let go of a call that will not be offered."""
        with self._lock:
            self._open.pop(number, None)

    def count(self, key: CounterKey) -> None:
        """Count an eligible call that ends elsewhere than in its lane."""
        with self._lock:
            self._counts[key] += 1

    def offer(self, number: int, item: Buffered) -> bool | None:
        """Take a capture. None: refused for want of room; True: the first since the buffer was last emptied."""
        with self._lock:
            self._open.pop(number, None)
            if self.captures >= self._max_captures or self.size_bytes + len(item.line) > self._max_bytes:
                return None
            self.captures += 1
            self.size_bytes += len(item.line)
            self._items.append(item)
            self._items_low = item.low if self._items_low is None else min(self._items_low, item.low)
            return len(self._items) == 1

    def take(self) -> tuple[list[Buffered], Counter[CounterKey]]:
        """Hand everything over; its room is free again only once `acknowledge` says so."""
        with self._lock:
            items, self._items, self._items_low = self._items, [], None
            counts, self._counts = self._counts, Counter()
            return items, counts

    @property
    def idle(self) -> bool:
        """Whether nothing waits here and everything taken was acknowledged."""
        with self._lock:
            return self.captures == 0 and not self._items and not self._counts

    def acknowledge(self, captures: int, size_bytes: int) -> None:
        """Free the room of captures that are in their lane, or given up."""
        with self._lock:
            self.captures -= captures
            self.size_bytes -= size_bytes

    def low_watermark(self, taken_low: int | None) -> int:
        """Return the low watermark, µs; `taken_low` is the lowest of what was taken and not yet appended."""
        with self._lock:
            now = self.clock.now_us()
            lows = [low for low in self._open.values() if low > now - WRITE_HOLDS_US]
            lows += [low for low in (self._items_low, taken_low) if low is not None]
            return min(lows, default=now)
