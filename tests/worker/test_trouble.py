"""An enhanced system that hangs, lines that nobody can read: each costs itself, and everything adds up."""

import threading
from collections import Counter

import msgspec
import pytest

from gnomon.wire import Capture, Kind, Side, encode, pack

pytestmark = pytest.mark.slow

PATIENCE_S = 10.0
on_both = pytest.mark.parametrize("ledger_url", ["sqlite", "postgres"], indirect=True)


# --- trouble with the enhanced system


def test_a_replay_that_hangs_fails_and_the_rest_goes_on(notes, client, make_drain, sums, clean):
    """One `failed`, everything else judged; the drain says that a thread was left to itself."""
    over = threading.Event()
    notes.before = lambda op, user, **_: over.wait(PATIENCE_S) and None if (op, user) == ("note.list", "u3") else None
    calls = notes.converse(turns=1)
    notes.end()
    drain = make_drain(timeout_s=0.2)
    drain.run(0)
    assert drain.abandoned == 1
    for lane in range(4):
        make_drain().run(lane)
    over.set()
    assert sums().outcomes == Counter(match=calls - 1, failed=1)
    clean()


def test_an_enhanced_system_that_answers_nobody_does_not_hold_the_drain(notes, client, make_drain, sums):
    """More users than threads, every replay hangs: the drain gives them up and comes back."""
    over = threading.Event()
    notes.before = lambda op, **_: over.wait(PATIENCE_S) and None
    calls = notes.converse(turns=1)
    notes.end()
    drain = make_drain(timeout_s=0.1, threads=2)
    running = threading.Thread(target=drain.run, args=(0,), daemon=True)
    running.start()
    running.join(PATIENCE_S / 2)
    hung = running.is_alive()
    over.set()
    running.join(PATIENCE_S)
    assert not hung
    assert sums().outcomes["failed"] <= calls


# --- poison


@on_both
def test_poison_is_parked_and_everything_adds_up(notes, client, make_drain, sums, clean, server, keys, lane_of, ledger):
    """Lines that nobody can read or replay count as parked, with their neighbours judged: nothing is pending.

    But for the read behind a write that was parked: what it should have seen enhanced never got.
    """
    notes.save("ann", "before")
    assert client.flush(5)
    lane = lane_of()
    names = keys.lane(lane)
    poison = [
        (1, b"no zlib at all"),
        (2, pack([b"not json", b'{"v":7,"id":"x-1","end":12}'])),
        (3, pack([b"only one of three"])),
        (1, pack([encoded(op="nobody.knows", id="x-2")])),
    ]
    for number, payload in poison:
        appended = server.hincrby(names.state, "appended", len(payload))
        server.xadd(names.stream, {"u": "d", "n": number, "w": 0, "b": appended, "p": payload})
        server.hincrby(names.state, "captured", number)
        server.hincrby(names.sender("x"), "note.save|1|captured", number)
        server.hincrby(names.sender("x"), "note.save|1|eligible", number)
    server.zadd(names.senders, {"x": 1})
    notes.save("ann", "after")
    assert notes.read("ann") == ["before", "after"]
    notes.end()
    make_drain().run(lane)
    found = sums()
    assert found.outcomes == Counter(match=2, excluded=1, parked=7)
    assert found.reasons["excluded", "causal"] == 1
    assert (found.pending, found.done) == (0, 10)
    parked = Counter({reason: number for (outcome, reason), number in found.reasons.items() if outcome == "parked"})
    assert parked == Counter(malformed=5, unknown_version=1, unknown_operation=1)
    clean()


def encoded(**changes) -> bytes:
    raw = msgspec.Raw(b"{}")
    made = {"v": 1, "id": "x", "op": "note.save", "user": "ann", "start": 1, "end": 2, "args": raw, "epoch": 1}
    return encode(Capture(kind=Kind.WRITE, legacy=Side(1, returned=raw), **{**made, **changes}))


def test_a_capture_of_the_next_version_is_parked_under_its_operation(make_drain, server, keys, ledger):
    """While an upgrade is under way each operation's sums stay exact, and the gate sees what is parked."""
    payload = pack([b'{"v":2,"id":"x-1","op":"note.save","epoch":3,"start":11,"end":12,"new":{}}'])
    server.xadd(keys.lane(0).stream, {"u": "d", "n": 1, "w": 0, "b": len(payload), "p": payload})
    make_drain().run(0)
    with ledger.reading() as reading:
        assert {name: +found.outcomes for name, found in reading.sums(3).items()} == {"note.save": Counter(parked=1)}


def test_an_unreadable_line_from_the_future_is_parked_at_once(make_drain, server, keys, clean, short_turns):
    """It cannot be replayed then either; held back, it would keep its lane from being trimmed until that is full."""
    seconds, _ = server.time()
    payload = pack([b'{"v":2,"id":"x-1","end":%d}' % ((seconds + 86_400) * 1_000_000)])
    names = keys.lane(0)
    server.xadd(names.stream, {"u": "d", "n": 1, "w": 0, "b": len(payload), "p": payload})
    server.hset(names.state, "appended", len(payload))
    assert make_drain().run(0)["parked"] == 1
    clean()


def test_a_lane_of_nothing_but_poison_is_emptied(make_drain, server, keys, store, clean):
    """Entries that hold no capture at all, too."""
    names = keys.lane(0)
    for number, payload in [(1, b"poison"), (0, b"")]:
        appended = server.hincrby(names.state, "appended", len(payload))
        server.xadd(names.stream, {"u": "d", "n": number, "w": 0, "b": appended, "p": payload})
    assert make_drain().run(0)["parked"] == 1
    clean()


def test_an_entry_without_captures_does_not_keep_its_lane(make_drain, server, keys, clean, short_turns, hints):
    """It is trimmed, and nobody is asked to drain it again and again."""
    server.xadd(keys.lane(0).stream, {"u": "d", "n": 0, "w": 0, "b": 0, "p": b""})
    make_drain().run(0)
    assert hints == []
    clean()
