"""The comparator of `memory.*`: a list of a user's memories, newest first, or one memory.

A lost memory is critical, and so is one that belongs to somebody else.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from comparators.lists import AlignedLists, align_records, list_differences
from comparators.paging import without_edge
from comparators.pairs import Pair
from comparators.paths import ROOT, item, member
from comparators.records import Record
from comparators.schemas import Schema
from comparators.structure import compare_structure, edits
from comparators.verdicts import ABSENT, Difference, Kind, Severity

_OWNER: Final = "user_id"
_TIME: Final = "created_at"

SCHEMA: Final = Schema(
    volatile=frozenset({"id", "created_at", "updated_at"}),
    minted=frozenset({"conversation_id"}),
    blank=frozenset({"metadata"}),
    unordered=frozenset({"facts", "tags"}),
    telling=frozenset({"content", "created_at", "metadata"}),
)


def compare(pair: Pair) -> Iterator[Difference]:
    """Yield what differs between two answers about a user's memories; leaks before losses before the rest."""
    lists = align_records(pair)
    if lists is not None:
        yield from _compare_lists(lists, pair)
        return
    before, after = pair.before.root, pair.after.root
    leak = _leak(before, after, ROOT, _owners(pair, [before]))
    yield from leak
    yield from _untold(compare_structure(pair), leak)


def _compare_lists(lists: AlignedLists, pair: Pair) -> Iterator[Difference]:
    leaks = _leaks(lists, _owners(pair, lists.legacy))
    yield from leaks
    limit = pair.call.args.get("limit") if pair.call is not None else None
    own = _without_added(lists, leaks)
    yield from list_differences(without_edge(own, limit, _TIME), ordered=pair.schema.ordered, loss=Severity.CRITICAL)
    yield from _untold(edits(lists, pair), leaks)


def _owners(pair: Pair, legacy: Iterable[Record]) -> frozenset[str]:
    """Return whose memories an answer may hold: the call's user's, else those legacy showed; ids by their text."""
    if pair.call is not None:
        return frozenset({str(pair.call.user)})
    return frozenset(filter(None, map(_owner, legacy)))


def _owner(memory: Record) -> str | None:
    owner = memory.field(_OWNER)
    return None if owner is None else str(owner)


def _leaks(lists: AlignedLists, owners: frozenset[str]) -> list[Difference]:
    """Find the foreign memories in enhanced's list, new ones and paired ones that changed hands."""
    found = []
    for j in lists.alignment.added:
        memory = lists.enhanced[j]
        if _is_foreign(memory, owners):
            found.append(Difference(item(ROOT, j), Kind.LEAK, Severity.CRITICAL, ABSENT, memory.form))
    for i, j in lists.alignment.edited:
        found += _leak(lists.legacy[i], lists.enhanced[j], item(ROOT, i), owners)
    return found


def _leak(legacy: Record, enhanced: Record, path: str, owners: frozenset[str]) -> list[Difference]:
    """Return the leak of one memory that is another user's only on the enhanced side, if it is."""
    if not _is_foreign(enhanced, owners) or _owner(enhanced) == _owner(legacy):
        return []
    before, after = legacy.field(_OWNER, ABSENT), enhanced.field(_OWNER)
    return [Difference(member(path, _OWNER), Kind.LEAK, Severity.CRITICAL, before, after)]


def _is_foreign(memory: Record, owners: frozenset[str]) -> bool:
    owner = _owner(memory)
    return bool(owners) and owner is not None and owner not in owners


def _without_added(lists: AlignedLists, leaks: Sequence[Difference]) -> AlignedLists:
    if not leaks:
        return lists
    told = {leak.path for leak in leaks}
    added = tuple(j for j in lists.alignment.added if item(ROOT, j) not in told)
    return lists._replace(alignment=lists.alignment._replace(added=added))


def _untold(differences: Iterable[Difference], leaks: Sequence[Difference]) -> Iterable[Difference]:
    """Return the differences at places where no leak was told."""
    if not leaks:
        return differences
    told = {leak.path for leak in leaks}
    return (difference for difference in differences if difference.path not in told)
