"""What is left of one paired item goes to deepdiff, fenced: small, without lists to pair, strings cut to what decides.

deepdiff's cost grows with the square of what it has to pair and its text diff with the square of the lines, and some of
its options call unequal values equal; so everything but the last step is done before it, and it is never believed when
it finds nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any, Final

from comparators.canonical import JSON
from comparators.pairs import Budget
from comparators.paths import ROOT, below
from comparators.verdicts import ABSENT, Difference, Kind, Severity

_OPTIONS: Final[Mapping[str, Any]] = {
    "ignore_order": False,
    "zip_ordered_iterables": True,
    "threshold_to_diff_deeper": 0,
    "ignore_private_variables": False,
    "ignore_nan_inequality": True,
    "verbose_level": 2,
    "view": "tree",
    "cache_size": 0,
}
_WHOLE_TEXT: Final = 200  # characters; longer text goes in by its hash
_CALL_NODES: Final = 5  # what a call costs by itself, in values looked at
_BLANK: Final[tuple[JSON, ...]] = (None, "", [], {})


def residue_differences(legacy: JSON, enhanced: JSON, path: str, budget: Budget) -> Iterator[Difference]:
    """Yield what differs between two unequal canonical values; as a whole where the budget is spent."""
    found = False
    if budget.spend(_CALL_NODES + _nodes(legacy) + _nodes(enhanced)):
        for steps in _deepdiff_paths(legacy, enhanced):
            found = True
            yield leaf_difference(_at(legacy, steps), _at(enhanced, steps), below(path, steps))
    if not found:
        yield leaf_difference(legacy, enhanced, path)


def leaf_difference(legacy: JSON, enhanced: JSON, path: str) -> Difference:
    """Return the difference of two unequal values as one."""
    kind = _kind(legacy, enhanced)
    return Difference(path, kind, _severity(kind, legacy, enhanced, path), legacy, enhanced)


def _kind(legacy: JSON, enhanced: JSON) -> Kind:
    if enhanced is ABSENT:
        return Kind.LOST
    if legacy is ABSENT:
        return Kind.ADDED
    return Kind.CHANGED if _json_type(legacy) is _json_type(enhanced) else Kind.TYPE


def _json_type(value: JSON) -> type:
    return float if type(value) is int else type(value)


def _severity(kind: Kind, legacy: JSON, enhanced: JSON, path: str) -> Severity:
    emptied = isinstance(legacy, list) and legacy and enhanced in _BLANK
    replaced = kind is Kind.TYPE and path == ROOT and legacy not in _BLANK
    return Severity.CRITICAL if emptied or replaced else Severity.MAJOR


def _deepdiff_paths(legacy: JSON, enhanced: JSON) -> Iterator[Sequence[str | int]]:
    # imported where it is used: it takes 0.2 s, and most of what imports verdicts never diffs
    from deepdiff import DeepDiff

    tree = DeepDiff(_tamed(legacy), _tamed(enhanced), **_OPTIONS)
    for levels in tree.values():
        for level in levels:
            yield level.path(output_format="list")


def _tamed(value: JSON) -> JSON:
    """Return `value` with text that deepdiff would take long over replaced by a hash of it."""
    if isinstance(value, dict):
        return {key: _tamed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_tamed(item) for item in value]
    if isinstance(value, str) and (len(value) > _WHOLE_TEXT or "\n" in value):
        return sha256(value.encode()).hexdigest()
    return value


def _at(value: JSON, steps: Sequence[str | int]) -> JSON:
    """Return what `steps` lead to in `value`, `ABSENT` where they lead nowhere."""
    try:
        for step in steps:
            value = value[step]
    except (KeyError, IndexError):
        return ABSENT
    return value


def _nodes(value: JSON) -> int:
    if isinstance(value, dict):
        return 1 + sum(map(_nodes, value.values()))
    if isinstance(value, list):
        return 1 + sum(map(_nodes, value))
    return 1
