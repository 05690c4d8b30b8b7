"""Operations whose legacy side workers leave alone for a while: it hung, or cannot be asked from where workers run.

A pair is worth little, and a thread that never comes back costs a worker process; so what one process has found out,
all processes of the namespace heed, also the one that takes its place.
"""

import threading
import time
from contextlib import suppress
from typing import Final, cast

import redis

from gnomon.keys import Keys

REST_S: Final = 600.0  # six lost threads an hour and operation, at most
LOOK_S: Final = 10.0  # between two looks at what other processes have found
FAILURES: Final = 3  # in a row that legacy may raise where it had returned live


class Resting:
    """What is resting, in this process and, with a server, in all of them; used by many threads."""

    def __init__(self, server: "redis.Redis | None" = None, keys: Keys | None = None) -> None:
        self._redis = server
        self._key = keys.resting if keys is not None else ""
        self._lock = threading.Lock()
        self._until: dict[str, float] = {}  # operation → on the wall clock, which all hosts share well enough
        self._failures: dict[str, int] = {}
        self._looked = float("-inf")

    def is_resting(self, operation: str) -> bool:
        """Tell whether an operation is to be left alone."""
        with self._lock:
            due = time.monotonic() - self._looked > LOOK_S
            self._looked = time.monotonic() if due else self._looked
        if due:
            self._look()
        return self._until.get(operation, 0.0) > time.time()

    def rest(self, operation: str) -> None:
        """Leave an operation alone from now on."""
        until = time.time() + REST_S
        self._until[operation] = until
        self._failures.pop(operation, None)
        if self._redis is not None:
            with suppress(redis.RedisError, OSError):  # this process heeds it all the same
                self._redis.hset(self._key, operation, str(int(until * 1_000_000)))
                self._redis.expire(self._key, int(REST_S) + 1)

    def answered(self, operation: str) -> None:
        """Note that legacy returned."""
        self._failures.pop(operation, None)

    def failed(self, operation: str) -> None:
        """Note that legacy raised: several times in a row, and it is left alone."""
        failures = self._failures.get(operation, 0) + 1
        self._failures[operation] = failures
        if failures >= FAILURES:
            self.rest(operation)

    def _look(self) -> None:
        if self._redis is None:
            return
        with suppress(redis.RedisError, OSError, ValueError):
            found = cast("dict[bytes, bytes]", self._redis.hgetall(self._key))
            for name, until_us in found.items():
                operation = name.decode("utf-8", "replace")
                self._until[operation] = max(self._until.get(operation, 0.0), int(until_us) / 1_000_000)
