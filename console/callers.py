"""Threads that make a run's calls: those of one user in their order, users side by side.

A thread is started only when a call is due and no other is free, so one does where one is enough.
"""

import threading
from collections import deque
from collections.abc import Callable
from typing import Final

from console.errors import StuckError

Job = Callable[[], None]

ROOM: Final = 256  # calls handed over and not made: enough to hand over in bulk, few enough to be forgotten
LOOK_S: Final = 0.5
STUCK_S: Final = 30.0


class Callers:
    """Takes calls, and makes each once the one before it of the same user has come back.

    `most` is how many are in flight at most; `tend` is called every now and then by whoever waits.
    """

    def __init__(self, *, most: int, tend: Callable[[], object]) -> None:
        self._most = most
        self._tend = tend
        lock = threading.Lock()
        self._due = threading.Condition(lock)
        self._room = threading.Condition(lock)
        self._waiting: dict[str, deque[Job]] = {}  # of users with a call that is due or in flight
        self._ready: deque[str] = deque()  # those of them that have none in flight
        self._held = 0
        self._idle = 0
        self._made = 0
        self._closed = False
        self._problem: BaseException | None = None
        self.threads = 0  #: how many it took

    def hand(self, user: str, call: Job) -> None:
        """Have a call made; waits where too many are to be made already. Raises StuckError, or what ended a thread."""
        with self._due:
            if self._held >= ROOM:
                self._wait_for(ROOM // 2)
            self._held += 1
            if user in self._waiting:
                self._waiting[user].append(call)
                return
            self._waiting[user] = deque([call])
            self._make_ready(user)
            if len(self._ready) > self._idle and self.threads < self._most:
                self._start()

    def finish(self) -> None:
        """Wait until every call was made. Raises StuckError, or what ended a thread."""
        with self._due:
            self._wait_for(0)

    def close(self) -> None:
        """End the threads once they have come back; calls not begun are not made."""
        with self._due:
            self._closed = True
            self._due.notify_all()

    def _start(self) -> None:
        self.threads += 1
        threading.Thread(target=self._work, name=f"gnomon-caller-{self.threads}", daemon=True).start()

    def _wait_for(self, held: int) -> None:
        """Wait until so few are held; the lock is let go of meanwhile."""
        made, unmoved_s = self._made, 0.0
        while self._held > held and self._problem is None:
            self._room.wait(LOOK_S)
            unmoved_s = 0.0 if self._made > made else unmoved_s + LOOK_S
            made = self._made
            if unmoved_s >= STUCK_S:
                raise StuckError(f"no call came back for {STUCK_S:g} s: legacy does not answer")
            self._tend()
        if self._problem is not None:
            raise self._problem

    def _make_ready(self, user: str) -> None:
        self._ready.append(user)
        self._due.notify()

    def _work(self) -> None:
        while (user := self._next()) is not None:
            try:
                self._waiting[user].popleft()()
            except BaseException as error:
                self._problem = error
            self._done(user)

    def _next(self) -> str | None:
        with self._due:
            while not self._ready and not self._closed:
                self._idle += 1
                self._due.wait()
                self._idle -= 1
            return None if self._closed else self._ready.popleft()

    def _done(self, user: str) -> None:
        with self._due:
            self._held -= 1
            self._made += 1
            if self._waiting[user]:
                self._make_ready(user)
            else:
                del self._waiting[user]
            if self._held <= ROOM // 2:
                self._room.notify()
