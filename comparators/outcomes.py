"""Pairs of which a side raised: values are compared only where both sides returned."""

from comparators.observations import Observation, Raised
from comparators.paths import ROOT, member
from comparators.verdicts import ABSENT, Difference, Judgement, Kind, Severity, Verdict


def judge_outcomes(legacy: Observation, enhanced: Observation) -> Judgement:
    """Judge two observations of which at least one raised.

    Both alike: match. Enhanced alone: failed. Both differently, or legacy alone: diverged.
    """
    match legacy.exception, enhanced.exception:
        case None, Raised() as raised:
            difference = Difference(ROOT, Kind.FAILURE, Severity.MAJOR, ABSENT, _shown(raised))
            return Judgement(Verdict.FAILED, (difference,), "enhanced alone raised")
        case Raised() as raised, None:
            difference = Difference(ROOT, Kind.EXCEPTION, Severity.MAJOR, _shown(raised), ABSENT)
            return Judgement(Verdict.DIVERGED, (difference,), "legacy alone raised")
        case Raised() as expected, Raised() as actual:
            return _judge_exceptions(expected, actual)
    raise AssertionError("both sides returned")


def _judge_exceptions(legacy: Raised, enhanced: Raised) -> Judgement:
    if legacy == enhanced:
        return Judgement(Verdict.MATCH)
    name, severity = ("message", Severity.MINOR) if legacy.type == enhanced.type else ("type", Severity.MAJOR)
    path = member(ROOT, name)
    difference = Difference(path, Kind.EXCEPTION, severity, getattr(legacy, name), getattr(enhanced, name))
    return Judgement(Verdict.DIVERGED, (difference,), f"both raised, another {name}")


def _shown(raised: Raised) -> dict[str, str]:
    return {"type": raised.type, "message": raised.message}
