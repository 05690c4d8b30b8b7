"""Invokes the two systems for a live call, step by step as its plan says, sync and async.

Legacy runs on the caller's own thread or task, with the caller's own arguments. Enhanced gets a copy of them, so that
nothing it does to them is seen by legacy or the caller; with a time limit it runs in a bounded pool, or as a task that
is cancelled and not waited for. Whatever it does, it ends as an `Outcome`.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec

from gnomon.breaker import Breaker
from gnomon.calling import Call, calling
from gnomon.pool import BoundedPool, PoolFullError, TimeLimitError
from gnomon.results import InvalidResultError, discard, has_json_form
from gnomon.serving import Fallback, Outcome, Plan, System, plan
from gnomon.wire import NO_JSON_FORM, Kind, Phase, encode_value

if TYPE_CHECKING:
    from gnomon.live_call import LiveCall
    from gnomon.operation import Binding
    from gnomon.tap import NullTap


class NotAskedError(Exception):
    """Stands for enhanced where it was not invoked; `reason` says why."""

    def __init__(self, reason: Fallback) -> None:
        super().__init__(f"enhanced was not asked: {reason}")
        self.reason = reason


class Invoker:
    """One for a process: the pool and the breakers of all operations."""

    def __init__(self, *, places: int, dual_timeout_s: float) -> None:
        self._pool = BoundedPool(places)
        self._dual_timeout_s = dual_timeout_s
        self._breakers: dict[str, Breaker] = {}

    def breaker(self, operation: str) -> Breaker:
        """Return the breaker of an operation."""
        return self._breakers.setdefault(operation, Breaker())

    def serve(self, tap: "NullTap", live: "LiveCall", args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Make a sync call as its user's phase says."""
        steps = _Steps(live)
        while (system := steps.next) is not None:
            if system is System.LEGACY:
                steps.send(_legacy(live.binding.legacy, args, kwargs))
            else:
                steps.send(self._enhanced(tap, live, args, kwargs))
        return self._answer(tap, live, steps.answer)

    async def serve_async(self, tap: "NullTap", live: "LiveCall", args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Make an async call as its user's phase says."""
        steps = _Steps(live)
        while (system := steps.next) is not None:
            if system is System.LEGACY:
                steps.send(await _legacy_async(live.binding.legacy, args, kwargs))
            else:
                steps.send(await self._enhanced_async(tap, live, args, kwargs))
        cancelled = _cancellation(live)
        answer = self._answer(tap, live, steps.answer)
        if cancelled is not None:
            raise cancelled  # the caller's task was cancelled while the enhanced half of its write was under way
        return answer

    def _answer(self, tap: "NullTap", live: "LiveCall", answer: Outcome) -> Any:
        with suppress(Exception):
            self._judge_health(live)
        tap.finish(live, answer)
        value, error = answer.value, answer.error
        live.asked = ()
        answer.error = None  # an exception and a frame that holds it would keep each other alive
        if error is None:
            return value
        context = error.__context__
        try:
            raise error
        finally:
            error.__context__ = context  # raising it has put there what the caller may be handling
            del error, context

    def _judge_health(self, live: "LiveCall") -> None:
        """Tell the breaker how enhanced did; refusing what legacy refuses too is no failure."""
        by_system = {outcome.system: outcome for outcome in live.asked}
        enhanced, legacy = by_system.get(System.ENHANCED), by_system.get(System.LEGACY)
        if enhanced is None or not enhanced.asked or enhanced.interrupted or live.phase is Phase.RETIRED:
            return
        agreed = legacy is not None and legacy.error is not None and type(legacy.error) is type(enhanced.error)
        if enhanced.error is None or agreed:
            self.breaker(live.binding.name).succeeded()
        else:
            self.breaker(live.binding.name).failed()

    # --- enhanced

    def _enhanced(self, tap: "NullTap", live: "LiveCall", args: tuple[Any, ...], kwargs: dict[str, Any]) -> Outcome:
        started = time.monotonic_ns()
        current: Call | None = None
        try:
            function, current, given = self._prepare(tap, live, args, kwargs)
            timeout_s = self._timeout_s(live)
            with calling(current):
                value = function(**given) if timeout_s is None else self._pool.call(function, given, timeout_s)
            return _checked(live.binding, value, started, current)
        except BaseException as error:
            return _failed(error, started, current)

    async def _enhanced_async(
        self, tap: "NullTap", live: "LiveCall", args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Outcome:
        started = time.monotonic_ns()
        current: Call | None = None
        try:
            function, current, given = self._prepare(tap, live, args, kwargs)
            with calling(current):
                value = await _within(function(**given), self._timeout_s(live))
            return _checked(live.binding, value, started, current)
        except BaseException as error:
            return _failed(error, started, current)

    def _prepare(
        self, tap: "NullTap", live: "LiveCall", args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Callable[..., Any], Call, dict[str, Any]]:
        binding = live.binding
        assert binding.enhanced is not None
        stored = _stored(live)
        origin = None if stored is None else _copied(stored.value)
        current = Call(capture_id=tap.identify(live), shadow=stored is not None, origin=origin)
        if live.phase is Phase.RETIRED:
            return binding.enhanced, current, binding.named(args, kwargs) or {}
        if live.args is None:
            raise NotAskedError(Fallback.NO_COPY)
        if not self.breaker(binding.name).allows():
            raise NotAskedError(Fallback.BREAKER)
        return binding.enhanced, current, binding.typed(msgspec.json.decode(live.args))

    def _timeout_s(self, live: "LiveCall") -> float | None:
        """A user who is dual against the flags waits but shortly: enhanced may be what the flags were lowered for."""
        asked = live.binding.timeout_s
        if live.willing or live.phase is Phase.RETIRED:
            return asked
        return self._dual_timeout_s if asked is None else min(asked, self._dual_timeout_s)


class _Steps:
    """A plan under way."""

    def __init__(self, live: "LiveCall") -> None:
        self._live = live
        self._plan: Plan = plan(live.binding.kind, live.phase)
        self.next: System | None = next(self._plan)
        self.answer: Outcome

    def send(self, outcome: Outcome) -> None:
        self._live.asked += (outcome,)
        try:
            self.next = self._plan.send(outcome)
        except StopIteration as end:
            self.next, self.answer = None, end.value


def _legacy(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Outcome:
    started = time.monotonic_ns()
    try:
        value = function(*args, **kwargs)
    except BaseException as error:
        return Outcome(system=System.LEGACY, duration_us=_since_us(started), error=error)
    return Outcome(system=System.LEGACY, duration_us=_since_us(started), value=value)


async def _legacy_async(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Outcome:
    started = time.monotonic_ns()
    try:
        value = await function(*args, **kwargs)
    except BaseException as error:
        return Outcome(system=System.LEGACY, duration_us=_since_us(started), error=error)
    return Outcome(system=System.LEGACY, duration_us=_since_us(started), value=value)


async def _within(coroutine: Coroutine[Any, Any, Any], timeout_s: float | None) -> Any:
    """Await no longer than so long; what does not end when cancelled is left to itself."""
    if timeout_s is None:
        return await coroutine
    task = asyncio.ensure_future(_contained(coroutine))
    try:
        done, _ = await asyncio.wait({task}, timeout=timeout_s)
    except asyncio.CancelledError:
        _leave(task)
        raise
    if not done:
        _leave(task)
        raise TimeLimitError
    value, interruption = task.result()
    if interruption is not None:
        raise interruption
    return value


async def _contained(coroutine: Coroutine[Any, Any, Any]) -> tuple[Any, BaseException | None]:
    """Await, but hand over what would end the loop: it raises out of itself what a task of its own does not catch."""
    try:
        return await coroutine, None
    except (SystemExit, KeyboardInterrupt) as interruption:
        return None, interruption


def _leave(task: "asyncio.Future[Any]") -> None:
    task.cancel()
    task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())  # seen, so that nobody is told of it


def _cancellation(live: "LiveCall") -> asyncio.CancelledError | None:
    """Return what cancelled the caller's own task; one that enhanced raised by itself is none."""
    task = asyncio.current_task()
    if task is None or not task.cancelling():
        return None
    return next((outcome.error for outcome in live.asked if isinstance(outcome.error, asyncio.CancelledError)), None)


def _copied(value: Any) -> Any:
    try:
        return msgspec.json.decode(encode_value(value))
    except NO_JSON_FORM:
        raise NotAskedError(Fallback.NO_COPY) from None


def _stored(live: "LiveCall") -> Outcome | None:
    """Return what legacy did before enhanced is asked: in a dual write."""
    return next((outcome for outcome in live.asked if outcome.system is System.LEGACY), None)


def _checked(binding: "Binding", value: Any, started: int, current: Call) -> Outcome:
    duration_us = _since_us(started)
    valid = has_json_form if binding.kind is Kind.WRITE else binding.valid  # a write's answer is legacy's
    if not valid(value):
        discard(value)
        raise InvalidResultError(value)
    return Outcome(system=System.ENHANCED, duration_us=duration_us, value=value, context=current.context)


def _failed(error: BaseException, started: int, current: Call | None) -> Outcome:
    match error:
        case NotAskedError():
            reason = error.reason
        case PoolFullError():
            reason = Fallback.POOL_FULL
        case TimeLimitError():
            reason = Fallback.TIMEOUT
        case InvalidResultError():
            reason = Fallback.INVALID
        case _:
            reason = Fallback.ERROR
    context = current.context if current else ()
    return Outcome(system=System.ENHANCED, duration_us=_since_us(started), error=error, reason=reason, context=context)


def _since_us(started: int) -> int:
    return (time.monotonic_ns() - started) // 1_000
