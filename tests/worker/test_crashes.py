"""Workers that die: whatever was done and not committed is found again, and found to be the same."""

import random
from collections import Counter

import pytest

from ledger import LedgerUnreachableError
from worker import attempts, held_lane, reading
from worker import drain as draining

pytestmark = pytest.mark.slow


def test_without_a_crash_the_planted_defect_is_what_it_is(planted, client, make_drain, sums, planted_outcomes):
    """The figures that every crash below must come to as well."""
    planted.converse()
    planted.end()
    make_drain().run(0)
    assert sums().outcomes == planted_outcomes


class Crash(BaseException):
    """The worker is gone at this point: nothing of it tidies up."""


@pytest.mark.parametrize("ledger_url", ["sqlite", "postgres"], indirect=True)
@pytest.mark.parametrize("times", [1, 3])
def test_a_crash_between_replay_and_commit_changes_no_verdict(
    planted, client, make_drain, sums, planted_outcomes, clean, on_commit, times
):
    """Later writes are in the enhanced store already, and still every read is judged by what it saw."""
    calls = planted.converse()
    planted.end()
    left = [times]

    def failing(write, _):
        if left[0]:
            left[0] -= 1
            raise LedgerUnreachableError("gone for a moment")
        return write()

    on_commit(failing)
    for _ in range(times):
        with pytest.raises(LedgerUnreachableError):
            make_drain().run(0)
    assert sum(map(len, planted.enhanced.values())) > 0
    for lane in range(4):
        make_drain().run(lane)
    found = sums()
    assert found.outcomes == planted_outcomes
    assert (found.pending, found.done) == (0, calls)
    clean()


@pytest.mark.parametrize("nth", [1, 4, 9])
def test_a_worker_gone_in_the_middle_of_a_batch_changes_no_verdict(
    planted, client, make_drain, make_store, sums, planted_outcomes, clean, server, keys, monkeypatch, nth
):
    """Killed before the nth journal entry, its lease left behind; the next holder finds the same."""
    planted.converse()
    planted.end()
    store, written = make_store(), [0]
    write = store.write_journal

    def dying(*args) -> bool:
        written[0] += 1
        if written[0] >= nth:
            raise Crash
        return write(*args)

    monkeypatch.setattr(store, "write_journal", dying)
    monkeypatch.setattr(draining.Drain, "_hand_back", lambda self: None)
    with pytest.raises(Crash):
        make_drain(lanes=store).run(0)
    monkeypatch.undo()
    assert make_drain().run(0)["elsewhere"] + any(server.exists(keys.lane(n).lease) for n in range(4))
    for lane in range(4):
        server.delete(keys.lane(lane).lease)  # it runs out by itself
    for lane in range(4):
        make_drain().run(lane)
    assert sums().outcomes == planted_outcomes
    clean()


@pytest.mark.parametrize("where", ["clear_journal", "after_commit"])
def test_a_worker_gone_just_after_its_commit_leaves_nothing_behind(
    notes, client, make_drain, make_store, sums, clean, monkeypatch, short_turns, hints, lane_of, where
):
    """Nothing is counted twice, and the next holder clears away what the first could not."""
    calls = notes.converse(users=["ann"])
    notes.end()
    store, lane = make_store(), lane_of()

    def dying(*_) -> None:
        raise Crash

    monkeypatch.setattr(store, where, dying)
    with pytest.raises(Crash):
        make_drain(lanes=store).run(lane)
    hints.clear()
    make_drain().run(lane)
    assert sums().outcomes == Counter(match=calls)
    assert hints == []
    clean()


@pytest.mark.parametrize("seed", range(3))
def test_whatever_goes_wrong_the_figures_are_the_same(
    planted, client, make_drain, make_store, sums, planted_outcomes, server, keys, monkeypatch, short_turns, seed
):
    """Workers die at random places, the threads of some go on: still the same verdicts, once each."""
    monkeypatch.setattr(reading, "READ_ENTRIES", 2)
    monkeypatch.setattr(reading, "READ_CAPTURES", 1)
    monkeypatch.setattr(held_lane, "BATCH_CAPTURES", 7)
    monkeypatch.setattr(draining.Drain, "_hand_back", lambda self: None)
    monkeypatch.setattr(attempts, "MOST", 10**6)  # workers die so often here that chance alone would park some
    dice = random.Random(seed)
    planted.converse()
    planted.end()
    deaths = 0
    for n in range(24):
        store = make_store()
        for name in ("write_journal", "count_batch", "clear_journal", "trim", "read", "before_commit", "after_commit"):
            monkeypatch.setattr(store, name, mortal(getattr(store, name), dice))
        try:
            make_drain(lanes=store, share=2).run(n % 4)
        except Crash:
            deaths += 1
        server.delete(*(keys.lane(lane).lease for lane in range(4)))
    assert deaths > 4
    for lane in range(4):
        make_drain().run(lane)
        server.delete(*(keys.lane(lane).lease for lane in range(4)))
    assert sums().outcomes == planted_outcomes


def mortal(method, dice):
    """Do what `method` does, and now and then die before or after it."""

    def dying(*args):
        fate = dice.random()
        if fate < 0.08:
            raise Crash
        done = method(*args)
        if fate < 0.16:
            raise Crash
        return done

    return dying
