"""The ledger as others use it: funnels folded in, sums read back, all figures of one reading from one moment."""

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from ledger import Ledger, Loss, Outcome, Sent

HOUR_US = 3_600_000_000
NOON_US = 497_222 * HOUR_US  # the beginning of an hour


def sent(lane=0, operation="memory.recent", epoch=1, producer="p", **counters):
    return {lane: {producer: Sent(0, {f"{operation}|{epoch}|{counter}": n for counter, n in counters.items()})}}


def test_folding_twice_is_folding_once(ledger, read, dump):
    """The lanes' counters are cumulative: the same reading again changes nothing."""
    chats = sent(1, "chat.send", producer="q", eligible=4, not_sampled=4)
    told = sent(0, eligible=10, captured=7, shed=3) | {1: {**sent(1, eligible=5, captured=5)[1], **chats[1]}}
    ledger.fold(told)
    before = dump()
    ledger.fold(told)
    assert dump() == before
    sums = read(ledger, "sums")
    assert +sums["memory.recent"].funnel == Counter(eligible=15, captured=12, shed=3)
    assert +sums["chat.send"].funnel == Counter(eligible=4, not_sampled=4)


def test_counters_grow_to_what_the_lanes_say(ledger, read):
    """A later reading replaces an earlier one; lanes it does not name keep theirs."""
    ledger.fold(sent(0, eligible=1, captured=1) | sent(1, eligible=1, captured=1))
    ledger.fold(sent(0, eligible=5, captured=4, oversize=1))
    assert +read(ledger, "sums")["memory.recent"].funnel == Counter(eligible=6, captured=5, oversize=1)


def test_a_reading_that_comes_late_takes_nothing_back(ledger, read):
    """Two sweepers may fold in the wrong order: counters never go backwards."""
    ledger.fold(sent(eligible=9, captured=8, publish_failed=1))
    ledger.fold(sent(eligible=3, captured=3))
    assert +read(ledger, "sums")["memory.recent"].funnel == Counter(eligible=9, captured=8, publish_failed=1)


def test_every_way_to_lose_a_call_has_its_column_and_others_are_passed_over(ledger, read):
    """A counter that this version does not know is no error."""
    ledger.fold(sent(eligible=1, unheard_of=5, **{str(loss): 1 for loss in Loss}))
    assert read(ledger, "sums")["memory.recent"].funnel == Counter(eligible=1, **{str(loss): 1 for loss in Loss})


def test_nothing_to_fold_is_no_transaction(ledger, dump):
    """An idle sweep leaves no trace."""
    before = dump()
    ledger.fold({})
    assert dump() == before


def test_a_commit_brings_its_lanes_funnel(ledger, read, hold, finding):
    """Whoever sees the outcomes sees the captured calls too; a refused commit brings nothing."""
    holder = hold(ledger)
    commit = replace(holder.next(finding(), finding()), sent=sent(eligible=3, captured=3)[0])
    ledger.commit(commit)
    sums = read(ledger, "sums")["memory.recent"]
    assert (sums.eligible, sums.pending) == (3, 1)
    with pytest.raises(Exception, match="no longer held"):
        ledger.commit(replace(commit, sent=sent(eligible=9, captured=9)[0]))
    assert read(ledger, "sums")["memory.recent"].eligible == 3


def test_a_transaction_is_undisturbed_and_waiting_for_one_is_not(url):
    """Whoever computes beside it makes way once it may write, for others wait then; not while it waits itself."""
    times: list[str] = []

    @contextlib.contextmanager
    def undisturbed() -> Iterator[None]:
        times.append("begun")
        yield
        times.append("over")

    with contextlib.closing(Ledger(url, undisturbed=undisturbed)) as ledger:
        ledger.fence(0)
        assert times == []
        with ledger._writing:
            taking = threading.Thread(target=ledger.take, args=(0,))
            taking.start()
            taking.join(0.02)
            assert (taking.is_alive(), times) == (True, [])
        taking.join()
    assert times == ["begun", "over"]


def test_all_of_one_reading_is_from_one_moment(ledger, hold, finding):
    """A commit between two questions shows in neither answer, and in both of the next reading."""
    holder = hold(ledger)
    holder.commit(finding())
    with ledger.reading() as reading:
        assert reading.done() == 1
        holder.commit(finding(), finding(Outcome.FAILED))
        assert reading.sums()["memory.recent"].outcomes.total() == reading.done() == 1
    with ledger.reading() as reading:
        assert reading.sums()["memory.recent"].outcomes.total() == reading.done() == 3


def test_an_empty_ledger_has_sums(ledger):
    """Nothing captured yet is no error anywhere."""
    with ledger.reading() as reading:
        assert (reading.sums(), reading.done(), reading.positions(), reading.reasons()) == ({}, 0, {}, [])
        assert (reading.groups(), reading.clusters(1)) == ([], {})
        assert (reading.distinct_users(1), reading.hours(1)) == (0, 0)


def test_the_first_epoch_is_open(ledger, read):
    """It has share 0 and was opened when the ledger was made."""
    epoch = read(ledger, "epoch")
    assert (epoch.epoch, epoch.share, epoch.closed_at) == (1, 0, None)
    assert abs(datetime.now(UTC) - epoch.opened_at) < timedelta(hours=1)


def test_hours_are_counted_once_each(ledger, read, hold, finding):
    """Sixty minutes of one hour are one hour; other epochs are not counted."""
    minutes = [0, 1, 30, 59, 60, 180]
    found = [finding(called_at_us=NOON_US + minute * HOUR_US // 60) for minute in minutes]
    hold(ledger).commit(*found, finding(epoch=2, called_at_us=NOON_US + 7 * HOUR_US))
    assert (read(ledger, "hours", 1), read(ledger, "hours", 2)) == (3, 1)


def test_the_time_of_the_database_is_utc_wherever_this_process_is(ledger, read, monkeypatch):
    """A moment with its zone, also where the host's own zone is another."""
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    time.tzset()
    try:
        now = read(ledger, "now")
        assert now.utcoffset() == timedelta(0)
        assert abs(datetime.now(UTC) - now) < timedelta(minutes=5)
    finally:
        monkeypatch.undo()
        time.tzset()
