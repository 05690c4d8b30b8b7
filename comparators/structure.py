"""Comparing by structure: the comparator of every operation that has none of its own, and what the others build on."""

from collections.abc import Iterator

from comparators.canonical import JSON, encoded, same
from comparators.lists import AlignedLists, align_records, align_values, list_differences
from comparators.pairs import Pair
from comparators.paths import ROOT, item, member
from comparators.records import Record
from comparators.residue import leaf_difference, residue_differences
from comparators.verdicts import ABSENT, Difference


def compare_structure(pair: Pair) -> Iterator[Difference]:
    """Yield what differs between two answers of any shape."""
    lists = align_records(pair)
    if lists is None:
        yield from record_differences(pair.before.root, pair.after.root, ROOT, pair)
        return
    yield from list_differences(lists, ordered=pair.schema.ordered)
    yield from edits(lists, pair)


def edits(lists: AlignedLists, pair: Pair) -> Iterator[Difference]:
    """Yield what differs inside the paired records of two lists."""
    for i, j in lists.alignment.edited:
        yield from record_differences(lists.legacy[i], lists.enhanced[j], item(lists.path, i), pair)


def record_differences(legacy: Record, enhanced: Record, path: str, pair: Pair) -> Iterator[Difference]:
    """Yield what differs in what is compared of two records."""
    before, after = legacy.compared, enhanced.compared
    if type(before) is type(after) is dict:
        return _object_differences(before, after, path, pair)
    return value_differences(before, after, path, pair)


def value_differences(
    legacy: JSON, enhanced: JSON, path: str, pair: Pair, *, ordered: bool = True
) -> Iterator[Difference]:
    """Yield what differs between two values below a record."""
    if same(legacy, enhanced):
        return
    if isinstance(legacy, dict) and isinstance(enhanced, dict):
        yield from _object_differences(legacy, enhanced, path, pair)
    elif isinstance(legacy, list) and isinstance(enhanced, list):
        yield from _value_list_differences(legacy, enhanced, path, pair, ordered=ordered)
    else:
        yield leaf_difference(legacy, enhanced, path)


def _value_list_differences(
    legacy: list[JSON], enhanced: list[JSON], path: str, pair: Pair, *, ordered: bool
) -> Iterator[Difference]:
    lists = align_values(legacy, enhanced, path, pair.schema.key)
    yield from list_differences(lists, ordered=ordered)
    for i, j in lists.alignment.edited:
        yield from value_differences(legacy[i], enhanced[j], item(path, i), pair)


def _object_differences(
    legacy: dict[str, JSON], enhanced: dict[str, JSON], path: str, pair: Pair
) -> Iterator[Difference]:
    """Pair the lists below two objects ourselves, and leave the rest to the residue."""
    left: dict[str, JSON] = {}
    left_of_enhanced: dict[str, JSON] = {}
    for name in sorted({*legacy, *enhanced}):
        before, after = legacy.get(name, ABSENT), enhanced.get(name, ABSENT)
        if same(before, after):
            continue
        if _holds_lists(before, after):
            ordered = name not in pair.schema.unordered
            yield from value_differences(before, after, member(path, name), pair, ordered=ordered)
            continue
        if before is not ABSENT:
            left[name] = before
        if after is not ABSENT:
            left_of_enhanced[name] = after
    if left or left_of_enhanced:
        yield from residue_differences(left, left_of_enhanced, path, pair.budget)


def _holds_lists(legacy: JSON, enhanced: JSON) -> bool:
    """Tell whether two values are lists, or objects that may hold lists at one place.

    A bracket inside of a text counts too: then the objects are walked here, which is slower and finds the same.
    """
    if isinstance(legacy, dict) and isinstance(enhanced, dict):
        return b"[" in encoded(legacy) and b"[" in encoded(enhanced)
    return isinstance(legacy, list) and isinstance(enhanced, list)
