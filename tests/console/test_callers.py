"""Threads that make calls: each user's in order, users side by side, no more threads than it takes."""

import threading
from collections import defaultdict

import pytest

from console import callers as module
from console.callers import ROOM, Callers
from console.errors import StuckError


@pytest.fixture
def callers():
    made = []

    def make(most: int) -> Callers:
        made.append(Callers(most=most, tend=lambda: None))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.mark.parametrize("most", [1, 8])
def test_a_users_calls_are_made_in_their_order(callers, most):
    """5,000 calls of 7 users, handed over as fast as it goes; never two of one user at once."""
    pool, made, busy, together = callers(most), defaultdict(list), defaultdict(threading.Lock), []

    def call(user: str, number: int) -> None:
        if not busy[user].acquire(blocking=False):
            together.append(user)
        made[user].append(number)
        busy[user].release()

    for user in "abcdefg":
        busy[user]  # made here, once
    for number in range(5_000):
        user = "abcdefg"[number * number % 7]
        pool.hand(user, lambda user=user, number=number: call(user, number))
    pool.finish()
    assert together == []
    assert sum(map(len, made.values())) == 5_000
    assert all(numbers == sorted(numbers) for numbers in made.values())
    assert 1 <= pool.threads <= most


def test_users_are_side_by_side_and_a_thread_is_started_only_where_none_is_free(callers):
    """Three slow users need three threads; afterwards those do."""
    pool, together = callers(8), threading.Barrier(3)
    for user in "abc":
        pool.hand(user, lambda: together.wait(10))
    pool.finish()
    assert pool.threads == 3
    for user in "abc" * 20:
        pool.hand(user, lambda: None)
        pool.finish()
    assert pool.threads == 3


def test_a_slow_user_holds_up_nobody_else(callers):
    """While one call hangs, the others' are made, and that user's next is not."""
    pool, go, made = callers(2), threading.Event(), []
    pool.hand("slow", lambda: go.wait(10) and made.append("slow"))
    pool.hand("slow", lambda: made.append("slow again"))
    done = threading.Event()
    for number in range(50):
        pool.hand(f"user {number}", lambda: made.append("quick"))
    pool.hand("last", done.set)
    assert done.wait(10)
    assert made == ["quick"] * 50
    go.set()
    pool.finish()
    assert made[50:] == ["slow", "slow again"]


def test_what_is_handed_over_is_bounded(callers):
    """Whoever hands over waits once there is no more room, and looks after other things meanwhile."""
    tended, go = threading.Event(), threading.Event()
    pool = Callers(most=1, tend=tended.set)
    pool.hand("ann", lambda: go.wait(10))

    def hand_over():
        for _ in range(ROOM):
            pool.hand("ben", lambda: None)

    handing = threading.Thread(target=hand_over)
    handing.start()
    assert tended.wait(10)
    assert handing.is_alive()
    go.set()
    handing.join(10)
    assert not handing.is_alive()
    pool.finish()
    pool.close()


def test_legacy_that_never_comes_back_is_told(callers, monkeypatch):
    """Instead of waiting for ever."""
    monkeypatch.setattr(module, "LOOK_S", 0.01)
    monkeypatch.setattr(module, "STUCK_S", 0.05)
    pool, go = callers(1), threading.Event()
    pool.hand("ann", lambda: go.wait(10))
    with pytest.raises(StuckError, match="no call came back"):
        pool.finish()
    go.set()


def test_what_ends_a_call_ends_the_run(callers):
    """SystemExit in an application's code is not swallowed with its thread."""

    def leave() -> None:
        raise SystemExit(3)

    pool = callers(1)
    pool.hand("ann", leave)
    with pytest.raises(SystemExit):
        pool.finish()
