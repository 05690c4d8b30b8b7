"""Whether the stores answer: told in bounded time, without an exception, and without a heap of threads."""

import socket
import threading
import time

import pytest

from gnomon import Gnomon, Health
from gnomon_memory.errors import StoreError
from gnomon_memory.health import MOST_WAITING, PATIENCE_S, Probe, check_health
from gnomon_memory.legacy import legacy_store
from gnomon_memory.rental_service import rental_store

pytestmark = pytest.mark.safe_migration

NOWHERE = "postgresql+psycopg://nobody:secret@127.0.0.1:1/nothing"


class Client:
    """A client whose health is what it is told to be."""

    def __init__(self, status):
        self.status = status

    def health(self):
        if self.status == "broken":
            raise RuntimeError("secret")
        return Health(self.status, {"redis": "as the client says"})


@pytest.fixture
def hanging():
    """Give the URL of a server that takes connections and says nothing; what waits for it fails at the end."""
    taken = []
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:

        def take() -> None:
            while True:
                try:
                    taken.append(server.accept()[0])
                except OSError:
                    return

        accepting = threading.Thread(target=take)
        accepting.start()
        yield f"postgresql+psycopg://nobody@127.0.0.1:{server.getsockname()[1]}/nothing"
        server.shutdown(socket.SHUT_RDWR)
        accepting.join()
    for connection in taken:
        connection.close()


def ok() -> None:
    """A ping that is answered."""


def down() -> None:
    raise StoreError("x", "OperationalError")


@pytest.mark.parametrize(
    ("own", "legacy", "enhanced", "status"),
    [
        ("healthy", ok, ok, "healthy"),
        ("healthy", ok, down, "degraded"),
        ("healthy", down, ok, "unhealthy"),
        ("degraded", ok, ok, "degraded"),
        ("degraded", ok, down, "degraded"),
        ("degraded", down, down, "unhealthy"),
        ("unhealthy", ok, ok, "unhealthy"),
        ("broken", ok, ok, "degraded"),
        ("off", ok, ok, "healthy"),
        ("off", ok, down, "degraded"),
        ("off", down, ok, "unhealthy"),
    ],
)
def test_status(own, legacy, enhanced, status):
    """Users unserved or captures lost: unhealthy; other trouble: degraded; nothing captured is no trouble."""
    health = check_health(Client(own), Probe(legacy), Probe(enhanced))
    assert health.status == status
    assert [health.details[side]["ok"] for side in ("legacy", "enhanced")] == [legacy is ok, enhanced is ok]
    assert "secret" not in str(health)
    if own == "off":
        assert health.details["capture"] == "nothing is captured"
    if own != "broken":
        assert health.details["redis"] == "as the client says"


def test_stores_that_answer(systems):
    """Both stores are asked by a read; the answer says so, and how long it took."""
    probes = Probe(systems.legacy.store.ping), Probe(systems.enhanced.service.store.ping)
    health = check_health(Gnomon.from_env({}), *probes)
    assert health.status == "healthy"
    for side in ("legacy", "enhanced"):
        answer = health.details[side]
        assert (answer["ok"], answer["detail"]) == (True, "ok")
        assert 0 < answer["latency_ms"] < PATIENCE_S * 1_000


def test_stores_that_refuse(tmp_path):
    """What is wrong is told by class and variable; neither the URL nor anything of what is stored."""
    health = check_health(
        Gnomon.from_env({}), Probe(legacy_store(NOWHERE).ping), Probe(rental_store("mysql://u:secret@h/d").ping)
    )
    assert health.status == "unhealthy"
    assert health.details["legacy"]["detail"] == (
        "the legacy memory store failed: OperationalError on opening what GNOMON_MEMORY_LEGACY_URL names"
    )
    assert health.details["enhanced"]["detail"].startswith("GNOMON_MEMORY_ENHANCED_URL must be ")
    assert "secret" not in str(health)


def test_a_store_that_loses_its_table(tmp_path):
    """A store is asked for what the memories stand in: a database that has lost it does not count as one."""
    store = legacy_store(f"sqlite:///{tmp_path}/l.db")
    store.ping()
    with store.writing() as connection:
        connection.exec_driver_sql("DROP TABLE chat_memories")
    health = check_health(Gnomon.from_env({}), Probe(store.ping), Probe(ok))
    store.close()
    assert health.details["legacy"] == {**health.details["legacy"], "ok": False}
    assert health.details["legacy"]["detail"].startswith("the legacy memory store failed: OperationalError")


def test_hanging_stores(hanging):
    """Databases that hang are down after two seconds, both together; however often one asks, few threads wait."""
    probes = Probe(legacy_store(hanging).ping), Probe(rental_store(hanging).ping)
    before = set(threading.enumerate())
    for _ in range(2):
        began = time.monotonic()
        health = check_health(Gnomon.from_env({}), *probes)
        assert time.monotonic() - began < PATIENCE_S + 0.5
        assert health.status == "unhealthy"
        for side in ("legacy", "enhanced"):
            assert (health.details[side]["ok"], health.details[side]["detail"]) == (False, "no answer yet")
            assert health.details[side]["latency_ms"] > 1_900
    for _ in range(3 * MOST_WAITING):
        for probe in probes:
            probe.ask()
    assert len(set(threading.enumerate()) - before) == 2 * MOST_WAITING


def test_a_store_that_recovers():
    """What hung and answers again is up at once, and no thread of it is left."""
    gate = threading.Event()
    probe, before = Probe(gate.wait), set(threading.enumerate())
    for _ in range(2 * MOST_WAITING):
        probe.ask()
    gate.set()
    assert check_health(Client("healthy"), probe, Probe(ok)).status == "healthy"
    deadline = time.monotonic() + 5
    while set(threading.enumerate()) - before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert set(threading.enumerate()) <= before


def test_no_thread_to_be_had(monkeypatch):
    """Where the machine gives no more threads, the stores count as down, and nothing is raised."""

    def refuse(_thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    health = check_health(Client("healthy"), Probe(ok), Probe(ok))
    assert health.status == "unhealthy"
    assert health.details["legacy"]["detail"] == "not asked: no thread can be started"
