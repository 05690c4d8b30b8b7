"""Two lists, aligned: what is missing, what is new and what moved, each told once; edited items are left to others."""

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from comparators.alignment import Alignment, align, contents_of
from comparators.canonical import JSON, same
from comparators.pairs import Pair
from comparators.paths import ROOT, item
from comparators.records import Reading, Record, Records
from comparators.schemas import Schema
from comparators.verdicts import ABSENT, Difference, Kind, Severity


class AlignedLists(NamedTuple):
    """The two lists at `path`, and which item of one is which of the other."""

    path: str
    legacy: Records
    enhanced: Records
    alignment: Alignment


def align_records(pair: Pair) -> AlignedLists | None:
    """Align two answers that are lists of records, None where one is no list.

    What the schema leaves out is not compared, but pairs them.
    """
    if pair.before.records is None or pair.after.records is None:
        return None
    return _aligned(ROOT, pair.before.records, pair.after.records, pair.schema.telling)


def align_values(legacy: Sequence[JSON], enhanced: Sequence[JSON], path: str, key: str) -> AlignedLists:
    """Align two lists anywhere below a record, in canonical form, where all of an item is compared."""
    reading = Reading(Schema(key=key))
    return _aligned(path, reading.of_forms(legacy), reading.of_forms(enhanced), frozenset())


def list_differences(lists: AlignedLists, *, ordered: bool, loss: Severity = Severity.MAJOR) -> Iterator[Difference]:
    """Yield what is missing, new or moved; `loss` is the severity of an item that legacy has and enhanced lacks."""
    if lists.alignment.lost:
        yield from _missing(lists, loss)
    if lists.alignment.added:
        yield from _extra(lists)
    if ordered and not lists.alignment.in_order:
        yield _moved(lists)


def _missing(lists: AlignedLists, loss: Severity) -> Iterator[Difference]:
    lost = lists.alignment.lost
    if not len(lists.enhanced):
        loss = Severity.CRITICAL
        if len(lost) > 1:  # an answer that became empty is one thing, not as many as it had
            yield Difference(lists.path, Kind.LOST, loss, lists.legacy.forms(), [])
            return
    contents = contents_of(lists.enhanced)
    for i in lost:
        repeated = lists.legacy[i].content in contents
        kind, severity = (Kind.DEDUPLICATED, Severity.MAJOR) if repeated else (Kind.LOST, loss)
        yield Difference(item(lists.path, i), kind, severity, lists.legacy[i].form, ABSENT)


def _extra(lists: AlignedLists) -> Iterator[Difference]:
    added, severity = lists.alignment.added, Severity.MAJOR
    if not len(lists.legacy):
        severity = Severity.CRITICAL
        if len(added) > 1:
            yield Difference(lists.path, Kind.ADDED, severity, [], lists.enhanced.forms())
            return
    contents = contents_of(lists.legacy)
    for j in added:
        kind = Kind.DUPLICATED if lists.enhanced[j].content in contents else Kind.ADDED
        yield Difference(item(lists.path, j), kind, severity, ABSENT, lists.enhanced[j].form)


def _moved(lists: AlignedLists) -> Difference:
    """Return the one difference of paired items in another order: legacy's indices as either side has them."""
    before = [i for i, _ in lists.alignment.pairs]
    after = [i for i, _ in sorted(lists.alignment.pairs, key=lambda both: both[1])]
    return Difference(lists.path, Kind.ORDER, Severity.MAJOR, before, after)


def _aligned(path: str, legacy: Records, enhanced: Records, telling: AbstractSet[str]) -> AlignedLists:
    def alike(i: int, j: int) -> bool:
        return _alike(legacy[i], enhanced[j], telling)

    head, tail = legacy.same_ends(enhanced)
    return AlignedLists(path, legacy, enhanced, align(legacy, enhanced, alike, head=head, tail=tail))


def _alike(left: Record, right: Record, telling: AbstractSet[str]) -> bool:
    """Tell whether two items at one place may be one item edited, rather than one lost and another added."""
    if not (telling and isinstance(left.value, dict) and isinstance(right.value, dict)):
        return type(left.form) is type(right.form)
    return any(left.field(name) and same(left.field(name), right.field(name)) for name in telling)
