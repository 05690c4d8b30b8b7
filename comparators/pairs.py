"""What a comparator is given, and what it must be: a function from a pair to its differences."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Protocol

from comparators.canonical import JSON
from comparators.observations import Call
from comparators.schemas import Schema
from comparators.verdicts import Difference

DEEPDIFF_NODES: Final = 3_000  # values that deepdiff may look at for one pair: 0.3 s on a slow core


class Budget:
    """How much deepdiff may still look at; counted in values, since no timer works on every thread."""

    __slots__ = ("_left",)

    def __init__(self, nodes: int = DEEPDIFF_NODES) -> None:
        self._left = nodes

    def spend(self, nodes: int) -> bool:
        """Take `nodes` off and return True, or return False where that many are not left."""
        if nodes > self._left:
            return False
        self._left -= nodes
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two canonical answers that are not equal, and what is known about them.

    `left_out` names the fields that the schema leaves out of this call's records; they are still there to pair by.
    """

    legacy: JSON
    enhanced: JSON
    schema: Schema
    left_out: frozenset[str] = frozenset()
    call: Call | None = None
    context: tuple[str, ...] = ()
    budget: Budget = field(default_factory=Budget)


class Comparator(Protocol):
    """Finds what differs in a pair, the worst first; pure, bounded by the pair's size, stopped when enough is found.

    An addition it calls minor is one it vouches for: a pair with no other difference is ignored.
    """

    def __call__(self, pair: Pair, /) -> Iterable[Difference]:
        """Return what differs, best lazily."""
