"""The threads that replay: as many as were asked for, also when some never come back.

One thread of a process computes at a time, and one that waits for its turn among sixteen waits long. So the drain,
which reads and commits for all of them, asks for quiet: between two replays they let it go first, but for one, who goes
on, for a drain mostly waits for answers then. In a transaction it asks for silence: other processes wait for that.
"""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any, Final, Protocol

from worker import coroutines

QUIET_S: Final = 0.05  # at most; a commit takes 3 ms, and one that waits for another process should hold up nobody


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
        self._free = threading.Event()
        self._free.set()
        self._quiet_until = 0.0
        self._quiets = 0
        self._loud = threading.Event()
        self._loud.set()
        self._going_on = 0  # the thread that does not wait while there is quiet
        self._news = threading.Event()

    def submit(self, work: Work) -> "Future[Any]":
        """Queue work; its future is cancelled for as long as no thread has begun with it."""
        future: Future[Any] = Future()
        self._queue.put((future, work))
        if self._started < self._threads:
            with self._lock:
                if self._started < self._threads:
                    self._started += 1
                    self._start()
        return future

    def replace(self) -> None:
        """Start a thread for one that is left to itself."""
        self._going_on = 0
        self._start()

    def close(self) -> None:
        """Let the threads end when they are through with what they do; daemons, they end with the process anyhow."""
        for _ in range(self._threads):
            self._queue.put(None)

    def await_news(self, timeout_s: float) -> None:
        """Wait until there is news, or for so long.

        It is news that somebody has told so (`tell`), and each end of a work that leaves fewer queued than there are
        threads: any other needs nobody to look, and looking takes the processor from those that replay.
        """
        self._news.wait(timeout_s)
        self._news.clear()

    def tell(self) -> None:
        """Say that there is news: nobody waits any longer."""
        self._news.set()

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """Have no more than one other thread compute for the time of the block, once replays under way are through.

        Each step within such a block may ask anew, and has its own time then. Asked by one thread alone.
        """
        self._quiet_until, self._quiets = time.monotonic() + QUIET_S, self._quiets + 1
        self._free.clear()
        try:
            yield
        finally:
            self._quiets -= 1
            if not self._quiets:
                self._free.set()

    @contextmanager
    def silence(self) -> Iterator[None]:
        """Have the processor to oneself, within a block of quiet or without one."""
        self._loud.clear()
        try:
            with self.quiet():
                yield
        finally:
            self._loud.set()

    def make_way(self) -> None:
        """Let whoever has asked for quiet go first; called between replays."""
        if not self._free.is_set():
            wanted = self._loud if threading.get_ident() == self._going_on else self._free
            wanted.wait(max(0.0, self._quiet_until - time.monotonic()))

    def _start(self) -> None:
        threading.Thread(target=self._run, name="gnomon-replay", daemon=True).start()

    def _run(self) -> None:
        self._going_on = self._going_on or threading.get_ident()
        try:
            self._work()
        finally:
            coroutines.close()

    def _work(self) -> None:
        while (taken := self._queue.get()) is not None:
            future, work = taken
            if future.set_running_or_notify_cancel():
                _settle(future, work)
            if self._queue.qsize() < self._threads:
                self._news.set()
            if work.given_up:
                return  # another has taken this one's place


def _settle(future: "Future[Any]", work: Callable[[], Any]) -> None:
    try:
        future.set_result(work())
    except BaseException as error:  # as every executor does
        future.set_exception(error)
