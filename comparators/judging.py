"""The judgement of one replayed capture: outcomes first, then values; it never raises and never takes long.

The common case is an equal answer, so bytes are compared before anything is brought into canonical form: equal bytes
are equal values. Everything else passes the fences, and only what is left reaches a comparator.
"""

from itertools import islice
from typing import Any, Final

import msgspec

from comparators.answers import Lines, read
from comparators.canonical import MAX_BYTES, Unjudgeable
from comparators.lines import is_same_but_for, within_fences
from comparators.observations import Call, Observation
from comparators.outcomes import judge_outcomes
from comparators.pairs import Pair
from comparators.records import Reading
from comparators.registry import Entry, entry_of
from comparators.verdicts import Difference, Judgement, Kind, Severity, Verdict

MAX_DIFFERENCES: Final = 200  # told of one pair; comparators tell the worst first

_MATCH: Final = Judgement(Verdict.MATCH)


def judge(operation: str, legacy: Observation, enhanced: Observation, *, call: Call | None = None) -> Judgement:
    """Judge what enhanced did against what legacy did for the same call of `operation`.

    Never raises; a pair that cannot be judged is inconclusive, with a reason that holds no payload.
    """
    try:
        if legacy.exception is not None or enhanced.exception is not None:
            return judge_outcomes(legacy, enhanced)
        lines = _lines(legacy.value, enhanced.value)
        if lines is not None and lines[0] == lines[1] and within_fences(lines[0], legacy.value, enhanced.value):
            return _MATCH
        return _judge_unequal(entry_of(operation), lines, legacy, enhanced, call)
    except Unjudgeable as unjudgeable:
        return Judgement(Verdict.INCONCLUSIVE, reason=unjudgeable.reason)
    except Exception as error:
        return Judgement(Verdict.INCONCLUSIVE, reason=f"comparator raised {type(error).__name__}")


_encode: Final = msgspec.json.Encoder().encode


def _lines(legacy: Any, enhanced: Any) -> Lines | None:
    """Return both answers as JSON; None where one is not what the wire can carry as it is, or too long."""
    try:
        before = _encode(legacy)
        return (before, _encode(enhanced)) if len(before) <= MAX_BYTES else None
    except Exception:
        return None


def _judge_unequal(
    entry: Entry, lines: Lines | None, legacy: Observation, enhanced: Observation, call: Call | None
) -> Judgement:
    reading = Reading(entry.schema, entry.schema.left_out(call))
    if lines and _may_be_renewed(legacy.value, enhanced.value) and _is_same_but_for(reading, legacy, enhanced):
        return _MATCH
    try:
        before, after = read(legacy.value, enhanced.value, lines, reading)
    except Unjudgeable:
        if lines and _is_same_but_for(reading, legacy, enhanced):
            return _MATCH  # to the byte, so nobody has to understand it
        raise
    if before.equals(after):
        return _MATCH
    return _judge_values(entry, Pair(before=before, after=after, call=call, context=enhanced.context))


def _is_same_but_for(reading: Reading, legacy: Observation, enhanced: Observation) -> bool:
    return is_same_but_for(reading.left_out, legacy.value, enhanced.value)


def _may_be_renewed(legacy: Any, enhanced: Any) -> bool:
    """Tell whether two answers differ as if what is left out of their records differed in each; a guess."""
    if type(legacy) is type(enhanced) is list and legacy and enhanced:
        return bool(legacy[0] != enhanced[0] and legacy[-1] != enhanced[-1])
    return True


def _judge_values(entry: Entry, pair: Pair) -> Judgement:
    return _judged(tuple(islice(entry.compare(pair), MAX_DIFFERENCES)))


_VOUCHED_FOR: Final = (Kind.ADDED, Kind.REPHRASED)  # where minor


def _judged(found: tuple[Difference, ...]) -> Judgement:
    if not found:
        return _MATCH
    if all(difference.kind in _VOUCHED_FOR and difference.severity is Severity.MINOR for difference in found):
        rephrased = all(difference.kind is Kind.REPHRASED for difference in found)
        return Judgement(Verdict.IGNORED, found, "rephrased" if rephrased else "enriched")
    counts: dict[Kind, int] = {}
    for difference in found:
        counts[difference.kind] = counts.get(difference.kind, 0) + 1
    more = f", {MAX_DIFFERENCES} told" if len(found) == MAX_DIFFERENCES else ""
    return Judgement(Verdict.DIVERGED, found, ", ".join([f"{counts[kind]} {kind}" for kind in counts]) + more)
