"""The breaker: about outages, not about quality; it always comes back."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gnomon.breaker import FAILING_SHARE, IN_A_ROW, LEAST_CALLS, OPEN_S, WINDOW_S, Breaker, BreakerState


class Clock:
    """Set by hand."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def breaker(clock):
    return Breaker(clock)


def opened(breaker):
    for _ in range(IN_A_ROW):
        breaker.failed()
    assert breaker.state is BreakerState.OPEN


def test_a_new_breaker_is_closed(breaker):
    """Enhanced is asked until it fails."""
    assert (breaker.state, breaker.allows(), breaker.opened) == (BreakerState.CLOSED, True, 0)


def test_failures_in_a_row_open_it(breaker):
    """However few calls there are; one fewer does not."""
    for _ in range(IN_A_ROW - 1):
        breaker.failed()
    assert breaker.state is BreakerState.CLOSED
    breaker.failed()
    assert (breaker.state, breaker.allows(), breaker.opened) == (BreakerState.OPEN, False, 1)


def test_a_success_breaks_the_row(breaker):
    """Half of the calls fail, never many in a row: the share decides, once there are enough calls."""
    for n in range(LEAST_CALLS - 1):
        breaker.failed() if n % 2 else breaker.succeeded()
    assert breaker.state is BreakerState.CLOSED
    breaker.failed()
    assert breaker.state is BreakerState.OPEN


def test_a_share_below_the_limit_never_opens_it(breaker):
    """One failure in five is bad quality, for the gate to judge; it is no outage."""
    for _ in range(500):
        breaker.failed()
        for _ in range(4):
            breaker.succeeded()
    assert breaker.state is BreakerState.CLOSED


def test_old_failures_are_forgotten(breaker, clock):
    """Only the window counts."""
    for _ in range(20):
        breaker.failed()
        for _ in range(3):
            breaker.succeeded()
        clock.now += WINDOW_S / 4
    assert breaker.state is BreakerState.CLOSED
    clock.now += 2 * WINDOW_S
    for _ in range(LEAST_CALLS):
        breaker.succeeded()
    breaker.failed()
    assert breaker.state is BreakerState.CLOSED


def test_while_trying_one_call_a_second_is_let_through(breaker, clock):
    """After so long open; a trial that fails keeps it open as long again."""
    opened(breaker)
    clock.now += OPEN_S - 0.001
    assert not breaker.allows()
    clock.now += 0.001
    assert breaker.state is BreakerState.TRYING
    assert [breaker.allows() for _ in range(3)] == [True, False, False]
    clock.now += 1
    assert [breaker.allows() for _ in range(2)] == [True, False]
    breaker.failed()
    assert (breaker.state, breaker.allows()) == (BreakerState.OPEN, False)
    clock.now += OPEN_S
    assert breaker.allows()


def test_one_success_closes_it_with_nothing_held_against_it(breaker, clock):
    """And the next outage opens it again, counted."""
    opened(breaker)
    clock.now += OPEN_S
    assert breaker.allows()
    breaker.succeeded()
    assert (breaker.state, breaker.allows()) == (BreakerState.CLOSED, True)
    opened(breaker)
    assert breaker.opened == 2


def test_one_thread_of_many_tries(breaker, clock):
    """Threads that ask at the same moment: exactly one is let through."""
    opened(breaker)
    clock.now += OPEN_S
    barrier, allowed = threading.Barrier(8), []

    def ask():
        barrier.wait(10)
        allowed.append(breaker.allows())

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert sorted(allowed) == [False] * 7 + [True]


@given(st.lists(st.booleans(), max_size=200))
def test_it_opens_exactly_on_a_row_or_a_share(outcomes):
    """Within one window: as the figures say, by an own count."""
    breaker, row, failures = Breaker(Clock()), 0, 0
    for calls, failed in enumerate(outcomes, start=1):
        row, failures = (row + 1, failures + 1) if failed else (0, failures)
        breaker.failed() if failed else breaker.succeeded()
        should_open = failed and (row >= IN_A_ROW or (calls >= LEAST_CALLS and failures > FAILING_SHARE * calls))
        assert (breaker.state is BreakerState.OPEN) is should_open
        if should_open:
            break


class Machine(RuleBasedStateMachine):
    """Whatever happens in whatever order, it can always be tried again, and one success then closes it."""

    def __init__(self):
        super().__init__()
        self.clock = Clock()
        self.breaker = Breaker(self.clock)

    @rule(seconds=st.integers(0, 240).map(lambda eighths: eighths / 8))  # sums of these are exact
    def wait(self, seconds):
        self.clock.now += seconds

    @precondition(lambda self: self.breaker.state is not BreakerState.OPEN)
    @rule(failed=st.booleans())
    def call(self, failed):
        if self.breaker.allows():
            self.breaker.failed() if failed else self.breaker.succeeded()

    @invariant()
    def open_means_not_asked(self):
        if self.breaker.state is BreakerState.OPEN:
            assert not self.breaker.allows()

    @invariant()
    def never_open_for_longer(self):
        before, self.clock.now = self.clock.now, self.clock.now + OPEN_S
        assert self.breaker.state is not BreakerState.OPEN
        self.clock.now = before


TestMachine = Machine.TestCase
