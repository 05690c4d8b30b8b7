"""Redis's clock is set back, with its data or without: the lanes go on, and nothing is counted twice."""

import time
from collections import Counter

import msgspec
import pytest

from gnomon.hashing import lane_of
from gnomon.wire import decode, encode, pack, unpack
from ledger import LaneCommit, Position
from worker import drain as draining
from worker.looking import Lookout

pytestmark = pytest.mark.slow

SECOND_US = 1_000_000
HOUR_US = 3_600 * SECOND_US
LANES = range(4)


def stamped(payload: bytes, by_us: int) -> bytes:
    """Return captures as they would have been stamped at another time."""
    captures = [decode(line) for line in unpack(payload)]
    moved = [msgspec.structs.replace(c, start=c.start + by_us, end=c.end + by_us) for c in captures]
    return pack([encode(capture) for capture in moved])


@pytest.fixture(autouse=True)
def grown(monkeypatch):
    """Let Redis be of an age, however lately the tests began."""
    monkeypatch.setattr(Lookout, "is_young", lambda *_: False)


@pytest.fixture
def set_back(server, keys, ledger):
    """Let what waits, and where the lanes stand, be of a time an hour ahead; `forgotten`: only where they stand."""

    def run(*, forgotten: bool = False) -> None:
        now_us = time.time_ns() // 1_000
        for lane in LANES:
            stream = keys.lane(lane).stream
            entries = server.xrange(stream)
            server.delete(stream)
            for raw_id, fields in entries:
                ms, _, seq = raw_id.partition(b"-")
                name = "*" if forgotten else f"{int(ms) + HOUR_US // 1_000}-{int(seq)}"
                server.xadd(stream, fields if forgotten else at_another_time(fields, HOUR_US), id=name)
            hold = ledger.take(lane)
            after = Position(((now_us + HOUR_US) // 1_000, 0), (now_us + HOUR_US // 2, ""))
            ledger.commit(LaneCommit(lane=lane, fence=hold.fence, before=hold.position, after=after))

    return run


@pytest.fixture
def old_lane(notes, client, set_back, keys):
    """Let a write and a read wait in a lane, of before the clock was set back; give its number and stream."""
    lane = lane_of("u1", len(LANES))
    say(notes, "u1")
    assert client.flush(5)
    set_back()
    return lane, keys.lane(lane).stream


@pytest.fixture
def drain_all(make_drain):
    def run() -> None:
        for lane in LANES:
            make_drain().run(lane)

    return run


@pytest.mark.parametrize("forgotten", [False, True], ids=["with its data", "without"])
def test_lanes_go_on_when_the_clock_was_set_back(notes, client, set_back, drain_all, sums, clean, ledger, forgotten):
    """What waited is judged, and so is what comes after; nobody is late because of an hour that never was."""
    calls = notes.converse()
    assert client.flush(5)
    set_back(forgotten=forgotten)
    calls += notes.converse(turns=2)
    assert client.flush(5)
    drain_all()
    assert sums().outcomes == Counter(match=calls)
    calls += notes.converse(turns=1)
    notes.end()
    drain_all()
    assert sums().outcomes == Counter(match=calls)
    assert all(ledger.take(lane).position.cut[0] < (time.time() + 1) * 1_000_000 for lane in LANES)
    clean()


def test_a_worker_that_dies_while_a_lane_begins_anew_counts_nothing_twice(
    notes, client, set_back, drain_all, sums, clean, make_drain, make_store, monkeypatch
):
    """Between the last commit of the old time and the first of the new."""
    calls = notes.converse()
    assert client.flush(5)
    set_back()
    notes.end()
    for lane in LANES:
        dying = make_store()
        monkeypatch.setattr(dying, "remove", killed)
        with pytest.raises(KeyboardInterrupt):
            make_drain(lanes=dying).run(lane)
    drain_all()
    drain_all()
    assert sums().outcomes == Counter(match=calls)
    clean()


def test_what_lies_between_entries_of_the_old_time_is_not_lost(
    notes, client, set_back, sums, make_drain, make_store, monkeypatch, server, keys
):
    """A process that has not heard of the new time yet appends behind one that has; then the worker dies."""
    lane = 0
    old, new, unaware = [f"u{number}" for number in range(99) if lane_of(f"u{number}", len(LANES)) == lane][:3]
    say(notes, old)
    assert client.flush(5)
    set_back()
    say(notes, new)
    say(notes, unaware)
    assert client.flush(5)
    stream = keys.lane(lane).stream
    for raw_id, fields in server.xrange(stream):
        if decode(unpack(fields[b"p"])[0]).user == unaware:
            server.xdel(stream, raw_id)
            server.xadd(stream, at_another_time(fields, HOUR_US))
    notes.end()
    dying = make_store()
    monkeypatch.setattr(dying, "remove", killed)
    with pytest.raises(KeyboardInterrupt):
        make_drain(lanes=dying).run(lane)
    for _ in range(2):
        make_drain().run(lane)
    assert sums().outcomes == Counter(match=6)
    assert server.xlen(stream) == 0


def test_what_was_read_before_the_clock_went_ahead_and_came_back_is_not_lost(
    notes, client, sums, make_drain, make_producer, short_turns, server, keys, clean
):
    """A capture waits for a watermark, others come an hour ahead and the clock is right again: all in their order."""
    user, lane = "u1", lane_of("u1", len(LANES))
    stream = keys.lane(lane).stream
    say(notes, user)
    assert client.flush(5)
    move(server, stream, -2 * SECOND_US, lambda *_: True)
    say(notes, user)
    assert client.flush(5)
    other = make_producer("other")
    other.beat(time.time_ns() // 1_000 - SECOND_US)
    make_drain().run(lane)
    assert (sums().done, server.xlen(stream)) == (2, 1)  # the second was read, and kept back
    say(notes, user)  # read by nobody
    assert client.flush(5)
    known = {raw_id for raw_id, _ in server.xrange(stream)}
    say(notes, user)
    assert client.flush(5)
    move(server, stream, HOUR_US, lambda raw_id, _: raw_id not in known)
    say(notes, user)
    notes.end()
    other.leave()
    for _ in range(2):
        make_drain().run(lane)
    assert (sums().outcomes, sums().reasons) == (Counter(match=10), {})
    clean()


def test_what_was_captured_while_the_clock_was_behind_comes_after_what_was_before(
    notes, client, sums, make_drain, make_producer, short_turns, server, keys, clean
):
    """Nobody looked while the clock was an hour behind: the lane tells that it was, by what one process has sent."""
    user, lane = "u1", lane_of("u1", len(LANES))
    stream = keys.lane(lane).stream
    say(notes, user)
    say(notes, user)
    assert client.flush(5)
    known = {raw_id for raw_id, _ in server.xrange(stream)}
    say(notes, user)
    assert client.flush(5)
    move(server, stream, -HOUR_US, lambda raw_id, _: raw_id not in known)
    say(notes, user)
    notes.end()
    for _ in range(2):
        make_drain().run(lane)
    assert (sums().outcomes, sums().reasons) == (Counter(match=8), {})
    clean()


def test_a_copy_of_what_was_done_before_the_clock_was_set_back_counts_nothing(
    notes, old_lane, sums, make_drain, server
):
    """It comes behind what waits, in the old time, and stays there when that is gone."""
    lane, stream = old_lane
    for _, fields in server.xrange(stream):
        server.xadd(stream, fields)
    notes.end()
    for _ in range(2):
        make_drain().run(lane)
    assert sums().outcomes == Counter(match=2)
    assert server.xlen(stream) == 0


def test_what_redis_forgot_and_gets_again_is_found_where_it_was(
    notes, client, set_back, sums, make_drain, short_turns, monkeypatch, server, keys, clean
):
    """It has just started, with a clock set back: a lane does not begin anew before everybody has found it again."""
    lane = lane_of("u1", len(LANES))
    stream = keys.lane(lane).stream
    say(notes, "u1")
    notes.end()
    entries = server.xrange(stream)
    make_drain().run(lane)
    set_back()
    monkeypatch.setattr(draining, "RESUME_S", 0.0)
    monkeypatch.setattr(Lookout, "is_young", lambda *_: True)
    make_drain().run(lane)
    for _, fields in entries:
        server.xadd(stream, fields)
    make_drain().run(lane)
    monkeypatch.setattr(Lookout, "is_young", lambda *_: False)
    for _ in range(2):
        make_drain().run(lane)
    assert sums().outcomes == Counter(match=2)
    clean()


def test_what_was_not_promised_when_the_clock_was_set_back_is_not_compared(notes, old_lane, sums, make_drain, server):
    """A write of another process, made before, may come by the new clock: no read of the last moment can be judged."""
    lane, stream = old_lane
    [(raw_id, fields)] = server.xrange(stream)
    server.delete(stream)
    server.xadd(stream, {**fields, b"w": int(fields[b"w"]) - 2 * SECOND_US}, id=raw_id)
    notes.end()
    make_drain().run(lane)
    assert (sums().outcomes, sums().reasons) == (Counter(match=1, excluded=1), {("excluded", "causal"): 1})


def say(notes, user):
    notes.save(user, "hello")
    notes.read(user)


def move(server, stream, by_us, chosen):
    """Let those entries that are chosen be stamped at another time, in the order that they are in."""
    entries = server.xrange(stream)
    server.delete(stream)
    for raw_id, fields in entries:
        moved_us = by_us if chosen(raw_id, fields) else 0
        ms, _, seq = raw_id.partition(b"-")
        name = f"{int(ms) + moved_us // 1_000}-{int(seq)}" if moved_us >= 0 else "*"  # no id is lower than one before
        server.xadd(stream, at_another_time(fields, moved_us), id=name)


def at_another_time(fields, by_us):
    """Return an entry as it would have been stamped, by a process that had nothing else to append."""
    payload = stamped(fields[b"p"], by_us)
    newest_us = max(decode(line).end for line in unpack(payload))
    return {**fields, b"p": payload, b"w": newest_us + SECOND_US}


def killed(*_: object) -> None:
    raise KeyboardInterrupt
