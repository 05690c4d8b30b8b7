"""Whether a target is asked at all: its circuit breaker, as one worker process has it. Pure: it is told the time.

Closed, it counts; a target that does not answer opens it. Open, calls wait in their lanes, and after a while one is
tried: it closes the breaker, or the next try waits twice as long.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

IN_A_ROW: Final = (
    4  # without an answer: as often as a write is made, so that one which meets an outage waits for its end
)
LEAST_CALLS: Final = 20  # before a share of them means anything
FAILING_SHARE: Final = 0.5  # below it the gate has something to see; above, evidence is only lost
WINDOW_S: Final = 10.0
FIRST_WAIT_S: Final = 1.0
LONGEST_WAIT_S: Final = 30.0


class BreakerState(StrEnum):
    """Whether a target is asked."""

    CLOSED = "closed"  #: yes
    OPEN = "open"  #: no: what is for it waits
    HALF_OPEN = "half_open"  #: one call is under way, to see whether it has recovered


@dataclass(slots=True)
class Breaker:
    """Counts over a sliding window of two halves; not thread-safe, its guard is."""

    state: BreakerState = BreakerState.CLOSED
    opened: int = 0  #: how often
    opened_at: float = float("-inf")
    closed_at: float = float("-inf")
    answered_at: float = float("-inf")
    retry_at: float = 0.0
    wait_s: float = FIRST_WAIT_S
    _half: float = 0.0
    _calls: int = 0
    _failures: int = 0
    _older_calls: int = 0
    _older_failures: int = 0
    _row: int = 0

    def may_ask(self, now: float) -> bool:
        """Tell whether a call may begin now, be it as a try."""
        return self.state is BreakerState.CLOSED or (self.state is BreakerState.OPEN and now >= self.retry_at)

    def begin(self) -> bool:
        """Begin a call that may begin; True where it is a try."""
        if self.state is BreakerState.CLOSED:
            return False
        self.state = BreakerState.HALF_OPEN
        return True

    def answered(self, now: float, *, tried: bool) -> bool:
        """Count a call that the target answered; True where that closed the breaker.

        Open, only a try counts: answers to what was asked before come late, and say little.
        """
        self.answered_at = now
        self._turn(now)
        self._calls += 1
        self._row = 0
        if not tried or self.state is BreakerState.CLOSED:
            return False
        self.close(now)
        return True

    def failed(self, now: float, *, tried: bool, retry_after_s: float = 0.0) -> bool:
        """Count a call that the target did not answer; True where that opened the breaker."""
        if self.state is not BreakerState.CLOSED:
            if tried:
                self._again(now, retry_after_s)
            return False
        self._turn(now)
        self._calls += 1
        self._failures += 1
        self._row += 1
        if self._row < IN_A_ROW and not self._mostly_fails():
            return False
        self.open(now, opened_at=now, wait_s=max(FIRST_WAIT_S, retry_after_s))
        return True

    def came_to_nothing(self, now: float) -> None:
        """End a try that has asked nothing: another may try at once."""
        if self.state is BreakerState.HALF_OPEN:
            self.state, self.retry_at = BreakerState.OPEN, now

    def open(self, now: float, *, opened_at: float, wait_s: float) -> None:
        """Open it."""
        self.state, self.opened_at = BreakerState.OPEN, opened_at
        self.opened += 1
        self.wait_s = wait_s
        self.retry_at = now + wait_s

    def close(self, now: float) -> None:
        """Close it; what was counted before the outage is forgotten."""
        self.state, self.closed_at, self.wait_s = BreakerState.CLOSED, now, FIRST_WAIT_S
        self._half, self._row = now, 0
        self._calls = self._failures = self._older_calls = self._older_failures = 0

    def hurry(self, now: float) -> None:
        """Let a try begin at once: somebody else was answered."""
        self.retry_at = min(self.retry_at, now)

    def _again(self, now: float, retry_after_s: float) -> None:
        self.state = BreakerState.OPEN
        self.wait_s = min(LONGEST_WAIT_S, max(2 * self.wait_s, retry_after_s))
        self.retry_at = now + self.wait_s

    def _mostly_fails(self) -> bool:
        calls, failures = self._calls + self._older_calls, self._failures + self._older_failures
        return calls >= LEAST_CALLS and failures > FAILING_SHARE * calls

    def _turn(self, now: float) -> None:
        if now - self._half >= WINDOW_S / 2:
            halves = int((now - self._half) // (WINDOW_S / 2))
            self._half = now if halves > 1 else self._half + WINDOW_S / 2
            self._older_calls, self._older_failures = (self._calls, self._failures) if halves == 1 else (0, 0)
            self._calls = self._failures = 0
