"""An enhanced system as a service of its own: `python -m bench.stub` prints its port and does what stdin tells it to.

It keeps notes by user, each under the id that legacy gave it, so a write that comes twice is one. Its lines on stdin:
`slow SECONDS`, `fail` (HTTP 500), `refuse` (nobody listens), `well`. To each it answers with what it has counted since
the last: calls answered, calls not answered.
"""

import contextlib
import json
import socket
import sys
import threading
import time
from collections import Counter, defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

USUAL_S: Final = 0.005
_BACKLOG: Final = 128


class Notes:
    """What is kept, and how it is."""

    def __init__(self) -> None:
        self.latency_s = USUAL_S
        self.failing = False
        self.counted: Counter[str] = Counter()
        self._kept: defaultdict[str, dict[str, str]] = defaultdict(dict)
        self.lock = threading.Lock()

    def answer(self, method: str, path: str, body: bytes) -> Any:
        """Do what is asked; `/users/USER/notes` and, to save one, `/users/USER/notes/ID`."""
        _, _, user, _, *rest = path.split("/")
        with self.lock:
            if method == "PUT":
                self._kept[user].setdefault(rest[0], json.loads(body)["text"])
                return int(rest[0])
            return [text for _, text in sorted(self._kept[user].items(), key=lambda item: int(item[0]))]


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    notes: Notes

    def do_GET(self) -> None:
        """Answer a read."""
        self._answer()

    do_PUT = do_GET  # noqa: N815

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        time.sleep(self.notes.latency_s)
        failing = self.notes.failing
        value = None if failing else self.notes.answer(self.command, self.path, body)
        payload = json.dumps(value).encode()
        with self.notes.lock:
            self.notes.counted["unanswered" if failing else "answered"] += 1
        head = f"HTTP/1.1 {500 if failing else 200} Said\r\nContent-Length: {len(payload)}\r\n\r\n"
        self.wfile.write(head.encode() + payload)


class Server(ThreadingHTTPServer):
    """Listens, or does not; connections that are there go with it."""

    daemon_threads = True
    request_queue_size = _BACKLOG
    allow_reuse_address = True

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self._open: list[socket.socket] = []
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Remember who is connected."""
        self._open.append(request)
        super().process_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of connections that are gone."""

    def leave(self) -> None:
        """Stop listening, and hang up."""
        self.shutdown()
        self.server_close()
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


def main() -> None:
    """Serve until stdin ends."""
    notes = Handler.notes = Notes()
    server: Server | None = Server(0)
    assert server is not None
    port = server.server_address[1]
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    for line in sys.stdin:
        word, _, rest = line.strip().partition(" ")
        notes.failing = word == "fail"
        notes.latency_s = float(rest) if word == "slow" else USUAL_S
        if word == "refuse" and server is not None:
            server.leave()
            server = None
        elif server is None and word != "refuse":
            server = Server(port)
        with notes.lock:
            counted, notes.counted = notes.counted, Counter()
        sys.stdout.write(f"{counted['answered']} {counted['unanswered']}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
