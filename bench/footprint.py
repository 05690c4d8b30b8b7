"""How much of Redis a queued capture takes, beside its size as JSON."""

from collections.abc import Mapping
from statistics import fmean
from typing import Final, cast

import redis

from bench import operations
from bench.counts import lines
from gnomon import Gnomon

SPARSE: Final = 4_000  # captures, each of another user; a few hundred would not fill the nodes of 64 streams
_SAMPLED_ENTRIES: Final = 16  # of each lane
_FLUSH_S: Final = 30.0


def held_bytes(server: "redis.Redis") -> int:
    """Return what the server holds in keys and values, without its buffers and its own needs."""
    return int(cast("Mapping[str, int]", server.info("memory"))["used_memory_dataset"])


def json_bytes(server: "redis.Redis", namespace: str) -> float:
    """Return the mean size of the captures that wait in the lanes, as JSON."""
    return fmean(map(len, lines(server, namespace, _SAMPLED_ENTRIES)))


def sparse_bytes(server: "redis.Redis", redis_url: str) -> float:
    """Return what a capture takes that shares its entry with no other, as in quiet traffic; they are left behind."""
    client = Gnomon.from_env({"GNOMON_REDIS_URL": redis_url, "GNOMON_NAMESPACE": "bench-sparse"})
    recent = operations.register(client)
    recent("nobody", 0)  # what the lanes' own keys take is not what a capture takes
    client.flush(_FLUSH_S)
    before = held_bytes(server)
    for number in range(1, SPARSE + 1):
        recent(f"sparse-{number:04d}", number)
    client.flush(_FLUSH_S)
    held = held_bytes(server) - before
    client.close()
    return held / SPARSE
