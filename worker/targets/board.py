"""What worker processes tell each other, and people, of their targets: a document of each in Redis, once a second.

A process that finds a target down spares its siblings on the host, and the process that takes its place, from finding
that out by failing. Other hosts look for themselves: their way to the target is another one.
"""

import os
import socket
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, Final, cast

import msgspec
import redis

from gnomon.keys import Keys
from worker.targets.breaker import BreakerState
from worker.targets.guard import Guard, Guards, TargetFacts

EVERY_S: Final = 1.0
LIFETIME_MS: Final = 60_000  # twice the longest wait between two tries


class _Told(msgspec.Struct, frozen=True, kw_only=True):
    """A target as a process has it; moments in s on the host's monotonic clock."""

    facts: TargetFacts
    opened_at: float = 0.0
    closed_at: float = 0.0
    retry_at: float = 0.0
    wait_s: float = 0.0


class _Document(msgspec.Struct, frozen=True, kw_only=True):
    host: str
    boot: str
    pid: int
    targets: tuple[_Told, ...]


class Telling(msgspec.Struct, frozen=True, kw_only=True):
    """What one process tells of one target."""

    host: str
    pid: int
    facts: TargetFacts
    opened_at: float = 0.0  #: on the monotonic clock of its host
    closed_at: float = 0.0


class Board:
    """Where one process writes, and reads what the others of its host wrote."""

    def __init__(self, server: "redis.Redis", keys: Keys) -> None:
        self._redis = server
        self._keys = keys
        self._host, self._boot, self._pid = socket.gethostname(), boot_id(), os.getpid()
        self._name = f"{self._host}/{self._pid}"
        self._next = 0.0

    def exchange(self, guards: Guards) -> None:
        """Tell and hear, where it is time to."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + EVERY_S
        told = tuple(_told(guard) for guard in guards.all if guard.calls or not guard.is_closed)
        if told:
            self._tell(told)
        for document in read_documents(self._redis, self._keys, of=f"{self._host}/"):
            if document.boot == self._boot and document.pid != self._pid:
                _hear(document.targets, guards)
                self._bury(document)

    def _tell(self, told: tuple[_Told, ...]) -> None:
        document = _Document(host=self._host, boot=self._boot, pid=self._pid, targets=told)
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.set(self._keys.targets(self._name), msgspec.json.encode(document), px=LIFETIME_MS)
        pipeline.sadd(self._keys.workers, self._name)
        pipeline.execute()

    def _bury(self, document: _Document) -> None:
        """Forget a process of this host that has ended: what it knew is known now, and told on."""
        try:
            os.kill(document.pid, 0)
        except ProcessLookupError:
            self._redis.delete(self._keys.targets(f"{document.host}/{document.pid}"))
        except PermissionError:  # somebody else's: it is there
            return


def _told(guard: Guard) -> _Told:
    breaker = guard.breaker
    return _Told(
        facts=guard.facts(),
        opened_at=max(0.0, breaker.opened_at),
        closed_at=max(0.0, breaker.closed_at),
        retry_at=breaker.retry_at,
        wait_s=breaker.wait_s,
    )


def _hear(told: Iterable[_Told], guards: Guards) -> None:
    for one in told:
        guard = guards.named(one.facts.target)
        if guard is None:
            continue
        if one.facts.state is not BreakerState.CLOSED:
            guard.learn(one.opened_at, one.retry_at, one.wait_s, one.facts.reason)
        elif one.closed_at:
            guard.hurry(one.closed_at)


def boot_id() -> str:
    """Return what names this run of the host's kernel: its monotonic clock means something only there."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:  # noqa: PTH123 — one line
            return file.read().strip()
    except OSError:
        return ""


def read_documents(server: "redis.Redis", keys: Keys, *, of: str = "") -> list[_Document]:
    """Return what is told by processes whose names begin so; the names of those that are long gone are removed."""
    names = sorted(name for name in cast("set[bytes]", server.smembers(keys.workers)) if name.startswith(of.encode()))
    if not names:
        return []
    values = cast("list[bytes | None]", server.mget([keys.targets(name.decode("utf-8", "replace")) for name in names]))
    if gone := [name for name, value in zip(names, values, strict=True) if value is None]:
        server.srem(keys.workers, *gone)
    return [document for value in values if value is not None and (document := _read(value)) is not None]


def _read(value: bytes) -> _Document | None:
    try:
        return msgspec.json.decode(value, type=_Document)
    except msgspec.MsgspecError:  # another version's
        return None


def tellings(server: "redis.Redis", keys: Keys) -> list[Telling]:
    """Return what every process tells of every target that it asks."""
    return [
        Telling(
            host=document.host,
            pid=document.pid,
            facts=told.facts,
            opened_at=told.opened_at,
            closed_at=told.closed_at,
        )
        for document in read_documents(server, keys)
        for told in document.targets
    ]


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """A target as all processes together have it; its state is the worst that any of them finds."""

    name: str
    state: BreakerState
    processes: int
    open_in: int  #: processes whose breaker is not closed
    limit: int  #: calls that all of them together let be under way
    cap: int
    in_flight: int
    calls: int
    failures: int
    opened: int
    latency_ms: float
    open_s: float
    retry_s: float
    reason: str

    def as_json(self) -> dict[str, Any]:
        """Return it as `--json` prints it."""
        return {name: value for name, value in msgspec.structs.asdict(self).items() if name != "name"}


_WORST: Final = (BreakerState.OPEN, BreakerState.HALF_OPEN, BreakerState.CLOSED)


def targets_of(told: Sequence[Telling]) -> list[Target]:
    """Return what all processes tell together, by name."""
    by_name: defaultdict[str, list[Telling]] = defaultdict(list)
    for one in told:
        by_name[one.facts.target].append(one)
    return [_together(name, by_name[name]) for name in sorted(by_name)]


def _together(name: str, tellings: Sequence[Telling]) -> Target:
    told = [one.facts for one in tellings]
    troubled = [
        one.facts for one in tellings if one.facts.state is not BreakerState.CLOSED and not _outdated(one, tellings)
    ]
    worst = max(troubled, key=lambda one: one.open_s, default=None)
    return Target(
        name=name,
        state=min((one.state for one in troubled), key=_WORST.index, default=BreakerState.CLOSED),
        processes=len(told),
        open_in=len(troubled),
        limit=sum(one.limit for one in told),
        cap=sum(one.cap for one in told),
        in_flight=sum(one.in_flight for one in told),
        calls=sum(one.calls for one in told),
        failures=sum(one.failures for one in told),
        opened=sum(one.opened for one in told),
        latency_ms=max(one.latency_ms for one in told),
        open_s=worst.open_s if worst else 0.0,
        retry_s=min((one.retry_s for one in troubled), default=0.0),
        reason=worst.reason if worst else next((one.reason for one in told if one.reason), ""),
    )


def _outdated(told: Telling, all_told: Sequence[Telling]) -> bool:
    """Tell whether another process of the host was answered since: this one has just not had anything to ask."""
    return any(one.host == told.host and one.closed_at > told.opened_at for one in all_told)
