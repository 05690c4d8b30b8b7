"""Pairs in real drains: taken once both sides hold the same, committed once, and without a trace in the verdicts."""

import random
import threading
from collections import Counter

import pytest

from gnomon import call
from ledger import LedgerUnreachableError, PairSums
from worker import drain as draining
from worker.engine import Engine
from worker.pairs import Allowance, Pairs
from worker.resting import Resting
from worker.settings import load

pytestmark = pytest.mark.slow

PATIENCE_S = 10.0
LANES = 4


@pytest.fixture
def pairs(store) -> Pairs:
    """Take pairs of everybody."""
    return Pairs(share=1.0, allowance=Allowance(1e6), now_us=store.lookout.now_us, chance=random.Random(1))


@pytest.fixture
def counted(ledger):
    """Return the pairs of reads in the ledger."""

    def read() -> PairSums:
        with ledger.reading() as reading:
            return reading.pairs().get("note.list", PairSums())

    return read


@pytest.fixture
def hold_drain(notes, client):
    """Return an event that is set once legacy was asked so often by a worker."""

    def until(times: int) -> threading.Event:
        left, done = [times], threading.Event()

        def telling(user: str) -> list[str]:
            left[0] -= 1
            if left[0] == 0:
                done.set()
            return notes._list(user)

        client.operations["note.list"].legacy = telling
        return done

    return until


def seen_by_legacy(notes) -> list[tuple[bool, bool]]:
    """Have legacy tell of each read: whether it was for nobody, and whether it knew of a capture."""
    seen: list[tuple[bool, bool]] = []
    listing = notes._list

    def telling(user: str) -> list[str]:
        current = call()
        seen.append((current is not None and current.shadow, bool(current and current.capture_id)))
        return listing(user)

    for client in notes.clients:
        client.operations["note.list"].legacy = telling
    return seen


@pytest.mark.parametrize("ledger_url", ["sqlite", "postgres"], indirect=True)
def test_every_read_is_timed_once_both_sides_hold_the_same(planted, make_drain, sums, counted, planted_outcomes, pairs):
    """Although each was followed by writes: once all of a batch are replayed, legacy is ahead of enhanced no more."""
    planted.converse()
    planted.end()
    seen = seen_by_legacy(planted)
    replays = len(planted.replays)
    for lane in range(LANES):
        make_drain(pairs=pairs).run(lane)
    found = counted()
    assert sums().outcomes == planted_outcomes
    assert (found.pairs, found.unpaired) == (48, dict.fromkeys(found.unpaired, 0))
    assert seen == [(True, True)] * 96  # a pair asks legacy twice, and tells it that nobody waits
    assert (
        Counter(name for name, _ in planted.replays[replays:])["note.list"] == 144
    )  # the replay, and twice for the pair
    assert (found.counts["repeated"], found.counts["noisy"]) == (48, 0)
    assert set(found.clusters) <= set(range(256))
    assert all(sum(bins.values()) == 48 for bins in found.histograms.values())


@pytest.mark.usefixtures("short_turns")
def test_a_write_that_waits_behind_the_batch_spares_legacy(
    notes, make_drain, sums, counted, pairs, tape, make_producer, listed
):
    """Legacy holds it, enhanced does not yet, and that is known before anybody is asked."""
    make_producer("q").beat(tape.at(20), clock_error_us=100)
    seen = seen_by_legacy(notes)
    tape.append(tape.read(5, 6, legacy=listed()), tape.save(30, 31, 1))
    make_drain(pairs=pairs).run(tape.lane)
    assert sums().outcomes == Counter(match=1)
    assert (counted().pairs, counted().unpaired["superseded"], seen) == (0, 1, [])


@pytest.mark.parametrize("ledger_url", ["sqlite", "postgres"], indirect=True)
def test_pairs_of_a_worker_that_died_before_its_commit_count_once(
    planted, make_drain, sums, counted, planted_outcomes, pairs, on_commit
):
    """They go with their lane's commit: what never came in is taken anew, what came in is not taken again."""
    planted.converse()
    planted.end()
    left = [1, 1, 1]

    def failing(write, _):
        if left and len(left) % 2:
            left.pop()
            raise LedgerUnreachableError("gone before it was written")
        written = write()
        if left:
            left.pop()
            raise LedgerUnreachableError("gone after it was written")
        return written

    on_commit(failing)
    for _ in range(3):
        with pytest.raises(LedgerUnreachableError):
            make_drain(pairs=pairs).run(0)
    for lane in range(LANES):
        make_drain(pairs=pairs).run(lane)
    found = counted()
    assert sums().outcomes == planted_outcomes
    assert found.pairs + sum(found.unpaired.values()) == 48


class Crash(BaseException):
    """The worker is gone at this point: nothing of it tidies up."""


@pytest.mark.parametrize("ledger_url", ["sqlite", "postgres"], indirect=True)
@pytest.mark.parametrize("written", [False, True])
def test_a_killed_worker_leaves_every_pair_once_or_not_at_all(
    planted, make_drain, sums, counted, planted_outcomes, pairs, on_commit, server, keys, monkeypatch, written
):
    """Killed in the middle of a commit, or right after it: its successor takes none of that batch, and adds none."""
    planted.converse()
    planted.end()
    left, taken = [1], []

    def dying(write, commits):
        dies = bool(left and left.pop())
        done = write() if written or not dies else None
        if written or not dies:
            taken.extend(pair.capture_id for commit in commits for pair in commit.pairs)
        if dies:
            raise Crash
        return done

    on_commit(dying)
    with monkeypatch.context() as patched:
        patched.setattr(draining.Drain, "_hand_back", lambda self: None)
        with pytest.raises(Crash):
            make_drain(pairs=pairs).run(0)
    for lane in range(LANES):
        server.delete(keys.lane(lane).lease)  # it runs out by itself
        make_drain(pairs=pairs).run(lane)
    found = counted()
    assert sums().outcomes == planted_outcomes
    assert len(set(taken)) == len(taken) == found.pairs + sum(found.unpaired.values())
    assert bool(taken) is written
    assert all(bins.total() == found.pairs for bins in found.histograms.values())


def test_where_a_process_died_in_a_batch_nothing_is_asked_twice(notes, make_drain, sums, counted, pairs, server, keys):
    """Whatever it died of, a pair would only try again."""
    notes.converse(["ann"], turns=1)
    notes.end()
    seen = seen_by_legacy(notes)
    for lane in range(LANES):
        if server.xlen(keys.lane(lane).stream):
            server.hset(keys.lane(lane).attempts, mapping={"at": "(0, 0)/(0, '')", "n": 1})
        make_drain(pairs=pairs).run(lane)
    assert sums().outcomes == Counter(match=2)
    assert (seen, counted().pairs) == ([], 0)


def test_a_legacy_side_that_hangs_costs_no_verdict(notes, make_drain, sums, counted, pairs, server, keys, client):
    """The capture is judged by then; the process knows that a thread is lost, and all processes leave legacy alone."""
    resting = Resting(server, keys)
    notes.converse(["ann"], turns=1)
    notes.end()
    leave = threading.Event()
    client.operations["note.list"].legacy = lambda user: leave.wait(PATIENCE_S)
    drain = make_drain(pairs=Pairs(**{**_facts(pairs), "resting": resting}), timeout_s=0.2)
    for lane in range(LANES):
        drain.run(lane)
    leave.set()
    assert sums().outcomes == Counter(match=2)
    assert counted().unpaired["given_up"] == 1
    assert drain.abandoned == 1
    assert resting.is_resting("note.list")
    assert Resting(server, keys).is_resting("note.list")
    assert 0 < server.ttl(keys.resting) <= 601


def _facts(pairs: Pairs) -> dict[str, object]:
    return {name: getattr(pairs, name) for name in ("share", "allowance", "now_us", "chance")}


@pytest.mark.parametrize("before", [True, False])
def test_pairs_wait_for_the_watermark(
    notes, make_drain, running, sums, counted, pairs, tape, make_producer, listed, hold_drain, before
):
    """A write in flight while they ran may be in one of the runs: until all are known, nothing is committed."""
    other = make_producer("q")
    other.beat(tape.now_us() - 1_000_000, clock_error_us=100)
    tape.append(tape.read(5, 6, legacy=listed()))
    began = (tape.now_us() - tape.began_us) / 1_000
    asked = hold_drain(2)
    drain = running(make_drain(pairs=pairs), tape.lane)
    assert asked.wait(PATIENCE_S)
    start = began if before else (tape.now_us() - tape.began_us) / 1_000 + 1_000
    tape.append(tape.save(start, start + 1, 1))
    assert sums().done == 0
    other.beat(tape.now_us() + 10_000_000, clock_error_us=100)
    drain.ended()
    assert sums().outcomes["match"] >= 1
    assert (counted().pairs, counted().unpaired["superseded"]) == ((0, 1) if before else (1, 0))


def test_a_worker_takes_them_as_its_settings_say(valkey_url, ledger_url, tmp_path, monkeypatch):
    """The share, the most in a second, and chats only where asked for."""
    facts = {"redis_url": valkey_url, "database_url": ledger_url, "operations": "gnomon_memory.operations"}
    made = Engine(load(**facts, pairs_share=0.25, pairs_per_s=2.0, pairs_generate=True))
    assert (made._pairs.share, made._pairs.generate) == (0.25, True)
    assert [made._pairs.allowance.take() for _ in range(3)] == [True, True, False]
    made.close()
