"""Decisions: what the gate says, in numbers for machines and sentences for people."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from math import inf
from typing import Any


class State(StrEnum):
    """What the evidence of an epoch allows."""

    COLLECTING = "collecting"  #: nothing speaks against it, not everything speaks for it yet
    ELIGIBLE = "eligible"  #: every criterion is met; a person may promote
    INCONCLUSIVE = "inconclusive"  #: the deadline passed while collecting
    HOLD = "hold"  #: something is wrong; stay at this stage until it is not
    ROLLBACK = "rollback"  #: harm is proven; this build is not to answer users


class Standing(StrEnum):
    """Where one criterion stands; the worst one decides the state."""

    PASSED = "passed"  #: met
    NOT_APPLICABLE = "not_applicable"  #: asks nothing here, and says nothing for the candidate either
    OPEN = "open"  #: not enough evidence
    BROKEN = "broken"  #: not met
    HARM = "harm"  #: not met, and users are worse off for it


@dataclass(frozen=True, slots=True, kw_only=True)
class Criterion:
    """One line of the gate: what was seen, what that proves, what was asked for, out of how many, and why.

    `observed` is the plain figure, `bound` what is proven of it where a test is behind it, `threshold` the limit; all
    are None where there is none. `n` counts what `observed` was seen in.
    """

    name: str
    standing: Standing
    why: str
    observed: float | None = None
    bound: float | None = None
    threshold: float | None = None
    n: int | None = None

    @property
    def passed(self) -> bool | None:
        """True or False; None while there is not enough evidence, or where the criterion does not apply."""
        match self.standing:
            case Standing.PASSED:
                return True
            case Standing.OPEN | Standing.NOT_APPLICABLE:
                return None
            case _:
                return False

    def as_json(self) -> dict[str, Any]:
        """Return the criterion as commands print it; numbers are finite or null."""
        return {
            "name": self.name,
            "passed": self.passed,
            "observed": _finite(self.observed),
            "bound": _finite(self.bound),
            "threshold": _finite(self.threshold),
            "n": self.n,
            "why": self.why,
        }


@dataclass(frozen=True, slots=True)
class Decision:
    """A state and the criteria it follows from."""

    state: State
    criteria: tuple[Criterion, ...]

    @property
    def summary(self) -> str:
        """The state and its first reason, in one line."""
        reasons = self.reasons
        if not reasons:
            return f"{self.state}: all criteria are met"
        more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
        return f"{self.state}: {reasons[0].why}{more}"

    def as_json(self) -> dict[str, Any]:
        """Return the decision as commands print it."""
        return {"state": self.state.value, "criteria": [criterion.as_json() for criterion in self.criteria]}

    @property
    def reasons(self) -> list[Criterion]:
        """The criteria that the state follows from: of those that are not met, the gravest."""
        worst = worst_standing(self.criteria)
        return [c for c in self.criteria if c.standing is worst and c.passed is not True]


#: from best to worst
_ORDER = (Standing.NOT_APPLICABLE, Standing.PASSED, Standing.OPEN, Standing.BROKEN, Standing.HARM)


def worst_standing(criteria: Iterable[Criterion]) -> Standing:
    """Return the worst standing among `criteria`; of none at all, that nothing is proven."""
    return max((criterion.standing for criterion in criteria), key=_ORDER.index, default=Standing.OPEN)


def _finite(number: float | None) -> float | None:
    return number if number is not None and abs(number) < inf else None
