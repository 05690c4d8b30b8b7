"""Replays one capture against the side that did not answer live, and has the two outcomes judged."""

import asyncio
import inspect
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import msgspec

from comparators import Call, Difference, Kind, Observation, Severity, Verdict, judge
from gnomon.calling import Call as EnhancedCall
from gnomon.calling import calling
from gnomon.operation import Binding
from gnomon.tap import raised_of
from gnomon.wire import Capture, Name, Side, encode_value
from gnomon.wire import Kind as CallKind
from ledger import Finding, KeptDifference, Outcome
from worker.selection import Due

_GARBAGE: Final = (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError)


@dataclass(frozen=True, slots=True)
class Replayer:
    """Knows the operations; one for a process, used by many threads."""

    operations: Mapping[str, Binding]
    timeout_s: float

    def finding(self, due: Due) -> Finding:
        """Deal with one capture: replay and judge, exclude, or park. Never raises."""
        capture = due.item.capture
        assert capture is not None
        binding = self.operations.get(capture.op)
        if binding is None or binding.enhanced is None:
            reason = "unknown_operation" if binding is None else "no_enhanced_callable"
            return _found(capture, Outcome.PARKED, reason, payload=due.item.line)
        try:
            return self._judged(capture, binding, binding.enhanced, late=due.late)
        except Exception as error:  # an error of ours must cost one capture, not the lane
            return _found(capture, Outcome.INCONCLUSIVE, f"engine:{type(error).__name__}")

    def _judged(self, capture: Capture, binding: Binding, enhanced: Callable[..., Any], *, late: bool) -> Finding:
        excluded = _excluded(capture, late=late)
        if excluded and capture.kind is not CallKind.WRITE:
            return _found(capture, Outcome.EXCLUDED, excluded)
        if excluded == "legacy_raised":
            return _found(capture, Outcome.EXCLUDED, excluded)
        replayed = self._replay(capture, binding.typed(msgspec.json.decode(capture.args)), enhanced)
        # read anew: what enhanced did to what it was handed is no evidence
        args, legacy = msgspec.json.decode(capture.args), observed(capture.legacy)
        returned = replayed.exception is None
        if excluded and (returned or legacy.exception is not None):
            return _found(capture, Outcome.EXCLUDED, excluded, enhanced_returned=returned)
        at = datetime.fromtimestamp(capture.start / 1_000_000, UTC)
        judgement = judge(capture.op, legacy, replayed, call=Call(user=capture.user, args=args, at=at))
        return _found(
            capture,
            _OUTCOMES[judgement.verdict],
            f"raised {replayed.exception.type}"
            if judgement.verdict is Verdict.FAILED and replayed.exception
            else judgement.reason,
            differences=tuple(KeptDifference.of(capture.op, found) for found in judgement.differences),
            enhanced_returned=returned,
        )

    def _replay(self, capture: Capture, args: dict[str, Any], enhanced: Callable[..., Any]) -> Observation:
        legacy = observed(capture.legacy)
        origin = legacy.value if legacy.exception is None else None
        current = EnhancedCall(capture_id=capture.id, shadow=True, origin=origin)
        started = time.monotonic()
        try:
            with calling(current):
                value = self._call(enhanced, args)
        except BaseException as error:
            raised = raised_of(error)
            return Observation.raised(raised.type, raised.message, duration_ms=_since_ms(started))
        return _returned(value, _since_ms(started), current.context)

    def _call(self, enhanced: Callable[..., Any], args: dict[str, Any]) -> Any:
        result = enhanced(**args)
        if inspect.isawaitable(result):
            return asyncio.run(_within(result, self.timeout_s))
        return result


_OUTCOMES: Final = {verdict: Outcome(verdict.value) for verdict in Verdict}


async def _within(awaitable: Any, timeout_s: float) -> Any:
    return await asyncio.wait_for(awaitable, timeout_s)


def _excluded(capture: Capture, *, late: bool) -> str:
    """Return why comparing would be unfair, before any look at what enhanced does; empty where it is fair."""
    side = capture.legacy
    if side is not msgspec.UNSET and side.raised is not msgspec.UNSET:
        if capture.kind is CallKind.WRITE and not side.raised.rejected:
            return "legacy_raised"
        if side.raised.interrupted:
            return "interrupted"
    return "late" if late else ""


def observed(side: Side | msgspec.UnsetType) -> Observation:
    """Return what a side did live, as comparators see it."""
    assert side is not msgspec.UNSET
    duration_ms = side.duration_us / 1_000
    if side.raised is not msgspec.UNSET:
        return Observation.raised(side.raised.type, side.raised.message, duration_ms=duration_ms)
    value = None if side.returned is msgspec.UNSET else msgspec.json.decode(side.returned)
    return Observation.returned(value, duration_ms=duration_ms)


def _returned(value: Any, duration_ms: float, context: tuple[str, ...]) -> Observation:
    """Bring what enhanced returned into the form legacy's came in: through JSON and back."""
    try:
        plain = msgspec.json.decode(encode_value(value))
    except _GARBAGE as error:
        return Observation.raised("Garbage", f"returned what has no JSON form: {type(error).__name__}")
    return Observation.returned(plain, duration_ms=duration_ms, context=context)


def _since_ms(started: float) -> float:
    return (time.monotonic() - started) * 1_000


def _found(capture: Capture, outcome: Outcome, reason: str = "", **more: Any) -> Finding:
    return Finding(
        capture_id=capture.id,
        operation=capture.op,
        epoch=capture.epoch,
        user=capture.user,
        called_at_us=capture.start,
        outcome=outcome,
        reason=reason,
        exposure="served" if capture.serving == "enhanced" else "shadow",
        **more,
    )


def timed_out(capture: Capture, timeout_s: float) -> Finding:
    """Return the finding of a replay that was given up."""
    failure = Difference("$", Kind.FAILURE, Severity.MAJOR, enhanced=f"no answer within {timeout_s:g} s")
    return _found(
        capture,
        Outcome.FAILED,
        f"timeout: no answer within {timeout_s:g} s",
        differences=(KeptDifference.of(capture.op, failure),),
    )


def unreadable(due: Due) -> Finding:
    """Return the finding of a line that is no capture."""
    said = _said(due.item.line)
    return Finding(
        capture_id=due.item.order[1],
        operation=said.op,
        epoch=said.epoch,
        user=said.user,
        called_at_us=due.item.order[0],
        outcome=Outcome.PARKED,
        reason=due.item.reason,
        payload=due.item.line,
    )


class _Said(msgspec.Struct):
    """What an unreadable line may still say of itself, so that it is counted where it belongs."""

    op: Name = "unknown"
    epoch: Annotated[int, msgspec.Meta(ge=0, le=2**31)] = 0
    user: str = ""


def _said(line: bytes) -> _Said:
    try:
        return msgspec.json.decode(line, type=_Said)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return _Said()
