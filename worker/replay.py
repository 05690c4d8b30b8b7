"""Replays one capture against the side that did not answer live, and has the two outcomes judged.

Sides that were invoked live are judged by what they did then. Only a write is replayed although it was made on both
sides: that replay repairs, and what comes of it is not judged.
"""

import inspect
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import msgspec

from comparators import Observation
from comparators.observations import Raised
from gnomon.calling import Call as EnhancedCall
from gnomon.calling import calling
from gnomon.operation import Binding
from gnomon.serving import System
from gnomon.sides import raised_of
from gnomon.wire import Capture
from gnomon.wire import Kind as CallKind
from ledger import Failure, Finding, Outcome
from worker import coroutines
from worker.expiry import TOO_OLD, is_expired
from worker.failures import ANSWER_BYTES, failure_in
from worker.findings import Replayed, excluded, finding_of, judged_finding, timed_out, with_gap
from worker.observing import Observed, ReplayedCall
from worker.rulebook import Rulebook
from worker.selection import Due
from worker.targets import guard
from worker.targets.errors import UnsendableError
from worker.targets.http import HttpOperation

AMBIGUOUS: Final = "ambiguous"  #: a write that can't be repeated may have been made, and may not
EXHAUSTED: Final = "exhausted"  #: processes died of it
RETRIES_S: Final = (0.01, 0.05, 0.2)  # a write's waits: a locked row or a lost connection is gone by then
LATE_LEGACY: Final = "legacy: no answer in time"
NO_VERDICT: Final = "comparator: no verdict in time"
_READY: Final = frozenset({dict, list, str, int, float, bool, type(None)})  # never awaited: asked first, it is cheaper


class _HeldBackError(Exception):
    """The target is down, and a capture of it is to count for nothing and to wait."""


class _Answer(NamedTuple):
    """What a side did when it was replayed.

    `got_through`: garbage may come of a write that was made. `failure` is how it failed, where it raised.
    """

    observation: Observed
    got_through: bool
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class _Stored:
    """What the replay of a write came to: its first try, and whether one of them got through."""

    first: _Answer
    got_through: bool


@dataclass(frozen=True, slots=True)
class Replayer:
    """Knows the operations; one for a process, used by many threads."""

    operations: Mapping[str, Binding]
    timeout_s: float
    answer_bytes: int = ANSWER_BYTES  #: of an answer's JSON form: a larger one is not read
    expire_after_s: float = float("inf")  #: an older read or generate call is not replayed
    rulebook: Rulebook = field(default_factory=Rulebook)  #: what people allow

    def replay(self, due: Due, *, causal: bool = False, now_us: Callable[[], int] = int) -> Replayed | None:
        """Deal with one capture: replay and judge, exclude, let it expire, or park. Never raises.

        None where its target did not answer and the capture is to wait (`worker.targets.guard`). `causal`: its user is
        in a gap; `now_us` tells Redis's time, by which it is noted when a call was replayed.
        """
        capture = due.item.capture
        assert capture is not None
        binding = self.operations.get(capture.op)
        if binding is None or binding.enhanced is None:
            reason = "unknown_operation" if binding is None else "no_enhanced_callable"
            return with_gap(finding_of(capture, Outcome.PARKED, reason, payload=due.item.line), capture, "parked")
        try:
            if capture.kind is CallKind.WRITE:
                replayed = self._write(due, capture, binding)
            else:
                replayed = Replayed(finding=self._fairly(due, capture, binding, now_us, causal=causal))
            return replayed if replayed.finding.outcome is not Outcome.DIVERGED else self._ruled(replayed)
        except _HeldBackError:
            return None
        except Exception as error:  # an error of ours must cost one capture, not the lane
            finding = finding_of(capture, Outcome.INCONCLUSIVE, f"engine:{type(error).__name__}")
            return with_gap(finding, capture, "write_failed")

    def _ruled(self, replayed: Replayed) -> Replayed:
        return msgspec.structs.replace(replayed, finding=self.rulebook.on(replayed.finding))

    # --- writes

    def _write(self, due: Due, capture: Capture, binding: Binding) -> Replayed:
        """Replay a write, whether or not enhanced was written live: then the replay repairs what that one missed."""
        if _legacy_raised(capture):
            return with_gap(finding_of(capture, Outcome.EXCLUDED, "legacy_raised"), capture, "legacy_raised")
        live = capture.enhanced is not msgspec.UNSET
        if live and not binding.idempotent:
            return self._made_live(due, capture)
        stored = self._stored(capture, binding)
        enhanced = Observed.of(capture.enhanced) if live else stored.first.observation
        legacy = Observed.of(capture.legacy)
        if due.late and (enhanced.exception is None or legacy.exception is not None):
            finding = finding_of(capture, Outcome.EXCLUDED, "late", enhanced_returned=enhanced.exception is None)
        else:
            finding = judged_finding(capture, legacy, enhanced, failure=None if live else stored.first.failure)
        if due.late or not stored.got_through:
            return with_gap(finding, capture, "late" if due.late else _unsure(binding))
        return Replayed(finding=finding, restored=live and enhanced.exception is not None)

    def _made_live(self, due: Due, capture: Capture) -> Replayed:
        """Deal with a write that can't be repeated and that enhanced was asked for live: it is not asked again."""
        enhanced = Observed.of(capture.enhanced)
        if due.late and enhanced.exception is None:
            return with_gap(finding_of(capture, Outcome.EXCLUDED, "late", enhanced_returned=True), capture, "late")
        finding = judged_finding(capture, Observed.of(capture.legacy), enhanced)
        return Replayed(finding=finding) if enhanced.exception is None else with_gap(finding, capture, AMBIGUOUS)

    def _stored(self, capture: Capture, binding: Binding) -> _Stored:
        """Replay a write until it gets through, four times at most and no longer than a replay may take.

        One that can't be repeated is tried again only where it was turned away before anything was done.
        """
        until = time.monotonic() + self.timeout_s
        first = last = self._enhanced(capture, binding)
        legacy = capture.legacy
        rejected = legacy is not msgspec.UNSET and legacy.raised is not msgspec.UNSET  # on purpose: so is enhanced to
        for wait_s in () if rejected else RETRIES_S:
            repeatable = binding.idempotent or last.failure is Failure.REFUSED
            if last.got_through or not repeatable or _is_down() or time.monotonic() + wait_s > until:
                break
            time.sleep(wait_s)
            last = self._enhanced(capture, binding)
        if not last.got_through and binding.idempotent:
            _hold(write=True)
        return _Stored(first, last.got_through or rejected)

    def is_single(self, capture: Capture) -> bool:
        """Tell whether replaying a capture makes a write that can't be repeated."""
        binding = self.operations.get(capture.op)
        return binding is not None and not binding.idempotent and capture.enhanced is msgspec.UNSET

    def parked(self, due: Due, reason: str) -> Replayed:
        """Park a capture that is not to be replayed again, for people to decide on."""
        assert due.item.capture is not None
        finding = finding_of(due.item.capture, Outcome.PARKED, reason, payload=due.item.line)
        return with_gap(finding, due.item.capture, reason if reason == AMBIGUOUS else "parked")

    # --- reads and generate calls

    def _fairly(
        self, due: Due, capture: Capture, binding: Binding, now_us: Callable[[], int], *, causal: bool
    ) -> Finding:
        """Replay a call where that would be fair, and worth it."""
        if unfair := _unfair(capture, due, causal=causal):
            return excluded(capture, unfair, _seen(capture))
        if is_expired(capture, now_us(), self.expire_after_s):
            return finding_of(capture, Outcome.EXPIRED, TOO_OLD)
        return self._call(capture, binding, now_us)

    def _call(self, capture: Capture, binding: Binding, now_us: Callable[[], int]) -> Finding:
        if capture.legacy is msgspec.UNSET:
            enhanced = Observed.of(capture.enhanced)
            return judged_finding(capture, self._legacy(capture, binding), enhanced, replayed_us=now_us())
        legacy = Observed.of(capture.legacy)
        if capture.enhanced is not msgspec.UNSET:
            return judged_finding(capture, legacy, Observed.of(capture.enhanced))
        enhanced, _, failure = self._enhanced(capture, binding)
        _hold(write=False)
        return judged_finding(capture, legacy, enhanced, failure=failure, replayed_us=now_us())

    def given_up(self, capture: Capture, *, judging: bool) -> Replayed:
        """Return what came of a capture whose replay was given up; `judging`: while it was judged."""
        if judging:
            finding = finding_of(capture, Outcome.INCONCLUSIVE, NO_VERDICT)
            return with_gap(finding, capture, AMBIGUOUS if self.is_single(capture) else "write_failed")
        if capture.kind is CallKind.WRITE:
            live = capture.enhanced is not msgspec.UNSET
            finding = (
                judged_finding(capture, Observed.of(capture.legacy), Observed.of(capture.enhanced))
                if live
                else timed_out(capture, self.timeout_s)
            )
            return with_gap(finding, capture, AMBIGUOUS if self.is_single(capture) else "write_failed")
        if capture.legacy is msgspec.UNSET:
            return Replayed(finding=finding_of(capture, Outcome.INCONCLUSIVE, LATE_LEGACY))
        return Replayed(finding=timed_out(capture, self.timeout_s))

    # --- the two systems

    def run(self, system: System, capture: Capture) -> Observation:
        """Ask one system what a capture asked, as often as wanted: a pair does. For captures that were replayed.

        Both are told of the call, and that nobody waits for it, in the same way, so that neither has a better start.
        """
        binding = self.operations[capture.op]
        if system is System.ENHANCED:
            return self._enhanced(capture, binding).observation.read()
        current = ReplayedCall(capture.id, capture.legacy)
        with calling(current):
            return self._observe(binding.legacy, capture, binding, current).observation.read()

    def _enhanced(self, capture: Capture, binding: Binding) -> _Answer:
        """Call enhanced."""
        assert binding.enhanced is not None
        current = ReplayedCall(capture.id, capture.legacy)
        side, until = binding.enhanced, float("inf")
        if admission := guard.current():
            until = admission.begin(self.timeout_s)
        if isinstance(side, HttpOperation):
            side = side.replaying(capture, current, until)
        with calling(current):
            return self._observe(side, capture, binding, current)

    def _legacy(self, capture: Capture, binding: Binding) -> Observed:
        """Call legacy as it was before it was wrapped: nothing of it is captured."""
        return self._observe(binding.legacy, capture, binding).observation

    def _observe(
        self, side: Callable[..., Any], capture: Capture, binding: Binding, current: EnhancedCall | None = None
    ) -> _Answer:
        args = binding.typed(msgspec.json.decode(capture.args))
        started = time.monotonic()
        admission = guard.current() if current else None
        try:
            value = self._result(side, args)
        except UnsendableError:
            raise  # nobody was asked: ours
        except BaseException as error:
            if admission:
                admission.raised(error)
            raised = raised_of(error)
            told = Raised(raised.type, raised.message)
            observation = Observed(duration_ms=_since_ms(started), exception=told, replayed=True)
            return _Answer(observation, got_through=False, failure=failure_in(error))
        if admission:
            admission.answered()
        context = current.context if current else ()
        observation = Observed.returned(value, _since_ms(started), context, self.answer_bytes)
        return _Answer(observation, got_through=True)

    def _result(self, side: Callable[..., Any], args: dict[str, Any]) -> Any:
        result = side(**args)
        if type(result) not in _READY and inspect.isawaitable(result):
            return coroutines.finish(result, self.timeout_s)
        return result


def _hold(*, write: bool) -> None:
    """Raise _HeldBackError where what has just failed is to count for nothing, and to wait until its target answers."""
    admission = guard.current()
    if admission is not None and admission.withholds(write=write):
        raise _HeldBackError


def _is_down() -> bool:
    admission = guard.current()
    return admission is not None and not admission.guard.is_closed


def _seen(capture: Capture) -> dict[System, Observed]:
    """Return what the sides did that were invoked live; raises AssertionError where there is none."""
    seen: dict[System, Observed] = {}
    if capture.legacy is not msgspec.UNSET:
        seen[System.LEGACY] = Observed.of(capture.legacy)
    if capture.enhanced is not msgspec.UNSET:
        seen[System.ENHANCED] = Observed.of(capture.enhanced)
    assert seen
    return seen


def _legacy_raised(capture: Capture) -> bool:
    side = capture.legacy
    return side is not msgspec.UNSET and side.raised is not msgspec.UNSET and not side.raised.rejected


def _interrupted(capture: Capture) -> bool:
    """Tell whether the caller went away: what the last side invoked did is no outcome."""
    side = capture.enhanced if capture.legacy is msgspec.UNSET else capture.legacy
    return side is not msgspec.UNSET and side.raised is not msgspec.UNSET and side.raised.interrupted


def _unfair(capture: Capture, due: Due, *, causal: bool) -> str:
    """Return why comparing a read or generate call would be unfair; empty where it is fair.

    Decided from what is known of the calls around it, before any look at what either side did with it.
    """
    if _interrupted(capture):
        return "interrupted"
    if due.late:
        return "late"
    if due.unfair == "concurrent":
        return due.unfair
    return "causal" if causal else due.unfair


def _since_ms(started: float) -> float:
    return (time.monotonic() - started) * 1_000


def _unsure(binding: Binding) -> str:
    return "write_failed" if binding.idempotent else AMBIGUOUS
