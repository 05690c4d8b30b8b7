"""Drives a traffic through the live path and waits until its last capture has been judged."""

import asyncio
import contextlib
import math
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, Final

import redis

from console.callers import Callers
from console.errors import StuckError
from console.output import note
from console.pacing import Lateness, Pace, Unpaced
from console.sources import BadLine
from console.traffic import TrafficCall
from gnomon import Gnomon
from gnomon.connecting import connect
from gnomon.keys import Keys
from ledger import Ledger, LedgerError
from worker.lanes import LaneStore
from worker.settings import WorkerSettings
from worker.targets.board import targets_of, tellings
from worker.targets.breaker import BreakerState

STUCK_S: Final = 30.0
POLL_S: Final = 0.1
TEND_S: Final = 0.5
LOOK_EVERY: Final = 64  # calls; the driver must never outrun the buffer, as a live application may
FULL_ENOUGH: Final = 0.5  # of the buffer: what is on its way to it meanwhile still finds room
HOLD_EVERY: Final = 5_000  # calls; asking costs Redis and the ledger a few ms
MOST_PENDING: Final = 50_000  # captures: a run without a pace waits for its workers rather than fill Redis
FLUSH_S: Final = 30.0
LONG_PAUSE_S: Final = 60.0  # one in the recording, of which a person is told
SHOWN_LINES: Final = 20
TRICKLE_S: Final = 0.2
SETTLE_S: Final = 3.0  # after Ctrl-C a person waits no longer


@dataclass(slots=True)
class Driven:
    """What driving came to; of bad lines the first few, and how many there were."""

    calls: int = 0
    bad: int = 0
    bad_lines: list[BadLine] = field(default_factory=list)
    callers: int = 0
    late: Lateness = field(default_factory=Lateness)
    began_s: float | None = None  #: when the first call began, and the last, on the steady clock
    last_s: float | None = None

    @property
    def reached_per_s(self) -> float | None:
        """At which rate calls began; None where there were not enough to tell."""
        if self.began_s is None or self.last_s is None or self.last_s <= self.began_s:
            return None
        return (self.calls - 1) / (self.last_s - self.began_s)

    def take_bad(self, line: BadLine) -> None:
        """Count a bad line."""
        self.bad += 1
        if len(self.bad_lines) < SHOWN_LINES:
            self.bad_lines.append(line)

    def as_json(self, pace: Pace) -> dict[str, Any]:
        """Return what was asked for and what was reached."""
        reached = self.reached_per_s
        return {
            **pace.as_json(),
            "calls": self.calls,
            "bad_lines": self.bad,
            "reached_per_s": None if reached is None else round(reached, 1),
            "late_ms": None if isinstance(pace, Unpaced) else self.late.as_json(),
            "callers": self.callers,
        }


class Driver:
    """Makes calls when they are due, each user's in order, on as many threads as that takes, up to `callers`.

    `tend` is called every half a second or so; `hold`, where there is no pace, every few thousand calls.
    """

    def __init__(
        self,
        client: Gnomon,
        pace: Pace,
        *,
        callers: int = 1,
        tend: Callable[[], object] = lambda: None,
        hold: Callable[[], object] = lambda: None,
    ) -> None:
        self._client = client
        self._pace = pace
        self._look_after = tend
        self._hold = hold if isinstance(pace, Unpaced) else lambda: None
        self._lock = threading.Lock()
        self._making = _Making(client)
        self._callers = Callers(most=callers, tend=self._tend)
        self._due_s = -math.inf  # of the last call
        self._tended = time.monotonic()
        self.driven = Driven()

    def drive(self, calls: Iterable[TrafficCall | BadLine]) -> Driven:
        """Make the calls; raises StuckError when Redis takes no captures, or legacy does not come back."""
        try:
            for call in calls:
                if isinstance(call, BadLine):
                    self.driven.take_bad(call)
                else:
                    self._take(call)
            self._callers.finish()
        finally:
            self._callers.close()
            self._making.close()
        flush(self._client)
        self.driven.callers = self._callers.threads
        return self.driven

    def _take(self, call: TrafficCall) -> None:
        self._wait_until(self._due(call.at))
        self.driven.calls += 1
        self._callers.hand(call.user, partial(self._call, call, self._due_s))
        self._tend()
        if self.driven.calls % LOOK_EVERY == 0 and _fill(self._client) > FULL_ENOUGH:
            flush(self._client)
        if self.driven.calls % HOLD_EVERY == 0:
            self._hold()

    def _due(self, at: datetime) -> float:
        """Return when the next call is due, on the steady clock; never before the one before it."""
        self.driven.began_s = self.driven.began_s or time.monotonic()
        self._due_s = max(self._due_s, self.driven.began_s + self._pace.due_s(self.driven.calls, at))
        return self._due_s

    def _wait_until(self, due_s: float) -> None:
        if due_s - time.monotonic() > LONG_PAUSE_S:
            note(f"The next call is due in {due_s - time.monotonic():,.0f} s, as it was recorded.")
        while (left_s := due_s - time.monotonic()) > 0:
            time.sleep(min(left_s, TEND_S))
            self._tend()

    def _tend(self) -> None:
        if time.monotonic() - self._tended > TEND_S:
            self._tended = time.monotonic()
            self._look_after()

    def _call(self, call: TrafficCall, due_s: float) -> None:
        """Make one call, on a caller's thread."""
        now_s = time.monotonic()
        with self._lock:
            self.driven.last_s = max(now_s, self.driven.last_s or now_s)
            if due_s > -math.inf:
                self.driven.late.add(now_s - due_s)
        self._making.make(call)


class _Making:
    """Makes single calls: sync ones where it is asked to, async ones on one event loop, as in an application."""

    def __init__(self, client: Gnomon) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def make(self, call: TrafficCall) -> None:
        """Make a call; what the application itself raises is captured, and part of the evidence."""
        if call.outcome is not None:
            self._client.record(call.operation, call.args, call.outcome)
            return
        binding = self._client.operations[call.operation]
        with contextlib.suppress(Exception):
            answer = binding.wrapped(**call.args)
            if binding.is_async:
                asyncio.run_coroutine_threadsafe(answer, self._running()).result()

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._run, args=(self._loop,), name="gnomon-loop", daemon=True).start()
            return self._loop

    @staticmethod
    def _run(loop: asyncio.AbstractEventLoop) -> None:
        with contextlib.closing(loop):
            loop.run_forever()
            for unfinished in asyncio.all_tasks(loop):
                unfinished.cancel()
            loop.run_until_complete(asyncio.sleep(0))

    def close(self) -> None:
        """End the event loop, where one runs."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)


def trickle(client: Gnomon, calls: Iterable[TrafficCall | BadLine], tend: Callable[[], object]) -> None:
    """Make the calls at a walking pace, so that there is something to watch."""
    with contextlib.closing(_Making(client)) as making:
        for call in calls:
            if isinstance(call, TrafficCall):
                making.make(call)
            tend()
            time.sleep(TRICKLE_S)


def _fill(client: Gnomon) -> float:
    buffer: dict[str, float] = client.health().details.get("buffer", {})
    return buffer.get("fill", 0.0)


def flush(client: Gnomon) -> None:
    """Wait until everything captured lies in its lane; raises StuckError when Redis takes no captures."""
    if not client.flush(FLUSH_S):
        raise StuckError(f"Redis has taken no captures for {FLUSH_S:g} s")


class Backlog:
    """How much of what was captured is not in the ledger yet."""

    def __init__(self, settings: WorkerSettings) -> None:
        self._server = connect(settings.redis_url.get_secret_value())
        self._keys = Keys(settings.namespace)
        self._lanes = LaneStore(self._server, settings.namespace)
        self._all = range(settings.lanes)
        self.ledger = Ledger(settings.database_url.get_secret_value(), namespace=settings.namespace)

    def pending(self) -> int:
        """Captures appended and not yet committed."""
        captured = self._lanes.captured(self._all)
        with self.ledger.reading() as reading:
            return captured - reading.done()

    def fold(self) -> None:
        """Take what was counted in the lanes into the ledger."""
        self.ledger.fold(self._lanes.senders.changed(self._all).sent)

    def settle(self) -> None:
        """Give the workers a moment for what is left, and leave the ledger with the lanes' last word."""
        until = time.monotonic() + SETTLE_S
        with contextlib.suppress(redis.RedisError, OSError, LedgerError):
            while self.pending() > 0 and time.monotonic() < until:
                time.sleep(POLL_S)
            self.fold()

    def leave(self) -> None:
        """Take what a finished run left in Redis; one that did not finish keeps its captures."""
        with contextlib.suppress(redis.RedisError, OSError, LedgerError):
            if self.pending() == 0:
                self._lanes.purge(self._all)

    def wait(self, tend: Callable[[], object], progress: Callable[[int], None]) -> None:
        """Return when nothing is pending; raises StuckError when nothing moves for 30 s. `tend` is called meanwhile."""
        self.sink_to(0, tend, progress)
        progress(0)
        self.fold()

    def sink_to(
        self, most: int, tend: Callable[[], object], progress: Callable[[int], None] = lambda _pending: None
    ) -> None:
        """Return when no more than `most` are pending; raises StuckError when nothing moves for 30 s."""
        least, since = self._asked(), time.monotonic()
        while (pending := self._asked()) > most:
            progress(pending)
            tend()
            if pending < least:
                least, since = pending, time.monotonic()
            elif time.monotonic() - since > STUCK_S:
                raise StuckError(f"no progress for {STUCK_S:g} s with {pending} captures pending{self._down()}")
            time.sleep(POLL_S)

    def _down(self) -> str:
        """Say which targets are down: their captures wait, and nothing is wrong with the workers."""
        with contextlib.suppress(redis.RedisError, OSError):
            down = [
                one for one in targets_of(tellings(self._server, self._keys)) if one.state is not BreakerState.CLOSED
            ]
            return "".join(f"; {one.name} is down: {one.reason}" for one in down)
        return ""

    def _asked(self) -> int:
        try:
            return self.pending()
        except (redis.RedisError, OSError, LedgerError) as error:
            raise StuckError(f"waiting for the workers: {type(error).__name__}: {error}") from None

    def close(self) -> None:
        """Close the connections."""
        self._lanes.close()
        self.ledger.close()
