"""What waits is counted where it lies: the sums add up at every moment, and what is missing is told with its size."""

import pytest

from worker import reconciliation
from worker.reconciliation import reconcile

pytestmark = pytest.mark.slow

LANES = range(4)


@pytest.fixture
def look(store, ledger):
    return lambda: reconcile(store, ledger, LANES)


def test_everything_adds_up_at_every_step(notes, client, make_drain, look, lane_of):
    """Captured and waiting, drained in part, and done."""
    calls = notes.converse()
    assert client.flush(5)
    found = look()
    assert (found.off, found.waiting, found.unchecked) == ({}, calls, ())
    make_drain().run(lane_of())
    found = look()
    assert (found.off, found.unchecked) == ({}, ())
    notes.end()
    for lane in LANES:
        make_drain().run(lane)
    found = look()
    assert (found.off, found.waiting) == ({}, 0)
    assert sum(found.sent.values()) == calls


def test_what_is_half_done_is_half_counted(notes, client, make_drain, look, make_producer, short_turns):
    """Entries that were read and still hold something above the cut."""
    slow = make_producer("slow")
    calls = notes.converse(turns=1)
    assert client.flush(5)
    slow.beat(client._buffer.clock.now_us(), lifetime_ms=60_000)
    calls += notes.converse(turns=1)
    assert client.flush(5)
    for lane in LANES:
        make_drain().run(lane)
    found = look()
    assert found.off == {}
    assert 0 < found.waiting < calls


def test_what_is_missing_is_told_with_its_size(notes, client, server, keys, look, lane_of):
    """Somebody has deleted an entry."""
    notes.converse(turns=1)
    assert client.flush(5)
    lane = lane_of()
    [(entry, fields)] = server.xrange(keys.lane(lane).stream, count=1)
    server.xdel(keys.lane(lane).stream, entry)
    assert look().off == {lane: int(fields[b"n"])}


def test_what_is_too_many_is_told_too(notes, client, server, keys, look, lane_of):
    """An entry that nobody has counted."""
    notes.converse(turns=1)
    assert client.flush(5)
    lane = lane_of()
    server.xadd(keys.lane(lane).stream, {"u": "d", "n": 3, "p": b""})
    assert look().off == {lane: -3}


def test_a_lane_that_never_stands_still_is_not_judged(notes, client, ledger, store, monkeypatch):
    """It is named instead: no alarm for what was only on its way."""
    notes.converse(turns=1)
    assert client.flush(5)
    looking = reconciliation._look

    def moving(lanes, lane, account):
        if lane == 2:
            ledger.take(lane)
            ledger.fold({lane: {"x": reconciliation.Sent(0, {"a|1|captured": next(numbers)})}})
        return looking(lanes, lane, account)

    numbers = iter(range(1, 100))
    monkeypatch.setattr(reconciliation, "_look", moving)
    found = reconcile(store, ledger, LANES)
    assert (found.unchecked, found.off) == ((2,), {})


def test_a_lane_with_too_much_to_count_is_not_judged(store, ledger, server, keys, monkeypatch):
    """Redis has others to serve."""
    monkeypatch.setattr("worker.senders.MOST_ENTRIES", 256)
    for _ in range(400):
        server.xadd(keys.lane(2).stream, {"n": 1})
    found = reconcile(store, ledger, LANES)
    assert (found.unchecked, found.off) == ((2,), {})
