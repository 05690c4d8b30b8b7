"""A whole deployment that is there to be broken: Valkey, a ledger, live processes with traffic, workers."""

import base64
import contextlib
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import msgspec
import psutil
import redis

from gnomon.appending import HINT_LIFETIME_MS
from gnomon.hashing import lane_of
from gnomon.hints import drain_hint
from gnomon.keys import Keys
from ledger import Ledger, LedgerError
from tests.chaos.books import CLOCK, FOLDER, PAUSE, say
from tests.chaos.evidence import Witness
from tests.chaos.processes import LiveProcess, Worker, clock_set_by
from tests.chaos.servers import Postgres, ProxyProcess, Room, Valkey
from tests.chaos.traffic import users_of
from worker.lanes import LEASE_MS

LANES: Final = 16
SWEEP_TASK: Final = "gnomon.sweep"
POLL_S: Final = 0.05
STALE_MS: Final = 3_000
QUIET_S: Final = 1.0  # several sweeps: what a killed process had sent is in the ledger by then
ROOM_BYTES: Final = 24 * 1024 * 1024


class Store(StrEnum):
    """What the ledger is kept in."""

    SQLITE = "sqlite"  #: a file
    POSTGRES = "postgres"  #: a server of the rig's own


class Clock(StrEnum):
    """Whose clock can be turned."""

    LIVE = "live"  #: the first live process's
    WORKER = "worker"  #: the first worker's
    VALKEY = "valkey"  #: the server's


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """What a rig has.

    `small` names what lies on a file system that can be filled (`ledger`, `valkey`), `clocks` says whether clocks can
    be turned, `settings` are variables of all its processes.
    """

    store: Store = Store.SQLITE
    proxy: bool = False
    small: tuple[str, ...] = ()
    workers: int = 1
    producers: int = 2
    clocks: bool = False
    settings: Mapping[str, str] = field(default_factory=dict)

    def suffices(self, other: "Spec") -> bool:
        """Tell whether a fault that asks for another rig may be applied to this one as well."""
        more = (self.proxy >= other.proxy, self.workers >= other.workers, self.clocks >= other.clocks)
        same = (self.store, self.producers) == (other.store, other.producers)
        return (
            all(more) and same and {*other.small} <= {*self.small} and other.settings.items() <= self.settings.items()
        )


class Rig:
    """Starts what a Spec names; everything of it is ended at the end, whatever state it is in."""

    def __init__(self, folder: Path, spec: Spec, *, users: int) -> None:
        self.folder = folder
        self.spec = spec
        self.keys = Keys("default")
        self.lives: list[LiveProcess] = []
        self.workers: list[Worker] = []
        self.ended = 0  #: how often a worker ended by itself
        self.roamers: list[str] = []  #: users whose calls are made in turns by several live processes
        self._users = users
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        try:
            self._open()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _open(self) -> None:
        spec = self.spec
        for name in ("legacy", "enhanced", "replaying"):
            (self.folder / name).mkdir()
        for whose in Clock:
            self.turn_clock(whose, "+0")
        self.rooms = {name: self._closing(Room(self.folder / f"small-{name}", ROOM_BYTES)) for name in spec.small}
        self.valkey = self._closing(Valkey(self._place("valkey") / "valkey", self._clock(Clock.VALKEY)))
        self.proxy = self._closing(ProxyProcess(self.valkey.port)) if spec.proxy else None
        self.postgres = self._closing(Postgres()) if spec.store is Store.POSTGRES else None
        self.ledger_file = self._place("ledger") / "ledger.sqlite3"
        self.url = self.postgres.url if self.postgres else f"sqlite:///{self.ledger_file}"
        ledger = Ledger(self.url)
        ledger.migrate()
        ledger.close()
        self.witness = self._closing(Witness(self.url))
        self.environment = self._environment()
        for number in range(spec.workers):
            self.add_worker(f"worker-{number}", self._clock(Clock.WORKER) if number == 0 else {})
        for number in range(spec.producers):
            name = f"p{number}"
            self.add_live(name, users_of(name, self._users), self._clock(Clock.LIVE) if number == 0 else {})

    def _closing(self, made: Any) -> Any:
        return self._stack.enter_context(contextlib.closing(made))

    def _place(self, name: str) -> Path:
        room = self.rooms.get(name)
        return room.folder if room else self.folder

    def _clock(self, whose: Clock) -> dict[str, str]:
        return clock_set_by(self.folder / f"clock-{whose}") if self.spec.clocks else {}

    def _environment(self) -> dict[str, str]:
        base_us = (time.time_ns() - time.monotonic_ns()) // 1_000
        return {
            "GNOMON_REDIS_URL": self.proxy.url if self.proxy else self.valkey.url,
            "GNOMON_DATABASE_URL": self.url,
            "GNOMON_OPERATIONS": "tests.chaos.application",
            "GNOMON_LANES": str(LANES),
            "GNOMON_CONCURRENCY": "2",
            "GNOMON_THREADS": "8",
            "GNOMON_REPLAY_TIMEOUT_S": "30",
            "GNOMON_PAIRS_SHARE": "0.3",  # so that there are some whatever is broken
            FOLDER: str(self.folder),
            CLOCK: str(base_us),
            PAUSE: "0.003",
            **self.spec.settings,
        }

    # --- who runs

    def add_worker(self, name: str, more: Mapping[str, str] = {}) -> Worker:
        """Start a worker with a folder of its own."""
        own = self.folder / name
        own.mkdir()
        worker = Worker({**self.environment, **more}, own / "worker.log")
        self._stack.callback(worker.kill)
        self.workers.append(worker)
        return worker

    def add_live(self, name: str, users: list[str], more: Mapping[str, str] = {}) -> LiveProcess:
        """Start a live process for some users."""
        log = self.folder / f"{name}.log"
        self.lives.append(self._closing(LiveProcess(name, users, {**self.environment, **more}, log)))
        return self.lives[-1]

    @property
    def calling(self) -> bool:
        """Whether anybody is making calls."""
        return any(live.running for live in self.alive)

    @property
    def alive(self) -> list[LiveProcess]:
        return [live for live in self.lives if not live.killed]

    def turn_clock(self, whose: Clock, offset: str) -> None:
        """Let a clock be off from now on, as in `+1h`; it is looked at once a second."""
        say(self.folder / f"clock-{whose}", offset)

    # --- how far they are

    def made(self) -> int:
        """Return how many calls the living have made."""
        return sum(live.made for live in self.alive)

    def lying(self) -> int:
        """Return how many captures lie in lanes, those that are done and not trimmed included."""
        with self.server() as server:
            streams = [self.keys.lane(lane).stream for lane in range(LANES)]
            return sum(int(fields[b"n"]) for stream in streams for _, fields in server.xrange(stream))

    def server(self) -> "contextlib.AbstractContextManager[redis.Redis]":
        """Ask Valkey itself."""
        return self.valkey.asked()

    def leases(self) -> dict[int, str]:
        """Return who holds which lane."""
        with self.server() as server:
            held = {lane: server.get(self.keys.lane(lane).lease) for lane in range(LANES)}
        return {lane: token.decode() for lane, token in held.items() if token}

    def hurry(self) -> None:
        """Let leases of processes that are dead or frozen, and hints that nobody follows, run out sooner."""
        with self.server() as server:
            for lane in map(self.keys.lane, range(LANES)):
                if 0 < server.pttl(lane.scheduled) < HINT_LIFETIME_MS - STALE_MS:
                    server.delete(lane.scheduled)
                if 0 < server.pttl(lane.lease) < LEASE_MS - STALE_MS and not gets_on(holder(server.get(lane.lease))):
                    server.delete(lane.lease)

    def supervise(self) -> None:
        """Start workers again that ended by themselves, as a supervisor does; that they did is told."""
        for worker in self.workers:
            if not worker.running:
                self.ended += 1
                worker.again()

    def bury(self, live: LiveProcess) -> None:
        """Let the last heartbeat of a killed live process run out now rather than in 10 s."""
        with self.server() as server:
            for name in server.zrange(self.keys.producers, 0, -1):
                if server.hget(self.keys.producer(name.decode()), "pid") == str(live.pid).encode():
                    server.zadd(self.keys.producers, {name: 0})

    def sweep(self) -> None:
        """Ask for a sweep now rather than within 2 s: it takes what live processes counted into the ledger."""
        message = msgspec.json.decode(drain_hint(0, self.keys.queue))
        message["headers"]["task"] = SWEEP_TASK
        arguments = [[], {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}]
        message["body"] = base64.b64encode(msgspec.json.encode(arguments)).decode()
        with self.server() as server:
            server.lpush(self.keys.queue, msgspec.json.encode(message))

    def sweeps(self) -> int:
        """Return how many sweeps there were, whoever asked."""
        return sum(len(worker.events("sweep.done")) for worker in self.workers)

    def now_us(self) -> int:
        """Return Valkey's time."""
        with self.server() as server:
            seconds, micros = server.time()
        return int(seconds) * 1_000_000 + int(micros)

    def drained_us(self) -> int:
        """Return up to when every lane of a user of the living is drained."""
        lanes = {lane_of(user, LANES) for live in self.alive for user in live.users}
        return min(self.witness.cuts().get(lane, 0) for lane in lanes)

    def errors(self) -> list[str]:
        """Return the engine's own errors, as workers logged them."""
        found = [event for worker in self.workers for event in worker.events("drain.failed")]
        return sorted({str(event["error"]) for event in found})


def holder(token: bytes | None) -> int:
    """Return the process that a lease names; 0 where there is none."""
    return int(token.partition(b":")[0]) if token else 0


def gets_on(pid: int) -> bool:
    """Tell whether a process is there and not held still."""
    try:
        return psutil.Process(pid).status() not in (psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def eventually(condition: Callable[[], Any], *, within_s: float, every_s: float = POLL_S) -> Any:
    """Wait for what other processes do; returns what the condition gives, at last something false."""
    until = time.monotonic() + within_s
    while not (found := _asked(condition)) and time.monotonic() < until:
        time.sleep(every_s)
    return found


def _asked(condition: Callable[[], Any]) -> Any:
    try:
        return condition()
    except (LedgerError, redis.RedisError, OSError):  # it was broken, and is not back yet
        return None


def own_settings() -> list[str]:
    """Return the variables of this process that would reach what is started here."""
    return [name for name in os.environ if name.startswith("GNOMON_")]
