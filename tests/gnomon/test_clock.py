"""Captures are stamped by Redis's clock, whatever the host's own says, and also when either is set while they wait."""

import time

import pytest

from gnomon.clock import REMEMBERED_NS, STEP_US, AlignedClock
from gnomon.keys import Keys
from gnomon.usual import new_board

HOUR_US = 3_600_000_000
SERVER_US = 1_790_000_000_000_000


def told(clock: AlignedClock, server_us: int, *, round_trip_ns: int = 200_000) -> int:
    """Tell the clock the server's time, as of now."""
    sent_ns = time.monotonic_ns() - round_trip_ns // 2
    return clock.align(server_us, sent_ns, sent_ns + round_trip_ns)


def test_the_first_answer_sets_it_however_far_it_was_off():
    """Before, it goes by the host; then by Redis, to within half a round trip."""
    clock = AlignedClock(new_board())
    assert (clock.aligned, clock.error_us) == (False, float("inf"))
    before_us = clock.now_us()
    moved_us = told(clock, SERVER_US)
    assert abs(before_us + moved_us - SERVER_US) < 100_000
    assert (clock.aligned, 100 <= clock.error_us < 1_000) == (True, True)
    assert abs(clock.now_us() - SERVER_US) < 100_000


@pytest.mark.parametrize("by_us", [HOUR_US, -HOUR_US, 5 * STEP_US, -5 * STEP_US])
def test_a_clock_that_was_set_is_followed_at_once(by_us):
    """Also back: whoever owns it moves along what it had stamped."""
    clock = AlignedClock(new_board())
    told(clock, SERVER_US)
    clock.now_us()
    assert abs(told(clock, SERVER_US + by_us, round_trip_ns=900_000) - by_us) < 100_000
    assert abs(clock.now_us() - SERVER_US - by_us) < 100_000


def test_drift_is_followed_without_a_step_and_never_back():
    """A clock that is a little fast waits, and says by how much it may be off meanwhile."""
    clock = AlignedClock(new_board())
    told(clock, SERVER_US)
    stamped = clock.now_us()
    assert told(clock, SERVER_US - 50_000) == 0
    assert clock.now_us() == stamped + 1
    assert clock.error_us > 40_000


def test_until_something_was_promised_the_best_answer_counts():
    """The first one also paid for connecting; whoever owns the clock moves along what was stamped by it."""
    clock = AlignedClock(new_board())
    told(clock, SERVER_US + 20_000, round_trip_ns=50_000_000)
    moved_us = told(clock, SERVER_US, round_trip_ns=100_000)
    assert -120_000 < moved_us < -10_000
    assert clock.error_us < 1_000
    assert abs(clock.now_us() - SERVER_US) < 100_000


def test_a_better_answer_makes_older_stamps_no_better():
    """For a minute it says how far off those may be that were given before."""
    clock = AlignedClock(new_board())
    told(clock, SERVER_US, round_trip_ns=6_000_000)
    clock.promised = True
    for round_trip_ns in (2_000_000, 4_000_000, 200_000):
        assert told(clock, SERVER_US, round_trip_ns=round_trip_ns) == 0
    assert 3_000 <= clock.error_us < 4_000
    clock._before = [(until_ns - 2 * REMEMBERED_NS, error_us) for until_ns, error_us in clock._before]
    assert clock.error_us < 1_000


def test_a_clock_that_drifted_while_redis_was_away_says_so_of_what_it_stamped():
    """The answer that corrects it tells how far off it was."""
    clock = AlignedClock(new_board())
    told(clock, SERVER_US)
    clock.promised = True
    assert told(clock, SERVER_US + 30_000) == 0
    assert 30_000 < clock.error_us < 40_000


@pytest.mark.slow
@pytest.mark.parametrize("by_us", [HOUR_US, -HOUR_US, 1_000_000], ids=["an hour fast", "an hour slow", "a second fast"])
def test_what_is_stamped_before_redis_answers_is_in_its_time(make, sync_pair, captures, server, by_us):
    """The first calls of a process on a host whose clock is wrong, also those under way meanwhile."""
    client = make()
    client._buffer.board.offset_us += by_us
    pair = sync_pair(client, "write")
    seconds, _ = server.time()
    pair("ann", "first")
    pair("ann", "second")
    assert client.flush(5)
    pair("ann", "third")
    assert client.flush(5)
    found = captures()
    assert [capture.start for capture in found] == sorted(capture.start for capture in found)
    assert all(0 <= capture.start - seconds * 1_000_000 < 10_000_000 for capture in found)
    assert all(capture.start < capture.end for capture in found)
    [low] = [low for _, low in server.zrange(Keys("default").watermarks, 0, -1, withscores=True)]
    assert abs(low - seconds * 1_000_000) < 10_000_000
