"""Stands before each call of enhanced: how many may be under way, and whether the target is asked at all.

On the data's way this comes before the attempt at a capture is counted, and before its time runs. A capture whose
target is down is held back: nothing of it was tried, so nothing counts, and it waits in its lane in its user's order.
A HTTP service is one target; a Python callable is a target by itself, named as its operation.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar, Token
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Protocol, Self

import msgspec

from gnomon.wire import Capture, Kind
from worker.failures import is_outage
from worker.targets.breaker import Breaker, BreakerState
from worker.targets.limiter import Limiter

MOST_TRIES: Final = 20  # ten minutes, for one that nobody else is there to be tried instead of: it may be its own fault
MOST_REMEMBERED: Final = 10_000  # captures that were tried
LOOK_S: Final = 0.05  # between two looks whether anybody still waits for a call that waits
MARGIN: Final = 0.05  # of what a replay may take: its call is cut off before its thread is given up
_SMOOTHING: Final = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetFacts:
    """A target as one process sees it; times in s."""

    target: str
    state: BreakerState
    limit: int
    cap: int
    in_flight: int
    calls: int
    failures: int  #: calls that were not answered
    opened: int  #: how often the breaker has opened
    latency_ms: float  #: of late
    open_s: float = 0.0  #: for how long the breaker has been open
    retry_s: float = 0.0  #: until the next try
    reason: str = ""  #: the last failure


class Listener(Protocol):
    """What is told of a breaker that opens or closes."""

    def __call__(self, event: str, guard: "Guard", /) -> None:
        """Hear."""


def _unheard(_event: str, _guard: "Guard") -> None:
    """Tell nobody."""


class Guard:
    """The limiter and the breaker of one target in one process; thread-safe."""

    def __init__(
        self,
        name: str,
        cap: int,
        *,
        health: Callable[[], bool] | None = None,
        listener: Listener = _unheard,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.breaker = Breaker()
        self.limiter = Limiter(cap=cap)
        self.calls = self.failures = 0
        self.latency_s = 0.0
        self.reason = ""
        self._health = health
        self._listener = listener
        self._clock = clock
        self._lock = threading.Lock()
        self._free = threading.Condition(self._lock)
        self._waiting = 0
        self._tried: OrderedDict[str, int] = OrderedDict()

    # --- asked

    def may_ask(self) -> bool:
        """Tell whether a call would be let through, or tried, now."""
        with self._lock:
            return self.breaker.may_ask(self._clock())

    @property
    def is_closed(self) -> bool:
        """Whether the target is asked as usual."""
        return self.breaker.state is BreakerState.CLOSED

    @property
    def is_tight(self) -> bool:
        """Whether calls wait for others, or for the target."""
        return not self.is_closed or self._waiting > 0

    def facts(self) -> TargetFacts:
        """Return what there is to see."""
        with self._lock:
            now, breaker = self._clock(), self.breaker
            return TargetFacts(
                target=self.name,
                state=breaker.state,
                limit=int(self.limiter.limit),
                cap=self.limiter.cap,
                in_flight=self.limiter.in_flight,
                calls=self.calls,
                failures=self.failures,
                opened=breaker.opened,
                latency_ms=round(self.latency_s * 1_000, 1),
                open_s=0.0 if self.is_closed else max(0.0, now - breaker.opened_at),
                retry_s=0.0 if self.is_closed else max(0.0, breaker.retry_at - now),
                reason=self.reason,
            )

    # --- let through

    def enter(self, unwanted: Callable[[], bool]) -> bool | None:
        """Wait until a call may begin; True where it is a try, None where it is held back or not wanted any more."""
        with self._lock:
            if self.breaker.state is BreakerState.CLOSED and self.limiter.takes():  # as a rule
                self.limiter.in_flight += 1
                return False
            while not unwanted() and self.breaker.may_ask(self._clock()):
                if not self.is_closed or self.limiter.takes():
                    return self._begin()
                self._waiting += 1
                self._free.wait(LOOK_S)
                self._waiting -= 1
        return None

    def _begin(self) -> bool:
        self.limiter.in_flight += 1
        return self.breaker.begin()

    def is_healthy(self) -> bool:
        """Ask the target whether it is worth trying, where it can be asked that."""
        return self._health is None or self._health()

    def leave(self, *, unused_try: bool) -> None:
        """End a call that was let through; `unused_try`: it was a try, and the target was not asked."""
        with self._lock:
            self.limiter.in_flight -= 1
            if unused_try:
                self.breaker.came_to_nothing(self._clock())
            if self._waiting:
                self._free.notify()

    # --- told

    def answered(self, operation: str, latency_s: float, *, tried: bool) -> None:
        """Take in an answer, whatever it says: an error that a target tells of is an answer, too."""
        with self._lock:
            now = self._clock()
            self.calls += 1
            self.latency_s += _SMOOTHING * (latency_s - self.latency_s)
            self.limiter.returned(operation, latency_s, now)
            if not self.breaker.answered(now, tried=tried):
                return
            self.limiter.restart()
            self._tried.clear()
            self._free.notify_all()
        self._listener("target.closed", self)

    def unanswered(self, reason: str, latency_s: float, *, tried: bool, retry_after_s: float = 0.0) -> None:
        """Take in a call that the target did not answer."""
        with self._lock:
            now = self._clock()
            self.calls += 1
            self.failures += 1
            self.reason = reason
            self.limiter.failed(latency_s, now)
            opened = self.breaker.failed(now, tried=tried, retry_after_s=retry_after_s)
            if opened:
                self._free.notify_all()  # they need wait no longer
        if opened:
            self._listener("target.opened", self)
        elif tried:
            self._listener("target.still_open", self)

    def unhealthy(self) -> None:
        """Take in that the target says itself that it is not worth trying."""
        with self._lock:
            self.breaker.failed(self._clock(), tried=True)

    def holds(self, capture_id: str) -> bool:
        """Tell whether a capture that was not answered is to wait: while the breaker is open, a few times."""
        with self._lock:
            if self.breaker.state is BreakerState.CLOSED:
                return False
            tries = self._tried.pop(capture_id, 0) + 1
            if tries >= MOST_TRIES:
                return False
            self._tried[capture_id] = tries
            if len(self._tried) > MOST_REMEMBERED:
                self._tried.popitem(last=False)
            return True

    # --- beside other processes of the host

    def learn(self, opened_at: float, retry_at: float, wait_s: float, reason: str) -> None:
        """Take over that another process finds the target down, unless it has answered here since."""
        with self._lock:
            breaker = self.breaker
            if breaker.state is not BreakerState.CLOSED or max(breaker.answered_at, breaker.closed_at) >= opened_at:
                return
            now = self._clock()
            breaker.open(now, opened_at=opened_at, wait_s=wait_s)
            breaker.retry_at = max(now, retry_at)
            self.reason = reason
            self._free.notify_all()
        self._listener("target.learned", self)

    def hurry(self, closed_at: float) -> None:
        """Let a try begin at once where another process was answered after this one's breaker opened."""
        with self._lock:
            if self.breaker.state is BreakerState.OPEN and closed_at > self.breaker.opened_at:
                self.breaker.hurry(self._clock())


class Admission:
    """One capture that was let through, for as long as its replay takes; also what its calls report to."""

    __slots__ = ("_began", "_down", "_guard", "_id", "_operation", "_place", "_reported", "_token", "_tried", "until")

    def __init__(self, guard: Guard, capture: Capture, *, tried: bool) -> None:
        self._guard = guard
        self._id = capture.id
        self._operation = capture.op
        self._tried = tried
        self._reported = False
        self._down = False  # the last call was not answered
        self._place = [guard]  # taken out once, by whoever is first: the replay, or who gives it up
        self._began = time.monotonic()
        self.until = float("inf")  #: when its calls of enhanced must be through, on the monotonic clock
        self._token: Token[Admission | None] | None = None

    def __enter__(self) -> Self:
        self._token = _current.set(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        assert self._token is not None
        _current.reset(self._token)
        self._leave()

    @property
    def guard(self) -> Guard:
        """Whose it is."""
        return self._guard

    def begin(self, timeout_s: float) -> float:
        """Begin a call; returns when it must be through. All calls of a capture share that time."""
        self._began = time.monotonic()
        if self.until == float("inf"):
            self.until = self._began + timeout_s * (1 - MARGIN)
        return self.until

    def answered(self) -> None:
        """Report that enhanced returned."""
        self._down = False
        if self._place:
            self._reported = True
            self._guard.answered(self._operation, time.monotonic() - self._began, tried=self._tried)

    def raised(self, error: BaseException) -> None:
        """Report what enhanced raised."""
        if not is_outage(error):
            self.answered()
            return
        self._down = True
        if self._place:
            self._report(type(error).__name__, float(getattr(error, "retry_after_s", 0.0)))

    def withholds(self, *, write: bool) -> bool:
        """Tell whether what came of the capture is to count for nothing, and the capture is to wait.

        What was asked as usual and was not answered has failed. A mere try has not; nor has a write, which must get
        through before anything later of its user is replayed.
        """
        return self._down and (self._tried or write) and self._guard.holds(self._id)

    def give_up(self, *, asking: bool) -> None:
        """Leave the call to itself; `asking`: it was enhanced that did not come back."""
        if not self._place:
            return
        if asking:
            self._report("no answer in time", 0.0)
        self._leave()

    def _report(self, reason: str, retry_after_s: float) -> None:
        self._reported = True
        latency_s = time.monotonic() - self._began
        self._guard.unanswered(reason, latency_s, tried=self._tried, retry_after_s=retry_after_s)

    def _leave(self) -> None:
        try:
            place = self._place.pop()
        except IndexError:  # the other was first
            return
        place.leave(unused_try=self._tried and not self._reported)


_current: ContextVar[Admission | None] = ContextVar("gnomon_admission", default=None)


def current() -> Admission | None:
    """Return what this thread's calls of enhanced report to; None where nobody asked to be let through."""
    return _current.get()


class Guards:
    """The guards of all targets of one process, by operation."""

    def __init__(self, by_operation: Mapping[str, Guard]) -> None:
        self._by_operation = by_operation

    @property
    def all(self) -> list[Guard]:
        """Each guard once."""
        return list({id(guard): guard for guard in self._by_operation.values()}.values())

    def of(self, capture: Capture) -> Guard | None:
        """Return who guards what a capture's replay asks; None where it asks nobody."""
        return self._by_operation.get(capture.op) if _asks_enhanced(capture) else None

    def are_closed(self, captures: Iterable[Capture | None]) -> bool:
        """Tell whether every target that replays of these captures ask is asked as usual."""
        if all(guard.is_closed for guard in self._by_operation.values()):
            return True
        guards = [self.of(capture) for capture in captures if capture is not None]
        return all(guard is None or guard.is_closed for guard in guards)

    def named(self, name: str) -> Guard | None:
        """Return a target's guard."""
        return next((guard for guard in self.all if guard.name == name), None)

    @property
    def tight(self) -> bool:
        """Whether calls wait for any target."""
        return any(guard.is_tight for guard in self._by_operation.values())


def python_guards(operations: Iterable[str], cap: int, listener: Listener = _unheard) -> dict[str, Guard]:
    """Return a guard for each operation whose enhanced side is a Python callable."""
    return {name: Guard(name, cap, listener=listener) for name in operations}


def _asks_enhanced(capture: Capture) -> bool:
    if capture.kind is Kind.WRITE:
        side = capture.legacy
        return side is msgspec.UNSET or side.raised is msgspec.UNSET or side.raised.rejected
    return capture.enhanced is msgspec.UNSET


def admit(guard: Guard, capture: Capture, unwanted: Callable[[], bool]) -> Admission | None:
    """Wait until a capture may be replayed; None where it is held back, or nobody waits for it any more."""
    tried = guard.enter(unwanted)
    if tried is None:
        return None
    if tried and not guard.is_healthy():
        guard.unhealthy()
        guard.leave(unused_try=False)
        return None
    return Admission(guard, capture, tried=tried)
