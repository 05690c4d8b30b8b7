"""`gnomon demo`: the planted defect is found as one group, Flower sees the work."""

import json
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest

from console.processes import free_port

pytestmark = [pytest.mark.slow, pytest.mark.long]


def test_the_planted_defect_is_found_as_one_group(gnomon):
    """Exit code 0, one group is the defect, every other group is explained."""
    ran = gnomon("demo", "--json")
    assert ran.code == 0
    assert "Planted in the enhanced system" in ran.err
    groups = ran.json["groups"]
    [planted] = [group for group in groups if group["operation"] != "chat.send"]
    assert (planted["operation"], planted["kind"], planted["path"]) == (
        "memory.recent",
        "lost",
        "$[*].metadata.currency",
    )
    assert planted["count"] == ran.json["operations"]["memory.recent"]["outcomes"]["diverged"]
    assert all(group["explanation"] for group in groups)
    assert ran.json["outcomes"]["pending"] == 0
    [performance] = [c for c in ran.json["gate"]["criteria"] if c["name"] == "performance:memory.recent"]
    assert performance["n"] > 0
    assert 0 <= performance["observed"] <= 1
    [noisy] = ran.json["pairs"]["memory.recent"]["noise"]["fields"]
    assert (noisy["path"], noisy["repeated"]) == (planted["path"], 0)  # legacy always tells the currency
    assert noisy["compared"] > 0


def test_flower_lists_the_worker_and_the_drains(gnomon, left_running):
    """Flower by hand on the demo's Redis: the worker, and gnomon.drain with its counts; Ctrl-C leaves nothing."""
    demo = gnomon.start("demo", "--stay")
    flower = None
    try:
        redis_url = next(line.split()[1] for line in iter(demo.stderr.readline, "") if line.startswith("  Redis"))
        port = free_port()
        command = [sys.executable, "-m", "celery", f"--broker={redis_url}", "flower", f"--port={port}"]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        environ = {**gnomon.environ, "FLOWER_UNAUTHENTICATED_API": "true"}
        flower = subprocess.Popen(command, env=environ, cwd=gnomon.folder, **quiet)
        tasks = eventually(lambda: drained(ask(port, "tasks?taskname=gnomon.drain&state=SUCCESS")))
        assert "match" in tasks[0]["result"]
        assert eventually(lambda: ask(port, "workers?refresh=1"))
    finally:
        for process in filter(None, (flower, demo)):
            process.send_signal(signal.SIGTERM)
            _, said = process.communicate(timeout=60)
    assert demo.returncode == 130
    assert "gnomon: interrupted" in said
    assert left_running(gnomon.folder) == []


def drained(tasks):
    return [task for task in (tasks or {}).values() if task["result"] and "match" in task["result"]]


def ask(port: int, what: str):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/{what}", timeout=10) as answer:
            return json.load(answer)
    except (urllib.error.URLError, OSError):
        return None


def eventually(condition, deadline_s=40.0):
    until = time.monotonic() + deadline_s
    while time.monotonic() < until:
        if found := condition():
            return found
        time.sleep(0.2)
    pytest.fail("it never came to be")
