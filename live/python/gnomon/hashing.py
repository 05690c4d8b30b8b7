"""Stable hashes of users: the same user, the same lane, bucket, sample and cluster, in every process and language.

Each is the first 8 bytes, big-endian, of SHA-1 over `salt.user`, modulo the size; one salt for each purpose, frozen,
so that no choice correlates with another. Golden vectors: `live/wire/hashes.json`.
"""

from functools import lru_cache
from hashlib import sha1
from typing import Final

LANE_SALT: Final = "gnomon.lane"
BUCKET_SALT: Final = "gnomon.rollout"
SAMPLE_SALT: Final = "gnomon.sample"
CLUSTER_SALT: Final = "gnomon.cluster"
SHED_SALT: Final = "gnomon.shed"
DIGEST_SALT: Final = "gnomon.user"

BUCKETS: Final = 100_000
SAMPLES: Final = 1_000_000
CLUSTERS: Final = 256
SHED_PLACES: Final = 1_000_000
REMEMBERED: Final = 8_192  # users: a live process sees the same ones again within seconds


def stable_hash(salt: str, user: str, size: int) -> int:
    """Return the place of `user` among `size` places under `salt`, from 0."""
    # surrogatepass: a user id with a lone surrogate must still have one place, not raise on the live path
    return int.from_bytes(sha1(f"{salt}.{user}".encode("utf-8", "surrogatepass")).digest()[:8], "big") % size  # noqa: S324


@lru_cache(REMEMBERED)
def lane_of(user: str, lanes: int) -> int:
    """Return the lane that all captures of `user` go to."""
    return stable_hash(LANE_SALT, user, lanes)


@lru_cache(REMEMBERED)
def bucket_of(user: str) -> int:
    """Return the rollout bucket of `user`: served when below its flag's share of 100,000."""
    return stable_hash(BUCKET_SALT, user, BUCKETS)


def sampled(user: str, rate: float) -> bool:
    """Tell whether `user` is within the sampled share `rate` (0 to 1); raising the rate only adds users."""
    return rate >= 1 or stable_hash(SAMPLE_SALT, user, SAMPLES) < rate * SAMPLES


def cluster_of(user: str) -> int:
    """Return the hash group of `user` in the gate's statistics."""
    return stable_hash(CLUSTER_SALT, user, CLUSTERS)


@lru_cache(REMEMBERED)
def user_digest(user: str) -> str:
    """Return 16 hexadecimal digits that stand for `user` wherever the id itself must not appear."""
    return sha1(f"{DIGEST_SALT}.{user}".encode("utf-8", "surrogatepass")).hexdigest()[:16]  # noqa: S324
