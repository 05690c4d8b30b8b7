"""Parked captures: kept, replayed again or thrown away, and counted in exactly one place all the while."""

import random
import threading
from collections import Counter
from dataclasses import replace

import pytest

from comparators import Difference, Kind, Severity
from gnomon.hashing import cluster_of, user_digest
from ledger import Choice, FencedError, KeptDifference, NotParkedError, Outcome, ParkedState, Seen, Sent, Settling
from ledger import parked as decisions

NOON_US = 1_790_000_040_000_000  # the beginning of a minute
LINE = b'{"v":1}'
EVERYTHING = Choice()
OPEN = (ParkedState.PARKED, ParkedState.RETRYING)


@pytest.fixture
def parked(finding):
    """Make findings of captures that could not be replayed."""
    return lambda name="p-1", reason="unknown_operation", **more: finding(
        Outcome.PARKED, **{"capture_id": name, "reason": reason, "payload": LINE, "called_at_us": NOON_US, **more}
    )


@pytest.fixture
def agreed(dump):
    """Check that every figure agrees with every other; return the outcomes."""

    def check() -> Counter[str]:
        tables = dump("tallies", "minutes", "lanes", "funnel", "reasons", "parked")
        outcomes, minutes = (summed(tables[name]) for name in ("tallies", "minutes"))
        assert outcomes == minutes
        assert all(count >= 0 for row in (*tables["tallies"], *tables["minutes"]) for count in counts_of(row).values())
        assert outcomes.total() == sum(row["done"] for row in tables["lanes"])
        assert sum(row["done"] + row["lost"] for row in tables["funnel"]) == outcomes.total()
        reasons = Counter()
        for row in tables["reasons"]:
            assert row["count"] >= 0
            reasons[row["outcome"]] += row["count"]
        rows = Counter(row["state"] for row in tables["parked"])
        assert rows["parked"] + rows["retrying"] == outcomes["parked"] == reasons["parked"]
        assert rows["discarded"] == outcomes["discarded"] == reasons["discarded"]
        assert sum(row["retrying"] for row in tables["lanes"]) == rows["retrying"]
        return +outcomes

    return check


def counts_of(row) -> dict[str, int]:
    return {str(outcome): row[outcome] for outcome in Outcome if outcome in row}


def summed(rows) -> Counter[str]:
    return sum((Counter(counts_of(row)) for row in rows), Counter())


def rows_of(dump) -> dict:
    return {row["capture_id"]: row for row in dump()["parked"]}


def named(*names: str) -> Choice:
    return Choice(names=names)


def where(dump, table: str, outcome: str) -> list[tuple]:
    """The keys of a table under which an outcome is counted, with the count."""
    keys = {"tallies": "cluster", "minutes": "minute"}
    rows = [row for row in dump()[table] if row[outcome]]
    return [(row["operation"], row["epoch"], row["exposure"], row[keys[table]], row[outcome]) for row in rows]


# --- parked


def test_a_parked_capture_is_kept_with_its_place(ledger, hold, parked, dump, agreed):
    """What it holds, why it is parked, and under what it is counted."""
    hold(ledger, 3).commit(parked(exposure="served", epoch=7, user="ben"))
    row = rows_of(dump)["p-1"]
    assert (row["lane"], row["operation"], row["reason"], row["payload"]) == (
        3,
        "memory.recent",
        "unknown_operation",
        LINE,
    )
    assert (row["epoch"], row["exposure"], row["cluster"], row["minute"]) == (
        7,
        "served",
        cluster_of("ben"),
        NOON_US // 60_000_000,
    )
    assert (row["state"], row["retries"], row["decided_by"], row["decided_at"]) == ("parked", 0, "", None)
    assert agreed() == Counter(parked=1)


def test_lines_of_two_lanes_at_the_same_place_are_two(ledger, hold, parked, dump, agreed):
    """A line that nobody can read is named after its place in its lane: another lane has the same."""
    for lane in (1, 2):
        hold(ledger, lane).commit(parked("1790000000000-0/0", "malformed"))
    assert set(rows_of(dump)) == {"1/1790000000000-0/0", "2/1790000000000-0/0"}
    assert agreed() == Counter(parked=2)


def test_they_are_listed_without_what_they_hold(ledger, read, hold, parked):
    """The last first, by reason, operation and state, so many and no more."""
    holder = hold(ledger)
    holder.commit(parked("p-1"), parked("p-2", "malformed"), parked("p-3", operation="chat.send"))
    ledger.discard(named("p-3"), by="ann", why="old")
    one, two = read(ledger, "parked", EVERYTHING, OPEN)
    assert (one.capture_id, two.capture_id, one.size_bytes, one.user_digest) == (
        "p-2",
        "p-1",
        len(LINE),
        user_digest("ann"),
    )
    assert [found.capture_id for found in read(ledger, "parked", Choice(reason="malformed"), OPEN)] == ["p-2"]
    assert [found.capture_id for found in read(ledger, "parked", Choice(operation="chat.send"), ParkedState)] == ["p-3"]
    assert [found.capture_id for found in read(ledger, "parked", EVERYTHING, ParkedState, 1)] == ["p-3"]
    assert read(ledger, "parked_totals", EVERYTHING, ParkedState) == {
        ("unknown_operation", "parked"): 1,
        ("malformed", "parked"): 1,
        ("unknown_operation", "discarded"): 1,
    }
    assert (read(ledger, "payload", "p-1"), read(ledger, "payload", "p-9")) == (LINE, None)


# --- retried


def test_a_retry_is_for_the_next_holder_of_the_lane(ledger, read, hold, parked, dump, agreed):
    """It is told how many wait, and finds them with what it needs to replay them."""
    hold(ledger, 2).commit(parked("p-1"), parked("p-2"))
    hold(ledger, 5).commit(parked("p-3"))
    assert (ledger.take(2).retrying, ledger.retrying()) == (0, [])
    assert ledger.retry(named("p-1", "p-3"), by="zoë") == {2: 1, 5: 1}
    assert (ledger.take(2).retrying, ledger.take(5).retrying, ledger.retrying()) == (1, 1, [2, 5])
    [retry] = ledger.retries(2, 10)
    assert (retry.name, retry.payload, retry.called_us) == ("p-1", LINE, NOON_US)
    row = rows_of(dump)["p-1"]
    assert (row["state"], row["decided_by"], row["retries"]) == ("retrying", "zoë", 0)
    assert row["decided_at"] is not None
    assert agreed() == Counter(parked=3)
    assert read(ledger, "retrying") == 2


def test_what_was_replayed_again_counts_once(ledger, read, hold, parked, finding, dump, agreed):
    """Its new outcome stands where it belongs, its old one nowhere, and it is done once as before."""
    hold(ledger).commit(parked(), finding())
    ledger.retry(named("p-1"), by="ann")
    hold(ledger).commit(finding(capture_id="p-1", unparks="p-1", called_at_us=NOON_US))
    assert agreed() == Counter(match=2)
    assert (rows_of(dump), read(ledger, "done"), ledger.retrying(), ledger.retries(0, 9)) == ({}, 2, [], [])
    assert read(ledger, "reasons") == []
    assert where(dump, "minutes", "parked") == where(dump, "tallies", "parked") == []


def test_the_position_may_stay_where_it_is(ledger, read, hold, parked, finding, agreed):
    """Such a batch is of no entries: before and after are the same, and the commit is one all the same."""
    hold(ledger).commit(parked())
    ledger.retry(named("p-1"), by="ann")
    holder = hold(ledger)
    commit = replace(holder.next(finding(capture_id="p-1", unparks="p-1")), after=holder.position)
    ledger.commit(commit)
    assert read(ledger, "positions") == {0: holder.position}
    assert agreed() == Counter(match=1)


def test_what_still_cannot_be_replayed_is_parked_again(ledger, read, hold, parked, dump, agreed):
    """With its new reason, one retry more, and what it holds; it can be retried anew."""
    hold(ledger).commit(parked(reason="malformed", payload=LINE))
    before = rows_of(dump)["p-1"]
    for retries, reason in ((1, "unknown_operation"), (2, "no_enhanced_callable")):
        ledger.retry(named("p-1"), by="ann")
        hold(ledger).commit(parked(reason=reason, payload=None, unparks="p-1"))
        row = rows_of(dump)["p-1"]
        assert (row["state"], row["retries"], row["reason"], row["decided_by"]) == ("parked", retries, reason, "ann")
        assert (row["payload"], row["parked_at"]) == (LINE, before["parked_at"])
        assert agreed() == Counter(parked=1)
        assert read(ledger, "reasons") == [("memory.recent", "parked", reason, 1)]
    assert ledger.retrying() == []


def test_a_line_that_can_be_read_now_moves_to_its_operation(ledger, read, hold, parked, finding, dump, agreed):
    """Nobody knew whose it was: operation, epoch, exposure, user and minute are others now, and every sum is exact."""
    sent = {"p": Sent(1, {"memory.save|4|captured": 1, "memory.save|4|eligible": 1})}
    holder = hold(ledger, 1)
    unreadable = parked("17-0/0", "unknown_version", operation="unknown", epoch=0, user="")
    ledger.commit(replace(holder.next(unreadable), sent=sent))
    ledger.retry(named("1/17-0/0"), by="ann")
    hold(ledger, 1).commit(
        finding(
            Outcome.EXCLUDED,
            capture_id="p-7",
            unparks="1/17-0/0",
            operation="memory.save",
            epoch=4,
            exposure="served",
            reason="late",
            called_at_us=NOON_US - 60_000_000,
            enhanced_returned=True,
        )
    )
    assert agreed() == Counter(excluded=1)
    found = read(ledger, "sums")
    assert {name: (of.pending, +of.outcomes) for name, of in found.items()} == {
        "unknown": (0, Counter()),
        "memory.save": (0, Counter(excluded=1)),
    }
    assert where(dump, "tallies", "excluded") == [("memory.save", 4, "served", cluster_of("ann"), 1)]
    assert where(dump, "minutes", "excluded") == [("memory.save", 4, "served", NOON_US // 60_000_000 - 1, 1)]


def test_a_line_that_can_be_read_now_was_not_lost(ledger, read, hold, parked, finding):
    """Counted by its sender under its operation, it was missed there; when it is found to be that, it no longer is."""
    sent = {"p": Sent(1, {"memory.save|4|captured": 1, "memory.save|4|eligible": 1})}
    unreadable = parked("17-0/0", "unknown_version", operation="unknown", epoch=0, user="")
    ledger.commit(replace(hold(ledger).next(unreadable), sent=sent, settling=Settling(now_us=9)))
    ledger.retry(EVERYTHING, by="ann")
    hold(ledger).commit(finding(unparks="0/17-0/0", operation="memory.save", epoch=4))
    assert {name: (of.pending, +of.outcomes) for name, of in read(ledger, "sums").items()} == {
        "unknown": (0, Counter()),
        "memory.save": (0, Counter(match=1)),
    }
    assert (read(ledger, "done"), ledger.unsettled()) == (1, {})


def test_a_retry_that_failed_is_there_for_review(ledger, read, hold, parked, finding, agreed):
    """As any other failure: in the divergences and in a group."""
    difference = KeptDifference.of("memory.save", Difference("$", Kind.FAILURE, Severity.MAJOR, 1, 2))
    hold(ledger).commit(parked())
    ledger.retry(named("p-1"), by="ann")
    hold(ledger).commit(finding(Outcome.FAILED, capture_id="p-1", unparks="p-1", differences=(difference,)))
    assert [group.count for group in read(ledger, "groups")] == [1]
    assert agreed() == Counter(failed=1)


def test_retried_and_fresh_captures_go_into_one_commit(ledger, read, hold, parked, finding, agreed):
    """Nothing keeps them apart but their names."""
    holder = hold(ledger)
    holder.commit(parked("p-1"), parked("p-2"))
    ledger.retry(EVERYTHING, by="ann")
    holder = hold(ledger)
    holder.commit(
        finding(unparks="p-1", called_at_us=NOON_US),
        parked("p-2", "malformed", unparks="p-2"),
        parked("p-3"),
        finding(Outcome.EXCLUDED, reason="late"),
    )
    assert agreed() == Counter(match=1, parked=2, excluded=1)
    assert (read(ledger, "done"), ledger.take(0).retrying) == (4, 0)


# --- exactly once


def test_who_was_overtaken_settles_nothing(ledger, hold, parked, finding, dump, agreed):
    """The commit of a lost fence changes no row; the new holder's does."""
    hold(ledger).commit(parked())
    ledger.retry(named("p-1"), by="ann")
    old = hold(ledger)
    new = hold(ledger)
    before = dump()
    with pytest.raises(FencedError):
        ledger.commit(old.next(finding(unparks="p-1")))
    assert dump() == before
    new.commit(finding(unparks="p-1"))
    with pytest.raises(FencedError):
        ledger.commit(old.next(finding(unparks="p-1")))
    assert agreed() == Counter(match=1)


def test_a_commit_repeated_at_the_same_position_is_refused(ledger, hold, parked, finding, dump):
    """Position and fence are the same before and after: that the capture is settled already is what tells."""
    hold(ledger).commit(parked())
    ledger.retry(named("p-1"), by="ann")
    holder = hold(ledger)
    commit = replace(holder.next(finding(unparks="p-1")), after=holder.position)
    ledger.commit(commit)
    before = dump()
    with pytest.raises(FencedError):
        ledger.commit(commit)
    assert dump() == before


@pytest.mark.parametrize("outcome", [Outcome.MATCH, Outcome.PARKED])
def test_only_what_was_asked_for_is_settled(ledger, hold, parked, finding, dump, outcome):
    """Neither a capture that nobody wants retried, nor one of another lane, nor one that is unknown."""
    hold(ledger).commit(parked("p-1"))
    hold(ledger, 1).commit(parked("p-2"))
    ledger.retry(named("p-2"), by="ann")
    before = dump()["parked"]
    for name in ("p-1", "p-2", "p-9"):
        with pytest.raises(FencedError):
            ledger.commit(hold(ledger).next(finding(outcome, unparks=name, payload=LINE)))
    assert dump()["parked"] == before


# --- discarded


def test_what_is_discarded_is_counted_as_that(ledger, read, hold, parked, finding, dump, agreed):
    """In the same places, with the reason it was parked for; what it held is gone, who decided and why stays."""
    hold(ledger).commit(parked("p-1", epoch=3), parked("p-2"), finding())
    assert ledger.discard(named("p-1"), by="zoë", why="a test of ours") == 1
    row = rows_of(dump)["p-1"]
    assert (row["state"], row["decided_by"], row["why"], row["payload"]) == (
        "discarded",
        "zoë",
        "a test of ours",
        b"",
    )
    assert row["decided_at"] is not None
    assert agreed() == Counter(match=1, parked=1, discarded=1)
    minute = NOON_US // 60_000_000
    assert where(dump, "minutes", "discarded") == [("memory.recent", 3, "shadow", minute, 1)]
    assert where(dump, "tallies", "discarded") == [("memory.recent", 3, "shadow", cluster_of("ann"), 1)]
    assert sorted(read(ledger, "reasons")) == [
        ("memory.recent", "discarded", "unknown_operation", 1),
        ("memory.recent", "parked", "unknown_operation", 1),
    ]
    assert read(ledger, "done") == 3


def test_of_all_those_that_are_meant(ledger, hold, parked, dump, agreed):
    """By reason, by operation, by both; what is being retried or was discarded is left as it is."""
    hold(ledger).commit(
        parked("p-1"),
        parked("p-2", "malformed"),
        parked("p-3", operation="chat.send"),
        parked("p-4", "malformed", operation="chat.send"),
    )
    assert ledger.retry(Choice(reason="malformed", operation="chat.send"), by="ann") == {0: 1}
    assert ledger.discard(Choice(reason="malformed"), by="ann", why="-") == 1
    assert ledger.discard(Choice(operation="chat.send"), by="ann", why="-") == 1
    assert ledger.discard(Choice(reason="of nothing"), by="ann", why="-") == 0
    assert ledger.retry(EVERYTHING, by="ann") == {0: 1}
    assert {name: row["state"] for name, row in rows_of(dump).items()} == {
        "p-1": "retrying",
        "p-2": "discarded",
        "p-3": "discarded",
        "p-4": "retrying",
    }
    assert agreed() == Counter(parked=2, discarded=2)


def test_what_is_not_parked_is_named_and_nothing_changes(ledger, hold, parked, dump):
    """Being retried, discarded, unknown: the one that could have been decided upon stays as it is, too."""
    hold(ledger).commit(parked("p-1"), parked("p-2"), parked("p-3"))
    ledger.retry(named("p-2"), by="ann")
    ledger.discard(named("p-3"), by="ann", why="-")
    before = dump()
    for decide in (lambda c: ledger.retry(c, by="ben"), lambda c: ledger.discard(c, by="ben", why="-")):
        with pytest.raises(NotParkedError) as refused:
            decide(named("p-1", "p-2", "p-3", "p-9"))
        assert refused.value.found == {"p-2": "retrying", "p-3": "discarded", "p-9": "unknown"}
        assert "p-2 (retrying), p-3 (discarded), p-9 (unknown)" in str(refused.value)
    assert dump() == before


def test_a_name_given_twice_is_one(ledger, hold, parked, agreed):
    """It is no error, and counts once."""
    hold(ledger).commit(parked())
    assert ledger.discard(named("p-1", "p-1"), by="ann", why="-") == 1
    assert agreed() == Counter(discarded=1)


def test_more_names_than_a_statement_takes(ledger, hold, parked, agreed):
    """All of them or none; of a thousand that are unknown some are named."""
    holder = hold(ledger)
    holder.commit(*(parked(f"p-{n:04}", user=f"u{n}") for n in range(1_200)))
    names = [f"p-{n:04}" for n in range(1_200)]
    with pytest.raises(NotParkedError, match=r"p-x0000 \(unknown\), .* and 1,195 more"):
        ledger.retry(named(*names, *(f"p-x{n:04}" for n in range(1_200))), by="ann")
    assert ledger.retry(named(*names), by="ann") == {0: 1_200}
    assert len(ledger.retries(0, 256)) == 256
    assert agreed() == Counter(parked=1_200)


def test_whatever_people_write_is_stored(ledger, hold, parked, dump):
    """No NUL, no lone surrogate, no longer than its column; as everything that reaches the ledger."""
    hold(ledger).commit(parked("p-1"), parked("p-2"))
    ledger.retry(named("p-1"), by="a\0\ud800" + "n" * 300)
    ledger.discard(named("p-2"), by="ann", why="\0'); DROP TABLE parked; --" + "y" * 600)
    rows = rows_of(dump)
    assert (rows["p-1"]["decided_by"][:3], len(rows["p-1"]["decided_by"])) == ("a�?", 200)
    assert (rows["p-2"]["why"][:5], len(rows["p-2"]["why"])) == ("�'); ", 500)


# --- together


def together(*works):
    """Run the works side by side, started at once; return what each returned or raised."""
    barrier, came = threading.Barrier(len(works)), {}

    def run(place, work) -> None:
        barrier.wait(10)
        try:
            came[place] = work()
        except Exception as error:
            came[place] = error

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(works)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return [came[place] for place in range(len(works))]


def test_of_two_people_one_wins(open_ledger, hold, parked, agreed):
    """One retries what the other discards, at the same moment: exactly one of them does, the other is told."""
    first, second = open_ledger(), open_ledger()
    for n in range(12):
        names = [f"p-{n}-{part}" for part in range(4)]
        hold(first).commit(*map(parked, names))
        came = together(
            lambda names=names: first.retry(named(*names), by="ann"),
            lambda names=names[::-1]: second.discard(named(*names), by="ben", why="-"),
        )
        assert [isinstance(outcome, NotParkedError) for outcome in came].count(True) == 1, came
        assert agreed()["parked"] % 4 == 0


def test_a_discard_never_meets_a_running_retry(open_ledger, hold, parked, finding, agreed):
    """A worker commits what came of retries while somebody discards everything, again and again."""
    worker, person = open_ledger(), open_ledger()
    hold(worker).commit(*(parked(f"p-{n}", user=f"u{n}") for n in range(40)))
    holder = hold(worker)
    for n in range(0, 40, 4):
        names = [f"p-{n + part}" for part in range(4)]
        person.retry(named(*names), by="ann")
        found = [finding(unparks=names[0]), *(parked(name, "malformed", unparks=name) for name in names[1:])]
        came = together(
            lambda found=found: holder.commit(*found),
            lambda: person.discard(Choice(reason="malformed"), by="b", why="-"),
        )
        assert [type(outcome) for outcome in came if isinstance(outcome, Exception)] == []
        agreed()
    person.discard(Choice(reason="malformed"), by="b", why="-")
    assert agreed() == Counter(match=10, discarded=30)


def test_what_is_parked_meanwhile_waits_for_the_next_decision(ledger, open_ledger, hold, parked, dump, monkeypatch):
    """Taken along it would be held out of order, and two people could wait for each other in a circle."""
    if ledger._engine.dialect.name == "sqlite":
        pytest.skip("SQLite lets nobody write meanwhile")
    hold(ledger, 0).commit(parked("p-2"))
    pages, other = decisions._pages, open_ledger()

    def paged(names):
        if "p-1" not in rows_of(dump):
            hold(other, 1).commit(parked("p-1"))  # those that are meant were locked a moment ago
        return pages(names)

    monkeypatch.setattr(decisions, "_pages", paged)
    assert ledger.retry(EVERYTHING, by="ben") == {0: 1}
    assert {name: row["state"] for name, row in rows_of(dump).items()} == {
        "p-1": ParkedState.PARKED, "p-2": ParkedState.RETRYING,
    }  # fmt: skip


def test_people_and_workers_side_by_side_add_up(open_ledger, hold, parked, finding, agreed):
    """On the same lanes and the same tallies: nobody waits for ever, and every figure agrees."""

    def works(lane: int):
        ledger = open_ledger()

        def drain():
            for n in range(8):
                names = [f"p-{lane}-{n}-{part}" for part in range(3)]
                hold(ledger, lane).commit(*map(parked, names), finding())
                hold(ledger, lane).commit(*(finding(unparks=retry.name) for retry in ledger.retries(lane, 10)))

        return drain

    def people(choice: Choice, reverse: bool):
        ledger = open_ledger()

        def decide():
            for _ in range(10):
                ledger.discard(choice, by="ann", why="-") if reverse else ledger.retry(choice, by="ben")

        return decide

    deciding = [people(EVERYTHING, reverse) for reverse in (False, True, False)]
    came = together(*(works(lane) for lane in range(3)), *deciding)
    assert came == [None] * 6
    assert agreed().total() == 3 * 8 * 4


@pytest.mark.parametrize("seed", range(4))
def test_whatever_people_and_workers_do_the_figures_agree(ledger, hold, parked, finding, agreed, seed):
    """Parked, retried, parked again, discarded, in any order and mixture: after every step each sum is exact."""
    dice = random.Random(seed)
    numbers = iter(range(10_000))
    holders = [hold(ledger, lane) for lane in range(2)]
    reasons = ("malformed", "unknown_operation", "exhausted")
    captured = 0
    for _ in range(30):
        lane = dice.randrange(2)
        match dice.choice(("park", "retry", "settle", "settle", "discard")):
            case "park":
                count = dice.randrange(4)
                captured += count
                made = [
                    parked(
                        f"p-{next(numbers)}",
                        dice.choice(reasons),
                        user=f"u{dice.randrange(3)}",
                        epoch=dice.randrange(2),
                    )
                    for _ in range(count)
                ]
                holders[lane].commit(*made)
            case "retry":
                ledger.retry(Choice(reason=dice.choice(reasons)), by="ann")
            case "discard":
                ledger.discard(Choice(reason=dice.choice(reasons)), by="ann", why="-")
            case "settle":
                outcome = dice.choice((Outcome.MATCH, Outcome.EXCLUDED, Outcome.PARKED))
                found = [
                    finding(
                        outcome,
                        unparks=retry.name,
                        epoch=dice.randrange(2),
                        reason=dice.choice(reasons) if outcome is not Outcome.MATCH else "",
                        called_at_us=NOON_US + dice.randrange(10**9),
                    )
                    for retry in ledger.retries(lane, dice.randrange(1, 9))
                ]
                holders[lane].commit(*found)
        assert agreed().total() == captured


def test_seen_and_sent_go_with_it(ledger, hold, parked, finding):
    """A commit of retries takes in what every other does."""
    hold(ledger).commit(parked())
    ledger.retry(named("p-1"), by="ann")
    ledger.commit(replace(hold(ledger).next(finding(unparks="p-1")), seen={"p": Seen(3)}))
    assert ledger.take(0).seen == {"p": Seen(3)}
