"""A look at the live processes: how far they are, how well their clocks agree, which of them died, whom they may dual.

One question to Redis tells all of it, asked before lanes are read: whatever lies below the watermark it returns has
been appended by then, and so has every gap that begins below it.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, cast

import msgspec
import redis
from redis.exceptions import NoScriptError

from gnomon.flags import SHARE, SWITCHES, StoredFlags
from gnomon.keys import Keys
from gnomon.readiness import Readiness
from gnomon.scripts import BEAT, BEAT_LIFETIME_MS
from worker.entries import MOST_ERROR_US

ERROR_US: Final = 1_000  # of clocks that nobody has told the error of: hosts of one network agree better
ERROR_LIVES_S: Final = 1.0  # an error changes within minutes
DEAD_LIVE_MS: Final = 2 * 3_600_000  # as long as lanes remember whom a dead process captured
ROUNDING_US: Final = 100  # Lua spells a watermark with 14 digits
LOOK_S: Final = 0.05  # how old a look may be that lanes begin by: a beat is due every 0.25 s


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadProducer:
    """A live process that ended without saying goodbye. `buffered` captures, at its last beat, may be lost with it."""

    producer: str
    watermark: int
    died_ms: int
    host: str
    pid: str
    buffered: int

    @property
    def died_at(self) -> datetime:
        """When it was noticed, some 10 s after its last beat."""
        return datetime.fromtimestamp(self.died_ms / 1_000, UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What one look told. Times are µs on Redis's clock; `error_us` is how far two captures' clocks may be apart."""

    watermark: int  #: the lowest of the live processes; without any, now
    now_us: int
    alive: bool  #: whether there is any live process
    error_us: int
    dead: tuple[DeadProducer, ...]
    may_be_dual: bool  #: whether enhanced may be written live, as far as flags and readiness tell

    @property
    def cut_us(self) -> int:
        """Up to where captures may be replayed.

        Lower than the watermark by the clock error: a write whose start is stamped just above it may yet have
        overlapped a call whose end is stamped just below. Where no process is left, nothing more is coming.
        """
        return self.watermark - self.error_us if self.alive else self.watermark


class _LastWord(msgspec.Struct):
    watermark: float = 0
    died_ms: float = 0
    host: str = ""
    pid: str = ""
    buffered: float = 0


class Lookout:
    """Looks at the live processes of one namespace."""

    def __init__(self, server: "redis.Redis", keys: Keys) -> None:
        self._redis = server
        self._keys = keys
        self._beat = server.register_script(BEAT)
        self._known: list[bytes | str] = ["", "", ""]  # versions of flags, readiness and exceptions
        self._may_be_dual = False
        self._error_us = ERROR_US
        self._error_at = float("-inf")
        self._offset_us: int | None = None

    def look(self) -> Look:
        """Ask once."""
        sent_us = _monotonic_us()
        answer, dead = self._ask()
        seconds, micros, lowest, *documents = answer[:9]
        now_us = int(seconds) * 1_000_000 + int(micros)
        self._offset_us = now_us - sent_us  # no less than the true one, so a moment told by it is never too early
        self._take(documents)
        return Look(
            watermark=int(float(lowest)) if lowest else now_us,
            now_us=now_us,
            alive=bool(lowest),
            error_us=self._clock_error_us(alive=bool(lowest)),
            dead=tuple(_died(dead)),
            may_be_dual=self._may_be_dual,
        )

    def now_us(self) -> int:
        """Return Redis's time, or a little more, without asking it."""
        if self._offset_us is None:
            self.look()
        assert self._offset_us is not None
        return _monotonic_us() + self._offset_us

    def latest_us(self) -> int:
        """Ask for Redis's time; where it was set back since the last look, return what it would be."""
        seconds, micros = self._redis.time()
        return max(int(seconds) * 1_000_000 + int(micros), self.now_us())

    def is_young(self, within_s: float = BEAT_LIFETIME_MS / 1_000) -> bool:
        """Tell whether Redis has started so lately that others, such as live processes, may not have found it again.

        It tells its age by its clock, which may have been set since: nobody is younger than nothing.
        """
        return 0 <= int(self._redis.info("server")["uptime_in_seconds"]) <= within_s

    def dead(self) -> list[DeadProducer]:
        """Return the processes that died within the last two hours."""
        found = cast("dict[bytes, bytes]", self._redis.hgetall(self._keys.dead))
        return list(_died(found))

    def forget_dead(self) -> int:
        """Forget processes that died so long ago that nothing can be said of them any more; returns how many."""
        limit = self.look().now_us // 1_000 - DEAD_LIVE_MS
        gone = [found.producer for found in self.dead() if found.died_ms < limit]
        if gone:
            self._redis.hdel(self._keys.dead, *gone)
        return len(gone)

    def alive(self) -> list[str]:
        """Return the live processes by name."""
        seconds, _ = self._redis.time()
        alive = cast("list[bytes]", self._redis.zrangebyscore(self._keys.producers, seconds * 1_000, "+inf"))
        return [name.decode() for name in alive]

    def producers(self) -> list[dict[str, str]]:
        """Return the heartbeats of the live processes."""
        pipeline = self._redis.pipeline(transaction=False)
        for name in self.alive():
            pipeline.hgetall(self._keys.producer(name))
        return [{key.decode(): value.decode() for key, value in beat.items()} for beat in pipeline.execute()]

    def _ask(self) -> tuple[list[Any], dict[bytes, bytes]]:
        keys = self._keys
        shared = [keys.producers, keys.watermarks, keys.flags, keys.readiness, keys.unready, keys.dead, keys.metrics]
        names = [keys.producer(""), *shared, keys.pressure, keys.stock, keys.oldest, keys.heard]
        args = ["", 0, 0, *self._known, 0, 0]
        while True:
            pipeline = self._redis.pipeline()  # of one moment: whom the watermark does not wait for is among the dead
            pipeline.evalsha(self._beat.sha, len(names), *names, *args)
            pipeline.hgetall(keys.dead)
            try:
                answer, dead = pipeline.execute()
            except NoScriptError:  # a fresh Redis
                self._redis.script_load(BEAT)
            else:
                return answer, dead

    def _take(self, documents: list[Any]) -> None:
        flags_at, flags, ready_at, readiness, excepted_at, _ = documents
        dual = (flags and _flags_may_dual(flags)) or (readiness and _readiness_may_dual(readiness))
        self._may_be_dual = self._may_be_dual or bool(dual)  # who was dual once may be so for long after
        self._known = [flags_at, ready_at, excepted_at]

    def _clock_error_us(self, *, alive: bool) -> int:
        if not alive:
            return ERROR_US
        if time.monotonic() - self._error_at > ERROR_LIVES_S:
            self._error_at = time.monotonic()
            told = [int(beat["clock_error_us"]) for beat in self.producers() if "clock_error_us" in beat]
            # of two clocks one may be fast and the other slow
            self._error_us = 2 * min(max(told), MOST_ERROR_US) if told else ERROR_US
        return self._error_us


class Looks:
    """Looks of one drain: one serves all lanes that begin within a while, for what it promises of them stays true."""

    def __init__(self, lookout: Lookout) -> None:
        self._lookout = lookout
        self._look: Look | None = None
        self._until = 0.0

    def recent(self) -> Look:
        """Return the last look, or take one where that is too old."""
        return self._look if self._look is not None and time.monotonic() <= self._until else self.again()

    def again(self) -> Look:
        """Look now."""
        self._until = time.monotonic() + LOOK_S
        self._look = self._lookout.look()
        return self._look


def _monotonic_us() -> int:
    return time.monotonic_ns() // 1_000


def _died(found: Mapping[bytes, bytes]) -> Iterator[DeadProducer]:
    for name, said in found.items():
        with suppress(msgspec.MsgspecError, UnicodeDecodeError):  # what is no word of a process is nobody's death
            last = msgspec.json.decode(said, type=_LastWord)
            yield DeadProducer(
                producer=name.decode(),
                watermark=max(0, int(last.watermark) - ROUNDING_US),
                died_ms=int(last.died_ms),
                host=last.host,
                pid=last.pid,
                buffered=int(last.buffered),
            )


def _flags_may_dual(document: bytes) -> bool:
    """Tell whether any live process may dual-write by these flags; who was taken out again may be dual still."""
    try:
        flags = msgspec.json.decode(document, type=StoredFlags)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return True
    people = flags.enabled or flags.disabled or flags.segments
    return bool(people) or flags.lowered > 0 or flags.retired or _any_on(flags.flags)


def _any_on(flags: Mapping[str, Any]) -> bool:
    return bool(flags.get(SHARE)) or any(flags.get(name) for name in SWITCHES)


def _readiness_may_dual(document: bytes) -> bool:
    try:
        readiness = msgspec.json.decode(document, type=Readiness)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return True
    return bool(readiness.dual_below or readiness.dual)
