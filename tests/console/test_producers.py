"""Live processes as their heartbeats have them: who is alive, who ended unheard, who has acknowledged."""

import time

import pytest

from console.producers import await_acknowledged, ended_producers, live_producers
from gnomon.keys import Keys

KEYS = Keys("default")


@pytest.fixture
def beat(server):
    def beat(name, *, expires_in_ms=10_000, **said):
        seconds, micros = server.time()
        server.zadd(KEYS.producers, {name: seconds * 1_000 + micros // 1_000 + expires_in_ms})
        if said:
            server.hset(KEYS.producer(name), mapping=said)

    return beat


def test_who_is_alive(server, beat):
    """By host and number; not who has expired, nor who has just said goodbye."""
    beat("c", host="web-2", pid=5, flags=7, build="b7", clock_error_us=1_500, buffered=4, killed=1, expires_in_ms=7_000)
    beat("a", host="web-2", pid=4, flags=7)
    beat("b", host="web-1", pid=9, flags=6)
    beat("dead", host="web-0", pid=1, flags=7, expires_in_ms=-1)
    beat("gone")
    live = live_producers(server, KEYS)
    assert [(one.id, one.host, one.pid) for one in live] == [("b", "web-1", 9), ("a", "web-2", 4), ("c", "web-2", 5)]
    last = live[-1]
    assert (last.flags, last.build, last.buffered, last.killed) == (7, "b7", 4, True)
    assert 3.0 <= last.silent_s < 5.0
    assert last.as_json(8)["acknowledged"] is False
    assert last.as_json(7) == {
        "id": "c",
        "host": "web-2",
        "pid": 5,
        "build": "b7",
        "flags": 7,
        "acknowledged": True,
        "clock_error_ms": 1.5,
        "buffered": 4,
        "killed": True,
        "silent_s": last.as_json(7)["silent_s"],
    }


def test_what_a_process_does_not_say_hides_nobody(server, beat):
    """Heartbeats of another version, or no heartbeats at all, are taken as they are."""
    beat("a", host=b"\xff", pid="many", flags="-1", clock_error_us=10**9)
    beat("b", unknown="x")
    live = live_producers(server, KEYS)
    assert [(one.pid, one.flags) for one in live] == [(0, 0)] * 2
    assert {one.as_json(0)["clock_error_ms"] for one in live} == {None, 0.0}


def test_who_ended_unheard(server, beat):
    """The latest first, with what they said last; one that cannot be read has ended all the same."""
    now = int(server.time()[0]) * 1_000
    line = '{"watermark":1.7e+15,"died_ms":%d,"host":"web-1","pid":"7","buffered":%d}'
    server.hset(KEYS.dead, mapping={"a": line % (now - 60_000, 3), "b": line % (now - 5_000, 4), "c": "{", "d": "[]"})
    found = ended_producers(server, KEYS)
    assert [one.id for one in found] == ["b", "a", "c", "d"]
    assert [(one.host, one.pid, one.buffered) for one in found[:2]] == [("web-1", "7", 4), ("web-1", "7", 3)]
    assert 4 < found[0].noticed_s_ago < 8


def test_waiting_ends_when_all_know(server, live_client):
    """As soon as the last one has acknowledged, not at the end of the time."""
    live_client()
    found = await_acknowledged(server, KEYS, 0, within_s=5)
    assert (found.missing, len(found.live)) == ([], 1)
    assert found.seconds < 1


def test_waiting_is_bounded(server, beat):
    """One that does not acknowledge is waited for no longer than was said."""
    beat("a", host="web-1", pid=7, flags=3)
    began = time.monotonic()
    found = await_acknowledged(server, KEYS, 4, within_s=0.3)
    assert time.monotonic() - began < 0.6
    assert [one.name for one in found.missing] == ["web-1 process 7"]
    assert found.seconds <= 0.3


def test_nobody_is_waited_for_where_nobody_lives(server):
    """Without live processes there is nothing to wait for."""
    assert await_acknowledged(server, KEYS, 4, within_s=5).seconds < 1
