"""Calls of which a side was replayed that is written live as well: judged only where no write came between."""

import threading
import time
from collections import Counter

import msgspec
import pytest

from gnomon.flags import StoredFlags
from gnomon.scripts import STORE
from gnomon.wire import Phase, Raised, Side
from worker import drain as draining
from worker import reading

pytestmark = pytest.mark.slow

PATIENCE_S = 10.0
SERVED = {"serving": "enhanced", "phase": Phase.SERVED}
DUAL = {"phase": Phase.DUAL}


@pytest.fixture
def hold(notes):
    """Let both sides hold notes of Ann."""

    def both(*numbers: int) -> None:
        for side in (notes.legacy, notes.enhanced):
            side["ann"] = {number: f"note {number}" for number in numbers}

    return both


@pytest.fixture
def enabled(server, keys):
    """Let the stored flags say that users may be dual."""

    def store(version: int = 1, **flags: object) -> None:
        stored = StoredFlags(version=version, flags=flags or {"enhanced_memory_enabled": True, "rollout_percentage": 1})
        document = msgspec.json.encode(stored)
        server.eval(STORE, 1, keys.flags, version - 1, version, document, keys.changes)

    return store


@pytest.fixture
def now(tape):
    """Tell the time as the tape does."""
    return lambda: (tape.now_us() - tape.began_us) / 1_000


# --- what is replayed, and under which exposure


def test_a_served_read_is_compared_with_what_legacy_answers(notes, make_drain, sums, ledger, tape, listed, hold):
    """Legacy is called as it was before it was wrapped: nothing of it is captured."""
    hold(1)
    tape.append(tape.read(5, 6, enhanced=listed(1), **SERVED), tape.read(7, 8, enhanced=listed(2), **SERVED))
    make_drain().run(tape.lane)
    found = sums()
    assert found.outcomes == Counter(match=1, diverged=1)
    assert found.funnel["captured"] == 0  # the tape does not count, and nothing else was captured
    assert notes.replays == []
    with ledger.reading() as reading:
        assert {row.exposure for row in reading.clusters(1)["note.list"]} == {"served"}


# --- superseded


def test_a_write_between_a_served_read_and_its_replay_supersedes_it(notes, make_drain, sums, tape, listed, hold, gave):
    """Whether it lies in the same batch or not; a read behind it is judged."""
    hold(1, 2)
    write = tape.save(15, 16, 2, enhanced=gave(2), **DUAL)
    tape.append(
        tape.read(5, 6, enhanced=listed(1), **SERVED), write, tape.read(25, 26, enhanced=listed(1, 2), **SERVED)
    )
    make_drain().run(tape.lane)
    found = sums()
    assert found.reasons == {("excluded", "superseded"): 1}
    assert found.outcomes == Counter(match=2, excluded=1)


@pytest.mark.parametrize("dual", [True, False])
def test_only_live_writes_supersede_a_replay_on_enhanced(notes, make_drain, sums, tape, listed, hold, gave, dual):
    """What the lane alone writes comes after the read, in its place."""
    more = {"enhanced": gave(2), **DUAL} if dual else {}
    tape.append(tape.save(5, 6, 1), tape.read(7, 8, legacy=listed(1)), tape.save(15, 16, 2, **more))
    make_drain().run(tape.lane)
    found = sums()
    assert found.outcomes == (Counter(match=2, excluded=1) if dual else Counter(match=3))


def test_a_batch_is_committed_once_no_write_can_be_missing(
    notes, make_drain, running, sums, tape, make_producer, listed, hold, now, gave
):
    """It waits for the watermark, which waits for a write in flight; the write that comes of it supersedes the read."""
    hold(1)
    other = make_producer("q")
    other.beat(tape.at(now()), clock_error_us=100)
    write = tape.save(now(), now() + 1, 2, enhanced=gave(2), **DUAL)
    tape.append(tape.read(5, 6, enhanced=listed(1), **SERVED))
    drain = running(make_drain(), tape.lane)
    time.sleep(0.5)
    assert sums().done == 0
    tape.append(write)
    other.beat(tape.at(now()) + 10_000_000, clock_error_us=100)
    counts = drain.ended()
    assert (counts["excluded"], counts["match"]) == (1, 1)
    assert sums().reasons == {("excluded", "superseded"): 1}


def test_what_is_known_to_be_lost_supersedes_too(
    notes, make_drain, running, sums, tape, make_producer, listed, hold, now
):
    """A write that will never be in the lane came between."""
    hold(1)
    other = make_producer("q")
    other.beat(tape.at(now()), clock_error_us=100)
    tape.append(tape.read(5, 6, enhanced=listed(1), **SERVED))
    before_us = now()
    drain = running(make_drain(), tape.lane)
    time.sleep(0.3)
    tape.append(**{tape.digest: tape.at(before_us)})
    other.beat(tape.at(now()) + 10_000_000, clock_error_us=100)
    drain.ended()
    found = sums()
    assert (found.reasons, found.gaps) == ({("excluded", "superseded"): 1}, {"lost": 1})


@pytest.mark.parametrize("why", ["flags", "phase", "readiness"])
def test_a_replay_on_enhanced_settles_where_its_user_may_be_dual(
    notes, make_drain, sums, tape, make_producer, listed, enabled, server, keys, short_turns, monkeypatch, why
):
    """By the flags, by the readiness, or by what was captured of them."""
    monkeypatch.setattr(draining, "SETTLE_S", 0.2)
    make_producer("q").beat(tape.at(1_000), clock_error_us=100)
    if why == "flags":
        enabled()
    if why == "readiness":
        server.hset(keys.readiness, mapping={"version": 1, "document": b'{"version":1,"dual_below":7}'})
    tape.append(tape.read(5, 6, legacy=listed(), **(DUAL if why == "phase" else {})))
    make_drain().run(tape.lane)
    assert sums().done == 0


@pytest.mark.parametrize("flags", [{}, {"enhanced_memory_enabled": False}], ids=["none", "off"])
def test_in_a_namespace_of_shadows_nothing_waits(notes, make_drain, sums, tape, make_producer, listed, enabled, flags):
    """What is below the watermark is committed at once, though the watermark stands still."""
    if flags:
        enabled(**flags)
    make_producer("q").beat(tape.at(1_000), clock_error_us=100)
    tape.append(tape.save(5, 6, 1), tape.read(7, 8, legacy=listed(1)), tape.save(15, 16, 2))
    started = time.monotonic()
    make_drain().run(tape.lane)
    assert sums().outcomes == Counter(match=3)
    assert time.monotonic() - started < 2.0


def test_without_live_processes_nothing_waits(notes, make_drain, sums, tape, listed, hold, enabled):
    """Whatever they wrote is in the lane."""
    enabled()
    hold(1)
    tape.append(tape.read(5, 6, enhanced=listed(1), **SERVED), tape.read(7, 8, legacy=listed(1)))
    started = time.monotonic()
    make_drain().run(tape.lane)
    assert sums().outcomes == Counter(match=2)
    assert time.monotonic() - started < 2.0


def test_a_superseded_call_that_enhanced_raised_on_has_failed(notes, make_drain, sums, tape, enabled, gave, running):
    """Exclusion removes it from comparison only."""
    gate = threading.Event()

    def before(operation: str, **_: object) -> None:
        if operation == "note.list":
            assert gate.wait(PATIENCE_S)
            raise OSError("disk")

    notes.before = before
    tape.append(tape.read(5, 6, legacy=gave([])))
    drain = running(make_drain(), tape.lane)
    time.sleep(0.2)
    tape.append(tape.save(15, 16, 2, enhanced=gave(2), **DUAL))
    gate.set()
    drain.ended()
    assert sums().outcomes == Counter(match=1, failed=1)


# --- a drain that ends, or dies, while a batch settles


@pytest.fixture
def held_back(tape, make_producer, now):
    """Keep the watermark where it is until told otherwise."""
    other = make_producer("q")
    other.beat(tape.at(now()), clock_error_us=100)
    return other.leave


def test_a_batch_that_settles_for_long_is_left_to_the_next_holder(
    notes, make_drain, sums, clean, tape, listed, hold, held_back, short_turns, monkeypatch, hints, gave
):
    """Nothing of it is replayed a second time, not even writes, and all of it is counted once."""
    monkeypatch.setattr(draining, "SETTLE_S", 0.2)
    hold()
    tape.append(tape.save(5, 6, 1, enhanced=gave(1), **DUAL), tape.read(7, 8, legacy=listed(1), **DUAL))
    make_drain().run(tape.lane)
    assert (sums().done, hints) == (0, [tape.lane])
    replays = list(notes.replays)
    held_back()
    make_drain().run(tape.lane)
    found = sums()
    assert (found.outcomes, found.done, notes.replays) == (Counter(match=2), 2, replays)
    assert replays == [("note.save", "ann"), ("note.list", "ann")]


def test_a_gap_found_in_a_batch_that_was_put_aside_is_kept(
    notes, make_drain, sums, tape, listed, gave, held_back, short_turns, monkeypatch
):
    """The next holder does not replay the write that failed, and knows all the same."""
    monkeypatch.setattr(draining, "SETTLE_S", 0.2)

    def before(operation: str, **_: object) -> None:
        if operation == "note.save":
            raise OSError("disk")

    notes.before = before
    tape.append(tape.read(5, 6, legacy=listed(), **DUAL), tape.save(7, 8, 1))
    make_drain().run(tape.lane)
    assert sums().done == 0
    held_back()
    tape.append(tape.read(15, 16, legacy=listed(1), **DUAL))
    make_drain().run(tape.lane)
    found = sums()
    assert found.reasons["excluded", "causal"] == 1
    assert found.gaps == {"write_failed": 1}


class Crash(BaseException):
    """The worker is gone at this point: nothing of it tidies up."""


@pytest.mark.parametrize("where", ["settle", "before_commit", "after_commit"])
def test_a_worker_that_dies_while_a_batch_settles_changes_no_verdict(
    notes, make_drain, make_store, sums, clean, tape, listed, hold, gave, monkeypatch, where
):
    """Every capture is counted once, as it would have been."""
    hold(1, 2)
    captures = [
        tape.read(5, 6, enhanced=listed(1), **SERVED),
        tape.save(15, 16, 2, enhanced=gave(2), **DUAL),
        tape.read(25, 26, enhanced=listed(1, 2), **SERVED),
        tape.read(27, 28, legacy=listed(1, 2), **DUAL),
    ]
    tape.append(*captures)
    dying = make_store()

    def die(*_, **__) -> None:
        raise Crash

    target = draining.HeldLane if where == "settle" else dying
    with monkeypatch.context() as patch:
        patch.setattr(target, where, die)
        with pytest.raises(Crash):
            make_drain(lanes=dying).run(tape.lane)
    make_drain().run(tape.lane)
    found = sums()
    assert (found.outcomes, found.done) == (Counter(match=3, excluded=1), 4)
    assert found.reasons == {("excluded", "superseded"): 1}


# --- fallback, and what the exceptions on the serving side come to


def test_a_fallback_is_judged_by_what_both_sides_did(notes, make_drain, sums, ledger, tape, listed):
    """Nothing is replayed, and it counts where enhanced was asked: as served."""
    timeout = Side(7, raised=Raised("TimeLimitError", "no answer in time"))
    tape.append(tape.read(5, 6, legacy=listed(1), enhanced=timeout, phase=Phase.SERVED))
    make_drain().run(tape.lane)
    found = sums()
    assert (found.outcomes, found.reasons) == (Counter(failed=1), {("failed", "timeout"): 1})
    assert notes.replays == []
    with ledger.reading() as reading:
        assert {row.exposure for row in reading.clusters(1)["note.list"]} == {"served"}


def test_a_replayed_write_lifts_the_exception_it_caused(notes, make_drain, tape, server, keys, gave):
    """Not one that is younger: another write may have failed since."""
    failed = {"enhanced": Side(7, raised=Raised("OSError", "disk")), **DUAL}
    server.hset(keys.unready, mapping={tape.digest: tape.at(6), "version": 1})
    tape.append(tape.save(5, 6, 1, **failed))
    make_drain().run(tape.lane)
    assert server.hgetall(keys.unready) == {b"version": b"2"}
    server.hset(keys.unready, mapping={tape.digest: tape.at(30)})
    tape.append(tape.save(15, 16, 2, **failed))
    make_drain().run(tape.lane)
    assert server.hget(keys.unready, tape.digest)


def test_a_write_that_is_still_missing_lifts_none(notes, make_drain, tape, server, keys):
    """The user is in a gap."""
    failed = {"enhanced": Side(7, raised=Raised("OSError", "disk")), **DUAL}
    server.hset(keys.unready, mapping={tape.digest: tape.at(1), "version": 1})
    tape.append(tape.save(5, 6, 1, **failed), **{tape.digest: tape.at(1)})
    make_drain().run(tape.lane)
    assert server.hget(keys.unready, tape.digest)


def test_a_verified_user_is_no_exception_any_more(notes, make_drain, tape, server, keys, user_data, hold, listed):
    """What was verified holds everything up to the moment before."""
    hold(1)
    del notes.enhanced["ann"]
    server.hset(keys.unready, mapping={tape.digest: tape.at(6), "version": 1})
    tape.append(tape.read(5, 6, legacy=listed(1)))
    make_drain().run(tape.lane)
    assert server.hgetall(keys.unready) == {b"version": b"2"}


def test_where_a_lane_is_done_is_written_down(notes, make_drain, tape, server, keys, listed):
    """For the arbiter, who waits until what was written to one side alone is replayed."""
    tape.append(tape.save(5, 6, 1), tape.read(7, 8, legacy=listed(1)))
    make_drain().run(tape.lane)
    assert int(server.hget(keys.lane(tape.lane).state, "done_us")) == tape.at(8)


def test_a_shuffled_lane_is_read_to_its_end_before_anything_is_missed(
    notes, make_drain, sums, tape, listed, hold, server, keys, monkeypatch
):
    """What lies behind the newest entries of their sender was sent before them: no promise bounds what is not read."""
    monkeypatch.setattr(reading, "READ_ENTRIES", 4)
    hold(1)
    stream = keys.lane(tape.lane).stream

    def shuffle(operation: str, **_: object) -> None:
        if server.xlen(stream) > 1:
            return
        for ms in range(10, 34, 2):
            tape.append(tape.read(ms, ms + 1, legacy=listed(1)), watermark=tape.now_us() + 1_000_000)
        entries = server.xrange(stream)[1:]
        server.xdel(stream, *(raw for raw, _ in entries))
        for _, fields in entries[8:] + entries[:8]:
            server.xadd(stream, fields)

    notes.before = shuffle
    tape.append(tape.read(5, 6, legacy=listed(1), **DUAL))
    make_drain().run(tape.lane)
    found = sums()
    assert (found.outcomes, found.gaps) == (Counter(match=13), {})
