"""Which item of legacy's list is which of enhanced's: by content first, then by identity, last by place.

Content counts with multiplicity and before identity, so that two systems that number their records each in its own way
lose one item, not all that follow it. Linear in the items; order is judged by others, on what is paired here.
"""

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Final, NamedTuple, Protocol, TypeVar

Alike = Callable[[int, int], bool]  # may legacy's item i, edited, be enhanced's item j?


class Labelled(Protocol):
    """An item as far as pairing looks: the bytes of what is compared, and of its identity where it has one.

    They are asked for only where they decide, and never of an item that stands on both sides as one object.
    """

    @property
    def content(self) -> bytes: ...  # noqa: D102

    @property
    def identity(self) -> bytes | None: ...  # noqa: D102


class Entries(Protocol):
    """A list of them; what is never asked for need not be there yet."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Labelled: ...

    def __iter__(self) -> Iterator[Labelled]: ...


class Entry(NamedTuple):
    """The least that can be paired."""

    content: bytes
    identity: bytes | None


class Alignment(NamedTuple):
    """Pairs (index in legacy, index in enhanced) by legacy's index, those that differ, and what found no partner."""

    pairs: Sequence[tuple[int, int]]
    edited: Sequence[tuple[int, int]]
    lost: Sequence[int]
    added: Sequence[int]
    in_order: bool  #: whether the pairs stand in one order on both sides


def align(legacy: Entries, enhanced: Entries, alike: Alike, *, head: int = 0, tail: int = 0) -> Alignment:
    """Pair the entries of two lists; `alike` has the last word where neither content nor identity speaks.

    As many as `head` say at the start, and `tail` at the end, are known to be the same, and are not looked at.
    """
    if head + tail + 1 == len(legacy) == len(enhanced) and _have_one_identity(legacy[head], enhanced[head]):
        return _one_edit(len(legacy), head)
    aligner = _Aligner(legacy, enhanced)
    aligner.pair_ends(head, tail)
    if aligner.may_share_contents():
        aligner.pair_contents()
    if aligner.is_unfinished():
        aligner.pair_identities()
    if aligner.is_unfinished():
        aligner.pair_places(alike)
    return aligner.alignment()


def _one_edit(count: int, place: int) -> Alignment:
    """Return how two lists are paired that differ at one place in one record: most that differ do so."""
    return Alignment([*zip(range(count), range(count), strict=True)], [(place, place)], (), (), in_order=True)


_Label = TypeVar("_Label")
_START: Final = -1  # the anchor of what precedes every pair


class _Aligner:
    """The pairs found so far between the ends that are equal, and what is left there on either side."""

    def __init__(self, legacy: Entries, enhanced: Entries) -> None:
        self._legacy = legacy
        self._enhanced = enhanced
        self._known: list[tuple[int, int]] = []  # without being looked at
        self._ends: list[tuple[int, int]] = []
        self._equal: dict[int, int] = {}
        self._edited: dict[int, int] = {}
        self._taken: set[int] = set()  # of enhanced, in any pair between the ends
        self._lost: Sequence[int] = ()
        self._added: Sequence[int] = ()

    def is_unfinished(self) -> bool:
        """Tell whether both sides have something left to pair."""
        return bool(self._lost and self._added)

    def may_share_contents(self) -> bool:
        """Tell whether an item of one side may be one of the other's: two alone are not, or they would be an end."""
        return self.is_unfinished() and len(self._lost) + len(self._added) > 2  # noqa: PLR2004

    def alignment(self) -> Alignment:
        """Return what was found."""
        pairs = sorted((*self._known, *self._ends, *self._equal.items(), *self._edited.items()))
        places = [j for _, j in pairs]
        in_order = places == sorted(places)
        return Alignment(pairs, sorted(self._edited.items()), self._lost, self._added, in_order)

    def pair_ends(self, head: int, tail: int) -> None:
        """Pair equal heads and tails, so that among repeated items the one that is missing is the one at its place."""
        legacy, enhanced = self._legacy, self._enhanced
        last, last_added = len(legacy), len(enhanced)
        shorter = min(last, last_added)
        self._known = [(i, i) for i in range(head)]
        while head < shorter and _are_equal(legacy[head], enhanced[head]):
            self._ends.append((head, head))
            head += 1
        tail = min(tail, shorter - head)
        self._known += [(last - back, last_added - back) for back in range(tail, 0, -1)]
        while tail < shorter - head and _are_equal(legacy[last - tail - 1], enhanced[last_added - tail - 1]):
            tail += 1
            self._ends.append((last - tail, last_added - tail))
        self._lost, self._added = range(head, last - tail), range(head, last_added - tail)

    def pair_contents(self) -> None:
        """Pair equal contents, first with first; where one side has more of them, those of one identity before."""
        of_legacy = _indices((i, self._legacy[i].content) for i in self._lost)
        of_enhanced = _indices((j, self._enhanced[j].content) for j in self._added)
        for content, left in of_legacy.items():
            right = of_enhanced.get(content)
            if right is None:
                continue
            if len(left) != len(right):
                self._pair_same_identities(left, right, self._equal)
            self._pair_in_order(left, right)
        self._leave_unpaired()

    def pair_identities(self) -> None:
        """Pair what was edited by its identity, unless each side numbers its records in its own way."""
        if self._identities_are_shared():
            self._pair_same_identities(self._lost, self._added, self._edited)
            self._leave_unpaired()

    def pair_places(self, alike: Alike) -> None:
        """Pair what is left between the same neighbours, as many on both sides, where it may be the same edited."""
        shared = self._identities_are_shared()
        pairs = dict((*self._known, *self._ends, *self._equal.items(), *self._edited.items()))
        anchors, origins = {i: i for i in pairs}, {j: i for i, j in pairs.items()}
        of_legacy = _open_places(self._legacy, anchors, contents_of(self._enhanced), shared=shared)
        of_enhanced = _open_places(self._enhanced, origins, contents_of(self._legacy), shared=shared)
        for anchor, left in of_legacy.items():
            right = of_enhanced.get(anchor, ())
            if len(left) == len(right):
                self._pair_alike(zip(left, right, strict=True), alike)
        self._leave_unpaired()

    def _pair_alike(self, couples: Iterable[tuple[int, int]], alike: Alike) -> None:
        for i, j in couples:
            if alike(i, j):
                self._pair(i, j, self._edited)

    def _pair(self, i: int, j: int, pairs: dict[int, int]) -> None:
        pairs[i] = j
        self._taken.add(j)

    def _pair_in_order(self, left: Iterable[int], right: Iterable[int]) -> None:
        free_left = [i for i in left if i not in self._equal]
        free_right = [j for j in right if j not in self._taken]
        for i, j in zip(free_left, free_right, strict=False):
            self._pair(i, j, self._equal)

    def _pair_same_identities(self, left: Iterable[int], right: Iterable[int], pairs: dict[int, int]) -> None:
        waiting = _indices((j, self._enhanced[j].identity) for j in right)
        for i in left:
            identity = self._legacy[i].identity
            if identity is not None and waiting.get(identity):
                self._pair(i, waiting[identity].popleft(), pairs)

    def _leave_unpaired(self) -> None:
        """Keep what found no partner."""
        self._lost = [i for i in self._lost if i not in self._equal and i not in self._edited]
        self._added = [j for j in self._added if j not in self._taken]

    def _identities_are_shared(self) -> bool:
        """Let what is paired by content tell whether equal identities mean equal records; without it, they do."""
        read = [*self._ends, *self._equal.items(), *self._edited.items()]
        votes = [*map(self._vote, read)]
        against = votes.count(False)
        return not against or votes.count(True) + [*map(self._vote, self._known)].count(True) >= against

    def _vote(self, pair: tuple[int, int]) -> bool | None:
        """Tell whether a pair has one identity, None where one of them has none."""
        before, after = self._legacy[pair[0]].identity, self._enhanced[pair[1]].identity
        return None if before is None or after is None else before == after


def _have_one_identity(before: Labelled, after: Labelled) -> bool:
    return before.identity is not None and before.identity == after.identity and before.content != after.content


def _are_equal(before: Labelled, after: Labelled) -> bool:
    return before is after or before.content == after.content


def _indices(labelled: Iterable[tuple[int, _Label]]) -> dict[_Label, deque[int]]:
    """Gather indices by their label, in order."""
    gathered: dict[_Label, deque[int]] = defaultdict(deque)
    for index, label in labelled:
        gathered[label].append(index)
    return gathered


def contents_of(entries: Entries) -> set[bytes]:
    """Return the different contents of `entries`."""
    return {entry.content for entry in entries}


def _open_places(
    entries: Entries, anchors: Mapping[int, int], elsewhere: AbstractSet[bytes], *, shared: bool
) -> dict[int, deque[int]]:
    """Gather what may be paired by place, by the pair before it (`anchors` names a paired entry's pair).

    Not what repeats an item that the other side has (`elsewhere`), nor what a shared identity tells apart.
    """
    gathered: dict[int, deque[int]] = defaultdict(deque)
    anchor = _START
    for index, entry in enumerate(entries):
        if index in anchors:
            anchor = anchors[index]
        elif entry.content not in elsewhere and not (shared and entry.identity is not None):
            gathered[anchor].append(index)
    return gathered
