"""Every call is accounted for, also those that Redis forgot: both sums stay exact."""

from collections import Counter
from dataclasses import replace

from ledger import Outcome, Seen, Sent, Settling, everyone_of


def told(entries=0, operation="memory.recent", epoch=1, **counters):
    return Sent(entries, {f"{operation}|{epoch}|{counter}": count for counter, count in counters.items()})


def sums(read, ledger):
    found = read(ledger, "sums")
    return {name: (+of.funnel, +of.outcomes, of.pending) for name, of in found.items()}


def test_processes_count_for_themselves(ledger, read):
    """Two processes in one lane, each with totals of its own."""
    ledger.fold({0: {"p": told(captured=2, eligible=2), "q": told(captured=1, eligible=3, shed=2)}})
    ledger.fold({0: {"p": told(captured=5, eligible=5)}})
    assert sums(read, ledger)["memory.recent"][0] == Counter(eligible=8, captured=6, shed=2)


def test_a_process_that_redis_forgot_counts_on(ledger, read):
    """Its totals are its own: told again from a Redis that began anew, nothing is lost or counted twice."""
    ledger.fold({0: {"p": told(captured=5, eligible=5)}})
    ledger.fold({0: {"p": told(captured=2, eligible=2)}})  # what a restarted Redis knows for a moment
    ledger.fold({0: {"p": told(captured=7, eligible=7)}})
    assert sums(read, ledger)["memory.recent"][0] == Counter(eligible=7, captured=7)


def test_what_was_read_is_there_for_the_next_holder(ledger, hold, finding):
    """With the commit, or not at all."""
    holder = hold(ledger)
    ledger.commit(replace(holder.next(finding()), seen={"p": Seen(4, frozenset({2}))}))
    assert ledger.take(0).seen == {"p": Seen(4, frozenset({2}))}


def test_what_is_gone_is_booked_as_lost(ledger, read, hold, finding):
    """An empty lane with captures that nobody replayed: they are lost, by operation, and the sums are exact again."""
    holder = hold(ledger)
    sent = {"p": told(captured=3, eligible=3)}
    assert ledger.commit(replace(holder.next(finding()), sent=sent)) == 0
    holder = hold(ledger)
    assert ledger.commit(replace(holder.next(), sent=sent, settling=Settling(now_us=99))) == 2
    assert sums(read, ledger)["memory.recent"] == (Counter(eligible=3, captured=3), Counter(match=1, lost=2), 0)
    assert (read(ledger, "done"), ledger.unsettled()) == (3, {})
    assert read(ledger, "reasons") == [("memory.recent", "lost", "gone with Redis", 2)]
    assert read(ledger, "losses")[0][:3] == ("memory.recent", 1, 2)


def test_a_loss_puts_the_lane_in_a_gap(ledger, hold, finding):
    """Enhanced may lack writes of anybody in the lane, and the next holder knows."""
    ledger.fold({0: {"p": told(captured=1, operation="memory.save")}})
    ledger.commit(replace(hold(ledger).next(), settling=Settling(now_us=99, reads=frozenset({"memory.recent"}))))
    assert ledger.take(0).standings == 1
    found = ledger.standings([everyone_of(0)])[everyone_of(0)]
    assert (found.is_open, found.opened_us, found.until_us, found.reason) == (True, 0, 99, "lost")


def test_lost_reads_change_nothing(ledger, read, hold):
    """They are counted, and nobody is excluded for them."""
    ledger.fold({0: {"p": told(captured=1)}})
    settling = Settling(now_us=9, reads=frozenset({"memory.recent"}))
    assert ledger.commit(replace(hold(ledger).next(), settling=settling)) == 1
    assert read(ledger, "gaps") == {}


def test_nothing_missing_is_nothing_lost(ledger, read, hold, finding):
    """An empty lane whose captures are all done."""
    ledger.commit(replace(hold(ledger).next(finding()), sent={"p": told(captured=1)}, settling=Settling(now_us=9)))
    assert (read(ledger, "losses"), read(ledger, "gaps")) == ([], {})


def test_a_line_that_nobody_can_read_is_not_lost_as_well(ledger, read, hold, finding):
    """It is parked under no operation: the lane as a whole lacks one capture, not two."""
    holder = hold(ledger)
    unreadable = finding(Outcome.PARKED, operation="unknown", epoch=0)
    sent = {"p": told(captured=3, eligible=3)}
    ledger.commit(replace(holder.next(finding(), unreadable), sent=sent))
    assert ledger.commit(replace(hold(ledger).next(), sent=sent, settling=Settling(now_us=99))) == 1
    assert sums(read, ledger)["memory.recent"][1] == Counter(match=1, lost=1)
    assert ledger.commit(replace(hold(ledger).next(), sent=sent, settling=Settling(now_us=99))) == 0


def test_what_comes_after_all_was_not_lost(ledger, read, hold, finding):
    """A process was away for longer than anybody waited: what was booked is taken back."""
    sent = {"p": told(captured=3, eligible=3)}
    ledger.commit(replace(hold(ledger).next(finding()), sent=sent, settling=Settling(now_us=9)))
    ledger.commit(replace(hold(ledger).next(finding(), finding()), refilled=True))
    assert sums(read, ledger)["memory.recent"] == (Counter(eligible=3, captured=3), Counter(match=3), 0)
    assert read(ledger, "done") == 3
    assert sum(row[2] for row in read(ledger, "losses")) == 0


def test_processes_of_long_ago_are_forgotten(ledger, read):
    """What they counted stays; one that lives is never forgotten, or its next total would count twice."""
    ledger.fold({0: {"p": told(captured=2), "q": told(captured=3)}})
    ledger.forget_senders(2**62, ["q", "r"])
    assert set(ledger.take(0).seen) == {"q"}
    assert sums(read, ledger)["memory.recent"][0] == Counter(captured=5)
