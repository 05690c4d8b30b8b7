"""The breaker opens where a target does not answer, tries it again, later and later, and closes by an answer."""

import pytest

from worker.targets.breaker import FIRST_WAIT_S, IN_A_ROW, LONGEST_WAIT_S, Breaker, BreakerState


def opened(now: float = 0.0) -> Breaker:
    breaker = Breaker()
    assert [breaker.failed(now, tried=False) for _ in range(IN_A_ROW)] == [False] * (IN_A_ROW - 1) + [True]
    return breaker


def test_failures_in_a_row_open_it():
    """An answer between them begins the row anew."""
    breaker = Breaker()
    for _ in range(3):
        for _ in range(IN_A_ROW - 1):
            breaker.failed(1.0, tried=False)
        breaker.answered(1.0, tried=False)
    assert breaker.state is BreakerState.CLOSED
    assert opened().state is BreakerState.OPEN


def test_so_does_a_target_that_mostly_fails_and_not_one_that_sometimes_does():
    """What fails now and then is for the gate to see."""
    breaker = Breaker()
    for number in range(200):
        (breaker.answered if number % 3 else breaker.failed)(number * 0.01, tried=False)
    assert breaker.state is BreakerState.CLOSED
    for number in range(60):
        (breaker.failed if number % 4 else breaker.answered)(20 + number * 0.01, tried=False)
    assert breaker.state is BreakerState.OPEN


def test_old_failures_are_forgotten():
    """Two failures a minute never come to a share."""
    breaker = Breaker()
    for minute in range(100):
        for _ in range(IN_A_ROW - 1):
            breaker.failed(minute * 60.0, tried=False)
        breaker.answered(minute * 60.0, tried=False)
    assert breaker.state is BreakerState.CLOSED


def test_open_it_lets_one_try_through_after_a_while():
    """And nobody else until that has come back."""
    breaker = opened()
    assert not breaker.may_ask(FIRST_WAIT_S - 0.01)
    assert breaker.may_ask(FIRST_WAIT_S)
    assert breaker.begin()
    assert (breaker.state, breaker.may_ask(100.0)) == (BreakerState.HALF_OPEN, False)


def test_each_try_that_fails_doubles_the_wait_up_to_a_bound():
    """A target that is down for hours is asked twice a minute."""
    breaker, now, waits = opened(), 0.0, []
    for _ in range(8):
        now = breaker.retry_at
        breaker.begin()
        breaker.failed(now, tried=True)
        waits.append(breaker.retry_at - now)
    assert waits == [2, 4, 8, 16, LONGEST_WAIT_S, LONGEST_WAIT_S, LONGEST_WAIT_S, LONGEST_WAIT_S]


def test_a_try_that_is_answered_closes_it():
    """And what failed before counts no more."""
    breaker = opened()
    breaker.begin()
    assert breaker.answered(FIRST_WAIT_S + 0.1, tried=True)
    assert breaker.state is BreakerState.CLOSED
    assert not breaker.failed(FIRST_WAIT_S + 0.2, tried=False)


def test_answers_to_what_was_asked_before_do_not_close_it():
    """Nor do failures prolong it."""
    breaker = opened()
    breaker.answered(0.5, tried=False)
    breaker.failed(0.6, tried=False)
    assert (breaker.state, breaker.retry_at) == (BreakerState.OPEN, FIRST_WAIT_S)


def test_a_try_that_asked_nothing_lets_another_one_through():
    """It was for a call that turned out to be excluded, say."""
    breaker = opened()
    breaker.begin()
    breaker.came_to_nothing(2.1)
    assert breaker.may_ask(2.1)


@pytest.mark.parametrize(("asked_s", "waits_s"), [(0.0, FIRST_WAIT_S), (12.0, 12.0)])
def test_a_target_that_says_for_how_long_is_left_alone_for_so_long(asked_s, waits_s):
    """Retry-After, of a 429 or 503."""
    breaker = Breaker()
    for _ in range(IN_A_ROW):
        breaker.failed(0.0, tried=False, retry_after_s=asked_s)
    assert breaker.retry_at == waits_s
