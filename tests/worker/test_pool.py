"""The replay threads let their drain go first, and tell it what is through."""

import threading
import time

import pytest

from worker import coroutines, pool
from worker.pool import ReplayPool

PATIENCE_S = 5.0


class Work:
    """Something to run in a thread of the pool."""

    given_up = False

    def __init__(self, run) -> None:
        self._run = run

    def __call__(self):
        return self._run()


@pytest.fixture
def replays():
    made = ReplayPool(2)
    yield made
    made.close()


def soon(condition) -> bool:
    until = time.monotonic() + PATIENCE_S
    while not condition() and time.monotonic() < until:
        time.sleep(0.001)
    return condition()


def held_up(replays, threads: int) -> list[int]:
    """Have each thread make way once; returns the list that whoever has goes into."""
    through: list[int] = []
    all_there = threading.Barrier(threads + 1)

    def run() -> None:
        all_there.wait(PATIENCE_S)
        replays.make_way()
        through.append(threading.get_ident())

    for _ in range(threads):
        replays.submit(Work(run))
    all_there.wait(PATIENCE_S)
    return through


def test_between_two_replays_threads_wait_while_there_is_quiet_but_for_one(replays, monkeypatch):
    """That one goes on while the drain waits for an answer; the others once the outermost block has ended."""
    monkeypatch.setattr(pool, "QUIET_S", PATIENCE_S)
    with replays.quiet():
        through = held_up(replays, 2)
        with replays.quiet():
            pass
        assert soon(lambda: len(through) == 1)
        assert through == [replays._going_on]
    assert soon(lambda: len(through) == 2)


def test_in_silence_all_wait(replays, monkeypatch):
    """Nobody goes on in a transaction that others wait for; behind it, in quiet, one does."""
    monkeypatch.setattr(pool, "QUIET_S", PATIENCE_S)
    with replays.quiet():
        with replays.silence():
            through = held_up(replays, 2)
            time.sleep(0.02)  # there is nothing to wait for
            assert through == []
        assert soon(lambda: through == [replays._going_on])
    assert soon(lambda: len(through) == 2)


def test_somebody_goes_on_in_the_place_of_a_thread_that_hangs(monkeypatch):
    """Whoever takes its place, or else nobody would."""
    monkeypatch.setattr(pool, "QUIET_S", PATIENCE_S)
    replays, hangs = ReplayPool(1), threading.Event()
    stuck = Work(lambda: hangs.wait(PATIENCE_S))
    replays.submit(stuck)
    stuck.given_up = True
    replays.replace()
    with replays.quiet():
        through = held_up(replays, 1)
        assert soon(lambda: len(through) == 1)
    hangs.set()
    replays.close()


def test_quiet_lasts_so_long_and_no_longer(replays, monkeypatch):
    """A drain that waits for another process holds up nobody."""
    monkeypatch.setattr(pool, "QUIET_S", 0.02)
    with replays.quiet():
        replays.submit(Work(replays.make_way)).result(PATIENCE_S)


def test_without_quiet_nobody_waits(replays):
    """Also after a block that an error ended."""
    with pytest.raises(RuntimeError), replays.quiet():
        raise RuntimeError
    began = time.monotonic()
    replays.make_way()
    assert time.monotonic() - began < pool.QUIET_S


def test_what_comes_to_its_end_is_news(replays):
    """Before anybody waits for it, too; then it is no news any more."""
    replays.submit(Work(lambda: 1)).result(PATIENCE_S)
    began = time.monotonic()
    replays.await_news(PATIENCE_S)
    assert time.monotonic() - began < PATIENCE_S
    replays.await_news(0.0)
    assert not replays._news.is_set()


def test_an_end_that_leaves_enough_queued_is_no_news(replays):
    """Looking would take the processor from those that replay; somebody who has something to tell is heard."""
    first, rest, began = threading.Event(), threading.Event(), threading.Event()
    replays.submit(Work(lambda: first.wait(PATIENCE_S)))
    replays.submit(Work(lambda: rest.wait(PATIENCE_S)))
    replays.submit(Work(lambda: (began.set(), rest.wait(PATIENCE_S))))
    for _ in range(2):
        replays.submit(Work(lambda: rest.wait(PATIENCE_S)))
    first.set()
    assert began.wait(PATIENCE_S)  # its thread has decided about news before it took this
    assert not replays._news.is_set()
    replays.tell()
    assert replays._news.is_set()
    rest.set()


def test_a_threads_event_loop_ends_with_it():
    """Nothing is left open."""
    loops = []

    async def loop() -> None:
        import asyncio

        loops.append(asyncio.get_running_loop())

    made = ReplayPool(1)
    made.submit(Work(lambda: coroutines.finish(loop(), 1.0))).result(PATIENCE_S)
    [thread] = [one for one in threading.enumerate() if one.name == "gnomon-replay"]
    made.close()
    thread.join(PATIENCE_S)
    assert loops[0].is_closed()
