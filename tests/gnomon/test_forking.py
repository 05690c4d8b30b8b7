"""Processes that fork, and processes that end: nothing twice, nothing locked, flags kept, captures told in time."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

from gnomon.keys import Keys
from gnomon.wire import Phase

pytestmark = pytest.mark.slow

MEMORY = "enhanced_memory_enabled"
KEYS = Keys("default")
PATIENCE_S = 30.0
HARD_S = 60


def child_ended_well(child):
    """Wait for a forked child, which ends itself where it hangs."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def end_where_it_hangs():
    """In a child: end after a time, whatever it waits for, and the test fails."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # and not what the tests' own limit would raise
    signal.alarm(HARD_S)


def in_child(body):
    """Fork; the child runs `body` and ends with 0 where that is true. Returns its process id."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        end_where_it_hangs()
        code = 0 if body() else 1
    finally:
        os._exit(code)


def test_a_child_knows_the_flags_from_its_first_call(phased, sync_pair, server):
    """As its parent knew them, without asking Redis."""
    client = phased("served")
    read, write = sync_pair(client, "read"), sync_pair(client, "write", "memory.y")
    assert read("ann") == "new"
    pid = server.info("server")["process_id"]

    def body():
        answers = (read("ann"), write("ann"), write.calls)
        return client._state.known and answers == ("new", "old", ["legacy", "enhanced"])

    os.kill(pid, signal.SIGSTOP)
    try:
        assert child_ended_well(in_child(body))
    finally:
        os.kill(pid, signal.SIGCONT)


def test_locks_that_a_thread_held_lock_no_child(phased, sync_pair):
    """Fork in the middle of everything: threads that are not there in the child hold nothing there."""
    client = phased("served")
    read = sync_pair(client, "read", timeout_s=5)
    stop = threading.Event()

    def work(user: str) -> None:
        while not stop.is_set():
            read(user)

    threads = [threading.Thread(target=work, args=(f"user-{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    held = [client._buffer._lock, client.tap.tally._lock, client.invoker.breaker("memory.x")._lock]
    held += [client._publisher._starting, client.invoker._pool._lock]
    for lock in held:
        lock.acquire()  # as if each holder were in the middle of it
    try:
        child = in_child(lambda: read("ann") == "new" and client.metrics()["enhanced_calls"] == 1 and client.flush(20))
    finally:
        for lock in held:
            lock.release()
    try:
        assert child_ended_well(child)
    finally:
        stop.set()
        for thread in threads:
            thread.join(PATIENCE_S)


def test_a_child_publishes_under_its_own_name(phased, sync_pair, captures, server):
    """What the parent had captured the parent publishes; nothing is doubled, and numbers never clash."""
    client = phased("shadow")
    write = sync_pair(client, "write")
    for n in range(20):
        write("ann", item=f"parent {n}")

    def body():
        for n in range(20):
            write("ann", item=f"child {n}")
        flushed = client.flush(PATIENCE_S)
        client.close()
        return flushed

    children = [in_child(body) for _ in range(2)]
    assert all([child_ended_well(child) for child in children])  # noqa: C419 — wait for all of them
    assert client.flush(PATIENCE_S)
    found = captures()
    assert len({capture.id for capture in found}) == 60
    by_producer = Counter(capture.id.partition("-")[0] for capture in found)
    assert sorted(by_producer.values()) == [20, 20, 20]
    items = Counter(msgspec.json.decode(capture.args)["item"].partition(" ")[0] for capture in found)
    assert items == {"parent": 20, "child": 40}
    assert server.zcard(KEYS.producers) == 1  # the parent: the children have said goodbye


def test_a_call_under_way_while_forking_is_the_parents(phased, sync_pair, captures):
    """A fork inside of legacy: the child returns from a call that its parent captures, once."""
    client = phased("shadow")
    write = sync_pair(client, "write")
    children = []

    def legacy(**_):
        children.append(os.fork())
        if children == [0]:
            end_where_it_hangs()
        return "old"

    write.legacy = legacy
    try:
        returned = write("ann")
    finally:
        if children == [0]:
            os._exit(0 if client.flush(5) and returned == "old" else 1)
    assert child_ended_well(children[0])
    assert client.flush(PATIENCE_S)
    assert len(captures()) == 1


def test_an_exception_of_the_parent_is_told_by_the_parent(phased, sync_pair, eventually, server):
    """The child does not repeat it; it hears of it like everybody."""
    client = phased("served")
    write = sync_pair(client, "write")
    write.enhanced = lambda **_: 1 / 0
    write("ann")

    def body():
        child_knows = client._state.standing
        client.flags.for_user("ann")
        client._publisher.start()
        return eventually(lambda: child_knows.exceptions) and write.phase() is Phase.DUAL

    assert child_ended_well(in_child(body))
    assert eventually(lambda: server.hlen(KEYS.unready) > 1)


def _in_another_process(write, client, item):
    write("ann", item=item)
    assert client.flush(PATIENCE_S)
    client.close()


def test_a_process_of_multiprocessing(phased, sync_pair, captures):
    """Forked by it: captures are told under names of their own, as soon as they are flushed."""
    client = phased("shadow")
    write = sync_pair(client, "write")
    write("ann", item="parent")
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_in_another_process, args=(write, client, f"child {n}")) for n in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(HARD_S)
    assert [process.exitcode for process in processes] == [0, 0]
    assert client.flush(PATIENCE_S)
    assert Counter(msgspec.json.decode(capture.args)["item"] for capture in captures()) == {
        "parent": 1, "child 0": 1, "child 1": 1,
    }  # fmt: skip


# --- processes that end

PROGRAM = """
import os, signal, sys
from gnomon import Gnomon
client = Gnomon.from_env()

@client.operation("memory.x", kind="write", user="user")
def save(user: str, item: int) -> int:
    return item

how, server = sys.argv[1], int(sys.argv[2])
save("ann", 0)
assert client.flush(20)
if how == "frozen":
    os.kill(server, signal.SIGSTOP)
for item in range(1, 100):
    save("ann", item)
if how == "raises":
    raise SystemExit(3)
"""


def ended(valkey_url, how, server_pid=0):
    environ = {**os.environ, "GNOMON_REDIS_URL": valkey_url}
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, how, str(server_pid)],
        env=environ, capture_output=True, text=True, timeout=HARD_S, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("how", ["returns", "raises"])
def test_a_process_that_ends_tells_what_it_captured(valkey_url, captures, server, how):
    """Without being asked to: at its exit everything is flushed, and it says goodbye."""
    ran = ended(valkey_url, how)
    assert (ran.returncode, ran.stderr) == (3 if how == "raises" else 0, "")
    assert [msgspec.json.decode(capture.args)["item"] for capture in captures()] == list(range(100))
    assert (server.zcard(KEYS.producers), server.hlen(KEYS.dead)) == (0, 0)


def test_a_process_ends_though_redis_hangs(valkey_url, server):
    """It waits for its deadline, not for Redis; what it loses is said, and its heartbeat is left to expire."""
    pid = server.info("server")["process_id"]
    try:
        ran = ended(valkey_url, "frozen", pid)
    finally:
        os.kill(pid, signal.SIGCONT)
    assert ran.returncode == 0
    assert "gnomon.close_lost captures=99" in ran.stderr
    assert server.zcard(KEYS.producers) == 1


def test_a_process_that_is_killed_is_missed(valkey_url, make, server, eventually):
    """Its heartbeat ends without a goodbye: it is among the dead, with what it may have lost, for its users' gaps."""
    program = PROGRAM + "\nos.kill(os.getpid(), signal.SIGKILL)"
    ran = subprocess.run(
        [sys.executable, "-c", program, "killed", "0"],
        env={**os.environ, "GNOMON_REDIS_URL": valkey_url}, capture_output=True, timeout=HARD_S, check=False,
    )  # fmt: skip
    assert ran.returncode == -signal.SIGKILL
    [producer] = server.zrange(KEYS.producers, 0, -1)
    server.zadd(KEYS.producers, {producer: 1})  # ten seconds later
    client = make()
    client._publisher.start()
    assert eventually(lambda: server.hexists(KEYS.dead, producer))
    dead = msgspec.json.decode(server.hget(KEYS.dead, producer))
    assert (dead["pid"] != "", dead["host"] != "") == (True, True)


IMPORTS = """
import sys
from gnomon import Gnomon
client = Gnomon.from_env()

@client.operation("memory.x", kind="read", user="user", flag="enhanced_memory_enabled", timeout_s=5)
def get(user: str) -> str:
    return user

@get.enhanced
def better(user):
    return user

before = set(sys.modules)
get("ann")
assert client.flush(20)
client.flags.update_flags(enhanced_memory_enabled=False)
client.close()
print(sorted(set(sys.modules) - before))
"""


def test_nothing_is_imported_once_threads_run(valkey_url):
    """A fork in the middle of an import leaves the child with half a module for ever: `encodings.idna`, for one."""
    environ = {**os.environ, "GNOMON_REDIS_URL": valkey_url}
    ran = subprocess.run([sys.executable, "-c", IMPORTS], env=environ, capture_output=True, text=True, check=False)
    assert (ran.stdout, ran.stderr) == ("[]\n", "")


# --- gunicorn

APP = """
import os
from gnomon import Gnomon
client = Gnomon.from_env()

@client.operation("memory.x", kind="write", user="user")
def save(user: str) -> int:
    return os.getpid()

save("preload")  # before the workers are forked: the thread runs in the master

def app(environ, start_response):
    pid = save(environ["PATH_INFO"].strip("/"))
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(pid).encode()]
"""


def test_gunicorn_with_preload(valkey_url, captures, server, tmp_path):
    """Workers forked from a master that captures: each call once, each worker by its own name, goodbye at the end."""
    (tmp_path / "application.py").write_text(APP)
    socket_file = tmp_path / "app.sock"
    command = [sys.executable, "-m", "gunicorn", "--preload", "--workers", "2", "--bind", f"unix:{socket_file}"]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            [*command, "--no-control-socket", "--worker-tmp-dir", str(tmp_path), "application:app"],
            env={**os.environ, "GNOMON_REDIS_URL": valkey_url}, cwd=tmp_path, stdout=log, stderr=log,
        )  # fmt: skip
        try:
            pids = {asked(process, socket_file, f"user-{n}") for n in range(40)}
        finally:
            process.terminate()
            code = process.wait(PATIENCE_S)
    assert (code, "gnomon." in (tmp_path / "log").read_text()) == (0, False)
    found = captures()
    assert Counter(capture.user for capture in found) == {"preload": 1, **{f"user-{n}": 1 for n in range(40)}}
    assert process.pid not in pids
    assert len({capture.id.partition("-")[0] for capture in found}) == len(pids) + 1
    assert (server.zcard(KEYS.producers), server.hlen(KEYS.dead)) == (0, 0)


def asked(process, socket_file: Path, user: str) -> int:
    """Ask the application over its socket, once it listens."""
    import http.client
    import socket

    for _ in range(int(PATIENCE_S / 0.05)):
        assert process.poll() is None
        with socket.socket(socket.AF_UNIX) as raw, suppress(FileNotFoundError, ConnectionError):
            raw.connect(str(socket_file))
            raw.settimeout(PATIENCE_S)
            connection = http.client.HTTPConnection("localhost")
            connection.sock = raw
            connection.request("GET", f"/{user}")
            return int(connection.getresponse().read())
        threading.Event().wait(0.05)
    raise TimeoutError
