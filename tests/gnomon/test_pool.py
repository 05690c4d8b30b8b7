"""The pool: places are bounded, nothing queues, and a thread that hangs keeps its place and no more."""

import contextvars
import threading
from contextlib import suppress

import pytest

from gnomon.pool import BoundedPool, PoolFullError, TimeLimitError

LONG_S = 30.0
VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("pool", default="unset")


def test_a_call_gives_what_the_function_gives():
    """Its value, or its very exception; the function gets its arguments by name."""
    pool, error = BoundedPool(1), SystemExit(3)
    assert pool.call(lambda a, b: (a, b), {"a": 1, "b": 2}, LONG_S) == (1, 2)

    def failing() -> None:
        raise error

    with pytest.raises(SystemExit) as caught:
        pool.call(failing, {}, LONG_S)
    assert caught.value is error


def test_the_context_is_a_copy():
    """The caller's contextvars are seen, those set are not seen by the caller."""
    pool = BoundedPool(1)
    VARIABLE.set("by the caller")

    def function() -> str:
        seen = VARIABLE.get()
        VARIABLE.set("by the function")
        return seen

    assert (pool.call(function, {}, LONG_S), VARIABLE.get()) == ("by the caller", "by the caller")


def test_places_are_bounded_and_come_back(release, eventually):
    """So many hang, the next is refused at once; released, each place is there again and no thread more."""
    pool = BoundedPool(3)
    for _ in range(3):
        with pytest.raises(TimeLimitError):
            pool.call(release.wait, {"timeout": LONG_S}, 0.001)
    with pytest.raises(PoolFullError):
        pool.call(lambda: None, {}, LONG_S)
    release.set()
    assert eventually(lambda: pool._free == 3)
    barrier = threading.Barrier(3)
    callers = [threading.Thread(target=pool.call, args=(barrier.wait, {"timeout": LONG_S}, LONG_S)) for _ in range(3)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(LONG_S)
    assert pool._threads == 3


def test_threads_are_started_as_needed():
    """One caller in turn needs one thread."""
    pool = BoundedPool(8)
    for _ in range(20):
        pool.call(lambda: None, {}, LONG_S)
    assert pool._threads == 1


def test_the_place_is_free_before_the_caller_goes_on():
    """However slow the thread is to give it back: whoever calls in turn never meets a full pool."""

    class Slow:
        """A lock that the pool's own thread takes late."""

        def __init__(self) -> None:
            self.lock = threading.Lock()

        def __enter__(self) -> None:
            if threading.current_thread().name == "gnomon-enhanced":
                threading.Event().wait(0.05)
            self.lock.acquire()

        def __exit__(self, *_: object) -> None:
            self.lock.release()

    pool = BoundedPool(1)
    pool._lock = Slow()
    for n in range(3):
        assert pool.call(lambda n=n: n, {}, LONG_S) == n


def test_a_thread_that_cannot_be_started_takes_no_place(monkeypatch):
    """The machine is out of threads: the call is refused, and the place is there when it has some again."""
    pool = BoundedPool(1)

    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        for _ in range(3):
            with pytest.raises(PoolFullError):
                pool.call(lambda: None, {}, LONG_S)
    assert pool.call(lambda: 1, {}, LONG_S) == 1


def test_nothing_is_kept_of_a_call_that_is_over(eventually):
    """Arguments, value and exception are let go of, though the thread lives on."""
    import gc
    import weakref

    class Large:
        pass

    pool, large = BoundedPool(1), Large()
    gone = weakref.ref(large)
    pool.call(lambda item: item, {"item": large}, LONG_S)
    with suppress(ValueError):
        pool.call(_refuse, {"item": large}, LONG_S)
    del large
    assert eventually(lambda: gc.collect() is not None and gone() is None)


def _refuse(item: object) -> None:
    raise ValueError("refused", item)
