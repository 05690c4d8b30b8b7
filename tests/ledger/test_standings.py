"""Where users stand: gaps that open, are made good, and open again, committed with what was found under them."""

from dataclasses import replace

import pytest
import sqlalchemy as sa
from alembic import command
from hypothesis import given
from hypothesis import strategies as st

from ledger import UNVERIFIED, FencedError, Ledger, Opening, Standing, everyone_of
from ledger.schema import config
from ledger.standings import STEP_US

MOMENTS = st.integers(1, 50)


@st.composite
def openings(draw) -> Opening:
    since, until = sorted([draw(MOMENTS), draw(MOMENTS)])
    return Opening(digest="d", since_us=since, until_us=until, reason=draw(st.sampled_from(["lost", "late"])))


def opening(since: int, until: int) -> Opening:
    return Opening(digest="d", since_us=since, until_us=until, reason="lost")


def standing(digest: str = "d", **more) -> Standing:
    return Standing(digest=digest, **more)


# --- pure


def test_a_user_who_was_never_in_a_gap_is_trusted():
    """Nothing of theirs is excluded."""
    assert not standing().excludes(0, 1)
    assert not standing().is_open


@given(st.lists(openings(), min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_gaps_add_up_in_any_order(found, random):
    """Open from the first on, until all is made good."""
    shuffled = random.sample(found, len(found))
    for one in (found, shuffled):
        made = standing()
        for gap in one:
            made = made.opened(gap)
        assert (made.opened_us, made.until_us) == (min(g.since_us for g in found), max(g.until_us for g in found))
        assert made.is_open


@given(openings(), MOMENTS)
def test_a_gap_made_good_does_not_open_again_by_what_it_covered(gap, at):
    """A crash may find the same gap twice; one that reaches beyond is another."""
    closed = standing().opened(gap).closed(at)
    assert closed.opened(gap).is_open is (gap.until_us > at)


@given(openings(), MOMENTS, MOMENTS)
def test_a_gap_excludes_what_ended_behind_its_beginning(gap, one, other):
    """Until it is made good; then what began before that."""
    start, end = min(one, other), max(one, other)
    made = standing().opened(gap)
    assert made.excludes(start, end) is (end > gap.since_us)
    assert made.closed(25).excludes(start, end) is (start <= 25)


@given(openings(), openings(), MOMENTS, MOMENTS, MOMENTS)
def test_a_gap_after_a_repair_frees_nothing_that_the_repair_excluded(first, second, at, one, other):
    """What began before the repair would see what came later, for ever."""
    closed = standing().opened(first).closed(at)
    start, end = min(one, other), max(one, other)
    if closed.excludes(start, end):
        assert closed.opened(second).excludes(start, end)


def test_verified_before_any_replay_nothing_is_excluded():
    """As for every user of a fresh run."""
    made = standing(closed_us=None, reason=UNVERIFIED)
    assert made.excludes(3, 4)
    assert not made.closed(0).excludes(3, 4)
    assert made.opened(opening(7, 9)).reason == "lost"


# --- kept


def test_standings_are_committed_with_what_was_found(ledger, hold, finding):
    """Loaded in bulk by whoever holds the lane next, who is told whether there are any."""
    holder = hold(ledger, 3)
    made = [standing("a", opened_us=5, until_us=9, closed_us=None, reason="lost"), standing("b"), standing("c")]
    ledger.commit(replace(holder.next(finding()), standings=tuple(made)))
    assert ledger.standings(["a", "b", "nobody"]) == {"a": made[0], "b": made[1]}
    assert ledger.take(3).standings == 3
    assert ledger.take(4).standings == 0


def test_a_standing_is_what_was_committed_last(ledger, hold):
    """A gap that was made good is no gap any more."""
    holder = hold(ledger)
    gap = standing("a", opened_us=5, until_us=9, closed_us=None, reason="lost")
    for made in (gap, gap.closed(12)):
        commit = replace(holder.next(), standings=(made,))
        ledger.commit(commit)
        holder.position = commit.after
        assert ledger.standings(["a"]) == {"a": made}
    with ledger.reading() as reading:
        assert reading.gaps() == {}


def test_who_was_overtaken_changes_no_standing(ledger, hold):
    """Neither position nor gaps."""
    old = hold(ledger)
    hold(ledger)
    with pytest.raises(FencedError):
        ledger.commit(replace(old.next(), standings=(standing("a"),)))
    assert ledger.standings(["a"]) == {}


def test_open_gaps_are_counted_by_reason(ledger, hold):
    """A gap of a whole lane is one."""
    gap = {"opened_us": 5, "until_us": 9, "closed_us": None}
    made = [
        standing("a", reason="lost", **gap),
        standing("b", reason="lost", **gap),
        standing(everyone_of(17), reason="producer_died", **gap),
        standing("c"),
    ]
    ledger.commit(replace(hold(ledger).next(), standings=tuple(made)))
    with ledger.reading() as reading:
        assert reading.gaps() == {"lost": 2, "producer_died": 1}


def test_more_users_than_a_query_takes_are_loaded(ledger, hold):
    """A batch has up to 2,000."""
    made = tuple(standing(f"{number:016x}") for number in range(1_203))
    ledger.commit(replace(hold(ledger).next(), standings=made))
    assert len(ledger.standings([one.digest for one in made])) == 1_203
    assert ledger.standings([]) == {}


def test_a_clock_that_was_set_back_takes_closings_along(ledger, hold):
    """A gap that was closed in an hour that has not come yet would exclude everything until then."""
    ahead = Standing(digest="a" * 16, opened_us=5, until_us=90, closed_us=90, reason="lost")
    before = Standing(digest="b" * 16, opened_us=5, until_us=7, closed_us=8, reason="lost")
    ledger.commit(replace(hold(ledger, 3).next(), standings=(ahead, before)))
    ledger.commit(replace(hold(ledger, 3).next(), set_back_us=50))
    found = ledger.standings(["a" * 16, "b" * 16])
    assert [(found[name].until_us, found[name].closed_us) for name in sorted(found)] == [(50, 50), (7, 8)]


def test_a_clock_that_was_set_back_opens_gaps_from_the_beginning(ledger, hold):
    """One that was found in an hour that has not come yet, and is open, would exclude nothing until then."""
    ahead = Standing(digest="a" * 16, opened_us=60, until_us=90, closed_us=None, reason="lost")
    before = Standing(digest="b" * 16, opened_us=5, until_us=7, closed_us=None, reason="lost")
    ledger.commit(replace(hold(ledger, 3).next(), standings=(ahead, before)))
    ledger.commit(replace(hold(ledger, 3).next(), set_back_us=50))
    found = ledger.standings(["a" * 16, "b" * 16])
    assert [(found[name].opened_us, found[name].until_us) for name in sorted(found)] == [(0, 50), (5, 7)]


@pytest.mark.parametrize("of", [lambda at: opening(at, at + 9), lambda at: standing(opened_us=at, closed_us=None)])
def test_a_gap_of_a_time_that_has_not_come_yet_begins_before_everything(of):
    """Clocks may be apart by less than a second; a gap that is closed is none."""
    now_us = 3 * STEP_US
    assert of(now_us + STEP_US).as_of(now_us) == of(now_us + STEP_US)
    ahead = of(now_us + STEP_US + 1).as_of(now_us)
    assert getattr(ahead, "since_us", getattr(ahead, "opened_us", None)) == 0
    closed = standing(opened_us=9 * STEP_US, closed_us=10 * STEP_US)
    assert closed.as_of(now_us) == closed


def test_what_was_closed_in_a_time_that_has_not_come_yet_makes_no_gap_good_that_is_found_now():
    """The clock was set back in between; all that the repair excluded stays so."""
    closed = standing(opened_us=5, until_us=90, closed_us=90, reason="lost")
    assert closed.opened(opening(40, 50), 90) == closed
    again = closed.opened(opening(40, 50), 60)
    assert (again.is_open, again.opened_us, again.until_us) == (True, 0, 50)


def test_a_ledger_of_the_version_before_is_taken_along(empty_url):
    """Lanes that were drained before standings were kept go on where they were, and nobody is in a gap."""
    ledger = Ledger(empty_url)
    with ledger._engine.begin() as connection:
        command.upgrade(config(connection), "0001")
        connection.execute(
            sa.text("INSERT INTO lanes (lane, fence, read_ms, read_seq, cut_us, cut_id, done) VALUES (3,2,7,0,9,'x',4)")
        )
    ledger.migrate()
    assert ledger.take(3)[:3] == (3, ((7, 0), (9, "x")), 0)
    ledger.close()
