"""The circuit breaker of one operation in one process: enhanced that fails too often is asked no more for a while."""

import threading
import time
from collections.abc import Callable
from enum import StrEnum
from typing import Final

WINDOW_S: Final = 10.0
LEAST_CALLS: Final = 10  # before a share of failures means anything
FAILING_SHARE: Final = 0.25  # five times what the gate lets pass: this is about outages, the gate about quality
IN_A_ROW: Final = 5  # so many failures without a success are an outage however few the calls
OPEN_S: Final = 5.0  # then one call at a time may try


class BreakerState(StrEnum):
    """Whether enhanced is asked."""

    CLOSED = "closed"  #: yes
    OPEN = "open"  #: no
    TRYING = "trying"  #: one call at a time, to see whether it has recovered


class Breaker:
    """Counts successes and failures over a sliding window of two halves; thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._opened = float("-inf")
        self._is_open = False
        self._tried = float("-inf")
        self.opened = 0  #: how often
        self._reset()

    def _reset(self) -> None:
        self._half = self._clock()
        self._calls = [0, 0]
        self._failures = [0, 0]
        self._row = 0

    @property
    def state(self) -> BreakerState:
        """Whether enhanced is asked now."""
        if not self._is_open:
            return BreakerState.CLOSED
        return BreakerState.TRYING if self._clock() - self._opened >= OPEN_S else BreakerState.OPEN

    def allows(self) -> bool:
        """Tell whether enhanced may be asked; while trying, yes once a second."""
        if not self._is_open:
            return True
        with self._lock:
            now = self._clock()
            if now - self._opened < OPEN_S or now - self._tried < 1.0:
                return False
            self._tried = now
            return True

    def succeeded(self) -> None:
        """Count a success; one while trying closes the breaker."""
        with self._lock:
            if self._is_open:
                self._is_open = False
                self._reset()
            self._turn()
            self._calls[0] += 1
            self._row = 0

    def failed(self) -> None:
        """Count a failure; one too many opens the breaker, one while trying keeps it open."""
        with self._lock:
            if self._is_open:
                self._opened = self._clock()
                return
            self._turn()
            self._calls[0] += 1
            self._failures[0] += 1
            self._row += 1
            calls, failures = sum(self._calls), sum(self._failures)
            if self._row >= IN_A_ROW or (calls >= LEAST_CALLS and failures > FAILING_SHARE * calls):
                self._is_open, self._opened = True, self._clock()
                self.opened += 1

    def _turn(self) -> None:
        halves = int((self._clock() - self._half) // (WINDOW_S / 2))
        if halves:
            self._half += halves * WINDOW_S / 2
            older = (self._calls[0], self._failures[0]) if halves == 1 else (0, 0)
            self._calls, self._failures = [0, older[0]], [0, older[1]]
