"""Turns a live call into a capture: the snapshot of its arguments before, what it did after, and nothing in between.

Everything here runs on the caller's own thread, touches no network, and never raises.
"""

import logging
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

from gnomon.buffer import Buffer, Buffered, CounterKey
from gnomon.calling import call
from gnomon.hashing import lane_of, sampled
from gnomon.wire import VERSION, Capture, Kind, Raised, Side, encode, encode_args, encode_value

if TYPE_CHECKING:
    from gnomon.flags import FlagState
    from gnomon.operation import Binding
    from gnomon.settings import ClientSettings

log = logging.getLogger("gnomon")

MESSAGE_CHARS: Final = 500  # of an exception's message; enough to compare, too little to carry a document
_INTERRUPTIONS: Final = frozenset({"CancelledError", "KeyboardInterrupt", "SystemExit", "GeneratorExit"})


@dataclass(slots=True)
class LiveCall:
    """A live call under capture."""

    binding: "Binding"
    number: int
    user: str
    lane: int
    args: msgspec.Raw
    epoch: int
    start: int
    started_ns: int


class NullTap:
    """Captures nothing: no Redis is configured, or capture is off."""

    def begin(self, binding: "Binding", args: tuple[Any, ...], kwargs: dict[str, Any]) -> LiveCall | None:  # noqa: ARG002
        """Decline every call."""
        return None

    def returned(self, live: LiveCall, value: Any) -> None:
        """Never reached: nothing begins."""

    def raised(self, live: LiveCall, error: BaseException) -> None:
        """Never reached: nothing begins."""


class Tap(NullTap):
    """Captures into the buffer; the publisher, seen as a `WakeUp`, takes it from there."""

    def __init__(self, settings: "ClientSettings", flags: "FlagState", buffer: Buffer, wake: "WakeUp") -> None:
        self._settings = settings
        self._flags = flags
        self._buffer = buffer
        self._wake = wake
        self._budget = HourlyBudget(settings.generate_budget)
        self.tally: Counter[str] = Counter()

    def begin(self, binding: "Binding", args: tuple[Any, ...], kwargs: dict[str, Any]) -> LiveCall | None:
        """Take the snapshot of the arguments; None where the call is not captured."""
        try:
            return self._begin(binding, args, kwargs)
        except Exception as error:  # the live call must not notice
            self._report("begin", error)
            return None

    def returned(self, live: LiveCall, value: Any) -> None:
        """Capture what legacy returned."""
        duration_us = _elapsed_us(live)
        try:
            self._finish(live, Side(duration_us, returned=msgspec.Raw(encode_value(value))))
        except Exception as error:  # the live call must not notice
            self._lose(live, error)

    def raised(self, live: LiveCall, error: BaseException) -> None:
        """Capture what legacy raised."""
        duration_us = _elapsed_us(live)
        try:
            self._finish(live, Side(duration_us, raised=raised_of(error, live.binding.rejects)))
        except Exception as problem:  # the live call must not notice
            self._lose(live, problem)

    def record(self, binding: "Binding", args: dict[str, Any], side: Side) -> None:
        """Capture a call whose legacy outcome was recorded earlier, elsewhere."""
        if live := self.begin(binding, (), args):
            try:
                self._finish(live, side, recorded=True)
            except Exception as error:
                self._lose(live, error)

    def _begin(self, binding: "Binding", args: tuple[Any, ...], kwargs: dict[str, Any]) -> LiveCall | None:
        named = binding.named(args, kwargs)
        if named is None or call() is not None:  # a wrong call, or one made by an enhanced callable
            return None
        user = named.get(binding.user)
        if user is None or user == "":
            return None
        self._wake.start()
        user, epoch = str(user), self._flags.stored.epoch
        lane = lane_of(user, self._settings.lanes)
        if not self._samples(binding, user):
            self._count(lane, binding.name, epoch, "not_sampled")
            return None
        try:
            snapshot = msgspec.Raw(encode_args(named))
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            self._report("arguments", error)
            self._count(lane, binding.name, epoch, "unserialisable")
            return None
        number, start = self._buffer.begin(holds=binding.kind is Kind.WRITE)
        return LiveCall(binding, number, user, lane, snapshot, epoch, start, time.monotonic_ns())

    def _samples(self, binding: "Binding", user: str) -> bool:
        if binding.kind is Kind.WRITE:
            return True
        rate = self.rate_of(binding)
        return sampled(user, rate) and (binding.kind is not Kind.GENERATE or self._budget.spend())

    def rate_of(self, binding: "Binding") -> float:
        """Return the sampling rate in force for an operation."""
        return binding.sample if self._settings.sample is None else self._settings.sample

    def _finish(self, live: LiveCall, side: Side, *, recorded: bool = False) -> None:
        binding = live.binding
        end = self._buffer.end(live.number)
        line = encode(
            Capture(
                v=VERSION,
                id=f"{self._wake.producer}-{live.number}",
                op=binding.name,
                kind=binding.kind,
                user=live.user,
                start=live.start,
                end=end,
                args=live.args,
                epoch=live.epoch,
                legacy=side,
                flags=self._flags.stored.version,
                build=self._settings.build,
                sample=1.0 if binding.kind is Kind.WRITE else self.rate_of(binding),
                recorded=recorded,
            )
        )
        if len(line) > self._settings.capture_bytes:
            self._buffer.abandon(live.number)
            self._count(live.lane, binding.name, live.epoch, "oversize")
            return
        low = live.start if binding.kind is Kind.WRITE else end
        first = self._buffer.offer(live.number, Buffered(live.lane, binding.name, live.epoch, live.user, line, low))
        if first is None:
            self._count(live.lane, binding.name, live.epoch, self._wake.refusal)
        else:
            self.tally["captured"] += 1
            self.tally["eligible"] += 1
            if first:
                self._wake.set()

    def _lose(self, live: LiveCall, error: Exception) -> None:
        self._buffer.abandon(live.number)
        self._report("result", error)
        self._count(live.lane, live.binding.name, live.epoch, "unserialisable")

    def _count(self, lane: int, operation: str, epoch: int, counter: str) -> None:
        self._buffer.count(CounterKey(lane, operation, epoch, counter))
        self.tally[counter] += 1
        self.tally["eligible"] += 1

    def _report(self, where: str, error: Exception) -> None:
        """Name the class of an error of ours or of a value, once each; never its message: it may hold a payload."""
        kind = f"{where}:{type(error).__name__}"
        self.tally[f"errors:{kind}"] += 1
        if self.tally[f"errors:{kind}"] == 1:
            log.warning("gnomon.capture_failed where=%s error=%s", where, type(error).__name__)


class WakeUp:
    """What the tap needs of the publisher; this one does nothing."""

    producer = "0"
    refusal = "publish_failed"

    def start(self) -> None:
        """See that the daemon thread runs in this process."""

    def set(self) -> None:
        """Tell it that there is something to publish."""


class HourlyBudget:
    """So many an hour, by the hour of the monotonic clock."""

    def __init__(self, allowed: int) -> None:
        self._allowed = allowed
        self._hour = -1
        self._spent = 0

    def spend(self) -> bool:
        """Spend one; False where the hour's budget is gone."""
        hour = int(time.monotonic() // 3_600)
        if hour != self._hour:
            self._hour, self._spent = hour, 0
        self._spent += 1
        return self._spent <= self._allowed


def raised_of(error: BaseException, rejects: tuple[type[BaseException], ...] = ()) -> Raised:
    """Return an exception as data, its message shortened."""
    name, message = type(error).__name__, str(error)[:MESSAGE_CHARS]
    return Raised(name, message, interrupted=name in _INTERRUPTIONS, rejected=isinstance(error, rejects))


def _elapsed_us(live: LiveCall) -> int:
    return (time.monotonic_ns() - live.started_ns) // 1_000
