"""What has arrived is kept for a while, and sent again, in order and by its numbers, where Redis has forgotten it."""

from collections import Counter

import msgspec
import pytest

from gnomon import outbox as outboxes
from gnomon.buffer import CounterKey, Taken
from gnomon.hashing import user_digest
from gnomon.live_call import Buffered, LiveCall
from gnomon.operation import Binding
from gnomon.outbox import Outbox
from gnomon.wire import Kind, Side


@pytest.fixture
def outbox():
    return Outbox(msgspec.json.encode)


def counted(lane: int, **counts: int) -> Taken:
    return Taken([], Counter({CounterKey(lane, "op", 1, name): count for name, count in counts.items()}), {})


def send(outbox: Outbox) -> list[tuple[int, int]]:
    """Let everything arrive; returns lanes and numbers."""
    arrived = []
    while due := list(outbox.due()):
        for lane, batch in due:
            arrived.append((lane, batch.number))
            outbox.done(lane)
    return arrived


def test_a_batch_carries_totals_of_what_has_changed(outbox):
    """So that a batch that is lost leaves no hole in the counts."""
    outbox.put(counted(3, shed=2))
    send(outbox)
    outbox.put(counted(3, shed=1, oversize=4))
    [(lane, batch)] = outbox.due()
    assert (lane, batch.number, batch.counts["op|1|shed"], batch.counts["op|1|eligible"]) == (3, 2, 3, 7)


def test_what_redis_has_forgotten_is_due_again_before_anything_new(outbox):
    """Under the old numbers, then the totals, then the rest; other lanes are left alone."""
    for _ in range(3):
        outbox.put(counted(1, shed=1))
        outbox.put(counted(2, shed=1))
        send(outbox)
    outbox.put(counted(1, oversize=1))
    assert sum(outbox.forgotten({1: 1, 2: 3}).values()) == 2
    due = list(outbox.due())
    assert [(lane, batch.number) for lane, batch in due] == [(1, 2)]
    outbox.done(1)
    assert [(lane, batch.number) for lane, batch in outbox.due()] == [(1, 3)]
    outbox.done(1)
    [(_, last)] = outbox.due()
    assert (last.number, last.counts) == (4, {"op|1|shed": 3, "op|1|oversize": 1, "op|1|eligible": 4})
    outbox.done(1)
    assert outbox.empty


def test_a_batch_under_way_waits_for_those_before_it(outbox):
    """It was frozen when the connection broke: its number comes after theirs."""
    outbox.put(counted(1, shed=1))
    send(outbox)
    outbox.put(counted(1, shed=1))
    [(_, under_way)] = outbox.due()
    assert outbox.forgotten({1: 0}) == {1: 1}
    assert send(outbox) == [(1, 1), (1, 2), (1, 3)]
    assert under_way.number == 2


def test_what_is_forgotten_twice_is_sent_twice(outbox):
    """Also where Redis goes away again in the middle."""
    for _ in range(2):
        outbox.put(counted(1, shed=1))
        send(outbox)
    outbox.forgotten({1: 0})
    list(outbox.due())
    outbox.done(1)
    assert outbox.forgotten({1: 0}) == {1: 2}
    assert send(outbox)[:2] == [(1, 1), (1, 2)]


def test_beyond_what_is_kept_the_totals_alone_are_told(outbox, monkeypatch):
    """Captures that are gone are counted, and found missing."""
    monkeypatch.setattr(outboxes, "KEEP_S", -1.0)
    for _ in range(2):
        outbox.put(counted(1, captured=1))
        send(outbox)
    outbox.put(counted(1, captured=1))
    send(outbox)
    assert outbox.forgotten({1: 0}) == {1: 0}
    [(_, batch)] = outbox.due()
    assert (batch.number, batch.counts["op|1|captured"]) == (4, 3)


def test_nothing_is_due_again_where_nothing_was_forgotten(outbox):
    """A connection that broke, and a Redis that knows everything."""
    outbox.put(counted(1, shed=1))
    send(outbox)
    assert (outbox.sent, outbox.forgotten({1: 1}), outbox.empty) == ({1: 1}, {}, True)


# --- what a full lane refuses


def waiting(user: str, kind: str, start: int, *, stored: bool = True) -> Buffered:
    """A capture on its way to lane 0, the only one; the line of one by `bad` cannot be written."""

    def legacy(user: str) -> None: ...

    live = LiveCall(Binding(name="op", kind=Kind(kind), user="user", legacy=legacy), user, lanes=1)
    live.epoch, live.start, live.stored = 1, start, stored
    return Buffered(live, start + 5, start, 100, Side(5, returned=None))


def line(item: Buffered) -> bytes:
    if item.live.user == "bad":
        raise TypeError
    return item.live.user.encode()


def test_what_a_full_lane_refuses_is_shed_and_nobody_waits_for_it(monkeypatch):
    """Each capture in its place, gaps as of the earliest write, and numbers without a hole for what comes next."""
    monkeypatch.setattr(outboxes, "BATCH_CAPTURES", 5)
    outbox = Outbox(line)
    items = [("ann", "read", 10), ("ann", "write", 30), ("ann", "write", 20), ("bad", "write", 40), ("ben", "read", 50)]
    items += [("cy", "write", 60), ("cy", "read", 70)]  # of these the batch is not made
    found = [waiting(*item) for item in items] + [waiting("dee", "write", 80, stored=False)]
    outbox.put(Taken(found, Counter({CounterKey(0, "op", 1, "oversize"): 2}), {(0, "told"): 15}))
    [(_, batch)] = outbox.due()
    assert (batch.number, batch.first, len(batch.entries), outbox.low) == (1, 1, 2, 10)
    assert outbox.refused(0) == (8, 800)
    assert outbox.low == 15  # the gaps: told before anybody may rely on the watermark
    [(_, batch)] = outbox.due()
    assert (batch.number, batch.entries, batch.captures) == (1, (), 0)
    assert +Counter(batch.counts) == {"op|1|eligible": 10, "op|1|shed": 7, "op|1|unserialisable": 1, "op|1|oversize": 2}
    digests = {user_digest(user): since for user, since in (("ann", 20), ("bad", 40), ("cy", 60))}
    assert batch.gaps == {"told": 15, **digests}
    outbox.done(0)
    outbox.put(Taken([waiting("ben", "read", 90)], Counter(), {}))
    [(_, batch)] = outbox.due()
    assert (batch.number, batch.first, batch.counts["op|1|captured"], batch.counts["op|1|eligible"]) == (2, 1, 1, 11)


def test_what_was_refused_in_the_midst_of_a_recount_is_recounted():
    """Redis has forgotten the totals: those of before come with the next batch that it takes."""
    outbox = Outbox(line)
    outbox.put(counted(0, shed=2))
    send(outbox)
    outbox.forgotten({0: 0})
    assert [(lane, outbox.is_again(lane, batch)) for lane, batch in outbox.due()] == [(0, True)]
    outbox.done(0)
    outbox.put(Taken([waiting("ann", "read", 10)], Counter(), {}))
    [(lane, batch)] = outbox.due()
    assert (outbox.is_again(lane, batch), batch.counts["op|1|shed"]) == (False, 2)
    outbox.refused(0)
    [(_, batch)] = outbox.due()
    assert +Counter(batch.counts) == {"op|1|shed": 3, "op|1|eligible": 3}


# --- what was stamped by another clock


def test_what_comes_back_is_stamped_anew_and_counted_once(monkeypatch):
    """In its order, before what waited behind it; also where the clock was shifted while it was under way."""
    monkeypatch.setattr(outboxes, "BATCH_CAPTURES", 3)
    outbox = Outbox(line)
    items = [("ann", "write", 10), ("bad", "write", 20), ("ann", "read", 30), ("ben", "read", 40)]
    told = Counter({CounterKey(0, "op", 1, "oversize"): 2, CounterKey(0, "op", 1, "unserialisable"): 1})
    outbox.put(Taken([waiting(*item) for item in items], told, {(0, "told"): 15}))
    assert [lane for lane, _ in outbox.due()] == [0]
    outbox.shift(1_000)
    assert outbox.shifted_us(0) == 1_000
    outbox.returned(0)
    outbox.shift(500)
    assert (outbox.low, outbox.empty) == (1_510, False)
    [(_, batch)] = outbox.due()
    assert (batch.number, batch.first, len(batch.entries), outbox.shifted_us(0)) == (1, 1, 1, 0)
    assert (batch.low, batch.gaps) == (1_510, {"told": 1_515, user_digest("bad"): 1_520})
    assert batch.counts == {"op|1|eligible": 6, "op|1|captured": 2, "op|1|unserialisable": 2, "op|1|oversize": 2}
    outbox.done(0)
    [(_, batch)] = outbox.due()
    assert (batch.low, batch.counts["op|1|eligible"], batch.number, batch.first) == (1_540, 7, 2, 2)
