"""What live processes say they have sent to the lanes: their own counters, which outlive whatever Redis forgets."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, cast

import redis

from gnomon.keys import Keys
from gnomon.scripts import STOCK
from ledger import Sent
from worker.entries import EntryId, spelled

MOST_ENTRIES: Final = 20_000  # of a lane that are looked through at once: some 50 ms of Redis's time


@dataclass(frozen=True, slots=True)
class Told:
    """What has changed since it was last taken in: by lane and process; and the marks by which that is known."""

    sent: dict[int, dict[str, Sent]] = field(default_factory=dict)
    marks: dict[int, dict[str, float]] = field(default_factory=dict)

    def of(self, lane: int) -> dict[str, Sent]:
        """Return what concerns one lane."""
        return self.sent.get(lane, {})

    def only(self, lanes: Collection[int]) -> "Told":
        """Return what concerns these lanes."""
        kept = {lane: marks for lane, marks in self.marks.items() if lane in lanes}
        return Told({lane: sent for lane, sent in self.sent.items() if lane in lanes}, kept)


class Stock(NamedTuple):
    """What a lane holds, of one moment: entries, captures in those asked for (None: too many), and all sent."""

    entries: int
    captures: int | None
    sent: dict[str, Sent]


class Senders:
    """Asks Redis; remembers what this process has taken into the ledger already."""

    def __init__(self, server: "redis.Redis", keys: Keys) -> None:
        self._redis = server
        self._keys = keys
        self._stock = server.register_script(STOCK)
        self._taken: dict[int, dict[str, float]] = {}

    def changed(self, lanes: Iterable[int]) -> Told:
        """Return what processes have sent to these lanes, where that has changed."""
        asked = list(lanes)
        marks = self._marks(asked)
        fresh = [
            (lane, producer)
            for lane in asked
            for producer, mark in marks[lane].items()
            if self._taken.get(lane, {}).get(producer) != mark
        ]
        pipeline = self._redis.pipeline(transaction=False)
        for lane, producer in fresh:
            pipeline.hgetall(self._keys.lane(lane).sender(producer))
        sent: defaultdict[int, dict[str, Sent]] = defaultdict(dict)
        for (lane, producer), fields in zip(fresh, pipeline.execute(), strict=True):
            sent[lane][producer] = _sent(fields)
        return Told(dict(sent), marks)

    def taken(self, told: Told) -> None:
        """Note that this is in the ledger."""
        self._taken |= told.marks

    def stock(self, lane: int, after: EntryId = (0, 0)) -> Stock:
        """Return what lies in a lane behind an entry, and all that was ever sent to it."""
        keys = self._keys.lane(lane)
        args: list[str | int] = [keys.sender(""), f"({spelled(after)}", MOST_ENTRIES]
        entries, captures, *told = cast("list[Any]", self._stock(keys=[keys.stream, keys.senders], args=args))
        named = zip(told[::2], told[1::2], strict=True)
        sent = {name.decode("utf-8", "replace"): _sent(_paired(flat)) for name, flat in named}
        return Stock(entries, None if captures < 0 else captures, sent)

    def _marks(self, lanes: Sequence[int]) -> dict[int, dict[str, float]]:
        pipeline = self._redis.pipeline(transaction=False)
        for lane in lanes:
            pipeline.zrange(self._keys.lane(lane).senders, 0, -1, withscores=True)
        answers = pipeline.execute()
        return {
            lane: {name.decode("utf-8", "replace"): mark for name, mark in found}
            for lane, found in zip(lanes, answers, strict=True)
        }


def _paired(flat: Any) -> dict[bytes, bytes]:
    """Return a hash as a client of either protocol answers it from a script."""
    return dict(flat) if isinstance(flat, dict) else dict(zip(flat[::2], flat[1::2], strict=True))


def _sent(fields: Mapping[bytes, bytes]) -> Sent:
    counts = {
        name.decode("utf-8", "replace"): int(count)
        for name, count in fields.items()
        if b"|" in name and count.isdigit()
    }
    entries = fields.get(b"entries", b"0")
    return Sent(int(entries) if entries.isdigit() else 0, counts)
