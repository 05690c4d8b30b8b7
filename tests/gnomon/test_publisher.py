"""The daemon thread: it outlives every fault, doubles nothing, and takes leave only of what is all told."""

import contextlib
import socket
import threading
import time
from urllib.parse import urlsplit

import msgspec
import pytest
import redis

from bench.helper import Helper
from gnomon import publisher, tap
from gnomon.flags import Reason, StoredFlags
from gnomon.hashing import BUCKETS, user_digest
from gnomon.keys import Keys
from gnomon.readiness import EVERYBODY, Readiness
from gnomon.wire import Phase
from tests.gnomon.conftest import frozen

pytestmark = pytest.mark.slow

MEMORY = "enhanced_memory_enabled"
KEYS = Keys("default")


# --- documents that cannot be read


@pytest.mark.parametrize(
    "document",
    [
        b"not JSON", b"\xff", b"null", b"[]", b'{"version":"nine"}', b'{"version":9,"ready_below":"all"}',
        b'{"version":9,"ready":{"ann":true}}', b'{"version":9,"dual_below":1e400}', b'{"version":9,"dual":[7]}',
    ],
)  # fmt: skip
def test_a_readiness_that_cannot_be_read_serves_nobody(phased, sync_pair, server, eventually, captures, document):
    """Whoever was dual stays so, flags and captures go on, health tells; the next document that can be read holds."""
    client = phased("served")
    read, write = sync_pair(client, "read"), sync_pair(client, "write", "memory.y")
    assert read("ann") == "new"
    server.hset(KEYS.readiness, mapping={"version": 9, "document": document})
    assert eventually(lambda: read.phase() is Phase.DUAL)
    write.calls.clear()
    assert (read("ann"), write("ann"), write.calls) == ("old", "old", ["legacy", "enhanced"])
    assert client.flush(5)
    assert len(captures()) >= 3
    assert "readiness" in client.health().details["problems"]
    assert not client._publisher.failing
    readiness = Readiness(version=10, dual_below=BUCKETS, ready_below=BUCKETS)
    server.hset(KEYS.readiness, mapping={"version": 10, "document": msgspec.json.encode(readiness)})
    assert eventually(lambda: read.phase() is Phase.SERVED)
    assert client.health().details["problems"] == []


@pytest.mark.parametrize("since", ["soon", "", "1e3", b"\xff"])
def test_exceptions_that_cannot_be_read_except_everybody(phased, sync_pair, server, eventually, captures, since):
    """Who is meant cannot be told, so nobody is served; captures go on."""
    client = phased("served")
    read = sync_pair(client, "read")
    server.hset(KEYS.unready, mapping={user_digest("ben"): since, "version": 5})
    assert eventually(lambda: read.phase() is Phase.DUAL)
    assert read("ann") == "old"
    assert client.flush(5)
    assert len(captures()) == 1
    server.delete(KEYS.unready)
    server.hset(KEYS.unready, mapping={user_digest("ben"): 7, "version": 6})
    assert eventually(lambda: read.phase() is Phase.SERVED)
    assert read.phase("ben") is Phase.DUAL


@pytest.mark.parametrize("key", ["flags", "readiness", "unready"])
@pytest.mark.parametrize("wrong", ["type", "version"])
def test_a_key_that_is_none_of_ours_means_legacy(phased, sync_pair, server, eventually, captures, key, wrong):
    """A text where a hash belongs, a version that is no number: nobody is served for it, and captures go on."""
    client = phased("shadow")
    read = sync_pair(client, "read")
    if wrong == "type":
        server.set(getattr(KEYS, key), "rampdown")
    else:
        server.hset(getattr(KEYS, key), mapping={"version": "nine", "document": b"{}"})
    seen = client._publisher._beats
    assert eventually(lambda: client._publisher._beats > seen + 1)
    assert read("ann") == "old"
    assert client.flush(5)
    assert len(captures()) == 1
    assert not client._publisher.failing


@pytest.mark.parametrize("wrong", ["type", "document"])
def test_flags_that_cannot_be_read_any_more_mean_legacy(phased, sync_pair, server, eventually, wrong):
    """At once, with the reason, and health tells; users who were dual stay so."""
    client = phased("served")
    read = sync_pair(client, "read")
    if wrong == "type":
        server.delete(KEYS.flags)
        server.set(KEYS.flags, "on")
    else:
        server.hset(KEYS.flags, mapping={"version": 99, "document": b"on"})
    assert eventually(lambda: client.flags.for_user("ann")[MEMORY].reason is Reason.MALFORMED)
    assert (read("ann"), read.phase()) == ("old", Phase.DUAL)
    assert client.health().status == "degraded"


# --- faults of the thread itself


def test_an_error_of_our_own_does_not_end_the_thread(make, sync_pair, captures, monkeypatch, caplog):
    """One round fails in a way nobody thought of: it is said, the next goes on, and nothing is lost."""
    client = make()
    read = sync_pair(client, "read")
    read("ann")
    assert client.flush(5)
    failed = threading.Event()

    def fail() -> None:
        if not failed.is_set():
            failed.set()
            raise AssertionError("nobody thought of it")
        genuine()

    genuine = client._publisher._heartbeat
    monkeypatch.setattr(client._publisher, "_heartbeat", fail)
    assert failed.wait(5)
    read("ann")
    assert client.flush(5)
    assert len(captures()) == 2
    assert "AssertionError" in caplog.text


def test_a_thread_that_cannot_be_started_is_started_later(make, sync_pair, captures, monkeypatch):
    """The machine is out of threads for a moment: what is captured meanwhile waits, and the next call tries again."""
    client = make()
    read = sync_pair(client, "read")

    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        assert read("ann") == "old"
    assert read("ben") == "old"
    assert client.flush(5)
    assert [capture.user for capture in captures()] == ["ann", "ben"]


def test_a_capture_that_cannot_be_written_stops_no_other(make, sync_pair, captures, funnel, gaps, monkeypatch):
    """It is counted as unserialisable; where it was a write, its user is in a gap."""
    client = make()
    write, read = sync_pair(client, "write"), sync_pair(client, "read", "memory.y")
    write("zoe"), read("zoe")
    assert client.flush(5)
    genuine = client._publisher._scribe.line

    def line(producer, item):
        if item.live.user in {"ann", "ben"}:
            raise AssertionError("nobody thought of it")
        return genuine(producer, item)

    monkeypatch.setattr(client._publisher._scribe, "line", line)
    write("ann"), read("ben"), write("cy")
    assert client.flush(5)
    assert [capture.user for capture in captures()] == ["zoe", "zoe", "cy"]
    assert funnel() == {"eligible": 5, "captured": 3, "unserialisable": 2}
    assert set(gaps()) == {user_digest("ann")}


# --- nothing twice


def test_a_lost_reply_counts_nothing_twice(make, sync_pair, server, eventually, monkeypatch):
    """The beat went through and its answer did not come: the counts of all processes are those of this one."""
    client = make()
    read = sync_pair(client, "read")
    read("ann")
    assert client.flush(5)
    genuine, lost = client._publisher._beat, threading.Event()

    def beat(**given):
        answer = genuine(**given)
        if given["args"][7] and not lost.is_set():  # metrics to add
            lost.set()
            raise redis.ConnectionError("the answer was lost")
        return answer

    monkeypatch.setattr(client._publisher, "_beat", beat)
    read("ann")
    assert lost.wait(5)
    assert eventually(lambda: not client.tap.tally.changes())
    assert int(server.hget(KEYS.metrics, "legacy_calls")) == 2
    assert client.metrics(everywhere=True)["legacy_calls"] == 2


def test_an_exception_made_while_another_is_told_is_told_too(phased, sync_pair, server, eventually, monkeypatch):
    """The younger moment reaches the others: until then their worker might let go of the older one too soon."""
    client = phased("served")
    standing, digest = client._state.standing, user_digest("ann")
    genuine, again = client._publisher._mark, threading.Event()

    def mark(**given):
        version = genuine(**given)
        if not again.is_set():
            again.set()
            standing.except_for("ann", 2_000)  # a second write fails just now
        return version

    monkeypatch.setattr(client._publisher, "_mark", mark)
    standing.except_for("ann", 1_000)
    client._publisher.set()
    assert again.wait(5)
    assert eventually(lambda: not standing.own)
    assert server.hget(KEYS.unready, digest) == b"2000"
    assert client.flags.for_user("ann")[MEMORY].phase is Phase.DUAL


def test_own_exceptions_hold_until_they_come_back(phased, eventually):
    """At no moment between the failed write and the answer of Redis is the user served."""
    client = phased("served")
    standing = client._state.standing
    for n in range(50):
        standing.except_for(f"user-{n}", n)
        client._publisher.set()
        assert client.flags.for_user(f"user-{n}")[MEMORY].phase is Phase.DUAL
    assert eventually(lambda: not standing.own)
    assert {client.flags.for_user(f"user-{n}")[MEMORY].phase for n in range(50)} == {Phase.DUAL}
    assert EVERYBODY not in standing.exceptions


# --- the first write of a process


def test_the_first_writes_wait_for_flags_only_so_long(make, sync_pair, server, valkey_server):
    """Redis hangs: 250 ms of waiting in all, however many writes there are; the rest goes on without."""
    client = make()
    write = sync_pair(client, "write")
    with frozen(server):
        began = time.monotonic()
        assert [write("ann") for _ in range(20)] == ["old"] * 20
        assert time.monotonic() - began < 1


def test_the_first_write_knows_the_flags(phased, make, sync_pair, monkeypatch):
    """A process that has just begun writes to both sides from its first write on: others may read it from enhanced."""
    phased("served")
    monkeypatch.setattr(tap, "FIRST_FLAGS_S", 2.5)  # ten times as long as in life: other load makes no difference
    monkeypatch.setattr(publisher, "GREETED_S", 20.0)
    for _ in range(5):
        write = sync_pair(make(), "write")
        assert (write("ann"), write.calls) == ("old", ["legacy", "enhanced"])


def test_the_first_write_waits_longer_for_a_redis_that_is_only_slow(phased, make, sync_pair, valkey_url, monkeypatch):
    """It has greeted the process in time; all of its first answers take longer than a silent one is waited for."""
    phased("served")
    monkeypatch.setattr(tap, "FIRST_FLAGS_S", 1.0)  # ten times as slow as in life: other load makes no difference
    monkeypatch.setattr(publisher, "GREETED_S", 20.0)
    with contextlib.closing(Helper("bench.proxy", str(urlsplit(valkey_url).port))) as proxy:
        port = proxy.ask(delay_s=0.06)["port"]
        client = make(GNOMON_REDIS_URL=f"redis://127.0.0.1:{port}/0")
        write = sync_pair(client, "write")
        assert (write("ann"), write.calls) == ("old", ["legacy", "enhanced"])
        client.close()


def test_the_first_write_is_stamped_with_the_flags_it_was_routed_by(make, sync_pair, server, captures):
    """Epoch and version are those in force: else it would count for an epoch that is long over."""
    stored = StoredFlags(version=9, epoch=5, flags={MEMORY: True, "rental_memory_architecture_enabled": True})
    server.hset(KEYS.flags, mapping={"version": 9, "document": msgspec.json.encode(stored)})
    client = make()
    sync_pair(client, "write")("ann")
    assert client.flush(5)
    assert [(capture.epoch, capture.flags) for capture in captures()] == [(5, 9)]


def test_a_refused_redis_is_not_waited_for():
    """Nobody listens: known at once."""
    from gnomon import Gnomon

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: refused at once
        client = Gnomon.from_env({"GNOMON_REDIS_URL": f"redis://127.0.0.1:{taken.getsockname()[1]}/0"})

        @client.operation("memory.x", kind="write", user="user", flag=MEMORY)
        def save(user: str) -> str:
            return "old"

        save.enhanced(lambda user: "new")
        assert save("ann") == "old"
        assert client._publisher.began
        assert not client._state.known
        client.close(0.0)


def test_after_close_nobody_waits(make, sync_pair):
    """A client closed before its first call asks nobody, so there is nothing to wait for."""
    client = make()
    write = sync_pair(client, "write")
    client.close()
    began = time.monotonic()
    assert [write("ann") for _ in range(20)] == ["old"] * 20
    assert time.monotonic() - began < 1


# --- close


def test_after_close_calls_go_where_the_flags_send_them_uncaptured(phased, sync_pair, captures, server):
    """Routed as before, nothing captured, no heartbeat."""
    client = phased("served")
    read, write = sync_pair(client, "read"), sync_pair(client, "write", "memory.y")
    assert read("ann") == "new"
    client.close()
    assert (len(captures()), server.zcard(KEYS.producers)) == (1, 0)
    assert (read("ann"), write("ann"), write.calls) == ("new", "old", ["legacy", "enhanced"])
    assert len(captures()) == 1
    assert client.flush(0.1)


def test_close_takes_no_leave_of_what_it_could_not_publish(make, sync_pair, server, monkeypatch):
    """Redis takes none: captures are lost with this process, so it must not look as if it had ended in order."""
    client = make()
    write = sync_pair(client, "write")

    def refuse(*_):
        raise redis.ResponseError("OOM")

    monkeypatch.setattr(client._publisher._appender, "_send", refuse)
    for n in range(20):
        write("ann", item=n)
    assert not client.flush(0.5)
    client._publisher.look()
    producer = client._publisher.producer
    client.close(0.1)
    assert server.zscore(KEYS.producers, producer) is not None
    assert int(server.hget(KEYS.producer(producer), "buffered")) > 0


def test_close_takes_no_leave_of_a_write_in_flight(make, sync_pair, server, release):
    """What it will have written nobody will capture: its user is in a gap once the heartbeat has expired."""
    client, entered = make(), threading.Event()
    write = sync_pair(client, "write")
    write.legacy = lambda **_: entered.set() or release.wait(10)
    writer = threading.Thread(target=write, args=("ann",))
    writer.start()
    assert entered.wait(5)
    producer = client._publisher.producer
    client.close(0.1)
    assert server.zscore(KEYS.producers, producer) is not None
    release.set()
    writer.join(5)


def test_close_takes_leave_where_all_is_told(make, sync_pair, server):
    """Nothing of the process is left but what it captured."""
    client = make()
    sync_pair(client, "write")("ann")
    producer = client._publisher.producer
    client.close()
    assert (server.exists(KEYS.producer(producer)), server.zscore(KEYS.watermarks, producer)) == (0, None)
    assert server.hgetall(KEYS.dead) == {}


def test_close_does_not_wait_for_a_frozen_redis(make, sync_pair, server):
    """The deadline given, and what its answers may take; then the process may end."""
    client = make()
    write = sync_pair(client, "write")
    write("ann")
    assert client.flush(5)
    with frozen(server):
        write("ann")
        began = time.monotonic()
        client.close(0.2)
        assert time.monotonic() - began < 8


# --- a clock that was set


@pytest.mark.parametrize("hours", [-1, 1])
def test_nothing_is_appended_by_a_clock_that_was_set(make, sync_pair, server, captures, hours):
    """Redis's was, so to speak: what is stamped by the one before comes back, and is appended once, as of now."""
    client = make()
    read = sync_pair(client, "read")
    read("ann")
    assert client.flush(5)
    board = client._buffer.board
    board.offset_us += hours * 3_600_000_000
    board.last_us += hours * 3_600_000_000
    client._publisher._beaten_ns = time.monotonic_ns()  # the append comes before the next look at the time
    read("ann")
    assert client.flush(5)
    seconds, micros = server.time()
    now_us = seconds * 1_000_000 + micros
    found = captures()
    assert len(found) == len({capture.id for capture in found}) == 2
    assert all(now_us - 60_000_000 < capture.end <= now_us for capture in found)
    first, second = (capture.end - capture.start for capture in found)
    assert (first < 60_000_000, second > 3_599_000_000) == (True, True)  # what it came before or after is not certain
    assert abs(client._buffer.clock.us_of(time.monotonic_ns()) - now_us) < 1_000_000
    [sent] = [server.hgetall(name) for name in server.scan_iter("*:sender:*")]
    counted = {name.rpartition(b"|")[2]: int(count) for name, count in sent.items() if b"|" in name}
    assert counted == {b"eligible": 2, b"captured": 2}


def test_a_watermark_is_true_however_far_off_the_clock_may_be(make, sync_pair, server, eventually):
    """Others hear of a larger error later: until then a promise by this clock must not say too much."""
    client = make()
    sync_pair(client, "read")("ann")
    assert client.flush(5)
    publisher, clock = client._publisher, client._buffer.clock
    clock._before.append((time.monotonic_ns(), 400_000.0))  # it was off by 0.4 s a moment ago
    publisher.look()
    beats = publisher._beats
    assert eventually(lambda: publisher._beats > beats + 1)
    seconds, micros = server.time()
    told = server.zscore(KEYS.watermarks, publisher.producer)
    assert told <= seconds * 1_000_000 + micros - 400_000
