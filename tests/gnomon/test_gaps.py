"""Writes that no lane will ever hold: their user is in a gap before anybody relies on the watermark."""

import os
import threading

import msgspec
import pytest

from gnomon import call
from gnomon.buffer import WRITE_HOLDS_US, Buffer
from gnomon.clock import AlignedClock
from gnomon.flags import LONGEST_USER
from gnomon.hashing import lane_of, user_digest
from gnomon.keys import Keys
from gnomon.live_call import LiveCall
from gnomon.operation import Binding
from gnomon.readiness import EVERYBODY
from gnomon.usual import Board, new_board
from gnomon.wire import Kind, Phase

KEYS = Keys("default")
ANN = user_digest("ann")


# --- the buffer and its watermark


class Clock(AlignedClock):
    """An aligned clock that is set by hand."""

    def __init__(self, board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(board)
        board.offset_us = 0
        self.now = 1_000_000
        monkeypatch.setattr("time.monotonic_ns", lambda: self.now * 1_000)


@pytest.fixture
def buffer(monkeypatch) -> Buffer:
    made = Buffer(new_board(max_captures=3, max_bytes=1_000))
    made.clock = Clock(made.board, monkeypatch)
    return made


def live(kind: str = "write", user: str = "ann") -> LiveCall:
    def legacy(user: str) -> None: ...

    found = LiveCall(Binding(name=f"memory.{kind}", kind=Kind(kind), user="user", legacy=legacy), user, 7)
    found.args = msgspec.Raw(b"{}")
    return found


def test_a_write_in_flight_holds_the_watermark(buffer):
    """At its start, until it is taken; a read does not."""
    write, read = live(), live("read")
    buffer.begin(write)
    buffer.begin(read)
    assert buffer.low_watermark(None) == write.start
    assert buffer.writing
    buffer.offer(write, 10, msgspec.UNSET)
    assert buffer.low_watermark(None) == write.start  # not yet appended
    assert not buffer.writing
    taken = buffer.take()
    assert buffer.low_watermark(taken.items[0].low) == write.start
    assert buffer.low_watermark(None) == buffer.board.last_us


def test_a_write_in_flight_for_too_long_opens_its_users_gap(buffer):
    """It holds everybody back no longer; its gap holds the watermark until that is told."""
    write = live()
    buffer.begin(write)
    buffer.clock.now = write.start + WRITE_HOLDS_US - 2
    assert buffer.low_watermark(None) == write.start
    assert not buffer._gaps
    buffer.clock.now = write.start + WRITE_HOLDS_US + 5
    assert buffer.low_watermark(None) == write.start
    assert not buffer.writing
    assert buffer.take().gaps == {(write.lane, ANN): write.start}
    assert buffer.low_watermark(None) == buffer.board.last_us
    assert buffer.offer(write, 10, msgspec.UNSET) is True  # in the end it is captured after all, at its end
    assert buffer.take().items[0].low == buffer.board.last_us


def test_a_gap_begins_with_the_first_write_missed(buffer):
    """Of several, the earliest, in whatever order they are told."""
    buffer.gap(7, "ann", 50)
    buffer.gap(7, "ann", 30)
    buffer.gap(7, "ann", 70)
    buffer.gap(8, "ben", 60)
    assert buffer.low_watermark(None) == 30
    assert buffer.take().gaps == {(7, ANN): 30, (8, user_digest("ben")): 60}
    assert buffer.take().gaps == {}


def test_too_many_gaps_are_everybody_of_the_lane(buffer, monkeypatch):
    """Memory is bounded, nobody is forgotten."""
    monkeypatch.setattr("gnomon.buffer.MOST_GAPS", 2)
    for n, user in enumerate(("ann", "ben", "cy", "dee")):
        buffer.gap(7, user, 100 - n)
    gaps = buffer.take().gaps
    assert gaps[7, EVERYBODY] == 97
    assert set(gaps) == {(7, ANN), (7, user_digest("ben")), (7, EVERYBODY)}


# --- a live process


@pytest.mark.slow
@pytest.mark.parametrize("phase", ["shadow", "dual", "served"])
@pytest.mark.parametrize("loss", ["argument", "answer", "oversize"])
def test_a_write_that_cannot_be_captured_opens_a_gap(phased, pair, gaps, funnel, phase, loss):
    """It has no JSON form, or is too large: counted, and its user is in a gap, as of its start or before."""
    client = phased(phase, GNOMON_CAPTURE_BYTES="2000")
    operation = pair(client, "write")
    item = {"argument": object(), "oversize": "x" * 3_000}.get(loss, "x")
    if loss == "answer":
        operation.legacy = lambda **_: object()
    if loss == "oversize":
        operation.enhanced = lambda **_: 1 / 0  # else enhanced has it live
    before = client._buffer.clock.now_us()
    operation("ann", item=item)
    after = client._buffer.clock.now_us()
    assert client.flush(5)
    assert list(gaps()) == [ANN]
    assert before <= gaps()[ANN] <= after
    assert funnel() == {"eligible": 1, "oversize" if loss == "oversize" else "unserialisable": 1}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["read", "generate"])
def test_a_read_that_cannot_be_captured_leaves_no_gap(phased, pair, gaps, kind):
    """Nothing was written."""
    client = phased("shadow")
    operation = pair(client, kind)
    operation.legacy = lambda **_: object()
    operation("ann")
    operation("ann", item=object())
    assert client.flush(5)
    assert gaps() == {}


@pytest.mark.slow
@pytest.mark.parametrize(("phase", "served"), [("shadow", {}), ("dual", {}), ("served", {"missed_served": 2})])
def test_what_enhanced_was_to_answer_and_is_lost_is_counted_apart(phased, pair, funnel, phase, served):
    """Beside where it ended: else losses of few served calls would hide among those of many others."""
    client = phased(phase, GNOMON_CAPTURE_BYTES="2000")
    read, write = pair(client, "read"), pair(client, "write", "memory.y")
    for operation in (read, read, write):
        operation("ann", item="x" * 3_000)
    assert client.flush(5)
    assert funnel() == {"eligible": 3, "oversize": 3, **served}


@pytest.mark.slow
def test_a_write_that_enhanced_has_live_excepts_nobody(phased, pair, gaps, funnel, server):
    """Too large to be captured, and both sides have it: its user goes on being served.

    There is a gap all the same: nobody can tell any more which reads it came between.
    """
    client = phased("served", GNOMON_CAPTURE_BYTES="2000")
    operation = pair(client, "write")
    operation("ann", item="x" * 3_000)
    assert client.flush(5)
    assert (list(gaps()), funnel()) == ([ANN], {"eligible": 1, "oversize": 1})
    assert operation.phase() is Phase.SERVED
    assert server.hlen(KEYS.unready) == 0


@pytest.mark.slow
def test_a_write_shed_for_a_full_lane_opens_a_gap(make, sync_pair, gaps, funnel, server, eventually):
    """The one that the lane refuses, and those that come while it is full: told at once, as of the earliest."""
    client = make(GNOMON_LANE_BYTES="700")
    write = sync_pair(client, "write")
    for _ in range(2):  # the first fits
        before_us = client._buffer.clock.now_us()
        write("ann", item=os.urandom(150).hex())
        assert client.flush(5)
    after_us = client._buffer.clock.now_us()
    write("ann", item="lost")
    assert client.flush(5)
    assert before_us < int(gaps()[ANN]) < after_us
    assert funnel() == {"eligible": 3, "captured": 1, "shed": 2}


@pytest.mark.slow
def test_a_write_lost_while_redis_was_away_opens_a_gap(make, sync_pair, gaps, funnel, monkeypatch):
    """The buffer is full because nothing goes out: counted, and told once there is a way again."""
    client = make(GNOMON_BUFFER_CAPTURES="1")
    write = sync_pair(client, "write")
    with monkeypatch.context() as patched:
        patched.setattr(client._publisher, "_publish", lambda: None)
        write("ann")
        write("ben")
        assert (client.metrics()["publish_failed"], client.metrics()["captured"]) == (1, 1)
    assert client.flush(5)
    assert list(gaps()) == [user_digest("ben")]
    assert funnel() == {"eligible": 2, "captured": 1, "publish_failed": 1}


@pytest.mark.slow
def test_a_long_write_is_let_go_and_told(make, sync_pair, gaps, server, eventually, release, monkeypatch):
    """In flight for longer than is held (30 s, here none): the watermark moves on only with the gap in the lane."""
    client, entered = make(), threading.Event()
    write = sync_pair(client, "write")
    write.legacy = lambda **_: entered.set() or release.wait(30)
    writer = threading.Thread(target=write, args=("ann",))
    writer.start()
    assert entered.wait(5)
    started = next(iter(client._buffer.board.writes.values())).start

    def watermark():
        beat = server.hgetall(KEYS.producer(client._publisher.producer))
        return int(beat[b"watermark"]) + int(beat[b"clock_error_us"]) if beat else 0

    assert eventually(lambda: watermark() == started)
    monkeypatch.setattr("gnomon.buffer.WRITE_HOLDS_US", 0)
    assert eventually(lambda: watermark() > started)
    assert gaps() == {ANN: started}
    release.set()
    writer.join(5)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["read", "write", "generate"])
@pytest.mark.parametrize("phase", ["shadow", "dual", "served", "retired"])
def test_a_user_id_beyond_measure_is_legacys(phased, pair, captures, funnel, gaps, server, phase, kind):
    """Ten kilobytes are taken for a mistake: legacy answers, oversize is counted, nothing is kept of it."""
    client = phased(phase)
    operation = pair(client, kind)
    remembered = lane_of.cache_info().currsize
    for length in (LONGEST_USER + 1, 10_240):
        assert operation("x" * length) == "old"
    assert operation.calls == ["legacy"] * 2
    assert client.flush(5)
    assert (captures(), gaps(), funnel()) == ([], {}, {"eligible": 2, "oversize": 2})
    lanes = [KEYS.lane(lane) for lane in range(64)]
    names = [lane.sender(name.decode()) for lane in lanes for name in server.zrange(lane.senders, 0, -1)]
    fields = [field for name in names for field in server.hkeys(name) if b"|" in field]
    assert {field.split(b"|")[1] for field in fields} == {b"1"}  # the epoch in force
    assert lane_of.cache_info().currsize == remembered


@pytest.mark.slow
def test_the_longest_user_id_is_one(phased, pair, captures):
    """Up to the limit it is a user like any other."""
    client = phased("served")
    operation = pair(client, "read")
    assert operation("x" * LONGEST_USER) == "new"
    assert client.flush(5)
    assert [len(capture.user) for capture in captures()] == [LONGEST_USER]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["read", "write"])
def test_an_exception_with_half_a_character_is_captured(phased, pair, raising, captures, gaps, kind):
    """A message that UTF-8 has no bytes for, as of a file name: captured with a question mark in its place."""
    client = phased("shadow")
    operation = pair(client, kind)
    operation.legacy = raising(OSError("no file \udcff here"))
    with pytest.raises(OSError, match="no file"):
        operation("ann")
    assert client.flush(5)
    assert [capture.legacy.raised.message for capture in captures()] == ["no file ? here"]
    assert gaps() == {}


@pytest.mark.slow
def test_context_with_half_a_character_harms_nothing(phased, pair, captures, gaps):
    """What enhanced notes as its context may be any text."""
    client = phased("served")
    read, write = pair(client, "read"), pair(client, "write", "memory.y")
    read.enhanced = write.enhanced = lambda **_: call().add_context("half \udcff") or "new"
    assert (read("ann"), write("ann")) == ("new", "old")
    assert client.flush(5)
    assert [capture.enhanced.context for capture in captures()] == [("half ?",)] * 2
    assert gaps() == {}


@pytest.mark.slow
def test_many_gaps_reach_their_lanes(make, sync_pair, gaps, funnel):
    """Every user whose write was lost is told of, whatever the lane."""
    client = make(GNOMON_CAPTURE_BYTES="600")
    write = sync_pair(client, "write")
    users = [f"user-{n}" for n in range(200)]
    for user in users:
        write(user, item=os.urandom(100).hex())
    assert client.flush(5)
    assert set(gaps()) == {user_digest(user) for user in users}
    assert funnel() == {"eligible": 200, "oversize": 200}


@pytest.mark.slow
def test_a_gap_on_its_way_is_waited_for(make, sync_pair, gaps):
    """It has left the buffer and is not told yet: a flush that said all was told would let a closing client lose it."""
    client = make(GNOMON_CAPTURE_BYTES="600")
    write = sync_pair(client, "write")
    write("ann", item="x")
    assert client.flush(5)
    outbox, taken, go_on = client._publisher._outbox, threading.Event(), threading.Event()
    put = outbox.put

    def held_up(found) -> None:
        put(found)
        taken.set()
        go_on.wait(10)

    outbox.put = held_up
    write("ann", item="x" * 600)
    assert taken.wait(5)
    try:
        assert not client.flush(0.1)
    finally:
        go_on.set()
    assert client.flush(5)
    assert set(gaps()) == {ANN}
