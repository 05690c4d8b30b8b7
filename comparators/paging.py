"""A full page moves at its edge: an item lost above pulls an older one in, an item inserted above pushes one out.

What the edge did is a consequence and not a finding, so it is taken off the alignment before anything is told.
"""

from collections.abc import Iterable

from comparators.lists import AlignedLists
from comparators.records import Record, Records


def without_edge(lists: AlignedLists, limit: object, time: str) -> AlignedLists:
    """Return `lists`, newest first, without what stands unpaired at the end of its page only because of the others.

    Both pages must be as long as `limit`. Of what found no partner, as many on either side, the older half may have
    come over the edge: an item does so only if it is strictly older (by its field `time`) than all of the newer half,
    and stands behind everything that is paired.
    """
    full = len(lists.legacy) == len(lists.enhanced) == limit
    if not (full and lists.alignment.pairs and lists.alignment.lost):
        return lists
    edge = _edge_time(lists, time)
    lost = _kept(lists.alignment.lost, lists.legacy, max(i for i, _ in lists.alignment.pairs), time, edge)
    added = _kept(lists.alignment.added, lists.enhanced, max(j for _, j in lists.alignment.pairs), time, edge)
    return lists._replace(alignment=lists.alignment._replace(lost=lost, added=added))


def _edge_time(lists: AlignedLists, time: str) -> str:
    """Return the time of the last item that cannot have come over the edge; "" where that can't be told."""
    unpaired = [lists.legacy[i] for i in lists.alignment.lost]
    unpaired += [lists.enhanced[j] for j in lists.alignment.added]
    times = sorted((_time_of(each, time) for each in unpaired), reverse=True)
    newer_half = times[: len(times) // 2]
    return newer_half[-1] if newer_half and all(times) else ""


def _kept(unpaired: Iterable[int], items: Records, last_paired: int, time: str, edge: str) -> tuple[int, ...]:
    return tuple(index for index in unpaired if not (index > last_paired and _time_of(items[index], time) < edge))


def _time_of(record: Record, time: str) -> str:
    """Return the instant of a record as canonical text, which sorts by time; "" where it has none."""
    instant = record.field(time)
    return instant if isinstance(instant, str) else ""
