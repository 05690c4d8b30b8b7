"""HTTP services that answer as they are told to, byte for byte, and files that describe them."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from gnomon import Gnomon
from worker.targets.binding import Bound, bind

PATIENCE_S = 10.0


@dataclass
class Asked:
    """One request as it came over the wire."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    number: int  #: of its connection

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)


def answering(value: Any = None, *, status: int = 200, headers: str = "", body: bytes | None = None) -> bytes:
    """Return an answer, its length told as it is."""
    payload = msgspec.json.encode(value) if body is None else body
    head = (
        f"HTTP/1.1 {status} Said\r\nContent-Length: {len(payload)}\r\nContent-Type: application/json\r\n{headers}\r\n"
    )
    return head.encode() + payload


EMPTY = answering()


@dataclass
class Service:
    """A service on a port of its own; `answer` is what it sends, bytes or what writes them to the connection."""

    answer: bytes | Callable[[socket.socket, Asked], object] = EMPTY
    asked: list[Asked] = field(default_factory=list)
    close_after: bool = False  #: close each connection when it has answered
    _open: list[socket.socket] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        number = 0
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                number += 1
                self._open.append(connection)
                threading.Thread(target=self._serve, args=(connection, number), daemon=True).start()

    def _serve(self, connection: socket.socket, number: int) -> None:
        with contextlib.suppress(OSError), connection, connection.makefile("rb") as file:
            while (asked := _request(file, number)) is not None:
                with self._lock:
                    self.asked.append(asked)
                if isinstance(self.answer, bytes):
                    connection.sendall(self.answer)
                else:
                    self.answer(connection, asked)
                if self.close_after:
                    return

    def stop(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # a thread that waits in accept does not see a close
        self._listener.close()
        self.drop()

    def drop(self) -> None:
        """Close all connections, as a service does that finds them idle."""
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


def _request(file: Any, number: int) -> Asked | None:
    first = file.readline()
    if not first.strip():
        return None
    method, path, _ = first.decode("latin-1").split(" ", 2)
    headers: dict[str, str] = {}
    while line := file.readline().strip():
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.lower()] = value.strip()
    return Asked(method, path, headers, file.read(int(headers.get("content-length", 0))), number)


@pytest.fixture
def make_service() -> Iterator[Callable[..., Service]]:
    made: list[Service] = []

    def factory(answer: Any = EMPTY) -> Service:
        made.append(Service(answer))
        made[-1].start()
        return made[-1]

    yield factory
    for service in made:
        service.stop()


@pytest.fixture
def service(make_service) -> Service:
    return make_service()


class Application:
    """A legacy application whose enhanced side is somewhere else."""

    def __init__(self) -> None:
        self.client = Gnomon.from_env({})
        self.client.operation("note.list", kind="read", user="user")(self.listed)
        self.client.operation("note.save", kind="write", user="user")(self.save)
        self.client.operation("mail.send", kind="write", user="user", idempotent=False)(self.send)
        self.client.operation("chat.send", kind="generate", user="user")(self.chat)

    def listed(self, user: str, limit: int = 10, tags: list[str] | None = None) -> list[str]: ...

    def save(self, user: str, text: str) -> dict[str, Any]: ...

    def send(self, user: str, text: str) -> None: ...

    def chat(self, user: str, text: str) -> str: ...


@pytest.fixture
def application() -> Application:
    return Application()


FILE = """
allow_hosts = ["127.0.0.1"]

[targets.notes]
url = "http://127.0.0.1:{port}{base}"
{target}

[operations."{operation}"]
target = "notes"
{table}
"""


@pytest.fixture
def described(tmp_path) -> Callable[..., Path]:
    """Write a file with one target and one operation."""

    def write(port: int, *, operation="note.list", target="", table="", base="", text=FILE) -> Path:
        file = tmp_path / "targets.toml"
        file.write_text(text.format(port=port, base=base, operation=operation, target=target, table=table))
        return file

    return write


def limits(file: Path | None, **changes: Any) -> SimpleNamespace:
    used = {"replay_timeout_s": 4.0, "answer_bytes": 100_000, "threads": 4, "targets": file}
    return SimpleNamespace(**{**used, **changes})


@pytest.fixture
def make_bound(application, described) -> Iterator[Callable[..., Bound]]:
    """Bind the application's operations to a service, as a worker process does."""
    made: list[Bound] = []

    def factory(port: int, *, changes: dict[str, Any] | None = None, **places: Any) -> Bound:
        made.append(bind(application.client.operations, limits(described(port, **places), **(changes or {}))))
        return made[-1]

    yield factory
    for bound in made:
        bound.close()
