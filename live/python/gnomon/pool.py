"""The threads on which enhanced runs where the caller waits for it no longer than so long.

A thread cannot be stopped from outside: one that does not come back keeps its place until it does. The number of places
is bounded, so a hanging enhanced costs so many threads, and then every further call goes to legacy at once.
"""

import threading
from collections.abc import Callable
from contextvars import copy_context
from queue import SimpleQueue
from typing import Any


class PoolFullError(Exception):
    """All places are taken."""


class TimeLimitError(Exception):
    """The time is over; what was called runs on, and what it brings is thrown away."""


class _Job:
    """One call, and what became of it."""

    __slots__ = ("done", "error", "run", "value")

    def __init__(self, run: Callable[[], Any]) -> None:
        self.run = run
        self.done = threading.Event()
        self.value: Any = None
        self.error: BaseException | None = None

    def __call__(self) -> None:
        try:
            self.value = self.run()
        except BaseException as error:  # the waiting caller raises it
            self.error = error


class BoundedPool:
    """Up to `places` daemon threads, started as they are needed; nothing waits in a queue."""

    def __init__(self, places: int) -> None:
        self._places = places
        self._queue: SimpleQueue[_Job] = SimpleQueue()
        self._lock = threading.Lock()
        self._free = 0
        self._threads = 0

    def call(self, function: Callable[..., Any], kwargs: dict[str, Any], timeout_s: float) -> Any:
        """Call `function` in a copy of the caller's context; raises what it raises, or one of the errors above."""
        job = _Job(lambda: context.run(function, **kwargs))
        context = copy_context()
        self._place()
        self._queue.put(job)
        if not job.done.wait(timeout_s):
            raise TimeLimitError
        if job.error is not None:
            raise job.error
        return job.value

    def _place(self) -> None:
        with self._lock:
            if self._free > 0:
                self._free -= 1
                return
            if self._threads >= self._places:
                raise PoolFullError
            self._threads += 1
        try:
            threading.Thread(target=self._run, name="gnomon-enhanced", daemon=True).start()
        except RuntimeError:  # the machine has no thread left
            with self._lock:
                self._threads -= 1
            raise PoolFullError from None

    def _run(self) -> None:
        while True:
            job = self._queue.get()
            job()
            with self._lock:
                self._free += 1
            job.done.set()  # only now: whoever calls in turn finds a place free
            del job
