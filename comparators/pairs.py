"""What a comparator is given, and what it must be: a function from a pair to its differences."""

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from typing import Final, Protocol

import msgspec

from comparators.answers import Answer
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


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """Two answers that are not equal, and what is known about them.

    `legacy` and `enhanced` are all of them in canonical form, made when they are asked for; `before` and `after` are
    the same record by record, each read only where it is looked at.
    """

    before: Answer  #: legacy's
    after: Answer  #: enhanced's
    call: Call | None = None
    context: tuple[str, ...] = ()
    budget: Budget = msgspec.field(default_factory=Budget)

    @property
    def legacy(self) -> JSON:
        """Legacy's answer in canonical form."""
        return self.before.form

    @property
    def enhanced(self) -> JSON:
        """Enhanced's answer in canonical form."""
        return self.after.form

    @property
    def schema(self) -> Schema:
        """What is declared of the operation's answers."""
        return self.before.reading.schema

    @property
    def left_out(self) -> AbstractSet[str]:
        """The fields that the schema leaves out of this call's records; they are still there to pair by."""
        return self.before.reading.left_out

    def of(self, legacy: JSON, enhanced: JSON) -> "Pair":
        """Return the pair of two other answers to the same call, in canonical form: parts of these, say."""
        reading = self.before.reading
        return msgspec.structs.replace(
            self, before=Answer.of_form(legacy, reading), after=Answer.of_form(enhanced, reading)
        )


class Comparator(Protocol):
    """Finds what differs in a pair, the worst first; pure, bounded by the pair's size, stopped when enough is found.

    A minor addition is one it vouches for, and so is what it calls rephrased: a pair with no other difference is
    ignored.
    """

    def __call__(self, pair: Pair, /) -> Iterable[Difference]:
        """Return what differs, best lazily."""
