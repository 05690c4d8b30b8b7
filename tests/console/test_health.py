"""`gnomon health`: healthy, degraded or unhealthy, each part with its reason."""

import re
import signal
import time

import pytest

from console.commands.health import State
from gnomon.flags import SWITCHES, with_user
from gnomon.hashing import user_digest
from gnomon.keys import Keys
from gnomon.switchboard import change_flags, store_flags
from worker.targets.board import Board
from worker.targets.breaker import IN_A_ROW
from worker.targets.guard import Guard, Guards

pytestmark = pytest.mark.slow

KEYS = Keys("default")
PARTS = ["redis", "ledger", "operations", "workers", "processes", "backlog", "targets", "exceptions"]
OPERATIONS = {"GNOMON_OPERATIONS": "examples.variants.demo_defect"}


@pytest.fixture
def working(deployment):
    """A deployment with a worker."""
    deployment.environ["GNOMON_CONCURRENCY"] = "1"
    worker = deployment.start("worker", "--json")
    deadline = time.monotonic() + 60
    while not deployment("health", "--json").json["details"]["workers"]["ok"]:
        assert worker.poll() is None, worker.communicate()
        assert time.monotonic() < deadline, "no worker"
    yield deployment
    worker.send_signal(signal.SIGTERM)
    worker.communicate(timeout=60)


def health(command, **environ):
    ran = command("health", "--json", **environ)
    found = ran.json
    assert list(found["details"]) == PARTS
    assert ran.code == (0 if found["status"] == "healthy" else 1)
    assert all(part["ok"] is (part["status"] == "healthy") and part["detail"] for part in found["details"].values())
    return found["status"], {name: part["detail"] for name, part in found["details"].items() if not part["ok"]}


def test_states():
    """The closed set, from good to bad."""
    assert [str(state) for state in State] == ["healthy", "degraded", "unhealthy"]


def test_from_healthy_to_degraded(working, server, live_client):
    """A worker answers, flags are known, nothing waits: healthy. Then one thing after another goes wrong."""
    live_client()
    assert health(working) == ("healthy", {})
    said = working("health").out
    assert [line.split()[:2] for line in said.splitlines()] == [[part, "ok"] for part in PARTS]

    change_flags(server, KEYS, lambda stored: with_user(stored, "ann", enabled=False))
    server.hset(KEYS.unready, mapping={user_digest("ann"): 2**53 - 1, "version": 1})
    assert health(working) == ("healthy", {})  # taken out on purpose

    seconds, _ = server.time()
    server.hset(KEYS.producer("old"), mapping={"host": "web-8", "pid": 88, "buffered": 0, "flags": 0, "killed": 1})
    server.zadd(KEYS.producers, {"old": seconds * 1_000 + 600_000})
    assert health(working) == (
        "degraded",
        {
            "processes": "web-8 process 88 acts upon flags of version 0, not 1; "
            "web-8 process 88 is killed by its kill file"
        },
    )
    server.zrem(KEYS.producers, "old")

    server.hset(KEYS.unready, mapping={user_digest("bob"): 1, "version": 2})
    status, wrong = health(working)
    assert (status, wrong) == ("degraded", {"exceptions": "1 user served by legacy: enhanced lacks a write"})


def test_an_old_backlog(deployment, server):
    """Captures that have waited for more than five minutes, by Redis's own clock."""
    seconds, _ = server.time()
    server.xadd(KEYS.lane(3).stream, {"p": b""}, id=f"{(seconds - 200) * 1_000}-0")
    assert "backlog" not in health(deployment)[1]
    server.xadd(KEYS.lane(4).stream, {"p": b""}, id=f"{(seconds - 400) * 1_000}-0")
    assert health(deployment)[1]["backlog"] == "2 entries waiting, the oldest for 7 min"


def test_shedding(deployment, server):
    """Some users are not captured: said with their share, though nothing has waited for long."""
    server.hset(KEYS.pressure, mapping={"below": 912_500, "cap_bytes": 1_000, "total_bytes": 1_000})
    assert health(deployment)[1]["backlog"] == "91.2% of users are not captured until less waits"


def test_a_redis_that_is_too_small_or_throws_away(deployment, server):
    """What it may hold is less than was set, and what it does when it is full loses captures."""
    server.hset(KEYS.pressure, mapping={"cap_bytes": 100 << 20, "total_bytes": 512 << 20})
    server.config_set("maxmemory", 200 << 20)
    server.config_set("maxmemory-policy", "allkeys-lru")
    try:
        wrong = health(deployment)[1]["redis"]
    finally:
        server.config_set("maxmemory-policy", "noeviction")
        server.config_set("maxmemory", 0)
    assert wrong == (
        "maxmemory-policy is allkeys-lru: it may throw captures away; set noeviction; has room for 100 MiB of the "
        "512 MiB that the lanes may hold (GNOMON_TOTAL_BYTES): users are shed from half of it on"
    )


def test_a_target_that_is_down(deployment, server):
    """Its captures wait; said since when, why, and when it is asked again."""
    assert "targets" not in health(deployment)[1]
    down(server)
    said = health(deployment)[1]["targets"]
    assert re.fullmatch(
        r"notes is down for 0 s: ConnectionRefusedError; found by 1 of 1 worker process; "
        r"next try in 1 s; what is for it waits",
        said,
    )


def down(server):
    """Let a worker process have found a target down."""
    guards = Guards({"note.list": Guard("notes", 8)})
    for _ in range(IN_A_ROW):
        guards.named("notes").unanswered("ConnectionRefusedError", 0.01, tried=False)
    Board(server, KEYS).exchange(guards)


def test_without_a_worker(deployment):
    """Nobody drains: unhealthy."""
    assert health(deployment) == ("unhealthy", {"workers": "does not answer (LookupError)"})


def test_without_redis(deployment):
    """Unhealthy, and the ledger is looked at all the same."""
    status, wrong = health(deployment, GNOMON_REDIS_URL="redis://127.0.0.1:1/0")
    assert status == "unhealthy"
    assert list(wrong) == ["redis", "workers", "processes", "backlog", "targets", "exceptions"]
    assert wrong["redis"] == "does not answer (ConnectionError)"


def test_without_the_ledger(deployment):
    """Unhealthy; no password."""
    status, wrong = health(deployment, GNOMON_DATABASE_URL="postgresql://ann:hush@127.0.0.1:1/ledger")
    assert status == "unhealthy"
    assert "127.0.0.1" in wrong["ledger"]
    assert "hush" not in wrong["ledger"]


def test_flags_that_cannot_be_read(deployment, server):
    """Legacy serves everybody: told under the processes and the exceptions."""
    server.hset(KEYS.flags, mapping={"version": 9, "document": "{"})
    details = deployment("health", "--json").json["details"]
    for part in ("processes", "exceptions"):
        assert details[part]["status"] == "degraded"
        assert "legacy serves everybody" in details[part]["detail"]


def test_a_change_on_its_way_is_no_trouble(deployment, server, live_client):
    """Flags that were changed a moment ago are known to everybody before it is judged."""
    live_client()
    store_flags(server, KEYS, dict.fromkeys(SWITCHES, True))
    assert "processes" not in health(deployment)[1]


def test_a_run_that_has_ended(calm):
    """What is gone is unhealthy, what is left is looked at."""
    status, wrong = health(calm.gnomon)
    assert status == "unhealthy"
    assert set(wrong.values()) == {"gone, the run has ended"}
    assert set(PARTS) - set(wrong) == {"ledger", "operations"}
