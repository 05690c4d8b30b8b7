"""A live process under test: its client, what lies in its lanes, and users brought into each phase on a real Valkey."""

import asyncio
import functools
import inspect
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest
import redis

from gnomon import Gnomon, call
from gnomon.flags import StoredFlags
from gnomon.hashing import BUCKETS
from gnomon.keys import Keys
from gnomon.readiness import Readiness
from gnomon.scripts import STORE
from gnomon.switchboard import change_flags, store_flags
from gnomon.usual import COMPILED, PLAIN, Make
from gnomon.wire import Capture, Phase, decode, unpack

MEMORY = "enhanced_memory_enabled"
ON = {
    "enhanced_memory_enabled": True,
    "rental_memory_architecture_enabled": True,
    "enhanced_chat_client_enabled": True,
}
LANES = 64
MAKES = {"plain": PLAIN, "compiled": COMPILED}
PATIENCE_S = 10.0

Factory = Callable[..., Gnomon]


@contextmanager
def frozen(server: "redis.Redis") -> Iterator[None]:
    """Stop the server as a hanging machine would, then let it go on."""
    pid = server.info("server")["process_id"]
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def _eventually(condition: Callable[[], Any], timeout_s: float = PATIENCE_S) -> Any:
    """Ask until the answer is true; returns the last one."""
    deadline, never = time.monotonic() + timeout_s, threading.Event()
    while not (answer := condition()) and time.monotonic() < deadline:
        never.wait(0.002)
    return answer


@pytest.fixture
def eventually() -> Callable[..., Any]:
    """Wait for a condition, up to a deadline."""
    return _eventually


@pytest.fixture
def server(valkey_url: str) -> Iterator["redis.Redis"]:
    with redis.Redis.from_url(valkey_url) as client:
        yield client


@pytest.fixture
def make(valkey_url: str) -> Iterator[Factory]:
    """Make clients of the test's Valkey, closed after it."""
    made: list[Gnomon] = []

    def factory(**environ: str) -> Gnomon:
        compiled = os.environ.get("GNOMON_COMPILED", "")  # so that all tests can be run without the part in C
        made.append(Gnomon.from_env({"GNOMON_REDIS_URL": valkey_url, "GNOMON_COMPILED": compiled, **environ}))
        return made[-1]

    yield factory
    for client in made:
        client.close(0.1)


@pytest.fixture
def captures(server: "redis.Redis") -> Callable[..., list[Capture]]:
    """Return what lies in all lanes of a namespace, in order."""

    def read(namespace: str = "default") -> list[Capture]:
        found: list[Capture] = []
        for lane in range(LANES):
            for _, fields in server.xrange(Keys(namespace).lane(lane).stream):
                lines = unpack(fields[b"p"])
                assert len(lines) == int(fields[b"n"])
                found += [decode(line) for line in lines]
        return sorted(found, key=lambda capture: capture.order)

    return read


@pytest.fixture
def funnel(server: "redis.Redis") -> Callable[..., dict[str, int]]:
    """Return where every eligible call of a namespace ended."""

    def read(namespace: str = "default") -> dict[str, int]:
        sums: Counter[str] = Counter()
        for lane in map(Keys(namespace).lane, range(LANES)):
            for producer in server.zrange(lane.senders, 0, -1):
                for field, count in server.hgetall(lane.sender(producer.decode())).items():
                    _, counts, counter = field.decode().rpartition("|")
                    sums[counter] += int(count) if counts else 0
        return +sums

    return read


@pytest.fixture
def gaps(server: "redis.Redis") -> Callable[[], dict[str, int]]:
    """Return the users of whom a write may be missing, by digest, and since when."""

    def read() -> dict[str, int]:
        lanes = [server.hgetall(Keys("default").lane(lane).gaps) for lane in range(LANES)]
        return {digest.decode(): int(since) for found in lanes for digest, since in found.items()}

    return read


def _retire(stored: StoredFlags) -> StoredFlags:
    return msgspec.structs.replace(stored, version=stored.version + 1, retired=True)


def _store_readiness(server: "redis.Redis", **fields: Any) -> Readiness:
    keys = Keys("default")
    version = int(server.hget(keys.readiness, "version") or 0)
    document = Readiness(version=version + 1, **fields)
    assert server.eval(STORE, 1, keys.readiness, version, version + 1, msgspec.json.encode(document), keys.changes) == 1
    return document


@pytest.fixture
def store_readiness(server: "redis.Redis") -> Callable[..., Readiness]:
    """Store who is dual and who is ready, for all live processes."""
    return functools.partial(_store_readiness, server)


@pytest.fixture
def phased(make: Factory, server: "redis.Redis") -> Callable[..., Gnomon]:
    """Give a client that knows its users to be in a phase.

    `share` is the stage: who lies above it is dual where the phase is dual or later (a rollback keeps them dual).
    """

    def bring(
        phase: Phase | str, user: str = "ann", *, share: float = 100, client: Gnomon | None = None, **environ: str
    ) -> Gnomon:
        phase = Phase(phase)
        if phase is Phase.OFF:
            return make(GNOMON_CAPTURE="off", **environ)
        client = client or make(**environ)
        assert client._publisher is not None
        client._publisher.start()
        if phase is not Phase.SHADOW:
            store_flags(server, Keys("default"), {**ON, "rollout_percentage": share}, may_raise=True)
        if phase is Phase.RETIRED:
            change_flags(server, Keys("default"), _retire)
        if phase is Phase.SERVED:
            _store_readiness(server, dual_below=BUCKETS, ready_below=int(BUCKETS * share / 100))
        assert _eventually(lambda: client.flags.for_user(user)[MEMORY].phase is phase), client.flags.for_user(user)
        return client

    return bring


def _nothing() -> None: ...


@pytest.fixture(params=MAKES)
def made_by(request: pytest.FixtureRequest) -> Make:
    """Both makes of the usual way: one test body over them."""
    found = MAKES[request.param]
    if found is None:
        pytest.skip("there was no compiler when gnomon was installed")
    return found


class Sync:
    """Callables as they are."""

    asynchronous = False

    @staticmethod
    def of(function: Callable[..., Any]) -> Callable[..., Any]:
        return function

    @staticmethod
    def call(
        operation: Callable[..., Any],
        *args: Any,
        before: Callable[[], Any] = _nothing,
        after: Callable[[], Any] = _nothing,
        **kwargs: Any,
    ) -> Any:
        before()
        try:
            return operation(*args, **kwargs)
        finally:
            after()

    @staticmethod
    def hang(until: threading.Event) -> Any:
        until.wait(PATIENCE_S)


class Async:
    """The same as coroutine functions, each call in a loop of its own."""

    asynchronous = True

    @staticmethod
    def of(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        async def coroutine_function(*args: Any, **kwargs: Any) -> Any:
            await asyncio.sleep(0)
            value = function(*args, **kwargs)
            return await value if inspect.isawaitable(value) else value

        return coroutine_function

    @staticmethod
    def call(
        operation: Callable[..., Any],
        *args: Any,
        before: Callable[[], Any] = _nothing,
        after: Callable[[], Any] = _nothing,
        **kwargs: Any,
    ) -> Any:
        async def awaited() -> Any:
            before()
            try:
                return await operation(*args, **kwargs)
            finally:
                after()

        return asyncio.run(awaited())

    @staticmethod
    def hang(until: threading.Event) -> Any:
        """Nobody has to let go of it: a task is cancelled."""
        return asyncio.sleep(PATIENCE_S)


Style = type[Sync] | type[Async]


@pytest.fixture(params=[Sync, Async], ids=["sync", "async"])
def style(request: pytest.FixtureRequest) -> Style:
    """Sync and async: one body over both."""
    return request.param


class Pair:
    """An operation under migration. What each side was called with is kept, in order; what it does can be replaced."""

    def __init__(
        self, style: Style, client: Gnomon, kind: str, name: str = "memory.x", *, returns: Any = str, **options: Any
    ) -> None:
        self.style, self.client, self.name = style, client, name
        self.calls: list[str] = []
        self.given: dict[str, list[dict[str, Any]]] = {"legacy": [], "enhanced": []}
        self.seen: list[Any] = []  #: what `gnomon.call()` gave in enhanced
        self.legacy: Callable[..., Any] = lambda **_: "old"
        self.enhanced: Callable[..., Any] = lambda **_: "new"
        options = {"user": "user", "flag": MEMORY, **options}

        def legacy(user: str | None, item: Any = "x", count: int = 1) -> str:
            """Do what legacy does."""
            self._called("legacy", user=user, item=item, count=count)
            return self.legacy(user=user, item=item, count=count)

        def enhanced(user: str | None, item: Any = "x", count: int = 1) -> str:
            self.seen.append(call())
            self._called("enhanced", user=user, item=item, count=count)
            return self.enhanced(user=user, item=item, count=count)

        legacy.__annotations__["return"] = returns
        self.operation = client.operation(name, kind=kind, **options)(style.of(legacy))
        self.operation.enhanced(style.of(enhanced))

    def _called(self, side: str, **given: Any) -> None:
        self.calls.append(side)
        self.given[side].append(given)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the operation; `before` and `after` run around it in the caller's own context."""
        return self.style.call(self.operation, *args, **kwargs)

    def metrics(self) -> dict[str, Any]:
        return self.client.metrics()

    def phase(self, user: str = "ann") -> Phase:
        return self.client.flags.for_user(user)[MEMORY].phase


@pytest.fixture
def pair(style: Style) -> Callable[..., Pair]:
    """Make operations whose two sides can be told what to do, sync and async."""
    return functools.partial(Pair, style)


@pytest.fixture
def sync_pair() -> Callable[..., Pair]:
    return functools.partial(Pair, Sync)


@pytest.fixture
def async_pair() -> Callable[..., Pair]:
    return functools.partial(Pair, Async)


def raising(error: BaseException) -> Callable[..., Any]:
    """Return a side that raises."""

    def side(**_: Any) -> Any:
        raise error

    return side


@pytest.fixture(name="raising")
def _raising() -> Callable[[BaseException], Callable[..., Any]]:
    return raising


@pytest.fixture
def release() -> Iterator[threading.Event]:
    """Give an event that lets go, at the latest after the test, of what hangs on it."""
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def threads_of() -> Callable[[str], list[threading.Thread]]:
    """Return the live threads of a name."""
    return lambda name: [thread for thread in threading.enumerate() if thread.name == name]
