"""The scripts inside Redis: all or nothing, harmless when repeated, and never forgetting what protects a user."""

import msgspec
import pytest

from gnomon.keys import Keys
from gnomon.readiness import MOST_EXCEPTIONS
from gnomon.scripts import (
    APPEND,
    BEAT,
    CLEAR_UNREADY,
    LEAVE,
    MARK_UNREADY,
    MOST_GAPS,
    PACE,
    SET_BACK_MS,
    SET_FORWARD_MS,
    STORE,
    TRIM,
)

pytestmark = pytest.mark.slow

KEYS = Keys("default")
LANE = KEYS.lane(7)
CALM = [[None] * 5, None, b""]  # no step of shedding yet, no bytes, nothing that waits


@pytest.fixture
def append(server):
    """Append a batch as a producer does."""

    def run(number, *, entries=(), gaps=(), counts=(), cap=1 << 20, total_cap=0, now_ms=0, hint=b"", producer="p"):
        keys = [LANE.stream, LANE.state, LANE.sender(producer), LANE.scheduled, LANE.senders, KEYS.queue, LANE.gaps]
        args = [number, cap, 5, 10_000, 60_000, hint, producer, 300, sum(n for _, n, _ in entries), 10 * number]
        args += [len(entries), len(gaps), 7, total_cap, now_ms]
        for part in (*entries, *gaps, *counts):
            args += part
        return server.eval(APPEND, 10, *keys, LANE.users(producer), KEYS.stock, KEYS.oldest, *args)

    return run


@pytest.fixture
def beat(server):
    """Beat as a producer does, or only look."""

    def run(producer="p", *, lifetime_ms=10_000, watermark=100, known=(0, 0, 0), number=1, counted=(), facts=("x", 1)):
        shared = [KEYS.producers, KEYS.watermarks, KEYS.flags, KEYS.readiness, KEYS.unready, KEYS.dead, KEYS.metrics]
        shared += [KEYS.pressure, KEYS.stock, KEYS.oldest, KEYS.heard]
        args = [producer, lifetime_ms, watermark, *known, number, len(counted)]
        for part in counted:
            args += part
        return server.eval(BEAT, 12, KEYS.producer(producer), *shared, *args, *facts)

    return run


def mark(server, *pairs, most=MOST_EXCEPTIONS):
    return server.eval(MARK_UNREADY, 1, KEYS.unready, KEYS.changes, most, *pairs)


def clear(server, *pairs):
    return server.eval(CLEAR_UNREADY, 1, KEYS.unready, *pairs)


# --- append


def test_an_append_is_entries_gaps_and_counters_at_once(append, server):
    """What a batch carries is there together, and who was captured is remembered."""
    assert append(1, entries=[("d1", 2, b"x" * 10)], gaps=[("d2", 50)], counts=[("op|1|captured", 2)]) == b"appended"
    [(_, fields)] = server.xrange(LANE.stream)
    assert fields == {b"u": b"d1", b"n": b"2", b"w": b"5", b"e": b"300", b"b": b"138", b"s": b"p:10", b"p": b"x" * 10}
    assert server.hgetall(LANE.gaps) == {b"d2": b"50"}
    assert server.hgetall(LANE.sender("p")) == {b"batch": b"1", b"entries": b"10", b"op|1|captured": b"2"}
    assert server.zrange(LANE.senders, 0, -1) == [b"p"]
    assert server.hgetall(LANE.state) == {b"appended": b"138", b"captured": b"2"}  # 128 beside its payload
    assert server.hgetall(KEYS.stock) == {b"7": b"138", b"total": b"138"}
    assert server.zrange(KEYS.oldest, 0, -1) == [b"7"]
    assert server.zrange(LANE.users("p"), 0, -1) == [b"d1"]


def test_a_repeated_append_changes_nothing(append, server):
    """The same number again, as after a lost reply."""
    given = {"entries": [("d1", 1, b"x")], "gaps": [("d2", 50)], "counts": [("op|1|captured", 1)]}
    append(1, **given)
    server.delete(LANE.gaps)  # a worker has seen to it
    assert append(1, **given) == b"repeated"
    assert (server.xlen(LANE.stream), server.hget(LANE.sender("p"), "op|1|captured")) == (1, b"1")
    assert not server.exists(LANE.gaps)


def test_a_full_lane_takes_nothing_of_a_batch(append, server):
    """Neither entries nor counters nor gaps; a batch without entries is never refused."""
    assert append(1, entries=[("d1", 1, b"x" * 9)], gaps=[("d2", 5)], counts=[("c", 1)], cap=136) == b"full"
    assert server.keys("*") == []
    assert append(1, gaps=[("d2", 5)], counts=[("c", 1)], cap=1) == b"appended"
    assert server.hgetall(LANE.gaps) == {b"d2": b"5"}


def test_all_lanes_together_may_be_full(append, server):
    """A lane has room, all of them have none: the batch is refused as a whole."""
    assert append(1, entries=[("d1", 1, b"x" * 100)], total_cap=228) == b"appended"
    assert append(2, entries=[("d1", 1, b"x")], total_cap=228) == b"full"
    assert append(2, entries=[("d1", 1, b"x")], total_cap=0) == b"appended"  # what Redis had taken and forgot
    assert server.hget(KEYS.stock, "total") == b"357"


def test_gaps_of_many_users_are_a_gap_of_all(append, server):
    """Nobody takes them, so Redis would fill with them: beyond a number, everybody of the lane is meant."""
    append(1, gaps=[(f"d{n}", 50) for n in range(MOST_GAPS)])
    append(2, gaps=[("late", 70), ("d3", 40), ("later", 60)])
    found = server.hgetall(LANE.gaps)
    assert (len(found), found[b"*"], found[b"d3"]) == (MOST_GAPS + 1, b"60", b"40")


def test_trimming_tells_what_is_left(append, server):
    """Bytes and the oldest of a lane, and of all; an empty lane holds nothing, whatever its figures say."""
    for number in (1, 2):
        append(number, entries=[("d1", 1, b"x" * 10)])
    first, second = (entry for entry, _ in server.xrange(LANE.stream))
    server.set(LANE.lease, "token")

    def trim(keep_from, trimmed):
        keys = (LANE.lease, LANE.stream, LANE.state, KEYS.stock, KEYS.oldest)
        assert server.eval(TRIM, len(keys), *keys, "token", keep_from, trimmed, 7) == 1
        return server.hgetall(KEYS.stock), server.zrange(KEYS.oldest, 0, -1, withscores=True)

    left = ({b"7": b"138", b"total": b"138"}, [(b"7", float(second.split(b"-")[0]))])
    assert (trim(second, 138), trim(first, 0)) == (left, left)
    server.hset(LANE.state, "trimmed", 20)  # as a Redis that has forgotten
    assert trim("9999999999999-0", 0) == ({b"7": b"0", b"total": b"0"}, [])


def test_a_step_of_shedding_is_taken_once(beat, server):
    """By whoever is first; with the next beat everybody knows."""

    def step(at, below):
        return server.eval(PACE, 1, KEYS.pressure, at, below, 1_000, 900, 5_000, 2_000)

    assert (step(0, 250_000), step(0, 500_000)) == (1, 0)
    at = beat()[9][0]
    assert beat(number=2)[9] == [at, b"250000", b"1000", b"900", b"5000"]
    assert step(at, 500_000) == 1
    server.set("not a hash", 1)
    server.rename("not a hash", KEYS.pressure)
    assert beat(number=3)[9] == [b"0"] * 5


def test_a_gap_is_as_old_as_the_first_write_that_may_be_missing(append, server):
    """Two producers lose writes of one user: whichever tells first, the earlier moment stays."""
    append(1, gaps=[("d", 50)], producer="p")
    append(1, gaps=[("d", 30)], producer="q")
    append(2, gaps=[("d", 70)], producer="p")
    assert server.hgetall(LANE.gaps) == {b"d": b"30"}


def test_one_hint_is_under_way_at_a_time(append, server):
    """The first batch pushes it, the next find it there; counters alone need none."""
    assert append(1, counts=[("c", 1)], hint=b"hint") == b"appended"
    assert append(2, entries=[("d", 1, b"x")], hint=b"hint") == b"hinted"
    assert append(3, entries=[("d", 1, b"x")], hint=b"hint") == b"appended"
    assert server.lrange(KEYS.queue, 0, -1) == [b"hint"]


def test_what_is_stamped_by_another_clock_is_not_taken(append, server):
    """Redis's was set since its producer asked for the time; an answer that was long under way is none of that."""
    server.set(LANE.lease, "token")  # a key of its own, so that the lane may be seen to be untouched
    now_ms = int(server.time()[0]) * 1_000
    given = {"entries": [("d1", 1, b"x")], "gaps": [("d2", 50)], "counts": [("op|1|captured", 1)]}
    for off_ms in (-3_600_000, -SET_FORWARD_MS - 1_100, SET_BACK_MS + 1_100, 3_600_000):
        assert append(1, now_ms=now_ms + off_ms, **given) == b"misaligned"
    assert server.keys("*") == [LANE.lease.encode()]
    assert append(1, now_ms=now_ms - 3_000, **given) == b"appended"
    assert append(1, now_ms=now_ms + 3_600_000, **given) == b"repeated"  # it was taken before the clock was set
    assert append(2, now_ms=now_ms + 1_000, **given) == b"appended"


# --- beat


def test_a_beat_tells_what_is_new_and_no_more(beat, server):
    """Documents travel only where the version known is another."""
    server.hset(KEYS.flags, mapping={"version": 3, "document": b"F"})
    server.hset(KEYS.readiness, mapping={"version": 2, "document": b"R"})
    mark(server, "d", 9)
    assert beat()[2:] == [b"100", b"3", b"F", b"2", b"R", b"1", [b"d", b"9", b"version", b"1"], *CALM]
    assert beat(known=(3, 2, 1), number=2)[2:] == [b"100", b"3", b"", b"2", b"", b"1", [], *CALM]


def test_nothing_stored_is_version_zero(beat):
    """And nothing to read."""
    assert beat()[3:] == [b"0", b"", b"0", b"", b"0", [], *CALM]


def test_counts_of_a_beat_are_added_once(beat, server):
    """The same number again, as after a lost reply, adds nothing."""
    beat(number=1, counted=[("legacy_calls", 3)])
    beat(number=1, counted=[("legacy_calls", 3)])
    beat(number=2, counted=[("legacy_calls", 2), ("errors", 1)])
    assert server.hgetall(KEYS.metrics) == {b"legacy_calls": b"5", b"errors": b"1"}


def test_the_lowest_live_watermark_is_told(beat):
    """Of all producers; who has only looked is none."""
    assert beat("p", watermark=100)[2] == b"100"
    assert beat("q", watermark=70)[2] == b"70"
    assert beat("", watermark=0)[2] == b"70"


def test_a_watermark_of_a_time_to_come_promises_nothing(beat, server):
    """Its producer has not heard yet that the clock was set back; once it has, the lowest holds again."""
    now_us = int(server.time()[0]) * 1_000_000
    assert beat("p", watermark=now_us)[2] == str(now_us).encode()
    assert beat("q", watermark=now_us + 3_600_000_000)[2] == b"0"
    assert beat("", watermark=0)[2] == b"0"
    assert beat("q", watermark=now_us + 1_000_000, number=2)[2] == str(now_us).encode()


def test_nobody_lives_for_an_hour_because_the_clock_was_set_back(beat, server):
    """A producer that dies at that moment would hold everybody back for as long."""
    beat("p", watermark=70)
    now_ms = int(server.time()[0]) * 1_000
    server.zadd(KEYS.producers, {"p": now_ms + 3_600_000})
    beat("q", watermark=100)
    assert server.zscore(KEYS.producers, "p") <= now_ms + 11_000


def test_a_time_in_which_nobody_was_heard_counts_against_nobody(beat, server):
    """Redis was frozen or full, or its clock was set: its first answer afterwards buries nobody, the next ones may."""
    beat("p", watermark=70)
    now_ms = int(server.time()[0]) * 1_000
    server.set(KEYS.heard, now_ms - 60_000)
    server.zadd(KEYS.producers, {"p": now_ms - 52_000})
    assert beat("", watermark=0)[2] == b"70"
    assert now_ms + 6_000 < server.zscore(KEYS.producers, "p") < now_ms + 20_000
    server.zadd(KEYS.producers, {"p": now_ms - 1_000})
    assert beat("", watermark=0)[2] == b""
    assert server.hexists(KEYS.dead, "p")


def test_nor_does_it_while_that_cannot_be_written_down(beat, server):
    """A Redis that is full takes no beat; workers look all the same, and must: they make room."""
    beat("p", watermark=70)
    now_ms = int(server.time()[0]) * 1_000
    server.set(KEYS.heard, now_ms - 60_000)
    server.zadd(KEYS.producers, {"p": now_ms - 52_000})
    server.config_set("maxmemory-policy", "noeviction")
    server.config_set("maxmemory", 1)
    try:
        assert beat("", watermark=0)[2] == b"70"
    finally:
        server.config_set("maxmemory", 0)
    assert beat("", watermark=0)[2] == b"70"
    assert server.zscore(KEYS.producers, "p") > now_ms + 6_000


def test_a_producer_unheard_of_is_moved_to_the_dead(beat, server):
    """With what it said last, so that it can be told whom it may have lost; it holds nobody back any more."""
    beat("p", watermark=70, facts=("host", "h", "pid", 12, "buffered", 5))
    server.zadd(KEYS.producers, {"p": 1})  # long ago
    assert beat("q", watermark=100)[2] == b"100"
    dead = msgspec.json.decode(server.hget(KEYS.dead, "p"))
    assert {name: dead[name] for name in ("watermark", "host", "pid", "buffered")} == {
        "watermark": 70, "host": "h", "pid": "12", "buffered": 5,
    }  # fmt: skip
    assert (server.exists(KEYS.producer("p")), server.zscore(KEYS.producers, "p")) == (0, None)


def test_a_watermark_keeps_its_microseconds(beat, server):
    """A moment of today has sixteen digits: all of them come back from the living, fourteen from the dead (cjson)."""
    now = 1_795_370_000_001_463
    assert float(beat("p", watermark=now)[2]) == now
    beat("q", lifetime_ms=-1, watermark=now)
    beat("p", watermark=now)
    assert abs(msgspec.json.decode(server.hget(KEYS.dead, "q"))["watermark"] - now) <= 50


def test_who_says_goodbye_is_not_dead(beat, server):
    """Left in order: nothing held back, nothing to look into."""
    beat("p")
    server.eval(LEAVE, 3, KEYS.producer("p"), KEYS.producers, KEYS.watermarks, "p")
    assert beat("", watermark=0)[2] == b""
    assert server.hgetall(KEYS.dead) == {}


@pytest.mark.parametrize("key", ["flags", "readiness", "unready"])
def test_a_key_of_another_type_stops_no_heart(beat, server, key):
    """Somebody stored a text where a hash belongs: the beat goes through, and gives something that is no document."""
    server.set(getattr(KEYS, key), "rampdown")
    answer = beat()
    assert answer[2] == b"100"
    told = dict(zip(("flags", "readiness", "unready"), (answer[4], answer[6], answer[8]), strict=True))
    assert told[key] not in (b"", [])


# --- store


def test_a_document_is_stored_by_whoever_was_first(server):
    """Compare and set: the second of two finds another version."""
    assert server.eval(STORE, 1, KEYS.flags, 0, 1, b"one", KEYS.changes) == 1
    assert server.eval(STORE, 1, KEYS.flags, 0, 1, b"other", KEYS.changes) == 0
    assert server.hgetall(KEYS.flags) == {b"version": b"1", b"document": b"one"}


@pytest.mark.parametrize("script", ["store", "mark"])
def test_every_live_process_is_told(server, script):
    """Over the channel, with the new version."""
    with server.pubsub() as listening:
        listening.subscribe(KEYS.changes)
        assert listening.get_message(timeout=5)["type"] == "subscribe"
        if script == "store":
            server.eval(STORE, 1, KEYS.readiness, 0, 4, b"{}", KEYS.changes)
        else:
            mark(server, "d", 1)
        assert listening.get_message(timeout=5)["data"] == (b"4" if script == "store" else b"1")


# --- exceptions


def test_an_exception_is_as_young_as_the_last_write_that_enhanced_lacks(server):
    """Two processes tell of one user, in whatever order: the younger moment stays, all up to it must be replayed."""
    mark(server, "d", 50)
    mark(server, "d", 30)
    assert server.hget(KEYS.unready, "d") == b"50"
    assert clear(server, "d", 40) == 0
    mark(server, "d", 70)
    assert clear(server, "d", 50) == 0
    assert clear(server, "d", 70) == 1
    assert server.hgetall(KEYS.unready) == {b"version": b"4"}


def test_every_mark_makes_a_new_version(server):
    """Also a repeated one: whoever marked waits for a version that holds it."""
    assert [mark(server, "d", 1), mark(server, "e", 1, "f", 2), mark(server, "d", 1)] == [1, 2, 3]


def test_too_many_exceptions_are_everybody(server):
    """Beyond the most all users are excepted together; who was excepted before still is."""
    assert mark(server, "a", 1, "b", 2, most=4) == 1
    assert mark(server, "c", 3, "d", 4, "e", 5, most=4) == 2
    held = server.hgetall(KEYS.unready)
    assert int(held[b"*"]) >= 5
    assert {b"a", b"b"} <= held.keys()


def test_clearing_what_is_not_there_changes_nothing(server):
    """No new version, so nobody reads anew."""
    mark(server, "d", 5)
    assert clear(server, "e", 9, "d", 4) == 0
    assert server.hget(KEYS.unready, "version") == b"1"
