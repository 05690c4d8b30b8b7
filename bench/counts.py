"""Where the captured calls went, as Redis tells it, and whether that adds up."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final, cast

import redis

from bench.measuring import BenchError
from gnomon.keys import Keys
from gnomon.wire import decode, unpack
from worker.senders import Senders

LANES: Final = 64
DROPS: Final = ("not_sampled", "unserialisable", "oversize", "shed", "publish_failed")
ENDS: Final = (*DROPS, "captured")


def funnel(redis_url: str, namespace: str) -> Counter[str]:
    """Return the funnel's counters, summed over lanes, operations and epochs."""
    sums: Counter[str] = Counter()
    with redis.Redis.from_url(redis_url) as server:
        senders = Senders(server, Keys(namespace))
        for told in senders.changed(range(LANES)).sent.values():
            for sent in told.values():
                for name, count in sent.counts.items():
                    sums[name.rpartition("|")[2]] += count
    return sums


def captured_ids(redis_url: str, namespace: str) -> list[str]:
    """Return the id of every capture that lies in a lane."""
    with redis.Redis.from_url(redis_url) as server:
        return [decode(line).id for line in lines(server, namespace)]


def lines(server: "redis.Redis", namespace: str, entries: int | None = None) -> Iterator[bytes]:
    """Yield the captures that lie in the lanes, of so many entries of each, as they were encoded."""
    for lane in range(LANES):
        found = server.xrange(Keys(namespace).lane(lane).stream, count=entries)
        for _, fields in cast("list[tuple[bytes, dict[bytes, bytes]]]", found):
            yield from unpack(fields[b"p"])


def check(name: str, *, made: int, told: Mapping[str, int], counted: Mapping[str, int]) -> None:
    """See that every call made ended in exactly one place, by Redis's funnel (`counted`) and by the client (`told`).

    Raises BenchError.
    """
    ends = {end: counted.get(end, 0) for end in ENDS}
    if made != counted.get("eligible", 0) or made != sum(ends.values()):
        raise BenchError(f"{name}: {made} calls made, {counted.get('eligible', 0)} eligible, which ended as {ends}")
    if other := {end: told.get(end, 0) for end in ENDS if told.get(end, 0) != ends[end]}:
        raise BenchError(f"{name}: the client counted {other}, Redis {ends}")


def check_lanes(name: str, ids: list[str], counted: Mapping[str, int]) -> None:
    """See that what is counted as captured lies in a lane, once. Raises BenchError."""
    if not len(ids) == len(set(ids)) == counted.get("captured", 0):
        captured, distinct = counted.get("captured", 0), len(set(ids))
        raise BenchError(f"{name}: {captured} counted as captured, {distinct} in lanes, {len(ids)} with doubles")
