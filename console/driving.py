"""Drives a traffic through the live path and waits until its last capture has been judged."""

import contextlib
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

import redis

from console.errors import StuckError
from console.traffic import BadLine, TrafficCall
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
FLUSH_EVERY: Final = 2_000  # calls; the driver must never outrun the buffer, as a live application may
FLUSH_S: Final = 30.0
TRICKLE_S: Final = 0.2
SETTLE_S: Final = 3.0  # after Ctrl-C a person waits no longer


@dataclass(slots=True)
class Driven:
    """What driving came to."""

    calls: int = 0
    bad_lines: list[BadLine] = field(default_factory=list)


def drive(client: Gnomon, calls: Iterable[TrafficCall | BadLine], progress: Callable[[int], None]) -> Driven:
    """Make the calls one after another, as they lie; raises StuckError when Redis takes no captures."""
    driven = Driven()
    for call in calls:
        if isinstance(call, BadLine):
            driven.bad_lines.append(call)
            continue
        driven.calls += 1
        _make(client, call)
        if driven.calls % FLUSH_EVERY == 0:
            _flush(client)
        progress(driven.calls)
    _flush(client)
    return driven


def trickle(client: Gnomon, calls: Iterable[TrafficCall | BadLine], tend: Callable[[], object]) -> None:
    """Make the calls at a walking pace, so that there is something to watch."""
    for call in calls:
        if isinstance(call, TrafficCall):
            _make(client, call)
        tend()
        time.sleep(TRICKLE_S)


def _make(client: Gnomon, call: TrafficCall) -> None:
    if call.outcome is not None:
        client.record(call.operation, call.args, call.outcome)
        return
    with contextlib.suppress(Exception):  # the application's own failure: captured, and part of the evidence
        client.operations[call.operation].wrapped(**call.args)


def _flush(client: Gnomon) -> None:
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
        least, since = self.pending(), time.monotonic()
        while (pending := self._asked()) > 0:
            progress(pending)
            tend()
            if pending < least:
                least, since = pending, time.monotonic()
            elif time.monotonic() - since > STUCK_S:
                raise StuckError(f"no progress for {STUCK_S:g} s with {pending} captures pending{self._down()}")
            time.sleep(POLL_S)
        progress(0)
        self.fold()

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
