"""Which item of legacy's list is which of enhanced's: by content first, then by identity, last by place.

Content counts with multiplicity and before identity, so that two systems that number their records each in its own way
lose one item, not all that follow it. Linear in the items; order is judged by others, on what is paired here.
"""

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
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


class Entry(NamedTuple):
    """The least that can be paired."""

    content: bytes
    identity: bytes | None


@dataclass(frozen=True, slots=True)
class Alignment:
    """Pairs (index in legacy, index in enhanced) by legacy's index, and what found no partner."""

    pairs: tuple[tuple[int, int], ...]
    lost: tuple[int, ...]
    added: tuple[int, ...]


def align(legacy: Sequence[Labelled], enhanced: Sequence[Labelled], alike: Alike) -> Alignment:
    """Pair the entries of two lists; `alike` has the last word where neither content nor identity speaks."""
    aligner = _Aligner(legacy, enhanced)
    aligner.pair_ends()
    aligner.pair_contents()
    aligner.pair_identities()
    aligner.pair_places(alike)
    return Alignment(
        pairs=tuple(sorted(aligner.partners.items())),
        lost=tuple(aligner.lost),
        added=tuple(aligner.added),
    )


_Label = TypeVar("_Label")
_START: Final = -1  # the anchor of what precedes every pair


class _Aligner:
    """The pairs found so far, in both directions, and what is left on either side; a step without anything left is none."""

    def __init__(self, legacy: Sequence[Labelled], enhanced: Sequence[Labelled]) -> None:
        self._legacy = legacy
        self._enhanced = enhanced
        self.partners: dict[int, int] = {}
        self._origins: dict[int, int] = {}
        self.lost: Sequence[int] = range(len(legacy))
        self.added: Sequence[int] = range(len(enhanced))

    def pair_ends(self) -> None:
        """Pair equal heads and tails, so that among repeated items the one that is missing is the one at its place."""
        head = _equal_head(self._legacy, self._enhanced)
        tail = _equal_head(self._legacy[head:][::-1], self._enhanced[head:][::-1])
        last, last_added = len(self._legacy) - tail, len(self._enhanced) - tail
        self._pair_all(self.lost[:head], self.added[:head])
        self._pair_all(self.lost[last:], self.added[last_added:])
        self.lost, self.added = self.lost[head:last], self.added[head:last_added]

    def pair_contents(self) -> None:
        """Pair equal contents, first with first; where one side has more of them, those of one identity before."""
        if not (self.lost and self.added):
            return
        of_legacy = _indices((i, self._legacy[i].content) for i in self.lost)
        of_enhanced = _indices((j, self._enhanced[j].content) for j in self.added)
        for content, left in of_legacy.items():
            right = of_enhanced.get(content)
            if right is None:
                continue
            if len(left) != len(right):
                self._pair_same_identities(left, right)
            self._pair_in_order(left, right)
        self._leave_unpaired()

    def pair_identities(self) -> None:
        """Pair what was edited by its identity, unless each side numbers its records in its own way."""
        if self.lost and self.added and self._identities_are_shared():
            self._pair_same_identities(self.lost, self.added)
            self._leave_unpaired()

    def pair_places(self, alike: Alike) -> None:
        """Pair what is left between the same neighbours, as many on both sides, where it may be the same edited."""
        if not (self.lost and self.added):
            return
        shared = self._identities_are_shared()
        of_legacy = _open_places(self._legacy, {i: i for i in self.partners}, contents_of(self._enhanced), shared=shared)
        of_enhanced = _open_places(self._enhanced, self._origins, contents_of(self._legacy), shared=shared)
        for anchor, left in of_legacy.items():
            right = of_enhanced.get(anchor, ())
            if len(left) == len(right):
                self._pair_alike(zip(left, right, strict=True), alike)
        self._leave_unpaired()

    def _pair_alike(self, couples: Iterable[tuple[int, int]], alike: Alike) -> None:
        for i, j in couples:
            if alike(i, j):
                self._pair(i, j)

    def _pair(self, i: int, j: int) -> None:
        self.partners[i] = j
        self._origins[j] = i

    def _pair_all(self, left: Sequence[int], right: Sequence[int]) -> None:
        self.partners.update(zip(left, right, strict=True))
        self._origins.update(zip(right, left, strict=True))

    def _pair_in_order(self, left: Sequence[int], right: Sequence[int]) -> None:
        free_left = [i for i in left if i not in self.partners]
        free_right = [j for j in right if j not in self._origins]
        for i, j in zip(free_left, free_right, strict=False):
            self._pair(i, j)

    def _pair_same_identities(self, left: Sequence[int], right: Sequence[int]) -> None:
        waiting = _indices((j, self._enhanced[j].identity) for j in right)
        for i in left:
            identity = self._legacy[i].identity
            if identity is not None and waiting.get(identity):
                self._pair(i, waiting[identity].popleft())

    def _leave_unpaired(self) -> None:
        self.lost = [i for i in self.lost if i not in self.partners]
        self.added = [j for j in self.added if j not in self._origins]

    def _identities_are_shared(self) -> bool:
        """Let what is paired by content tell whether equal identities mean equal records; without it, they do."""
        twins = [both for both in self._couples() if both[0] is not both[1]]
        votes = [before.identity == after.identity for before, after in twins if _have_identities(before, after)]
        against = votes.count(False)  # one object has one identity
        return not against or against <= sum(_have_identities(*both) for both in self._couples()) - against

    def _couples(self) -> Iterator[tuple[Labelled, Labelled]]:
        return ((self._legacy[i], self._enhanced[j]) for i, j in self.partners.items())


def _have_identities(before: Labelled, after: Labelled) -> bool:
    return before.identity is not None and after.identity is not None


def _equal_head(legacy: Sequence[Labelled], enhanced: Sequence[Labelled]) -> int:
    """Count the items from the start on that are equal on both sides."""
    head = 0
    for before, after in zip(legacy, enhanced, strict=False):
        if before is not after and before.content != after.content:
            break
        head += 1
    return head


def _indices(labelled: Iterable[tuple[int, _Label]]) -> dict[_Label, deque[int]]:
    """Gather indices by their label, in order."""
    gathered: dict[_Label, deque[int]] = defaultdict(deque)
    for index, label in labelled:
        gathered[label].append(index)
    return gathered


def contents_of(entries: Iterable[Labelled]) -> set[bytes]:
    """Return the different contents of `entries`."""
    return {entry.content for entry in entries}


def _open_places(
    entries: Sequence[Labelled], anchors: Mapping[int, int], elsewhere: AbstractSet[bytes], *, shared: bool
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
