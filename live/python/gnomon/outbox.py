"""Taken from the buffer and on its way to its lane: one frozen batch a lane, so that a retry is a repetition.

What has arrived is kept for some seconds more: a Redis that restarts may have forgotten its last second, and is sent
that again. What a full lane refuses does not wait for room, for everybody would wait with it: it is shed.
"""

import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from typing import Final, NamedTuple

import msgspec

from gnomon.buffer import BESIDE, MISSED_SERVED, CounterKey, Taken
from gnomon.hashing import user_digest
from gnomon.live_call import Buffered
from gnomon.wire import Kind, pack

BATCH_CAPTURES: Final = 512  # one append: about 1 ms of Redis's time
PACK_CAPTURES: Final = 32  # more saves no memory (docs/performance.md)
PACK_BYTES: Final = 256 * 1024
KEEP_S: Final = 5.0  # Redis writes its log once a second, and under load waits another two for the disk
KEEP_BYTES: Final = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Entry:
    """One lane entry to be: captures of one user."""

    user_digest: str
    captures: int
    payload: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What one append carries; its number makes a repetition harmless.

    `first` is the number of its first entry, `counts` what was ever counted, as `operation|epoch|counter`.
    """

    number: int
    first: int
    entries: tuple[Entry, ...]
    counts: Mapping[str, int]
    gaps: dict[str, int]
    captures: int
    size_bytes: int
    low: int | None


@dataclass(frozen=True, slots=True)
class _Kept:
    """A batch that has arrived, and when."""

    at: float
    lane: int
    batch: Batch

    @property
    def size_bytes(self) -> int:
        return sum(len(entry.payload) for entry in self.batch.entries)


@dataclass(frozen=True, slots=True)
class _Drawn:
    """What a batch was made of: its captures, what it counts, and the gaps it tells."""

    items: list[Buffered]
    counts: Counter[CounterKey]
    gaps: dict[str, int]
    before: Counter[CounterKey]  #: of its counts, those that its captures are not in


class Refused(NamedTuple):
    """What a full lane did not get: so many captures, and their size."""

    captures: int
    size_bytes: int


@dataclass(slots=True)
class _Lane:
    waiting: list[Buffered] = field(default_factory=list)
    counts: Counter[CounterKey] = field(default_factory=Counter)
    gaps: dict[str, int] = field(default_factory=dict)
    frozen: Batch | None = None
    drawn: "_Drawn | None" = None  # what it was made of
    shifted_us: int = 0  # by how much the clock has been shifted since
    unsure_us: int = 0
    again: deque[Batch] = field(default_factory=deque)  # had arrived and was forgotten: before anything else
    totals: Counter[str] = field(default_factory=Counter)  # ever counted here
    recount: bool = False  # the next batch carries all of the totals
    number: int = 0
    entries: int = 0

    @property
    def empty(self) -> bool:
        return not (self.frozen or self.again or self.waiting or self.counts or self.gaps or self.recount)


class Outbox:
    """Batches by lane. Used by the daemon thread alone."""

    def __init__(self, line: Callable[[Buffered], bytes]) -> None:
        self._line = line
        self._lanes: defaultdict[int, _Lane] = defaultdict(_Lane)
        self._kept: deque[_Kept] = deque()
        self._kept_bytes = 0

    def put(self, taken: Taken) -> None:
        """Take over what the buffer handed out."""
        for item in taken.items:
            self._lanes[item.live.lane].waiting.append(item)
        for key, count in taken.counts.items():
            self._lanes[key.lane].counts[key] += count
        for (lane, digest), since in taken.gaps.items():
            gaps = self._lanes[lane].gaps
            gaps[digest] = min(since, gaps.get(digest, since))

    def shift(self, by_us: int, unsure_us: int = 0) -> None:
        """Move along, with the clock, what was stamped and is not written yet; `unsure_us` as for `Buffered`."""
        for lane in self._lanes.values():
            lane.waiting = [item.shifted(by_us, unsure_us) for item in lane.waiting]
            lane.gaps = {digest: since + by_us - unsure_us for digest, since in lane.gaps.items()}
            lane.shifted_us += by_us
            lane.unsure_us += unsure_us

    def due(self) -> Iterator[tuple[int, Batch]]:
        """Yield each lane that has something to append, with its batch: the one that failed before, or a new one."""
        for number, lane in self._lanes.items():
            if lane.again:
                yield number, lane.again[0]  # there was room for it before
                continue
            if lane.frozen is None and not lane.empty:
                lane.frozen = self._freeze(number, lane)
            if lane.frozen is not None:
                yield number, lane.frozen

    def done(self, number: int) -> Batch | None:
        """Let go of a lane's batch: it is in the lane. None where it had been there before."""
        lane = self._lanes[number]
        if lane.again:
            self._keep(number, lane.again.popleft())
            return None
        batch, lane.frozen, lane.drawn = lane.frozen, None, None
        if batch is not None:
            self._keep(number, batch)
        return batch

    def is_again(self, number: int, batch: Batch) -> bool:
        """Tell whether a batch of a lane had arrived before, and was forgotten."""
        again = self._lanes[number].again
        return bool(again) and again[0] is batch

    def refused(self, number: int) -> Refused:
        """Shed all that waits for a full lane: it is counted, writes open gaps, and nobody waits for it any more.

        The batch was not taken, so all of it can be counted anew.
        """
        lane = self._lanes[number]
        drawn = self._untaken(lane)
        for key, count in drawn.counts.items():
            if key.counter != "eligible":  # which follows from the others
                lane.counts[key._replace(counter="shed") if key.counter == "captured" else key] += count
        for item in lane.waiting:
            lane.counts[_key(number, item, "shed")] += 1
        for item in (*drawn.items, *lane.waiting):
            lane.counts.update(_missed(number, item))
        given_up = [*drawn.items, *lane.waiting]
        lost = [(user_digest(item.live.user), item.live.start) for item in given_up if _is_stored_write(item)]
        for digest, since in (*drawn.gaps.items(), *lost):
            lane.gaps[digest] = min(since, lane.gaps.get(digest, since))
        lane.waiting = []
        return Refused(len(given_up), sum(item.size_bytes for item in given_up))

    def returned(self, number: int) -> None:
        """Take a batch apart that was not taken because its stamps are of another time; what is in it waits again."""
        lane = self._lanes[number]
        drawn = self._untaken(lane)
        lane.counts.update(drawn.before)
        lane.waiting = [*(item.shifted(lane.shifted_us, lane.unsure_us) for item in drawn.items), *lane.waiting]
        for digest, since in drawn.gaps.items():
            since_us = since + lane.shifted_us - lane.unsure_us
            lane.gaps[digest] = min(since_us, lane.gaps.get(digest, since_us))

    def shifted_us(self, number: int) -> int:
        """Return by how much the clock was shifted since a lane's batch was written: it is of the time before."""
        return self._lanes[number].shifted_us

    @staticmethod
    def _untaken(lane: _Lane) -> _Drawn:
        """Undo the batch under way: its number and those of its entries are free, and what it counts counts anew."""
        frozen, drawn = lane.frozen, lane.drawn
        assert frozen is not None
        assert drawn is not None
        lane.number, lane.entries = lane.number - 1, lane.entries - len(frozen.entries)
        lane.totals.subtract({_name(key): count for key, count in drawn.counts.items()})
        lane.recount = True
        lane.frozen, lane.drawn = None, None
        return drawn

    def _keep(self, lane: int, batch: Batch) -> None:
        kept = _Kept(time.monotonic(), lane, batch)
        self._kept.append(kept)
        self._kept_bytes += kept.size_bytes
        while self._kept[0].at < kept.at - KEEP_S or self._kept_bytes > KEEP_BYTES:
            self._kept_bytes -= self._kept.popleft().size_bytes
            if not self._kept:
                break

    @property
    def sent(self) -> Mapping[int, int]:
        """The number of the last batch that arrived in each lane, of those where one did."""
        last = {number: lane.number - bool(lane.frozen) for number, lane in self._lanes.items()}
        return {number: batch for number, batch in last.items() if batch}

    def forgotten(self, known: Mapping[int, int]) -> dict[int, int]:
        """Send again what Redis has forgotten: `known` are the last batches it knows of.

        Returns the lanes that it has forgotten something of, with how many batches of each are sent again.
        """
        kept, self._kept, self._kept_bytes = self._kept, deque(), 0
        again: defaultdict[int, list[Batch]] = defaultdict(list)
        for one in kept:
            if one.batch.number > known.get(one.lane, one.batch.number):
                again[one.lane].append(one.batch)
            else:
                self._keep(one.lane, one.batch)
        lost = [number for number, batch in self.sent.items() if batch > known.get(number, batch)]
        for number in lost:
            lane = self._lanes[number]
            waiting = [batch for batch in lane.again if batch.number > known[number]]
            lane.again = deque(sorted([*again[number], *waiting], key=lambda batch: batch.number))
            lane.recount = True
        return {number: len(self._lanes[number].again) for number in lost}

    @property
    def empty(self) -> bool:
        """Whether nothing waits."""
        return all(lane.empty for lane in self._lanes.values())

    @property
    def low(self) -> int | None:
        """The lowest mark of what waits, µs; None where nothing does."""
        lows = [item.low for lane in self._lanes.values() for item in lane.waiting]
        lows += [since for lane in self._lanes.values() for since in lane.gaps.values()]
        under_way = [batch for lane in self._lanes.values() for batch in (lane.frozen, *lane.again) if batch]
        lows += [batch.low for batch in under_way if batch.low is not None]
        return min(lows, default=None)

    def _freeze(self, number: int, lane: _Lane) -> Batch:
        items, lane.waiting = lane.waiting[:BATCH_CAPTURES], lane.waiting[BATCH_CAPTURES:]
        counts, lane.counts = lane.counts, Counter()
        gaps, lane.gaps = lane.gaps, {}
        before = counts.copy()
        lines = self._lines(number, items, counts, gaps)
        for key in [key for key in counts if key.counter not in BESIDE]:
            counts[key._replace(counter="eligible")] += counts[key]
        lane.drawn = _Drawn(items, counts, gaps, before)
        lane.shifted_us = lane.unsure_us = 0
        entries = tuple(_entries(lines))
        lane.number, lane.entries = lane.number + 1, lane.entries + len(entries)
        return Batch(
            number=lane.number,
            first=lane.entries - len(entries) + 1,
            entries=entries,
            counts=_totals(lane, counts),
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
                counts.update(_missed(number, item))
                if _misses_a_write(item):
                    digest = user_digest(live.user)
                    gaps[digest] = min(live.start, gaps.get(digest, live.start))
            counts[_key(number, item, counter)] += 1
        return lines


def _totals(lane: _Lane, counts: Counter[CounterKey]) -> dict[str, int]:
    """Count on, and return what was ever counted of what has changed, or of everything."""
    changed = {_name(key): count for key, count in counts.items()}
    lane.totals.update(changed)
    names, lane.recount = (lane.totals if lane.recount else changed), False
    return {name: lane.totals[name] for name in names}


def _key(lane: int, item: Buffered, counter: str) -> CounterKey:
    return CounterKey(lane, item.live.binding.name, item.live.epoch, counter)


def _missed(lane: int, item: Buffered) -> list[CounterKey]:
    """Return what counts a call that is not captured after all beside where it ended."""
    return [_key(lane, item, MISSED_SERVED)] if item.live.served else []


def _name(key: CounterKey) -> str:
    return f"{key.operation}|{key.epoch}|{key.counter}"


def _misses_a_write(item: Buffered) -> bool:
    """Tell whether a capture that is lost was a write that enhanced does not have."""
    enhanced = item.enhanced
    has_it = enhanced is not msgspec.UNSET and enhanced.raised is msgspec.UNSET
    return item.live.binding.kind is Kind.WRITE and not has_it


def _is_stored_write(item: Buffered) -> bool:
    """Tell whether no read can be told any more that this write came between, whoever has it."""
    return item.live.binding.kind is Kind.WRITE and item.live.stored


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
