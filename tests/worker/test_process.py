"""A real Celery worker beside a live application: started as a run starts it, ended as a person ends it."""

from collections import Counter

import pytest

from ledger import Ledger
from tests.worker.processes import PATIENCE_S, done, eventually

pytestmark = pytest.mark.slow

MODULE = "notes_for_a_worker"
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


@pytest.fixture
def application(make_application):
    """Import the application, as a live process does."""
    module = make_application(MODULE, APPLICATION, GNOMON_REPLAY_TIMEOUT_S="0.5")
    yield module
    module.kept.close()


@pytest.fixture
def worker(application, start_worker):
    """Start a worker of it."""
    return start_worker()


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
    assert eventually(lambda: done(ledger) == calls), worker.said
    for lane in range(4):
        server.set(keys.lane(lane).scheduled, "1", px=500)  # so it looks as if a hint were on its way
    application.save("hang", "after that")
    application.save("ann", "at the end")
    assert application.listed("ann")[-1] == "at the end"
    assert application.gnomon.flush(5)
    assert eventually(lambda: done(ledger) == calls + 3), worker.said
    assert captured(ledger) == calls + 3
    with ledger.reading() as reading:
        sums = sum((found.outcomes for found in reading.sums().values()), Counter())
        groups = [(group.path, group.kind, group.count) for group in reading.groups() if group.kind == "type"]
    assert +sums == Counter(match=calls + 3 - 5 - 1, diverged=5, failed=1)
    assert groups == [("$", "type", 5)]
    assert store.waiting(range(4)) == 0

    worker.process.terminate()
    assert worker.process.wait(PATIENCE_S) == 0
    assert eventually(lambda: worker.gone)


def captured(ledger: Ledger) -> int:
    with ledger.reading() as reading:
        return sum(found.funnel["captured"] for found in reading.sums().values())
