"""A real Celery worker beside a live application: started as a run starts it, ended as a person ends it."""

import contextlib
import importlib
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from types import SimpleNamespace

import pytest

from ledger import Ledger

pytestmark = pytest.mark.slow

MODULE = "notes_for_a_worker"
PATIENCE_S = 120.0  # four starts of a process, on a machine with other things to do
APPLICATION = """
import os, threading, redis
from gnomon import Gnomon, call

gnomon = Gnomon.from_env()
hoard = []
kept = redis.Redis.from_url(os.environ["GNOMON_REDIS_URL"], decode_responses=True)

@gnomon.operation("note.save", kind="write", user="user")
def save(user: str, text: str) -> int:
    return kept.rpush(f"legacy:{user}", text)

@save.enhanced
def save_enhanced(user, text):
    kept.hsetnx(f"enhanced:{user}", call().origin, text)
    return call().origin

@gnomon.operation("note.list", kind="read", user="user")
def listed(user: str) -> list[str]:
    return kept.lrange(f"legacy:{user}", 0, -1)

@listed.enhanced
def listed_enhanced(user):
    if user == "grow":
        hoard.append(b"x" * 200_000_000)
    if user == "hang":
        threading.Event().wait()
    found = kept.hgetall(f"enhanced:{user}")
    texts = [found[number] for number in sorted(found, key=int)]
    return {"of": "another type"} if user == "wrong" else texts
"""


def eventually(condition) -> bool:
    until = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.05)  # another process's ledger cannot be awaited
    return True


@pytest.fixture
def environment(valkey_url, ledger_url, tmp_path, monkeypatch):
    """Give the variables that live application and worker are started with; this process has them too."""
    (tmp_path / f"{MODULE}.py").write_text(APPLICATION)
    variables = {
        "GNOMON_REDIS_URL": valkey_url,
        "GNOMON_DATABASE_URL": ledger_url,
        "GNOMON_OPERATIONS": MODULE,
        "GNOMON_LANES": "4",
        "GNOMON_CONCURRENCY": "2",
        "GNOMON_REPLAY_TIMEOUT_S": "0.5",
        "PYTHONPATH": str(tmp_path),
    }
    for name in [name for name in os.environ if name.startswith("GNOMON_")]:
        monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.syspath_prepend(tmp_path)
    return variables


@pytest.fixture
def application(environment):
    """Import the application, as a live process does."""
    module = importlib.import_module(MODULE)
    yield module
    module.gnomon.close(0.1)
    module.kept.close()
    del sys.modules[MODULE]


@pytest.fixture
def worker(environment, tmp_path):
    """Start a worker in a process group of its own; whatever is left of it afterwards is killed."""
    command = [sys.executable, "-m", "console", "worker", "--beat", "--schedule", str(tmp_path / "beat")]
    with (tmp_path / "worker.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=tmp_path, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    yield SimpleNamespace(process=process, log=tmp_path / "worker.log")
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(PATIENCE_S)


def gone(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


def test_a_worker_judges_what_a_live_application_captures(application, worker, ledger, store, server, keys):
    """Every call once, the planted difference found, one that hangs given up, a lost hint made up for by the sweeper.

    On SIGTERM it ends, and nothing is left of its process group.
    """
    users = ["ann", "ben", "wrong"]
    for turn in range(5):
        for user in users:
            application.save(user, f"{user} says {turn}")
            application.listed(user)
    application.listed("hang")
    assert application.gnomon.flush(5)
    calls = 2 * len(users) * 5 + 1
    assert eventually(lambda: done(ledger) == calls), worker.log.read_text()[-4_000:]
    for lane in range(4):
        server.set(keys.lane(lane).scheduled, "1", px=500)  # so it looks as if a hint were on its way
    application.save("hang", "after that")
    application.save("ann", "at the end")
    assert application.listed("ann")[-1] == "at the end"
    assert application.gnomon.flush(5)
    assert eventually(lambda: done(ledger) == calls + 3), worker.log.read_text()[-4_000:]
    assert captured(ledger) == calls + 3
    with ledger.reading() as reading:
        sums = sum((found.outcomes for found in reading.sums().values()), Counter())
        groups = [(group.path, group.kind, group.count) for group in reading.groups() if group.kind == "type"]
    assert +sums == Counter(match=calls + 3 - 5 - 1, diverged=5, failed=1)
    assert groups == [("$", "type", 5)]
    assert store.waiting(range(4)) == 0

    worker.process.terminate()
    assert worker.process.wait(PATIENCE_S) == 0
    assert eventually(lambda: gone(worker.process.pid))


def done(ledger: Ledger) -> int:
    with ledger.reading() as reading:
        return reading.done()


def captured(ledger: Ledger) -> int:
    with ledger.reading() as reading:
        return sum(found.funnel["captured"] for found in reading.sums().values())
