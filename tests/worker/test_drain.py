"""A drain from lane to ledger: in order, below the watermark, each capture counted once."""

import threading
import time
from collections import Counter

import msgspec
import pytest

from gnomon.wire import Capture, Kind, Side, encode, pack
from ledger import Ledger
from worker import held_lane, reading

pytestmark = pytest.mark.slow

USERS = [f"u{n}" for n in range(12)]
PATIENCE_S = 10.0


@pytest.fixture
def someone(make_producer):
    """Beat as another live process with that watermark; leave with none."""
    producer = make_producer("someone")
    return lambda watermark: producer.leave() if watermark is None else producer.beat(watermark)


@pytest.mark.parametrize("ledger_url", ["sqlite", "postgres"], indirect=True)
def test_everything_captured_is_judged_once(notes, client, make_drain, sums, clean):
    """Every read sees what legacy saw: all match, both sums exact, the lanes empty."""
    calls = notes.converse()
    notes.end()
    counts = make_drain().run(0)
    found = sums()
    assert found.funnel == Counter(eligible=calls, captured=calls)
    assert found.outcomes == Counter(match=calls)
    assert (found.pending, found.done) == (0, calls)
    assert counts["match"] == calls
    clean()


def test_a_user_is_replayed_in_the_order_of_their_calls(notes, client, make_drain):
    """Users beside each other, none of them out of order."""
    notes.converse()
    notes.end()
    make_drain(threads=8).run(0)
    by_user = {user: [op for op, whose in notes.replays if whose == user] for user in USERS}
    assert by_user == {user: ["note.save", "note.list"] * 4 for user in USERS}


def test_while_the_live_process_goes_on_nothing_is_late(notes, client, make_drain, sums, short_turns):
    """Drains run beside the calls: each entry waits for the watermark, none is overtaken."""
    stop, calls = threading.Event(), []

    def live() -> None:
        while not stop.is_set():
            calls.append(notes.converse(users=USERS[:6], turns=2))
            client.flush(5)

    thread = threading.Thread(target=live)
    thread.start()
    try:
        for lane in range(4):
            make_drain().run(lane)
    finally:
        stop.set()
        thread.join()
    notes.end()
    for lane in range(4):
        make_drain().run(lane)
    assert sums().outcomes == Counter(match=sum(calls))


def test_a_difference_is_found_where_it_was_made(notes, client, make_drain, sums, ledger):
    """As many divergences as answers that enhanced got wrong, in one group."""
    notes.before = lambda op, user, **_: {"of": "another type"} if op == "note.list" and user in USERS[:3] else None
    calls = notes.converse()
    notes.end()
    make_drain().run(0)
    assert sums().outcomes == Counter(match=calls - 12, diverged=12)
    with ledger.reading() as reading:
        assert [(group.path, group.kind, group.count, group.users) for group in reading.groups()] == [
            ("$", "type", 12, 3)
        ]


def test_an_idle_lane_is_given_back_at_once(make_drain, clean, hints):
    """A doubled hint costs nothing."""
    assert make_drain().run(0) == Counter(lanes=1)
    clean()
    assert hints == []


@pytest.mark.parametrize("flushed", [True, False], ids=["appended in turns", "appended at once"])
def test_a_backlog_of_many_pages_is_drained_without_a_late_one(
    make_client, make_drain, application, sums, clean, server, keys, flushed, monkeypatch
):
    """One lane, users of two processes mixed in every order, far more entries than are read in one go."""
    monkeypatch.setattr(reading, "READ_CAPTURES", 1)
    users = [f"u{n}" for n in range(40 if flushed else 200)]
    clients = [make_client(GNOMON_LANES="1") for _ in range(2)]
    notes = application(*clients)
    notes.introduce()
    calls = len(clients)
    for turn in range(6 if flushed else 2):
        calls += notes.converse(users=users, turns=1, app=turn % 2)
        assert not flushed or all(client.flush(5) for client in clients)
        time.sleep(0.02)  # longer than two processes' clocks are apart: else nobody knows which came first
    assert all(client.flush(5) for client in clients)
    assert server.xlen(keys.lane(0).stream) > 3 * reading.READ_ENTRIES
    notes.end()
    assert make_drain(client=clients[0], threads=8).run(0)["match"] == calls
    assert sums().outcomes == Counter(match=calls)
    clean()


def test_entries_of_one_capture_are_read_until_there_is_enough_for_a_commit(
    make_client, make_drain, application, sums, clean, monkeypatch
):
    """Quiet traffic, an entry a call: no more commits than busy traffic makes."""
    commits, commit = [], Ledger.commit
    monkeypatch.setattr(Ledger, "commit", lambda ledger, one: commits.append(one.findings) or commit(ledger, one))
    client = make_client(GNOMON_LANES="1")
    notes = application(client)
    calls = sum(notes.converse(users=[f"u{n}-{m}" for m in range(10)], turns=1) * client.flush(5) for n in range(15))
    notes.end()
    assert make_drain(client=client).run(0)["match"] == calls
    assert [len(findings) for findings in commits] == [calls]
    clean()


def test_a_large_batch_is_committed_in_parts(notes, client, make_drain, sums, clean, monkeypatch):
    """A commit has its limit; a user's calls may fall into several, in order."""
    monkeypatch.setattr(held_lane, "BATCH_CAPTURES", 3)
    calls = notes.converse()
    notes.end()
    assert make_drain().run(0)["match"] == calls
    assert sums().outcomes == Counter(match=calls)
    clean()


# --- the watermark


def test_what_lies_above_a_watermark_waits(notes, client, make_drain, sums, someone, short_turns, hints, server):
    """Another process has a write in flight since before these calls: they are kept, and a hint asks again."""
    seconds, micros = server.time()
    someone(seconds * 1_000_000 + micros)
    calls = notes.converse(turns=1)
    notes.end()
    counts = make_drain().run(0)
    assert +Counter({name: counts[name] for name in ("match", "excluded", "diverged")}) == Counter()
    assert notes.replays == []
    assert sorted(hints) == sorted(set(hints)) != []
    someone(None)
    make_drain().run(0)
    found = sums()
    assert found.outcomes == Counter(match=calls)
    assert found.reasons == {}


def test_a_write_in_flight_elsewhere_holds_back_what_it_might_change(
    make_client, application, make_drain, sums, short_turns, gate
):
    """Its user's later read, captured by another process, is replayed after it; neither is late."""
    first, second = make_client(), make_client()
    notes = application(first, second)
    notes.introduce()
    notes.serving = gate
    writer = threading.Thread(target=notes.save, args=("ann", "slow"))
    writer.start()
    assert gate.entered.wait(PATIENCE_S)
    notes.serving = lambda operation, **_: None
    second_save = notes.save("ben", "quick", app=1)
    assert second_save
    assert second.flush(5)
    make_drain(client=first).run(0)
    gate.leave.set()
    writer.join()
    time.sleep(0.02)  # longer than two processes' clocks are apart: else nobody knows which came first
    assert notes.read("ann", app=1) == ["slow"]
    notes.end()
    for lane in range(4):
        make_drain(client=first).run(lane)
    found = sums()
    assert (found.outcomes, found.reasons) == (Counter(match=5), {})


def test_more_than_can_be_read_in_one_go_may_lie_above_a_watermark(
    notes, client, make_drain, sums, someone, short_turns, server, monkeypatch
):
    """However much arrived while a watermark stood still, it is replayed once the watermark moves on."""
    monkeypatch.setattr(reading, "READ_ENTRIES", 8)
    monkeypatch.setattr(reading, "READ_CAPTURES", 1)
    seconds, micros = server.time()
    someone(seconds * 1_000_000 + micros)
    calls = sum(notes.converse(users=USERS, turns=1) * client.flush(5) for _ in range(12))
    notes.end()
    make_drain().run(0)
    someone(None)
    for lane in range(4):
        make_drain().run(lane)
    assert sums().outcomes == Counter(match=calls)


def test_what_is_due_to_a_narrower_clock_alone_holds_up_nobody(
    notes, client, make_drain, sums, server, keys, lane_of, monkeypatch
):
    """Copies behind it promise that it is; the clock it was stamped by is too far off for that. So it is read on."""
    monkeypatch.setattr(reading, "READ_ENTRIES", 4)
    monkeypatch.setattr(reading, "READ_CAPTURES", 1)
    notes.save("ann", "first")
    assert client.flush(5)
    lane = lane_of()
    make_drain().run(lane)
    names, (seconds, micros) = keys.lane(lane), server.time()
    end = seconds * 1_000_000 + micros

    def add(number: int, end_us: int, promised_us: int) -> None:
        raw = msgspec.Raw(b"{}")
        made = {"v": 1, "id": f"x-{number}", "op": "note.list", "user": "eve", "start": end_us - 1, "end": end_us}
        payload = pack([encode(Capture(kind=Kind.READ, args=raw, epoch=1, legacy=Side(1, returned=raw), **made))])
        appended = server.hincrby(names.state, "appended", len(payload))
        fields = {"u": "d", "n": 1, "w": promised_us, "e": 40_000, "b": appended, "s": f"x:{number}", "p": payload}
        server.xadd(names.stream, fields)

    for _ in range(8):
        add(1, end, end + 50_000)
    for number in range(2, 8):
        add(number, end + number * 10_000, end + 200_000 + number * 10_000)
    notes.end()
    make_drain().run(lane)
    assert sums().outcomes.total() == 8
    assert not server.xlen(names.stream)


def test_a_capture_from_the_future_stops_nobody_else(
    notes, client, make_drain, sums, short_turns, server, keys, lane_of
):
    """One whose clock was a day ahead is nowhere in its user's order: it is excluded, and all others are judged."""
    notes.save("ann", "first")
    assert client.flush(5)
    lane = lane_of()
    seconds, _ = server.time()
    raw, ahead = msgspec.Raw(b"1"), (seconds + 86_400) * 1_000_000
    made = {"v": 1, "id": "x-1", "op": "note.list", "user": "eve", "start": ahead - 1, "end": ahead, "epoch": 1}
    payload = pack([encode(Capture(kind=Kind.READ, args=raw, legacy=Side(1, returned=raw), **made))])
    names = keys.lane(lane)
    appended = server.hincrby(names.state, "appended", len(payload))
    server.xadd(names.stream, {"u": "d", "n": 1, "w": 0, "b": appended, "p": payload})
    calls = 1 + sum(notes.converse(["ann"], turns=1) * client.flush(5) for _ in range(8))
    notes.end()
    make_drain().run(lane)
    found = sums()
    assert (found.outcomes, found.reasons["excluded", "late"]) == (Counter(match=calls, excluded=1), 1)
    assert not server.xlen(names.stream)


def test_a_process_that_starts_while_a_lane_is_drained_is_not_late(
    make_client, application, make_drain, sums, monkeypatch
):
    """As when an application is restarted: what it captures before it is known to be there has its place as well."""
    first, second = make_client(GNOMON_LANES="1"), make_client(GNOMON_LANES="1")
    notes = application(first, second)
    notes.save("ann", "before the restart", app=0)
    first.close()
    publisher = second._publisher
    with monkeypatch.context() as patch:
        patch.setattr(publisher, "start", lambda: None)  # its thread has not come round yet
        notes.save("ann", "after it", app=1)
    make_drain(client=first).run(0)
    publisher.start()
    second.close()
    make_drain(client=first).run(0)
    found = sums()
    assert (found.outcomes, found.reasons) == (Counter(match=2), {})
