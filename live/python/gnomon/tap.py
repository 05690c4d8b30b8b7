"""Turns a live call into a capture: the snapshot of its arguments before, what each side did after.

Everything here runs on the caller's own thread, touches no network, and never raises.
"""

import logging
from time import monotonic_ns
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Raw

from gnomon.budget import HourlyBudget
from gnomon.buffer import MISSED_SERVED, Buffer, CounterKey
from gnomon.calling import CURRENT, current_call
from gnomon.counting import Counting, answers
from gnomon.flags import LONGEST_USER
from gnomon.hashing import sampled
from gnomon.live_call import ENVELOPE_BYTES, LiveCall, Scribe, capture_id, live_of
from gnomon.metrics import Tally
from gnomon.serving import Outcome, System
from gnomon.sides import MESSAGE_CHARS, bytes_of, raised_of, side_of
from gnomon.usual import make_of, remember
from gnomon.wire import NO_JSON_FORM, Kind, Phase, Side, encode_args, encode_value

if TYPE_CHECKING:
    from gnomon.flags import FlagState
    from gnomon.operation import Binding
    from gnomon.settings import ClientSettings
    from gnomon.usual import Mark, Way

log = logging.getLogger("gnomon")

FIRST_FLAGS_S: Final = 0.25  # the first write of a process waits so long for flags that were never read


class NullTap:
    """Captures nothing and serves legacy: no Redis is configured, or capture is off."""

    def __init__(self, tally: Tally | None = None) -> None:
        self.tally = tally or Tally()

    def begin(self, binding: "Binding", args: tuple[Any, ...], kwargs: dict[str, Any]) -> LiveCall | None:  # noqa: ARG002
        """Decline every call: it is legacy's alone."""
        self._count_uncaptured(binding)
        return None

    def _count_uncaptured(self, binding: "Binding") -> None:
        self.tally.add("legacy_calls", *answers(binding))

    def returned(self, live: LiveCall, value: Any) -> None:
        """Take what legacy alone returned."""

    def raised(self, live: LiveCall, error: BaseException) -> None:
        """Take what legacy alone raised."""

    def finish(self, live: LiveCall, answer: Outcome) -> None:
        """Take all that was asked for a call, and which of it was the answer."""

    def identify(self, live: LiveCall) -> str:
        """Return the idempotency key of a call."""
        raise NotImplementedError

    def close(self) -> None:
        """Capture no more."""

    def disown(self) -> None:
        """Leave what is under way to the parent process."""


class Tap(NullTap):
    """Captures into the buffer; the publisher, seen as a `WakeUp`, takes it from there."""

    def __init__(
        self, settings: "ClientSettings", flags: "FlagState", buffer: Buffer, wake: "WakeUp", tally: Tally
    ) -> None:
        super().__init__(tally)
        self._settings = settings
        self._flags = flags
        self._buffer = buffer
        self._shedding = buffer.shedding
        self._way_of = make_of(compiled=settings.compiled).way
        self._wake = wake
        self._scribe = Scribe(settings)
        self._lanes = settings.lanes
        self._largest = settings.capture_bytes
        self._whole: set[str] = set()  # operations of which every call is captured
        self._budget = HourlyBudget(settings.generate_budget)
        self._counting = Counting(tally)
        self._closed = False

    def close(self) -> None:
        """Capture no more; calls still go where the flags send them."""
        self._closed = True
        self._whole = set()
        self._buffer.board.open = False

    def disown(self) -> None:
        """In a forked child: what was under way is the parent's, and its locks may be held by nobody who is here."""
        self._buffer.board.left = True
        nothing = NullTap(Tally())
        for method in ("returned", "raised", "finish"):
            setattr(self, method, getattr(nothing, method))

    # --- before the call

    def begin(self, binding: "Binding", args: tuple[Any, ...], kwargs: dict[str, Any]) -> LiveCall | None:
        """Take the snapshot of the arguments; None where the call is legacy's alone and not captured."""
        try:
            live = self._begin(binding, args, kwargs)
        except Exception as error:  # the live call must not notice
            self._report("begin", error)
            live = None
        if live is None:
            self._count_uncaptured(binding)
        return live

    def _begin(self, binding: "Binding", args: tuple[Any, ...], kwargs: dict[str, Any]) -> LiveCall | None:
        named = binding.named(args, kwargs)
        if named is None or current_call() is not None:  # a wrong call, or one made by an enhanced callable
            return None
        user = named.get(binding.user)
        if user is None or user == "":
            return None
        user = str(user)
        self._wake.start()
        live = LiveCall(binding, user, self._lanes, self._flags.stored.epoch)
        if len(user) > LONGEST_USER:
            self._lost(live, "oversize")
            return None
        self._route(live)
        captured = live.phase is not Phase.RETIRED and (self._is_whole(binding) or self._samples(live))
        if captured and self._shedding.active and self._sheds(live):
            captured = binding.kind is Kind.WRITE
            if captured and live.alone:
                self._buffer.begin(live)  # its gap is all that will be told of it
                return live
        if not captured and live.alone:
            return None
        return self._snapshot(live, named, captured=captured)

    def _sheds(self, live: LiveCall) -> bool:
        """Tell whether a user is shed; a read or generate call is counted at once, a write once it was made."""
        live.shed = self._shedding.sheds(live.user, live.lane)
        if live.shed and live.binding.kind is not Kind.WRITE:
            self._lost(live, "shed")
        return live.shed

    def _route(self, live: LiveCall) -> None:
        flags, binding = self._flags, live.binding
        served = binding.flag is not None and binding.enhanced is not None
        if served and binding.kind is Kind.WRITE and not flags.known:
            self._wake.await_answer(FIRST_FLAGS_S)  # others may read from enhanced what this process writes
        live.epoch, live.flags = flags.stored.epoch, flags.stored.version
        if served and not flags.quiet:
            phases = self._buffer.board.phases  # before what is decided: it is another one once that is of yesterday
            decision = flags.decide(binding.flag, live.user)
            live.move(decision.phase, willing=decision.enabled)
            # only for who asks again; dual for an exception of our own is dual for a moment
            steady = decision.phase is Phase.SHADOW or (decision.phase is Phase.DUAL and not flags.standing.own)
            if steady and binding.way is not None and binding.flag is not None:
                remember(phases.setdefault(binding.flag, {}), live.user, decision.phase)

    def _samples(self, live: LiveCall) -> bool:
        binding = live.binding
        if self._closed:
            return False
        if binding.kind is Kind.WRITE:
            self._see_whole(binding)
            return True
        rate = self._scribe.rate_of(binding)
        if rate >= 1 and binding.kind is Kind.READ:
            self._see_whole(binding)
        if sampled(live.user, rate) and (binding.kind is not Kind.GENERATE or self._affords(live)):
            return True
        self._lost(live, "not_sampled")
        return False

    def _is_whole(self, binding: "Binding") -> bool:
        """Tell whether every call of an operation is captured; then it has a usual way, if arguments have an order."""
        if binding.name not in self._whole:
            return False
        if binding.way is None and binding.in_order:
            binding.way = self._way(binding)
        return True

    def _see_whole(self, binding: "Binding") -> None:
        self._whole.add(binding.name)
        self._is_whole(binding)

    def _way(self, binding: "Binding") -> "Way":
        return self._way_of(
            board=self._buffer.board,
            binding=binding,
            tap=self,
            parameters=binding.parameters,
            defaults=tuple(binding.defaults.values()),
            user_at=binding.parameters.index(binding.user),
            writes=binding.writes,
            flag=None if binding.enhanced is None else binding.flag,
            lanes=self._lanes,
            encode_args=encode_args,
            encode_value=encode_value,
            current=CURRENT,
            shadow=Phase.SHADOW,
        )

    def _affords(self, live: LiveCall) -> bool:
        """Tell whether a generate call is within the budget; that of a user who is shed spends none of it."""
        return self._shedding.sheds(live.user, live.lane) or self._budget.spend()

    def _snapshot(self, live: LiveCall, named: dict[str, Any], *, captured: bool) -> LiveCall | None:
        try:
            live.args = Raw(encode_args(named))
        except NO_JSON_FORM as error:
            self._report("arguments", error)
            if captured and live.binding.kind is not Kind.WRITE:
                self._lost(live, "unserialisable")
                captured = False
            if not captured and live.alone:
                return None
        if captured:
            self._buffer.begin(live)
        else:
            live.started_ns = monotonic_ns()
        return live

    def identify(self, live: LiveCall) -> str:
        """Return the idempotency key of a call; one that is not captured has none that a replay would repeat."""
        return capture_id(self._wake.producer, live.number or live.started_ns)

    # --- after a call that is legacy's alone

    def returned(self, live: LiveCall, value: Any) -> None:
        """Capture what legacy returned."""
        ended_ns = monotonic_ns()
        try:
            if live.shed or live.args is None:
                self._drop(live, "shed" if live.shed else "unserialisable")
            else:
                self._keep_answer(live, encode_value(value), ended_ns)
        except Exception as error:  # the live call must not notice
            self._lose(live, error)

    def see_to(self, mark: "Mark", left: bool | Exception) -> None:  # noqa: FBT001 — as `Way.end` told it
        """Do what was left to do at the end of a usual call: see `Way.end`."""
        if left is True:
            if self._wake.dozing:
                self._wake.set()
            return
        live = live_of(mark)
        if isinstance(left, Exception):
            self._lose(live, left)
            return
        try:
            assert mark.answer is not None
            self._keep_answer(live, mark.answer, mark.ended_ns)
        except Exception as error:  # the live call must not notice
            self._lose(live, error)

    def _keep_answer(self, live: LiveCall, answer: bytes, ended_ns: int) -> None:
        assert live.args is not None
        size_bytes = ENVELOPE_BYTES + len(live.args) + len(answer)
        first = self._buffer.offer(live, size_bytes, answer, ended_ns) if size_bytes <= self._largest else None
        self._see_to(live, size_bytes, first=first)

    def raised(self, live: LiveCall, error: BaseException) -> None:
        """Capture what legacy raised."""
        duration_us = (monotonic_ns() - live.started_ns) // 1_000
        try:
            raised = raised_of(error, live.binding.rejects)
            live.stored = not raised.rejected
            self._keep_alone(live, Side(duration_us, raised=raised), MESSAGE_CHARS)
        except Exception as problem:  # the live call must not notice
            self._lose(live, problem)

    def record(self, binding: "Binding", args: dict[str, Any], side: Side) -> None:
        """Capture a call whose legacy outcome was recorded earlier, elsewhere."""
        live = self.begin(binding, (), args)
        if live is not None and live.captured:
            live.move(Phase.SHADOW, willing=False)  # nothing is invoked live
            try:
                if self._keep_alone(live, side, bytes_of(side), recorded=True):
                    self.tally.add("captured", "eligible")
            except Exception as error:
                self._lose(live, error)

    def _keep_alone(self, live: LiveCall, side: Side, size_bytes: int, *, recorded: bool = False) -> bool:
        if live.shed or live.args is None:
            self._drop(live, "shed" if live.shed else "unserialisable", called=not recorded)
            return False
        size_bytes += ENVELOPE_BYTES + len(live.args)
        first = self._buffer.offer(live, size_bytes, side, recorded=recorded) if size_bytes <= self._largest else None
        self._see_to(live, size_bytes, first=first, called=not recorded)
        return first is not None

    def _see_to(self, live: LiveCall, size_bytes: int, *, first: bool | None, called: bool = True) -> None:
        """Do what is to be done once a capture was offered: seldom anything."""
        if first is None:
            self._drop(live, "publish_failed" if size_bytes <= self._largest else "oversize", called=called)
        elif first and self._wake.dozing:
            self._wake.set()

    # --- after any other

    def finish(self, live: LiveCall, answer: Outcome) -> None:
        """Count and capture what each side did."""
        try:
            self._counting.count(live, answer)
            if live.binding.kind is Kind.WRITE:
                self._see_to_both(live)
            if live.captured:
                self._keep(live, answer)
        except Exception as error:  # the live call must not notice
            self._lose(live, error)

    def _see_to_both(self, live: LiveCall) -> None:
        """Serve from legacy whoever has a write that enhanced lacks, until the worker has replayed it."""
        if live.phase is Phase.RETIRED:
            return
        by_system = {outcome.system: outcome for outcome in live.asked}
        legacy = by_system.get(System.LEGACY)
        live.stored = legacy is None or not isinstance(legacy.error, live.binding.rejects)
        stored = legacy is not None and legacy.error is None
        if stored and (System.ENHANCED not in by_system or by_system[System.ENHANCED].error is not None):
            self._except(live)

    def _except(self, live: LiveCall) -> None:
        if live.phase in {Phase.DUAL, Phase.SERVED}:
            self._flags.standing.except_for(live.user, self._now_us())
            self._wake.set()

    def _keep(self, live: LiveCall, answer: Outcome) -> None:
        if live.shed or live.args is None:
            self._drop(live, "shed" if live.shed else "unserialisable")
            return
        sides = {outcome.system: side_of(outcome, live.binding.rejects) for outcome in live.asked if outcome.asked}
        size_bytes = ENVELOPE_BYTES + len(live.args) + sum(bytes_of(side) for side in sides.values())
        legacy, enhanced = sides.get(System.LEGACY, msgspec.UNSET), sides.get(System.ENHANCED, msgspec.UNSET)
        first = None
        if size_bytes <= self._largest:
            first = self._buffer.offer(live, size_bytes, legacy, enhanced=enhanced, serving=answer.system)
        self._see_to(live, size_bytes, first=first)
        if first is not None:
            self.tally.add("captured", "eligible")

    # --- losses, each in its place

    def _lose(self, live: LiveCall, error: Exception) -> None:
        self._report("result", error)
        if live.captured:
            self._drop(live, "unserialisable")

    def _drop(self, live: LiveCall, counter: str, *, called: bool = True) -> None:
        if live.alone and called:  # nobody else counts it
            self.tally.side(live.binding.name, "legacy", (monotonic_ns() - live.started_ns) // 1_000)
            self.tally.add(*answers(live.binding))
        if live.binding.kind is Kind.WRITE:
            self._miss(live)
        self._buffer.abandon(live)
        self._lost(live, counter)

    def _miss(self, live: LiveCall) -> None:
        """Open the user's gap: a write will not be replayed, and no read can be told that it came between."""
        if not live.stored:
            return
        self._buffer.gap(live.lane, live.user, live.start)
        if not any(outcome.system is System.ENHANCED and outcome.error is None for outcome in live.asked):
            self._except(live)

    def _now_us(self) -> int:
        return self._buffer.clock.at_us(monotonic_ns())

    def _lost(self, live: LiveCall, counter: str) -> None:
        key = CounterKey(live.lane, live.binding.name, live.epoch, counter)
        self._buffer.count(key)
        if live.served and counter != "not_sampled":
            self._buffer.count(key._replace(counter=MISSED_SERVED))
        self.tally.add(counter, "eligible")

    def _report(self, where: str, error: Exception) -> None:
        """Name the class of an error of ours or of a value, once each; never its message: it may hold a payload."""
        if self.tally.first(f"capture_error|{where}:{type(error).__name__}"):
            log.warning("gnomon.capture_failed where=%s error=%s", where, type(error).__name__)


class WakeUp:
    """What the tap needs of the publisher; this one does nothing."""

    producer = "0"
    dozing = False  #: whether it has to be told that there is something to publish

    def start(self) -> None:
        """See that the daemon thread runs in this process."""

    def set(self) -> None:
        """Tell it that there is something to publish."""

    def await_answer(self, timeout_s: float) -> None:
        """Wait until Redis was asked for the first time."""
