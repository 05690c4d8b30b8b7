"""A real worker is checked, loses children, is asked to stop, and joins another: nothing is counted twice or left."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter

import psutil
import pytest

from console.processes import WorkerProcess
from tests.worker.processes import done, eventually
from tests.worker.test_process import application, captured

pytestmark = pytest.mark.slow

__all__ = ["application"]  # a fixture
LANES = range(4)


@pytest.fixture
def workers(application, tmp_path):
    """Start workers, each with a folder of its own."""
    made: list[WorkerProcess] = []

    def start(**more: str) -> WorkerProcess:
        own = tmp_path / f"worker-{len(made)}"
        own.mkdir()
        made.append(WorkerProcess({"GNOMON_WORKER_STATE": str(tmp_path), **more}, own / "worker.log"))
        return made[-1]

    yield start
    for worker in made:
        worker.stop()


def checked(folder, *options):
    command = [sys.executable, "-m", "console", "worker", "--check", "--json", *options]
    ran = subprocess.run(
        command, env={**os.environ, "GNOMON_WORKER_STATE": str(folder)}, capture_output=True, text=True, check=False
    )
    return ran.returncode, json.loads(ran.stdout) if ran.stdout else ran.stderr


def called(application, *users, turns=20):
    for turn in range(turns):
        for user in users:
            application.save(user, f"{user} says {turn}")
            application.listed(user)
    assert application.gnomon.flush(5)
    return 2 * turns * len(users)


def test_a_worker_is_checked_from_outside(application, workers, ledger, tmp_path):
    """0 while it gets on, 2 where there is none or more than one to choose from, 1 once it was killed."""
    assert checked(tmp_path)[0] == 2
    first = workers()
    calls = called(application, "ann", "ben")
    assert eventually(lambda: done(ledger) == calls)
    assert eventually(lambda: checked(tmp_path)[0] == 0)  # its first tick may be still to come
    code, told = checked(tmp_path)
    assert (code, told["pid"], told["healthy"]) == (0, first.pid, True), told
    assert f"worker {first.pid} gets on: 2 children" in told["why"]
    second = workers()
    assert eventually(lambda: checked(tmp_path)[0] == 2)
    assert eventually(lambda: checked(tmp_path, "--pid", str(second.pid))[0] == 0)
    os.killpg(first.pid, signal.SIGKILL)
    assert eventually(lambda: checked(tmp_path, "--pid", str(first.pid))[0] == 1)


def test_a_worker_that_is_asked_to_stop_hands_its_lanes_back(application, workers, ledger, server, keys, monkeypatch):
    """In the midst of replays: no lease is left, and another goes on where it was."""
    first = workers(GNOMON_THREADS="1")
    calls = called(application, *(f"user {number}" for number in range(12)))
    assert eventually(lambda: any(server.exists(keys.lane(lane).lease) for lane in LANES))
    os.kill(first.pid, signal.SIGTERM)
    assert psutil.Process(first.pid).wait(60) == 0 if psutil.pid_exists(first.pid) else True
    assert not any(server.exists(keys.lane(lane).lease) for lane in LANES)
    workers()
    assert eventually(lambda: done(ledger) == calls)
    assert outcomes(ledger) == Counter(match=calls)


def test_children_that_grow_too_large_are_replaced(application, workers, ledger):
    """Once their batch is through: every call counts once."""
    worker = workers(GNOMON_CHILD_MEMORY_MB="256", GNOMON_REPLAY_TIMEOUT_S="10")  # to grow takes its time
    calls = called(application, "grow", turns=1) + called(application, "ann", "ben")
    assert eventually(lambda: done(ledger) == calls)
    calls += called(application, "ann", "ben")
    assert eventually(lambda: done(ledger) == calls)
    assert outcomes(ledger) == Counter(match=calls)
    assert eventually(lambda: '"reason": "memory"' in worker._log.read_text())


def outcomes(ledger) -> Counter[str]:
    with ledger.reading() as reading:
        return +sum((found.outcomes for found in reading.sums().values()), Counter())


def test_workers_join_and_leave_at_will(application, workers, ledger):
    """While calls go on: whoever is there shares the lanes."""
    first = workers()
    calls = called(application, *"abcdef")
    workers()
    calls += called(application, *"abcdef")
    os.kill(first.pid, signal.SIGTERM)
    calls += called(application, *"abcdef")
    assert eventually(lambda: done(ledger) == calls)
    assert (captured(ledger), outcomes(ledger)) == (calls, Counter(match=calls))
