"""The limit follows what the target can take: up by one, down by a share, and what is usual may change for good."""

from itertools import pairwise

from worker.targets.limiter import FORGET_S, Limiter


class Clock:
    """Calls one after another: `count` at a time, each as long as told."""

    def __init__(self, limiter: Limiter) -> None:
        self.limiter, self.now = limiter, 1_000.0

    def calls(self, latency_s: float, seconds: float, *, operation: str = "a") -> None:
        """Keep as many calls under way as may be, for a time."""
        until = self.now + seconds
        while self.now < until:
            begun = 0
            while self.limiter.takes():
                self.limiter.in_flight += 1
                begun += 1
            self.now += latency_s
            for _ in range(begun):
                self.limiter.returned(operation, latency_s, self.now)
                self.limiter.in_flight -= 1


def test_it_rises_by_one_to_the_cap_while_all_is_well():
    """A window each: as many calls as are under way."""
    clock = Clock(Limiter(cap=16))
    assert clock.limiter.limit == 8
    seen = []
    for _ in range(40):
        clock.calls(0.005, 0.005)
        seen.append(clock.limiter.limit)
    assert seen == sorted(seen)
    assert {later - sooner for sooner, later in pairwise(seen)} <= {0.0, 1.0}
    assert clock.limiter.limit == 16


def test_it_does_not_rise_where_nobody_asks_for_more():
    """One call at a time says nothing about sixteen."""
    limiter = Limiter(cap=16)
    for number in range(1_000):
        limiter.in_flight = 1
        limiter.returned("a", 0.005, number * 0.01)
    assert limiter.limit == 8


def test_it_falls_where_calls_become_slow_and_rises_when_they_are_fast_again():
    """From 5 ms to 2 s and back."""
    clock = Clock(Limiter(cap=16))
    clock.calls(0.005, 5)
    assert clock.limiter.limit == 16
    clock.calls(2.0, 20)
    assert clock.limiter.limit < 3
    clock.calls(0.005, 5)
    assert clock.limiter.limit == 16


def test_a_target_that_is_slow_for_good_is_asked_side_by_side_again():
    """After minutes that latency is the usual one."""
    clock = Clock(Limiter(cap=16))
    clock.calls(0.005, 5)
    clock.calls(1.0, 6 * FORGET_S)
    assert clock.limiter.limit == 16


def test_what_is_slow_is_told_for_each_operation():
    """A chat that takes a second beside a memory that takes 5 ms: neither slows the other down."""
    clock = Clock(Limiter(cap=16))
    for _ in range(50):
        clock.calls(0.005, 0.02, operation="memory")
        clock.calls(1.0, 1.0, operation="chat")
    assert clock.limiter.limit == 16


def test_latencies_that_always_vary_are_no_slowness():
    """A cache that hits every other time."""
    limiter, now = Limiter(cap=16), 0.0
    for number in range(2_000):
        now += 0.01
        limiter.in_flight = int(limiter.limit)
        limiter.returned("a", 0.005 if number % 2 else 0.1, now)
    assert limiter.limit == 16


def test_below_a_few_milliseconds_nothing_is_slow():
    """Threads that share an interpreter delay each other."""
    limiter = Limiter(cap=16)
    for number in range(1_000):
        limiter.in_flight = int(limiter.limit)
        limiter.returned("a", 0.0001 if number < 500 else 0.015, number * 0.01)
    assert limiter.limit == 16


def test_failures_halve_it_once_for_those_under_way_together():
    """Sixteen calls that time out at the same moment are one event."""
    limiter = Limiter(cap=16, limit=16)
    for _ in range(16):
        limiter.failed(1.0, 100.0)
    assert limiter.limit == 8
    limiter.failed(1.0, 101.5)
    assert limiter.limit == 4
    for number in range(10):
        limiter.failed(0.1, 103.0 + number)
    assert limiter.limit == 1


def test_after_an_outage_it_begins_with_one():
    """A target that has just come back is not run over."""
    limiter = Limiter(cap=16, limit=16)
    limiter.restart()
    assert (limiter.takes(), limiter.limit) == (True, 1)
    limiter.in_flight = 1
    assert not limiter.takes()
