"""Taken from the buffer and not yet in its lane: one frozen batch a lane, so that a retry is a repetition."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import Final

from gnomon.buffer import Buffered, CounterKey
from gnomon.hashing import user_digest
from gnomon.wire import pack

BATCH_CAPTURES: Final = 512  # one append: about 1 ms of Redis's time
PACK_CAPTURES: Final = 32  # more saves no memory (docs/performance.md)
PACK_BYTES: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class Entry:
    """One lane entry to be: captures of one user."""

    user_digest: str
    captures: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Batch:
    """What one append carries; its number makes a repetition harmless."""

    number: int
    entries: tuple[Entry, ...]
    counts: Counter[CounterKey]
    captures: int
    size_bytes: int
    low: int | None


@dataclass(slots=True)
class _Lane:
    waiting: list[Buffered] = field(default_factory=list)
    counts: Counter[CounterKey] = field(default_factory=Counter)
    frozen: Batch | None = None
    number: int = 0


class Outbox:
    """Batches by lane. Used by the daemon thread alone."""

    def __init__(self) -> None:
        self._lanes: defaultdict[int, _Lane] = defaultdict(_Lane)

    def put(self, items: Iterable[Buffered], counts: Counter[CounterKey]) -> None:
        """Take over what the buffer handed out."""
        for item in items:
            self._lanes[item.lane].waiting.append(item)
        for key, count in counts.items():
            self._lanes[key.lane].counts[key] += count

    def due(self) -> Iterator[tuple[int, Batch]]:
        """Yield each lane that has something to append, with its batch: the one that failed before, or a new one."""
        for number, lane in self._lanes.items():
            if lane.frozen is None and (lane.waiting or lane.counts):
                lane.frozen = _freeze(number, lane)
            if lane.frozen is not None:
                yield number, lane.frozen

    def done(self, lane: int) -> Batch | None:
        """Let go of a lane's batch: it is in the lane."""
        batch, self._lanes[lane].frozen = self._lanes[lane].frozen, None
        return batch

    @property
    def empty(self) -> bool:
        """Whether nothing waits."""
        return all(lane.frozen is None and not lane.waiting and not lane.counts for lane in self._lanes.values())

    @property
    def low(self) -> int | None:
        """The lowest mark of what waits, µs; None where nothing does."""
        lows = [item.low for lane in self._lanes.values() for item in lane.waiting]
        lows += [lane.frozen.low for lane in self._lanes.values() if lane.frozen and lane.frozen.low is not None]
        return min(lows, default=None)


def _freeze(number: int, lane: _Lane) -> Batch:
    items, lane.waiting = lane.waiting[:BATCH_CAPTURES], lane.waiting[BATCH_CAPTURES:]
    counts, lane.counts = lane.counts, Counter()
    for item in items:
        for counter in ("captured", "eligible"):
            counts[CounterKey(number, item.operation, item.epoch, counter)] += 1
    for key in [key for key in counts if key.counter not in ("captured", "eligible")]:
        counts[key._replace(counter="eligible")] += counts[key]
    lane.number += 1
    size_bytes = sum(len(item.line) for item in items)
    low = min((item.low for item in items), default=None)
    return Batch(lane.number, tuple(_entries(items)), counts, len(items), size_bytes, low)


def _entries(items: list[Buffered]) -> Iterator[Entry]:
    for user, of_user in groupby(sorted(items, key=lambda item: item.user), key=lambda item: item.user):
        for lines in _packs([item.line for item in of_user]):
            yield Entry(user_digest(user), len(lines), pack(lines))


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
