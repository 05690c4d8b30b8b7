"""Several workers on the same lanes: one holds a lane, and only the holder's findings count."""

import threading
from collections import Counter

import pytest

from ledger import Ledger
from worker import committing, held_lane
from worker.drain import Drain

pytestmark = pytest.mark.slow

PATIENCE_S = 10.0
on_both = pytest.mark.parametrize("ledger_url", ["sqlite", "postgres"], indirect=True)


def test_a_second_drain_of_a_lane_goes_elsewhere(notes, client, make_drain, gate, running, sums, lane_of):
    """It holds nothing and counts nothing."""
    notes.before = gate
    notes.save("ann", "hello")
    notes.end()
    lane = lane_of()
    first = running(make_drain(), lane)
    assert gate.entered.wait(PATIENCE_S)
    assert make_drain().run(lane) == Counter(elsewhere=1)
    gate.leave.set()
    assert first.ended() == Counter(lanes=1, match=1)
    assert sums().outcomes == Counter(match=1)


def test_two_drains_share_the_lanes(notes, client, make_drain, running, sums, clean):
    """Each takes what the other does not hold; together they count everything once."""
    calls = notes.converse()
    notes.end()
    drains = [running(make_drain(share=2), lane) for lane in (0, 2)]
    counts = sum((thread.ended() for thread in drains), Counter())
    for lane in range(4):
        counts += make_drain().run(lane)
    assert counts["match"] == calls == sums().done
    clean()


@on_both
@pytest.mark.parametrize("stolen", ["deleted", "replaced"])
def test_a_lane_taken_over_in_the_middle_is_counted_once(
    planted, client, make_drain, gate, running, planted_outcomes, sums, clean, server, keys, lane_of, stolen
):
    """The worker that was frozen past its lease commits nothing; who took over counts all."""
    planted.converse()
    planted.end()
    lane, before = lane_of(), planted.before
    planted.before = lambda op, **args: gate(op) or before(op, **args)
    first = running(make_drain(share=1), lane)
    assert gate.entered.wait(PATIENCE_S)
    server.delete(keys.lane(lane).lease)
    second = None
    if stolen == "replaced":
        second = make_drain(share=1).run(lane)
        assert second["fenced"] == 0
    gate.leave.set()
    counts = first.ended()
    if stolen == "replaced":
        assert (counts["fenced"], counts["match"], counts["diverged"]) == (1, 0, 0)
    for number in range(4):
        make_drain().run(number)
    assert sums().outcomes == planted_outcomes
    clean()


@pytest.fixture
def at_once(monkeypatch):
    """Let a drain commit only once all four lanes are through; give the lanes of each transaction that they shared."""
    settled, commit, shared = Drain._settled, Ledger.commit_together, []

    def all_or_none(drain, settling, look):
        return settled(drain, settling, look) if len(settling) == 4 else []

    def noting(ledger, commits):
        shared.append({one.lane for one in commits})
        return commit(ledger, commits)

    monkeypatch.setattr(Drain, "_settled", all_or_none)
    monkeypatch.setattr(Ledger, "commit_together", noting)
    return shared


@on_both
def test_lanes_that_are_through_share_a_transaction(
    planted, client, make_drain, planted_outcomes, at_once, sums, clean
):
    """What each has found counts, and nothing is left in Redis."""
    planted.converse()
    planted.end()
    make_drain().run(0)
    assert at_once == [{0, 1, 2, 3}]
    assert sums().outcomes == planted_outcomes
    clean()


@on_both
def test_of_lanes_that_share_a_transaction_one_is_taken_away(
    planted, client, make_drain, planted_outcomes, at_once, sums, clean, server, keys, ledger, monkeypatch
):
    """Only that one counts nothing; who holds it then counts it."""
    planted.converse()
    planted.end()
    commit = Ledger.commit_together

    def too_late(books, commits):
        ledger.take(2)
        server.set(keys.lane(2).lease, "another")
        return commit(books, commits)

    monkeypatch.setattr(Ledger, "commit_together", too_late)
    counts = make_drain().run(0)
    assert at_once == [{0, 1, 2, 3}]
    assert counts["fenced"] == 1
    assert 0 < sums().done < planted_outcomes.total()
    assert server.get(keys.lane(2).lease) == b"another"
    server.delete(keys.lane(2).lease)
    monkeypatch.undo()
    make_drain().run(2)
    assert sums().outcomes == planted_outcomes
    clean()


def test_lanes_that_are_to_be_committed_share_transactions_that_are_short_enough(
    notes, client, make_drain, at_once, sums, monkeypatch
):
    """Others wait for each of them."""
    monkeypatch.setattr(committing, "MOST_FINDINGS", 30)
    calls = notes.converse()
    notes.end()
    make_drain().run(0)
    assert sums().outcomes == Counter(match=calls)
    assert all(len(lanes) < 4 for lanes in at_once)


def test_a_lane_taken_away_is_noticed_while_replays_run(
    notes, client, make_drain, gate, running, sums, server, keys, lane_of, ledger, monkeypatch
):
    """The lease is asked for again and again; who holds it no more forgets the batch."""
    monkeypatch.setattr(held_lane, "EXTEND_S", 0.05)
    notes.save("ann", "hello")
    notes.end()
    lane = lane_of()
    notes.before = gate
    first = running(make_drain(), lane)
    assert gate.entered.wait(PATIENCE_S)
    ledger.take(lane)
    server.set(keys.lane(lane).lease, "another")
    assert first.ended()["fenced"] == 1
    assert server.get(keys.lane(lane).lease) == b"another"
    gate.leave.set()
    server.delete(keys.lane(lane).lease)
    make_drain().run(lane)
    assert sums().outcomes == Counter(match=1)


def test_a_lease_that_nobody_has_is_taken_again(
    notes, client, make_drain, running, sums, server, keys, lane_of, monkeypatch, hints
):
    """Redis forgot it, and what was kept of the batch: the next holder learns what was found, and replays the rest."""
    monkeypatch.setattr(held_lane, "EXTEND_S", 0.05)
    for number in range(3):
        notes.save("ann", f"note {number}")
        notes.read("ann")
    notes.end()
    lane = lane_of()
    forgotten, leave = threading.Event(), threading.Event()

    def before(operation, **said):
        if said.get("text") == "note 2" and not forgotten.is_set():
            server.delete(keys.lane(lane).lease, keys.lane(lane).journal)
            forgotten.set()
            assert leave.wait(PATIENCE_S)

    notes.before = before
    first = running(make_drain(), lane)
    assert forgotten.wait(PATIENCE_S)
    threading.Timer(1.5, leave.set).start()  # by then it is seen that the lease is gone
    assert first.ended()["fenced"] == 1
    assert not server.exists(keys.lane(lane).lease)
    assert hints == [lane]
    replays = len(notes.replays)
    make_drain().run(lane)
    assert sums().outcomes == Counter(match=6)
    assert len(notes.replays) - replays <= 1


def test_a_fence_in_the_ledger_is_enough(notes, client, make_drain, gate, running, sums, ledger, lane_of, server, keys):
    """Redis may have lost the lease unnoticed: the ledger still lets one commit only."""
    notes.save("ann", "hello")
    notes.end()
    lane = lane_of()
    notes.before = gate
    first = running(make_drain(), lane)
    assert gate.entered.wait(PATIENCE_S)
    ledger.take(lane)
    gate.leave.set()
    assert first.ended() == Counter(lanes=1, fenced=1)
    server.delete(keys.lane(lane).lease)
    make_drain().run(lane)
    assert sums().outcomes == Counter(match=1)


def test_a_fenced_error_is_no_crash(notes, client, make_drain, on_commit, ledger):
    """Being overtaken is an ordinary end: the drain goes on with its other lanes."""
    calls = notes.converse()
    notes.end()
    overtaken: list[int] = []

    def overtaking(write, commits):
        if not overtaken:
            overtaken.append(commits[0].lane)
            ledger.take(commits[0].lane)
        return write()

    on_commit(overtaking)
    counts = make_drain().run(0)
    assert counts["fenced"] == 1
    assert 0 < counts["match"] < calls


def test_who_no_longer_holds_a_lane_takes_nothing_out_of_it(store, make_producer, server, keys):
    """Redis may have lost everything since, and have given the same ids again."""
    producer, names = make_producer("p"), keys.lane(1)
    for number in range(3):
        producer.append(1, ("0f0f", 1, b"line %d" % number))
    entries = store.read(1, (0, 0), 10).entries
    token = store.lease(1)
    server.delete(names.lease)
    store.trim(1, token, entries[2].id, entries[1].appended)
    assert not store.remove(1, token, entries)
    assert store.read(1, (0, 0), 10).entries == entries
    token = store.lease(1)
    assert store.remove(1, token, entries[1:])
    assert store.read(1, (0, 0), 10).entries == entries[:1]
    assert not server.hget(names.state, "trimmed")
    assert store.remove(1, token, entries[:1])
    assert int(server.hget(names.state, "trimmed")) == entries[-1].appended  # an empty lane holds no bytes
