"""Has a pair judged, and knows which threads are at it: a judge that never comes back is no fault of what was asked."""

from threading import get_ident
from typing import Final

from comparators import Call, Judgement, Observation, judge

_judging: Final = set[int]()  # threads


def judged(operation: str, legacy: Observation, enhanced: Observation, call: Call) -> Judgement:
    """Return the judgement of `comparators.judge`, of which others may ask meanwhile (`is_judging`)."""
    thread = get_ident()
    _judging.add(thread)
    try:
        return judge(operation, legacy, enhanced, call=call)
    finally:
        _judging.discard(thread)


def is_judging(thread: int) -> bool:
    """Tell whether a thread is judging."""
    return thread in _judging
