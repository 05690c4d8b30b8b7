"""What came of a capture, put together for the ledger: the outcome, why, and what people are shown of it."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from comparators import Call, Difference, Kind, Severity, Verdict
from gnomon.hashing import user_digest
from gnomon.serving import System
from gnomon.wire import Capture
from gnomon.wire import Kind as CallKind
from ledger import SUPERSEDED, Failure, Finding, KeptDifference, Opening, Outcome
from worker.exposure import live_us, served
from worker.failures import failure_of
from worker.judging import judged
from worker.observing import Observed
from worker.sampling import sampler

COMPARED: Final = (Outcome.MATCH, Outcome.IGNORED, Outcome.DIVERGED, Outcome.INCONCLUSIVE)
_UNANSWERED: Final = (Failure.TIMEOUT, Failure.REFUSED)
_LIVE_REASONS: Final = {"TimeLimitError": "timeout", "InvalidResultError": "invalid"}
_RECORDED: Final = (Verdict.DIVERGED, Verdict.FAILED)  # what people review
_OUTCOMES: Final = {verdict: Outcome(verdict.value) for verdict in Verdict}


class Replayed(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one capture, for the ledger and for the user's standing."""

    finding: Finding
    opening: Opening | None = None  #: enhanced may lack this write
    restored: bool = False  #: enhanced has this write now; its live half had failed


def judged_finding(
    capture: Capture,
    legacy: Observed,
    enhanced: Observed,
    *,
    failure: Failure | None = None,
    replayed_us: int = 0,
) -> Finding:
    """Have what both sides did judged. `failure` is how a replay failed; `replayed_us` when a read was replayed."""
    if legacy.is_identical(enhanced):
        return finding_of(capture, Outcome.MATCH, enhanced_returned=True, replayed_us=replayed_us)
    # read anew: what a replay did to what it was handed is no evidence
    args = msgspec.json.decode(capture.args)
    at = datetime.fromtimestamp(capture.start / 1_000_000, UTC)
    before, after = legacy.read(), enhanced.read()
    judgement = judged(capture.op, before, after, Call(user=capture.user, args=args, at=at))
    reason = judgement.reason
    if judgement.verdict is Verdict.DIVERGED and enhanced.exception and failure in _UNANSWERED:
        return finding_of(capture, Outcome.INCONCLUSIVE, f"enhanced: {failure}")  # it said nothing that could differ
    if judgement.verdict is not Verdict.FAILED:
        failure = None
    elif after.exception:
        failure, reason = failure or failure_of(after.exception.type), _why(capture, after.exception.type)
    kept = tuple(KeptDifference.of(capture.op, difference) for difference in judgement.differences)
    recorded = judgement.verdict in _RECORDED
    return finding_of(
        capture,
        _OUTCOMES[judgement.verdict],
        reason,
        failure=failure,
        differences=kept,
        sample=sampler().of(capture, kept, reason=reason, args=args, legacy=before, enhanced=after)
        if recorded
        else None,
        enhanced_returned=after.exception is None,
        replayed_us=replayed_us,
    )


def _why(capture: Capture, error: str) -> str:
    live = capture.enhanced is not msgspec.UNSET
    return _LIVE_REASONS.get(error, f"raised {error}") if live else f"raised {error}"


def finding_of(capture: Capture, outcome: Outcome, reason: str = "", **more: Any) -> Finding:
    """Return the finding on a capture; `more` are further fields of it."""
    return Finding(
        capture_id=capture.id,
        operation=capture.op,
        epoch=capture.epoch,
        user=capture.user,
        called_at_us=capture.start,
        outcome=outcome,
        reason=reason,
        exposure="served" if served(capture) else "shadow",
        live_us=live_us(capture),
        **more,
    )


def with_gap(finding: Finding, capture: Capture, reason: str) -> Replayed:
    """Return a finding with the gap that it opens: enhanced may lack a write."""
    if capture.kind is not CallKind.WRITE:
        return Replayed(finding=finding)
    digest = user_digest(capture.user)
    opening = Opening(digest=digest, since_us=capture.start, until_us=capture.end, reason=reason)
    return Replayed(finding=finding, opening=opening)


def excluded(capture: Capture, reason: str, seen: Mapping[System, Observed]) -> Finding:
    """Leave a call out of comparison; where enhanced was invoked and alone raised, it has failed all the same."""
    legacy, enhanced = seen.get(System.LEGACY), seen.get(System.ENHANCED)
    if legacy and legacy.exception is None and enhanced and enhanced.exception is not None:
        return judged_finding(capture, legacy, enhanced)
    returned = enhanced is not None and enhanced.exception is None
    return finding_of(capture, Outcome.EXCLUDED, reason, enhanced_returned=returned)


def superseded(finding: Finding) -> Finding:
    """Return the finding of a replay that came too late to be compared; one that enhanced raised on has failed."""
    if finding.outcome not in COMPARED:
        return finding
    return msgspec.structs.replace(finding, outcome=Outcome.EXCLUDED, reason=SUPERSEDED, differences=())


def timed_out(capture: Capture, timeout_s: float) -> Finding:
    """Return the finding of a replay on enhanced that was given up."""
    failure = Difference("$", Kind.FAILURE, Severity.MAJOR, enhanced=f"no answer within {timeout_s:g} s")
    return finding_of(
        capture,
        Outcome.FAILED,
        f"timeout: no answer within {timeout_s:g} s",
        failure=Failure.TIMEOUT,
        differences=(KeptDifference.of(capture.op, failure),),
    )
