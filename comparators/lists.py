"""Two lists, aligned: what is missing, what is new and what moved, each told once; edited items are left to others."""

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from comparators.alignment import Alignment, Entry, align
from comparators.canonical import JSON, encoded, same
from comparators.pairs import Pair
from comparators.paths import ROOT, item
from comparators.verdicts import ABSENT, Difference, Kind, Severity


@dataclass(frozen=True, slots=True)
class Side:
    """One list: its items as returned, and the entries made of what is compared of them."""

    items: Sequence[JSON]
    entries: Sequence[Entry]


@dataclass(frozen=True, slots=True)
class AlignedLists:
    """The two lists at `path`, and which item of one is which of the other."""

    path: str
    legacy: Side
    enhanced: Side
    alignment: Alignment

    def edited(self) -> Iterator[tuple[int, int]]:
        """Yield the pairs whose contents differ."""
        for i, j in self.alignment.pairs:
            if self.legacy.entries[i].content != self.enhanced.entries[j].content:
                yield i, j


def align_records(pair: Pair) -> AlignedLists:
    """Align two answers that are lists of records: what the schema leaves out is not compared, but pairs them."""
    return _aligned(ROOT, _records(pair, pair.legacy), _records(pair, pair.enhanced), pair.schema.telling)


def align_values(legacy: Sequence[JSON], enhanced: Sequence[JSON], path: str, key: str) -> AlignedLists:
    """Align two lists anywhere below a record, where all of an item is compared."""
    return _aligned(path, _side(legacy, legacy, key), _side(enhanced, enhanced, key), frozenset())


def list_differences(lists: AlignedLists, *, ordered: bool, loss: Severity = Severity.MAJOR) -> Iterator[Difference]:
    """Yield what is missing, new or moved; `loss` is the severity of an item that legacy has and enhanced lacks."""
    yield from _missing(lists, loss)
    yield from _extra(lists)
    if ordered:
        yield from _moved(lists)


def _missing(lists: AlignedLists, loss: Severity) -> Iterator[Difference]:
    lost, items = lists.alignment.lost, lists.legacy.items
    if not lists.enhanced.items:
        loss = Severity.CRITICAL
        if len(lost) > 1:  # an answer that became empty is one thing, not as many as it had
            yield Difference(lists.path, Kind.LOST, loss, items, [])
            return
    contents = {entry.content for entry in lists.enhanced.entries}
    for i in lost:
        repeated = lists.legacy.entries[i].content in contents
        kind, severity = (Kind.DEDUPLICATED, Severity.MAJOR) if repeated else (Kind.LOST, loss)
        yield Difference(item(lists.path, i), kind, severity, items[i], ABSENT)


def _extra(lists: AlignedLists) -> Iterator[Difference]:
    added, items, severity = lists.alignment.added, lists.enhanced.items, Severity.MAJOR
    if not lists.legacy.items:
        severity = Severity.CRITICAL
        if len(added) > 1:
            yield Difference(lists.path, Kind.ADDED, severity, [], items)
            return
    contents = {entry.content for entry in lists.legacy.entries}
    for j in added:
        kind = Kind.DUPLICATED if lists.enhanced.entries[j].content in contents else Kind.ADDED
        yield Difference(item(lists.path, j), kind, severity, ABSENT, items[j])


def _moved(lists: AlignedLists) -> Iterator[Difference]:
    """Yield one difference where the paired items stand in another order: legacy's indices as either side has them."""
    before = [i for i, _ in lists.alignment.pairs]
    after = [i for i, _ in sorted(lists.alignment.pairs, key=lambda both: both[1])]
    if before != after:
        yield Difference(lists.path, Kind.ORDER, Severity.MAJOR, before, after)


def _records(pair: Pair, items: Sequence[JSON]) -> Side:
    return _side(items, [pair.schema.record(each, pair.left_out) for each in items], pair.schema.key)


def _side(items: Sequence[JSON], compared: Sequence[JSON], key: str) -> Side:
    return Side(items, [Entry(encoded(part), _identity(each, key)) for each, part in zip(items, compared, strict=True)])


def _identity(each: JSON, key: str) -> bytes | None:
    identity = each.get(key) if isinstance(each, dict) else None
    return None if identity is None else encoded(identity)


def _aligned(path: str, legacy: Side, enhanced: Side, telling: AbstractSet[str]) -> AlignedLists:
    def alike(i: int, j: int) -> bool:
        return _alike(legacy.items[i], enhanced.items[j], telling)

    return AlignedLists(path, legacy, enhanced, align(legacy.entries, enhanced.entries, alike))


def _alike(left: JSON, right: JSON, telling: AbstractSet[str]) -> bool:
    """Tell whether two items at one place may be one item edited, rather than one lost and another added."""
    if not (telling and isinstance(left, dict) and isinstance(right, dict)):
        return type(left) is type(right)
    return any(left.get(name) and same(left[name], right.get(name)) for name in telling)
