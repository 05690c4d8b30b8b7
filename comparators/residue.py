"""What is left of one paired item goes to deepdiff, fenced: small, without lists to pair, strings cut to what decides.

deepdiff's cost grows with the square of what it has to pair and its text diff with the square of the lines, and some of
its options call unequal values equal; so everything but the last step is done before it, and it is never believed when
it finds nothing.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any, Final

from comparators.canonical import JSON, same
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
_CONTAINERS: Final = frozenset({dict, list})
_BLANK: Final[tuple[JSON, ...]] = (None, "", [], {})


def residue_differences(legacy: JSON, enhanced: JSON, path: str, budget: Budget) -> Iterator[Difference]:
    """Yield what differs between two unequal canonical values; as a whole where the budget is spent."""
    found: Sequence[Sequence[str | int]] = ()
    if budget.spend(_CALL_NODES + _nodes(legacy) + _nodes(enhanced)):
        found = [*_deepdiff_paths(legacy, enhanced)]
    for steps in found or ((),):
        yield leaf_difference(_at(legacy, steps), _at(enhanced, steps), below(path, steps))


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


def _deepdiff_paths(legacy: JSON, enhanced: JSON) -> Iterable[Sequence[str | int]]:
    """Return where deepdiff finds two values different, in order; fields of flat objects need no deepdiff for that."""
    if _is_flat(legacy) and _is_flat(enhanced):
        return _field_paths(legacy, enhanced)
    return sorted(_deep_paths(legacy, enhanced), key=_in_order)


def _is_flat(value: JSON) -> bool:
    """Tell whether a value is an object of nothing but scalars, and objects of scalars."""
    if type(value) is not dict:
        return False
    for item in value.values():
        kind = type(item)
        if kind is list or (kind is dict and not _CONTAINERS.isdisjoint(map(type, item.values()))):
            return False
    return True


def _field_paths(
    legacy: dict[str, JSON], enhanced: dict[str, JSON], above: tuple[str, ...] = ()
) -> list[tuple[str, ...]]:
    """Return the paths of the fields that differ in two flat objects."""
    paths = []
    for name in sorted({*legacy, *enhanced}):
        before, after = legacy.get(name, ABSENT), enhanced.get(name, ABSENT)
        if type(before) is type(after) is dict:
            paths += _field_paths(before, after, (*above, name))
        elif not same(before, after):
            paths.append((*above, name))
    return paths


def _in_order(steps: Sequence[str | int]) -> Any:
    return [(isinstance(step, str), step) for step in steps]


def _deep_paths(legacy: JSON, enhanced: JSON) -> Iterator[Sequence[str | int]]:
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
    """Count the values of a value at all its levels, itself too."""
    if type(value) is dict:
        value = value.values()
    elif type(value) is not list:
        return 1
    count = 1 + len(value)
    for item in value:
        if type(item) in _CONTAINERS:
            count += _nodes(item) - 1
    return count
