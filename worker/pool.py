"""The threads that replay: as many as were asked for, also when some never come back."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, Protocol

from worker import coroutines


class Work(Protocol):
    """What a thread of the pool runs; `given_up` says that nobody waits for it any more."""

    given_up: bool

    def __call__(self) -> Any:
        """Do it."""


class ReplayPool:
    """A fixed number of threads and one queue; a thread whose work was given up is replaced and ends by itself."""

    def __init__(self, threads: int) -> None:
        self._queue: SimpleQueue[tuple[Future[Any], Work] | None] = SimpleQueue()
        self._threads = threads
        self._started = 0
        self._lock = threading.Lock()

    def submit(self, work: Work) -> "Future[Any]":
        """Queue work; its future is cancelled for as long as no thread has begun with it."""
        future: Future[Any] = Future()
        self._queue.put((future, work))
        with self._lock:
            if self._started < self._threads:
                self._started += 1
                self._start()
        return future

    def replace(self) -> None:
        """Start a thread for one that is left to itself."""
        self._start()

    def close(self) -> None:
        """Let the threads end when they are through with what they do; daemons, they end with the process anyhow."""
        for _ in range(self._threads):
            self._queue.put(None)

    def _start(self) -> None:
        threading.Thread(target=self._run, name="gnomon-replay", daemon=True).start()

    def _run(self) -> None:
        try:
            self._work()
        finally:
            coroutines.close()

    def _work(self) -> None:
        while (taken := self._queue.get()) is not None:
            future, work = taken
            if future.set_running_or_notify_cancel():
                _settle(future, work)
            if work.given_up:
                return  # another has taken this one's place


def _settle(future: "Future[Any]", work: Callable[[], Any]) -> None:
    try:
        future.set_result(work())
    except BaseException as error:  # as every executor does
        future.set_exception(error)
