"""Moves users shadow → dual → served, one small step after another, and tells live processes how far they are.

On the data's way it stands beside the drains. What is next follows at every tick from what lies in Redis alone (see
`worker.steps`), and is stored by compare-and-set: an arbiter that dies anywhere, or two at once, do no harm.
"""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from secrets import token_hex
from typing import Any, Final, cast

import msgspec
import redis
import structlog

from gnomon import Gnomon
from gnomon.connecting import connect
from gnomon.flags import EnvironmentFlags
from gnomon.keys import Keys
from gnomon.readiness import EVERYBODY, Readiness, UserData
from gnomon.scripts import EXTEND, STORE
from gnomon.switchboard import read_flags
from worker.registry import clients
from worker.settings import WorkerSettings, settings
from worker.steps import Facts, Heartbeat, Step, Wanted, advance, excepted, pristine, trusted, wanted
from worker.verification import Panel, Together, Unready, Verification
from worker.whereabouts import raised_at

log = structlog.get_logger()

THREADS: Final = 8  # verifying is waiting for two databases
VERIFY_S: Final = 0.8  # of a tick: the next one, a second later, must find the lease free
LEASE_MS: Final = 15_000  # longer than a tick with an answer that never comes (worker.verification.PATIENCE_S)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What lay in Redis at one look."""

    readiness: Readiness
    wanted: Wanted
    facts: Facts
    exceptions: Mapping[str, int]


def look(server: "redis.Redis", keys: Keys, lanes: range, environment: EnvironmentFlags) -> Seen:
    """Read what is decided upon.

    Raises redis.RedisError, and FlagError or msgspec.MsgspecError where a document cannot be read.
    """
    heartbeats = _heartbeats(server, keys)  # first: whoever joins from here on begins with the documents read below
    now_us = Unready(server, keys).now_us()
    done_us = _done(server, keys, lanes)
    unready = cast("dict[bytes, bytes]", server.hgetall(keys.unready))
    document = cast("bytes | None", server.hget(keys.readiness, "document"))
    return Seen(
        readiness=msgspec.json.decode(document, type=Readiness) if document else Readiness(),
        wanted=wanted(read_flags(server, keys), environment),
        facts=Facts(heartbeats=heartbeats, now_us=now_us, done_us=min(done_us, default=now_us)),
        exceptions={digest.decode(): _number(since) for digest, since in unready.items() if digest != b"version"},
    )


def _heartbeats(server: "redis.Redis", keys: Keys) -> list[Heartbeat]:
    now_ms = Unready(server, keys).now_us() // 1_000
    alive = cast("list[bytes]", server.zrangebyscore(keys.producers, f"({now_ms}", "+inf"))
    pipeline = server.pipeline(transaction=False)
    for name in alive:
        pipeline.hmget(keys.producer(name.decode()), "flags", "readiness", "clock_error_us")
        pipeline.zscore(keys.watermarks, name)
    answers = pipeline.execute()
    return [_heartbeat(said, low) for said, low in zip(answers[::2], answers[1::2], strict=True)]


def _heartbeat(said: Sequence[bytes | None], watermark: float | None) -> Heartbeat:
    flags, readiness, clock_error_us = map(_number, said)
    return Heartbeat(flags=flags, readiness=readiness, clock_error_us=clock_error_us, watermark_us=int(watermark or 0))


def _number(text: bytes | None) -> int:
    """What a process does not say, or not well, is taken as nothing: it must not stop everybody."""
    return int(text) if text is not None and text.isdigit() else 0


def _done(server: "redis.Redis", keys: Keys, lanes: range) -> list[int]:
    """Return up to where each lane is replayed that holds anything, µs."""
    pipeline = server.pipeline(transaction=False)
    for lane in map(keys.lane, lanes):
        pipeline.xlen(lane.stream)
        pipeline.hget(lane.state, "done_us")
    answers = pipeline.execute()
    return [_number(done) for held, done in zip(answers[::2], answers[1::2], strict=True) if held]


def status(
    server: "redis.Redis", keys: Keys, *, lanes: range = range(64), environment: EnvironmentFlags | None = None
) -> dict[str, Any]:
    """Return how far the users are and what they wait for; `environment` is this process's where not given.

    Raises redis.RedisError, and FlagError or msgspec.MsgspecError where a document cannot be read.
    """
    seen = look(server, keys, lanes, EnvironmentFlags.from_env() if environment is None else environment)
    return {
        "dual_below": seen.readiness.dual_below,
        "ready_below": seen.readiness.ready_below,
        "dual_users": len(seen.readiness.dual),
        "ready_users": len(seen.readiness.ready),
        "exceptions": len(seen.exceptions),
        "everybody_excepted": EVERYBODY in seen.exceptions,
        "waiting": _waiting(seen),
    }


def _waiting(seen: Seen) -> str:
    """Name the first step that waits, going on as the arbiter would."""
    readiness, step = seen.readiness, advance(seen.readiness, seen.wanted, seen.facts)
    while isinstance(step, Readiness):
        readiness, step = step, advance(step, seen.wanted, seen.facts)
    if step is not Step.ACKNOWLEDGEMENT:
        return str(step)
    unaware = seen.facts.unaware(readiness)
    return f"acknowledgement by {unaware} process{'es' if unaware > 1 else ''}"


class Arbiter:
    """Looks, decides, acts; one for a process, its threads started at the first verification."""

    def __init__(
        self,
        server: "redis.Redis",
        keys: Keys,
        *,
        lanes: range,
        user_data: UserData | None = None,
        unverified: Sequence[str] = (),
        environment: EnvironmentFlags | None = None,
        threads: int = THREADS,
    ) -> None:
        self._server = server
        self._keys = keys
        self._lanes = lanes
        self._user_data = user_data
        self._unverified = unverified  # operations whose users nobody can verify; told once
        self._environment = environment or EnvironmentFlags()
        self._unready = Unready(server, keys)
        self._panel = Panel(threads)
        self._drained_us = 0

    @classmethod
    def of(cls, used: WorkerSettings) -> "Arbiter":
        """Make the arbiter of the operations that the settings name; raises ConfigurationError."""
        found = clients(used.operation_modules)
        return cls(
            connect(used.redis_url.get_secret_value()),
            Keys(used.namespace),
            lanes=range(used.lanes),
            user_data=_user_data(found),
            unverified=[name for client in found if client.user_data is None for name in client.operations],
            environment=EnvironmentFlags.from_env(),
        )

    def tick(self) -> Step | None:
        """Go on for about a second; returns what is waited for, None where another is at it or something failed.

        Never raises: the next tick begins where this one ended.
        """
        try:
            return self._tick_alone()
        except (redis.RedisError, OSError) as error:
            log.error("ready.interrupted", error=type(error).__name__)  # noqa: TRY400 — a word will do
        except Exception as error:  # an error of ours must not end the worker, and its message may hold a user id
            log.error("ready.failed", error=type(error).__name__, at=raised_at(error))  # noqa: TRY400
        return None

    def close(self) -> None:
        """Close the connections; threads end with what they do."""
        self._panel.close()
        self._server.close()

    def _tick_alone(self) -> Step | None:
        lease, token = self._keys.readiness_lease, token_hex(8)
        if not self._server.set(lease, token, nx=True, px=LEASE_MS):
            return None
        try:
            return self._tick()
        finally:
            self._server.eval(EXTEND, 1, lease, token, 0)  # for no time: given back, if it is still ours

    def _tick(self) -> Step | None:
        while True:
            seen = look(self._server, self._keys, self._lanes, self._environment)
            if self._except(seen):
                return None
            step = advance(seen.readiness, seen.wanted, seen.facts)
            if isinstance(step, Step):
                if step is Step.VERIFICATION:
                    self._verify(seen)
                return step
            if not self._store(seen.readiness, step):
                return None
            _tell(seen, step)

    def _store(self, before: Readiness, after: Readiness) -> bool:
        """Store `after` in the place of `before`; False where another arbiter was faster."""
        document = msgspec.json.encode(after)
        args = (self._keys.readiness, before.version, after.version, document, self._keys.changes)
        return bool(self._server.eval(STORE, 1, *args))

    def _except(self, seen: Seen) -> bool:
        """Write the exceptions that follow from the flags; True where there were any."""
        if EVERYBODY in seen.exceptions and pristine(seen.readiness):
            self._unready.clear([EVERYBODY], seen.facts.now_us)
        now_us = (
            seen.facts.now_us + seen.facts.clock_error_us
        )  # no older than what live processes have marked meanwhile
        marks = excepted(seen.readiness, seen.wanted, seen.exceptions, now_us)
        if marks:
            self._unready.put(marks)
        return bool(marks)

    def _verify(self, seen: Seen) -> None:
        self._tell_once(seen)
        if self._user_data is None:
            self._finish(seen, trusted(seen.readiness, seen.wanted), Counter(verified=0))
        elif stuck := self._panel.stuck:
            log.warning("ready.stuck", answers=stuck)
        else:
            self._verify_for_a_while(seen, self._user_data)

    def _tell_once(self, seen: Seen) -> None:
        if self._drained_us != seen.readiness.acknowledged_us:
            self._drained_us = seen.readiness.acknowledged_us
            log.info("ready.drained", lanes=len(self._lanes))
        if self._unverified:
            log.warning("ready.unverified", operations=sorted(self._unverified))
            self._unverified = ()

    def _verify_for_a_while(self, seen: Seen, user_data: UserData) -> None:
        verification = Verification(
            readiness=seen.readiness,
            enabled=seen.wanted.enabled,
            user_data=user_data,
            panel=self._panel,
            unready=self._unready,
            clock_error_us=seen.facts.clock_error_us,
        )
        try:
            verification.run(VERIFY_S)
        except Exception as error:  # the application's: what was verified before stands, the rest is tried again
            log.error("ready.interrupted", error=type(error).__name__)  # noqa: TRY400 — its message may hold a user id
        self._finish(seen, verification.readiness, verification.counts)

    def _finish(self, seen: Seen, after: Readiness, counts: Counter[str]) -> None:
        """Store how far verification has come, where it has."""
        after = msgspec.structs.replace(after, version=seen.readiness.version + 1)
        if _progress(after) != _progress(seen.readiness) and self._store(seen.readiness, after):
            complete = advance(after, seen.wanted, seen.facts) is Step.NONE
            log.info("ready.verified", complete=complete, ready_below=after.ready_below, **counts)


def _progress(readiness: Readiness) -> tuple[object, ...]:
    return readiness.ready_below, readiness.ready, readiness.cursor


def _user_data(found: Sequence[Gnomon]) -> UserData | None:
    parts = [client.user_data for client in found if client.user_data is not None]
    return Together(parts) if len(parts) > 1 else next(iter(parts), None)


def _tell(seen: Seen, after: Readiness) -> None:
    if after.asked == after.version:
        event = "ready.dual" if after.lowered == seen.readiness.lowered else "ready.lowered"
        log.info(event, dual_below=after.dual_below, users=len(after.dual))
    elif not seen.readiness.acknowledged_us and after.acknowledged_us:
        log.info("ready.acknowledged", processes=len(seen.facts.heartbeats))


_arbiters: dict[int, Arbiter] = {}


def arbiter() -> Arbiter:
    """Return this process's arbiter, made at the first tick; a fork makes its own."""
    if os.getpid() not in _arbiters:
        _arbiters[os.getpid()] = Arbiter.of(settings())
    return _arbiters[os.getpid()]
