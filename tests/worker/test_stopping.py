"""A drain whose process is to stop: nothing more is begun, nothing that was found is lost, no lane stays leased."""

import threading
import time
from collections import Counter

import pytest

from worker import drain as draining
from worker.fanout import Fanout

pytestmark = pytest.mark.slow

TURNS = 6
PATIENCE_S = 10.0


@pytest.fixture
def soon(monkeypatch):
    """Let a drain that is to stop see through only what is as good as done."""
    monkeypatch.setattr(draining, "STOP_S", 0.0)


@pytest.fixture
def leased(server, keys):
    return lambda: [lane for lane in range(4) if server.exists(keys.lane(lane).lease)]


@pytest.fixture
def holding(server, keys):
    return lambda: [lane for lane in range(4) if server.xlen(keys.lane(lane).stream)]


class Once:
    """Calls back once, at the nth replay."""

    def __init__(self, number, then) -> None:
        self._number, self._then, self._lock = number, then, threading.Lock()

    def __call__(self, operation, **_):
        with self._lock:
            self._number -= 1
            if self._number == 0:
                self._then()


def test_a_hint_that_comes_while_the_worker_stops_is_handed_on(notes, client, make_drain, leased, hints):
    """No lane is taken, and somebody else is asked at once."""
    notes.converse()
    notes.end()
    assert make_drain(stopping=lambda: True).run(2) == Counter()
    assert hints == [2]
    assert notes.replays == []
    assert leased() == []


def test_batches_that_come_through_soon_are_committed(notes, client, make_drain, sums, leased, hints, lane_of):
    """What was under way counts; lanes are given back with a hint where anything is left; no further lane is begun."""
    stop, lane = threading.Event(), lane_of_first(notes, lane_of)
    notes.before = Once(1, stop.set)
    counts = make_drain(share=1, stopping=stop.is_set).run(lane)
    assert 0 < counts["match"] == sums().outcomes["match"] < 2 * 12 * TURNS
    assert (counts["lanes"], leased(), hints) == (1, [], [])


def lane_of_first(notes, lane_of):
    notes.converse(turns=TURNS)
    notes.end()
    return lane_of()


@pytest.mark.parametrize("ledger_url", ["sqlite", "postgres"], indirect=True)
@pytest.mark.parametrize("nth", [1, 17, 60])
def test_what_takes_longer_is_left_to_the_next_holder(
    notes, client, make_drain, sums, leased, holding, hints, clean, soon, nth
):
    """Each user's replays stop where they are; whoever comes next goes on from there, and replays nothing again."""
    calls = notes.converse(turns=TURNS)
    notes.end()
    stop = threading.Event()
    once = Once(nth, stop.set)

    def before(operation, **_):
        once(operation)
        time.sleep(0.04)  # a remote system

    notes.before = before
    make_drain(stopping=stop.is_set).run(0)
    assert leased() == []
    assert sorted(hints) == holding()
    assert len(notes.replays) < calls
    notes.before = lambda operation, **_: None
    for lane in range(4):
        make_drain().run(lane)
    assert sums().outcomes == Counter(match=calls)
    assert len(notes.replays) == calls
    clean()


def test_a_replay_that_hangs_does_not_hold_its_lane(
    notes, client, make_drain, sums, leased, clean, gate, soon, monkeypatch, running
):
    """It is left to itself; the next holder replays that capture and those behind it, and all is counted once."""
    monkeypatch.setattr(draining, "CUT_SHORT_S", 0.2)
    calls = notes.converse(turns=TURNS)
    notes.end()
    stop = threading.Event()
    notes.before = gate
    first = running(make_drain(stopping=stop.is_set), 0)
    assert gate.entered.wait(PATIENCE_S)
    stop.set()
    first.ended()
    assert leased() == []
    for lane in range(4):
        make_drain().run(lane)
    assert sums().outcomes == Counter(match=calls)
    assert len(notes.replays) == calls + 1
    gate.leave.set()
    clean()


def test_a_gap_found_in_a_batch_that_was_cut_short_is_kept(notes, client, make_drain, sums, soon, lane_of, monkeypatch):
    """A write that failed excludes that user's later reads also where the next worker makes them."""
    notes.save("ann", "lost")
    notes.read("ann")
    notes.end()
    stop, cut, cut_short = threading.Event(), threading.Event(), Fanout.cut_short

    def cutting(fanout) -> None:
        cut_short(fanout)
        cut.set()

    def before(operation, **_):
        if operation == "note.save":
            stop.set()
            assert cut.wait(PATIENCE_S)
            raise ValueError

    monkeypatch.setattr(Fanout, "cut_short", cutting)
    notes.before = before
    lane = lane_of()
    make_drain(stopping=stop.is_set).run(lane)
    assert sums().outcomes == Counter()
    make_drain().run(lane)
    assert sums().outcomes == Counter(failed=1, excluded=1)
    assert ("note.list", "ann") not in notes.replays


def test_a_child_that_is_spent_gets_on_all_the_same(notes, client, make_drain, sums, leased, hints, monkeypatch):
    """One that is always too large ends each drain early, and still each of them brings something through."""
    monkeypatch.setattr(draining, "IN_FLIGHT", 1)
    calls = notes.converse(turns=TURNS)
    notes.end()
    drains, hints[:] = 0, [0, 1, 2, 3]
    while hints:
        before = sums().done
        drains += 1
        counts = make_drain(share=1, spent=lambda: True).run(hints.pop(0))
        assert leased() == []
        assert sums().done == before + counts["match"]
    assert sums().outcomes == Counter(match=calls)
    assert drains >= 4


def test_the_loop_tells_that_it_turns(notes, client, make_drain, gate, running):
    """Also while a replay hangs: only a loop that stands still is stuck."""
    turns = threading.Semaphore(0)
    notes.converse(turns=1)
    notes.end()
    notes.before = gate
    drain = running(make_drain(timeout_s=1.0, turned=turns.release), 0)
    assert gate.entered.wait(PATIENCE_S)
    while turns.acquire(blocking=False):
        pass
    assert all(turns.acquire(timeout=PATIENCE_S) for _ in range(3))
    gate.leave.set()
    drain.ended()
