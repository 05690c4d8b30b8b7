"""Taken from the buffer and not yet in its lane: one frozen batch a lane, so that a retry is a repetition."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from typing import Final

import msgspec

from gnomon.buffer import CounterKey, Taken
from gnomon.hashing import user_digest
from gnomon.live_call import Buffered
from gnomon.wire import Kind, pack

BATCH_CAPTURES: Final = 512  # one append: about 1 ms of Redis's time
PACK_CAPTURES: Final = 32  # more saves no memory (docs/performance.md)
PACK_BYTES: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class Entry:
    """One lane entry to be: captures of one user."""

    user_digest: str
    captures: int
    payload: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What one append carries; its number makes a repetition harmless."""

    number: int
    entries: tuple[Entry, ...]
    counts: Counter[CounterKey]
    gaps: dict[str, int]
    captures: int
    size_bytes: int
    low: int | None


@dataclass(slots=True)
class _Lane:
    waiting: list[Buffered] = field(default_factory=list)
    counts: Counter[CounterKey] = field(default_factory=Counter)
    gaps: dict[str, int] = field(default_factory=dict)
    frozen: Batch | None = None
    number: int = 0

    @property
    def empty(self) -> bool:
        return not (self.frozen or self.waiting or self.counts or self.gaps)


class Outbox:
    """Batches by lane. Used by the daemon thread alone."""

    def __init__(self, line: Callable[[Buffered], bytes]) -> None:
        self._line = line
        self._lanes: defaultdict[int, _Lane] = defaultdict(_Lane)

    def put(self, taken: Taken) -> None:
        """Take over what the buffer handed out."""
        for item in taken.items:
            self._lanes[item.live.lane].waiting.append(item)
        for key, count in taken.counts.items():
            self._lanes[key.lane].counts[key] += count
        for (lane, digest), since in taken.gaps.items():
            gaps = self._lanes[lane].gaps
            gaps[digest] = min(since, gaps.get(digest, since))

    def due(self) -> Iterator[tuple[int, Batch]]:
        """Yield each lane that has something to append, with its batch: the one that failed before, or a new one."""
        for number, lane in self._lanes.items():
            if lane.frozen is None and not lane.empty:
                lane.frozen = self._freeze(number, lane)
            if lane.frozen is not None:
                yield number, lane.frozen

    def done(self, lane: int) -> Batch | None:
        """Let go of a lane's batch: it is in the lane."""
        batch, self._lanes[lane].frozen = self._lanes[lane].frozen, None
        return batch

    @property
    def empty(self) -> bool:
        """Whether nothing waits."""
        return all(lane.empty for lane in self._lanes.values())

    @property
    def low(self) -> int | None:
        """The lowest mark of what waits, µs; None where nothing does."""
        lows = [item.low for lane in self._lanes.values() for item in lane.waiting]
        lows += [since for lane in self._lanes.values() for since in lane.gaps.values()]
        lows += [lane.frozen.low for lane in self._lanes.values() if lane.frozen and lane.frozen.low is not None]
        return min(lows, default=None)

    def _freeze(self, number: int, lane: _Lane) -> Batch:
        items, lane.waiting = lane.waiting[:BATCH_CAPTURES], lane.waiting[BATCH_CAPTURES:]
        counts, lane.counts = lane.counts, Counter()
        gaps, lane.gaps = lane.gaps, {}
        lines = self._lines(number, items, counts, gaps)
        for key in [key for key in counts if key.counter != "eligible"]:
            counts[key._replace(counter="eligible")] += counts[key]
        lane.number += 1
        return Batch(
            number=lane.number,
            entries=tuple(_entries(lines)),
            counts=counts,
            gaps=gaps,
            captures=len(items),
            size_bytes=sum(item.size_bytes for item in items),
            low=min([*(item.low for item in items), *gaps.values()], default=None),
        )

    def _lines(
        self, number: int, items: list[Buffered], counts: Counter[CounterKey], gaps: dict[str, int]
    ) -> list[tuple[str, bytes]]:
        """Return captures as lines with their user; what turns out to have no form is counted, and opens a gap."""
        lines: list[tuple[str, bytes]] = []
        for item in items:
            live, counter = item.live, "captured"
            try:
                lines.append((live.user, self._line(item)))
            except Exception:  # whatever is wrong with one capture, the others go on
                counter = "unserialisable"
                if _misses_a_write(item):
                    digest = user_digest(live.user)
                    gaps[digest] = min(live.start, gaps.get(digest, live.start))
            counts[CounterKey(number, live.binding.name, live.epoch, counter)] += 1
        return lines


def _misses_a_write(item: Buffered) -> bool:
    """Tell whether a capture that is lost was a write that enhanced does not have."""
    enhanced = item.enhanced
    has_it = enhanced is not msgspec.UNSET and enhanced.raised is msgspec.UNSET
    return item.live.binding.kind is Kind.WRITE and not has_it


def _entries(lines: list[tuple[str, bytes]]) -> Iterator[Entry]:
    for user, of_user in groupby(sorted(lines, key=itemgetter(0)), key=itemgetter(0)):
        for packed in _packs([line for _, line in of_user]):
            yield Entry(user_digest(user), len(packed), pack(packed))


def _packs(lines: list[bytes]) -> Iterator[list[bytes]]:
    held: list[bytes] = []
    size = 0
    for line in lines:
        if held and (len(held) == PACK_CAPTURES or size + len(line) > PACK_BYTES):
            yield held
            held, size = [], 0
        held.append(line)
        size += len(line)
    if held:
        yield held
