"""The judgement of one replayed capture: outcomes first, then values; it never raises and never takes long.

The common case is an equal answer, so bytes are compared before anything is brought into canonical form: equal bytes
are equal values. Everything else passes the fences, and only what is left reaches a comparator.
"""

import re
from collections import Counter
from itertools import islice
from typing import Any, Final

import msgspec

from comparators.canonical import JSON, MAX_BYTES, Unjudgeable, canonical, same
from comparators.identical import fits
from comparators.observations import Call, Observation
from comparators.outcomes import judge_outcomes
from comparators.pairs import Pair
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
        entry = entry_of(operation)
        left_out = entry.schema.left_out(call)
        if _equal_bytes(legacy.value, enhanced.value, left_out):
            return _MATCH
        return _judge_values(entry, left_out, legacy, enhanced, call)
    except Unjudgeable as unjudgeable:
        return Judgement(Verdict.INCONCLUSIVE, reason=unjudgeable.reason)
    except Exception as error:
        return Judgement(Verdict.INCONCLUSIVE, reason=f"comparator raised {type(error).__name__}")


def _equal_bytes(legacy: Any, enhanced: Any, left_out: frozenset[str]) -> bool:
    """Tell whether two answers are certainly equal and within the fences; False tells nothing."""
    try:
        raw = _encode(legacy)
        if len(raw) > MAX_BYTES:
            return False
        if raw != _encode(enhanced):  # mostly even what is volatile is equal, since writes carry legacy's identity
            raw = _encode(_without(legacy, left_out))
            if raw != _encode(_without(enhanced, left_out)):
                return False
        return _within_fences(raw, legacy, enhanced)
    except Exception:
        return False  # not what the wire can carry as it is: the long way will tell


_encode: Final = msgspec.json.Encoder().encode


def _without(value: Any, left_out: frozenset[str]) -> Any:
    """Return an answer without the fields left out of its records; shallow, for this is run on every pair."""
    if type(value) is dict:
        return _without_fields(value, left_out)
    if type(value) is list:
        return [_without_fields(item, left_out) if type(item) is dict else item for item in value]
    return value


def _without_fields(record: dict[str, Any], left_out: frozenset[str]) -> dict[str, Any]:
    record = record.copy()
    for name in left_out:
        record.pop(name, None)
    return record


_NOT_FINITE: Final = re.compile(rb"\xcb[\x7f\xff][\xf0-\xff]")  # a double of MessagePack whose exponent is all ones


def _within_fences(raw: bytes, *values: Any) -> bool:
    """Tell from the bytes of an answer whether it passes every fence; a doubt says no, and the long way decides."""
    if b"null" in raw and any(_NOT_FINITE.search(msgspec.msgpack.encode(value)) for value in values):
        return False  # JSON writes null for NaN and infinity
    return fits(raw)


def _judge_values(
    entry: Entry, left_out: frozenset[str], legacy: Observation, enhanced: Observation, call: Call | None
) -> Judgement:
    schema = entry.schema
    expected = schema.settled(_canonical("legacy", legacy))
    actual = schema.settled(_canonical("enhanced", enhanced))
    if same(schema.compared(expected, left_out), schema.compared(actual, left_out)):
        return _MATCH
    pair = Pair(legacy=expected, enhanced=actual, schema=schema, left_out=left_out, call=call, context=enhanced.context)
    return _judged(tuple(islice(entry.compare(pair), MAX_DIFFERENCES)))


def _canonical(side: str, observation: Observation) -> JSON:
    try:
        return canonical(observation.value)
    except Unjudgeable as unjudgeable:
        raise Unjudgeable(f"{side}: {unjudgeable.reason}") from None


def _judged(found: tuple[Difference, ...]) -> Judgement:
    if not found:
        return _MATCH
    if all(difference.kind is Kind.ADDED and difference.severity is Severity.MINOR for difference in found):
        return Judgement(Verdict.IGNORED, found, "enriched")
    counts = Counter(difference.kind.value for difference in found)
    more = f", {MAX_DIFFERENCES} told" if len(found) == MAX_DIFFERENCES else ""
    return Judgement(Verdict.DIVERGED, found, ", ".join(f"{count} {kind}" for kind, count in counts.items()) + more)
