"""Parked captures replayed again: by the next holder of their lane, late, and counted once whatever goes wrong."""

from collections import Counter

import msgspec
import pytest

from gnomon.hashing import lane_of, user_digest
from gnomon.wire import pack
from ledger import Choice, LedgerUnreachableError, ParkedState
from worker import entries, retries
from worker.replay import Replayer

pytestmark = pytest.mark.slow

LANES = 4
EVERYTHING = Choice()
PARKED = (ParkedState.PARKED,)
BOTH = pytest.mark.parametrize("ledger_url", ["sqlite", "postgres"], indirect=True)


@pytest.fixture
def ignorant(make_drain):
    """Drain all lanes as a worker that knows no operation."""
    return lambda: [make_drain(replayer=Replayer({}, 1.0)).run(lane) for lane in range(LANES)]


@pytest.fixture
def drain(make_drain):
    """Drain all lanes as a worker that knows the operations; returns what it counted."""

    def drained(**parts) -> Counter[str]:
        counts = sum((make_drain(**parts).run(lane) for lane in range(LANES)), Counter())
        return Counter({name: count for name, count in counts.items() if name != "lanes"})

    return drained


@pytest.fixture
def listing(ledger):
    """Return what is parked, in every state but discarded."""

    def found():
        with ledger.reading() as reading:
            return reading.parked(EVERYTHING, (ParkedState.PARKED, ParkedState.RETRYING))

    return found


def texts(notes) -> dict[str, list[str]]:
    return {user: list(kept.values()) for user, kept in notes.enhanced.items() if kept}


def legacy_texts(notes) -> dict[str, list[str]]:
    return {user: list(kept.values()) for user, kept in notes.legacy.items() if kept}


def line(producer="p", number=1, **more) -> bytes:
    """A read of ann's, as a live process in another language would append it."""
    made = {
        "v": 1,
        "id": f"{producer}-{number}",
        "op": "note.list",
        "kind": "read",
        "user": "ann",
        "start": 1_790_000_000_000_000,
        "end": 1_790_000_000_000_001,
        "args": {"user": "ann"},
        "epoch": 1,
        "legacy": {"duration_us": 1, "returned": []},
    }
    return msgspec.json.encode({**made, **more})


@pytest.fixture
def append(make_producer):
    """Append lines to ann's lane."""
    producer = make_producer("p")
    digest, lane = user_digest("ann"), lane_of("ann", LANES)
    return lambda *lines: producer.append(lane, (digest, len(lines), pack(lines)))


@BOTH
def test_what_was_parked_is_replayed_by_a_worker_that_can(notes, ignorant, drain, ledger, sums, clean, listing):
    """Writes are in the enhanced store, everything is excluded as late, nothing is parked, both sums are exact."""
    calls = notes.converse(turns=2)
    notes.end()
    ignorant()
    assert (sums().outcomes, notes.replays) == (Counter(parked=calls), [])
    assert sum(ledger.retry(EVERYTHING, by="ann").values()) == calls
    assert drain() == Counter(excluded=calls)
    found = sums()
    assert (found.outcomes, set(found.reasons)) == (Counter(excluded=calls), {("excluded", "late")})
    assert (found.pending, found.done, listing(), ledger.retrying()) == (0, calls, [], [])
    assert texts(notes) == legacy_texts(notes)
    clean()


def test_writes_are_replayed_in_order_and_reads_not_at_all(notes, ignorant, drain, ledger):
    """What a read would see now says nothing of then; a user's writes come as they were made."""
    for text in ("one", "two", "three"):
        notes.save("ann", text)
        notes.read("ann")
    notes.end()
    ignorant()
    ledger.retry(EVERYTHING, by="ann")
    drain()
    assert notes.replays == [("note.save", "ann")] * 3
    assert texts(notes) == {"ann": ["one", "two", "three"]}


def test_a_retried_write_puts_its_user_in_a_gap(notes, ignorant, drain, ledger):
    """It came late: what the user read meanwhile may have missed it, so nothing is compared until it is verified."""
    notes.save("ann", "one")
    notes.end()
    ignorant()
    ledger.retry(EVERYTHING, by="ann")
    drain()
    [standing] = ledger.standings([user_digest("ann")]).values()
    assert standing.is_open


def test_what_still_cannot_be_replayed_is_parked_again(notes, ignorant, drain, ledger, sums, listing):
    """With the reason that holds now; and once more, and then it can."""
    notes.save("ann", "one")
    notes.end()
    ignorant()
    ledger.retry(EVERYTHING, by="ann")
    ignorant()
    [found] = listing()
    assert (found.state, found.retries, found.reason) == ("parked", 1, "unknown_operation")
    notes.clients[0].operations["note.save"].enhanced = None
    ledger.retry(EVERYTHING, by="ann")
    assert drain() == Counter(parked=1)
    [found] = listing()
    assert (found.state, found.retries, found.reason) == ("parked", 2, "no_enhanced_callable")
    after = sums()
    assert (after.outcomes, after.reasons) == (Counter(parked=1), {("parked", "no_enhanced_callable"): 1})
    assert (after.done, ledger.retrying()) == (1, [])


def test_a_line_that_nobody_can_read_stays_what_it_is(notes, append, drain, ledger, sums, listing):
    """Garbage is garbage, under its name, its reason and in its minute; the rest of its entry was not held up."""
    append(b"\x80\x04K*.", b"[" * 100_000, line())
    drain()
    before = listing()
    assert [one.reason for one in before] == ["malformed", "malformed"]
    ledger.retry(EVERYTHING, by="ann")
    drain()
    after = listing()
    assert [(one.capture_id, one.reason, one.retries) for one in after] == [
        (one.capture_id, "malformed", 1) for one in before
    ]
    assert sums().outcomes == Counter(parked=2, excluded=1)  # causal: a write may be among them
    with ledger.reading() as reading:
        assert reading.payload(after[0].capture_id) in {b"\x80\x04K*.", b"[" * 100_000}


def test_a_newer_worker_reads_what_an_older_one_could_not(notes, append, drain, ledger, sums, listing, monkeypatch):
    """Lines of a version to come: once a worker knows it, they are counted under what they say."""
    saved = {"kind": "write", "op": "note.save", "args": {"user": "ann", "text": "x"}}
    append(line(v=2), line(number=2, v=2, **saved, legacy={"duration_us": 1, "returned": 7}))
    drain()
    assert [one.reason for one in listing()] == ["unknown_version"] * 2
    decode = entries.decode
    monkeypatch.setattr(entries, "decode", lambda text: decode(text.replace(b'"v":2', b'"v":1')))
    ledger.retry(EVERYTHING, by="ann")
    drain()
    found = sums()
    assert (found.outcomes, listing(), found.done) == (Counter(excluded=2), [], 2)
    assert texts(notes) == {"ann": ["x"]}


def test_many_come_in_several_batches(notes, ignorant, drain, ledger, sums, listing, monkeypatch):
    """A commit has its limit: they go one after another, under one hold."""
    monkeypatch.setattr(retries, "MOST", 3)
    calls = notes.converse(turns=2)
    notes.end()
    ignorant()
    ledger.retry(EVERYTHING, by="ann")
    drain()
    assert (sums().outcomes, listing(), ledger.retrying()) == (Counter(excluded=calls), [], [])
    assert texts(notes) == legacy_texts(notes)


def test_only_what_was_asked_for_is_replayed(notes, ignorant, drain, ledger, sums, listing):
    """The others stay parked."""
    calls = notes.converse(turns=1)
    notes.end()
    ignorant()
    ledger.retry(Choice(operation="note.list"), by="ann")
    drain()
    assert notes.replays == []
    assert sums().outcomes == Counter(parked=calls // 2, excluded=calls // 2)
    assert {one.operation for one in listing()} == {"note.save"}


def test_what_waits_in_the_lane_is_judged_as_ever(
    make_client, application, ignorant, drain, ledger, sums, clean, listing
):
    """Retries are a batch of their own: other users' captures, before and after, match."""
    first, second = make_client(), make_client()
    notes = application(first, second)
    notes.converse(users=["ann"], turns=2)
    first.close()
    ignorant()
    calls = notes.converse(users=["ben", "eve", "zoë"], turns=2, app=1)
    second.close()
    ledger.retry(EVERYTHING, by="ann")
    drain(client=second)
    assert (sums().outcomes, listing()) == (Counter(match=calls, excluded=4), [])
    clean()


def test_a_retry_that_fails_has_failed(notes, ignorant, drain, ledger, sums, listing):
    """Enhanced raised on a write that legacy had taken: no longer parked, and in the groups."""

    def refuse(operation, **_) -> None:
        raise ValueError

    notes.save("ann", "one")
    notes.end()
    ignorant()
    notes.before = refuse
    ledger.retry(EVERYTHING, by="ann")
    drain()
    found = sums()
    assert (found.outcomes, found.reasons, listing()) == (Counter(failed=1), {("failed", "raised ValueError"): 1}, [])


def test_two_parked_under_one_capture_id_are_two(notes, append, drain, ledger, sums, listing, monkeypatch):
    """Whoever wrote them: each is settled, under the name that it was kept under."""
    append(line(v=2), line(v=2))
    drain()
    decode = entries.decode
    monkeypatch.setattr(entries, "decode", lambda text: decode(text.replace(b'"v":2', b'"v":1')))
    ledger.retry(EVERYTHING, by="ann")
    drain()
    assert (sums().outcomes, listing(), ledger.retrying()) == (Counter(excluded=2), [], [])


# --- whatever goes wrong


@BOTH
def test_a_crash_before_the_commit_costs_a_replay(notes, ignorant, drain, ledger, sums, listing, monkeypatch, clean):
    """The next holder does it again: writes are idempotent, and nothing counts twice."""
    calls = notes.converse(users=["ann"], turns=2)
    notes.end()
    ignorant()
    ledger.retry(EVERYTHING, by="ann")

    def failing(_) -> None:
        raise LedgerUnreachableError("gone for a moment")

    with monkeypatch.context() as patch:
        patch.setattr(ledger, "commit", failing)
        with pytest.raises(LedgerUnreachableError):
            drain()
    assert texts(notes) == legacy_texts(notes)
    assert sums().outcomes == Counter(parked=calls)
    drain()
    assert (sums().outcomes, listing()) == (Counter(excluded=calls), [])
    assert texts(notes) == legacy_texts(notes)
    clean()


def test_a_worker_that_lost_its_lane_counts_nothing(
    notes, ignorant, make_drain, ledger, sums, listing, gate, running, server, keys
):
    """Frozen in a retry past its lease: another takes over, and what the first brings is thrown away."""
    notes.save("ann", "one")
    notes.end()
    ignorant()
    ledger.retry(EVERYTHING, by="ann")
    lane = lane_of("ann", LANES)
    notes.before = gate
    late = running(make_drain(), lane)
    assert gate.entered.wait(10)
    server.delete(keys.lane(lane).lease)
    assert make_drain().run(lane)["excluded"] == 1
    gate.leave.set()
    assert late.ended()["fenced"] == 1
    assert (sums().outcomes, listing(), ledger.retrying()) == (Counter(excluded=1), [], [])
    assert texts(notes) == {"ann": ["one"]}


def test_what_a_journal_says_of_then_holds_no_more(
    notes, client, make_drain, make_store, ledger, drain, sums, listing, monkeypatch, store, server, keys
):
    """A worker died between its commit and forgetting what it had found: the retry is a replay all the same."""
    notes.save("ann", "one")
    notes.end()
    lane = lane_of("ann", LANES)
    make_drain(replayer=Replayer({}, 1.0)).run(lane)
    [row] = listing()
    stale = msgspec.json.encode(
        {
            "capture_id": row.capture_id,
            "operation": "note.save",
            "epoch": 1,
            "user": "ann",
            "called_at_us": 1,
            "outcome": "parked",
            "reason": "unknown_operation",
        }
    )
    server.hset(keys.lane(lane).journal, row.capture_id, stale)
    ledger.retry(EVERYTHING, by="ann")
    drain()
    assert (sums().outcomes, listing(), texts(notes)) == (Counter(excluded=1), [], {"ann": ["one"]})


def test_a_retry_asked_for_in_a_held_lane_is_for_the_next_holder(
    notes, ignorant, make_drain, ledger, sums, gate, running, make_client, application
):
    """Whoever holds the lane does not notice; nothing is forgotten."""
    notes.save("ann", "one")
    notes.end()
    ignorant()
    later = make_client()
    other = application(later)
    other.save("ann", "two")
    later.close()
    other.before = gate
    lane = lane_of("ann", LANES)
    holder = running(make_drain(client=later), lane)
    assert gate.entered.wait(10)
    ledger.retry(EVERYTHING, by="ann")
    gate.leave.set()
    holder.ended()
    assert sums().outcomes["parked"] == 1
    make_drain().run(lane)
    assert sums().outcomes["parked"] == 0


def test_a_hanging_retry_is_given_up(notes, ignorant, make_drain, ledger, sums, listing, gate):
    """As any replay: it has failed, the others of its batch have not."""
    notes.save("ann", "one")
    notes.save("ben", "two")
    notes.end()
    ignorant()
    ledger.retry(EVERYTHING, by="ann")
    notes.before = gate
    for lane in range(LANES):
        make_drain(timeout_s=0.2).run(lane)
    assert (sums().outcomes, listing()) == (Counter(failed=1, excluded=1), [])


def test_a_late_write_of_a_verified_user_closes_its_gap(make_client, application, ignorant, make_drain, ledger, sums):
    """With user data, whoever's write was parked is verified and repaired: then nobody is in a gap."""

    class Data:
        def verify(self, user, before=None) -> bool:
            return notes.legacy[user] == notes.enhanced[user]

        def repair(self, user, before=None) -> int:
            notes.enhanced[user] |= notes.legacy[user]
            return 1

        def users(self, after="", limit=500):
            return []

    client = make_client()
    notes = application(client)
    notes.save("ann", "one")
    notes.end()
    ignorant()
    assert sums().gaps == {"parked": 1}
    client.verification(Data())
    ledger.retry(EVERYTHING, by="ann")
    for lane in range(LANES):
        make_drain(client=client).run(lane)
    assert (sums().gaps, sums().outcomes, texts(notes)) == ({}, Counter(excluded=1), {"ann": ["one"]})
