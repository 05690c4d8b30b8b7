"""The words of a judgement: verdict, severity, kind, difference; everything after a drain speaks in them."""

from collections.abc import Iterable
from enum import Enum, StrEnum
from typing import Any, Final, Literal

import msgspec


class Verdict(StrEnum):
    """What became of one comparison."""

    MATCH = "match"  #: equal under the operation's schema
    IGNORED = "ignored"  #: differs only where a rule allows it, by supported added context, or in words
    DIVERGED = "diverged"  #: a difference for people to review
    FAILED = "failed"  #: legacy returned; enhanced raised, timed out or answered garbage
    INCONCLUSIVE = "inconclusive"  #: could not be judged; counts against the gate
    EXCLUDED = "excluded"  #: ruled unfair to compare before its outcome was looked at


class Severity(StrEnum):
    """How much a difference can hurt; compare by `rank`, for the names sort as text."""

    CRITICAL = "critical"  #: loses, leaks or falsifies what a user has told us
    MAJOR = "major"  #: a user would notice
    MINOR = "minor"  #: worth a look, hurts nobody

    @property
    def rank(self) -> int:
        """The place in the order of harm: 0 for minor, 2 for critical."""
        return _RANKS[self]


_RANKS: Final = {Severity.MINOR: 0, Severity.MAJOR: 1, Severity.CRITICAL: 2}


class Kind(StrEnum):
    """In what way something differs, seen from legacy."""

    LOST = "lost"  #: legacy has it, enhanced lacks it
    ADDED = "added"  #: enhanced has it, legacy lacks it
    CHANGED = "changed"  #: both have it, with another value
    TYPE = "type"  #: both have it, as another type of value
    ORDER = "order"  #: the same items in another order
    DUPLICATED = "duplicated"  #: enhanced repeats an item more often than legacy
    DEDUPLICATED = "deduplicated"  #: legacy repeats an item more often than enhanced
    LEAK = "leak"  #: enhanced shows what belongs to another user
    EXCEPTION = "exception"  #: legacy raised, and enhanced did otherwise
    FAILURE = "failure"  #: legacy returned, enhanced raised
    AMNESIA = "amnesia"  #: enhanced says it knows nothing where legacy answers
    FACTS = "facts"  #: a reply states other numbers, times or names, or denies what the other affirms
    REFUSAL = "refusal"  #: enhanced declines to help where legacy answers
    REPHRASED = "rephrased"  #: a reply states the same facts in other words of the same meaning
    ANSWERED = "answered"  #: legacy asks or does not know, enhanced answers from what it was told


class Absent(Enum):
    """The type of `ABSENT`."""

    ABSENT = "absent"  #: no value at this place; None is a value


ABSENT: Final[Literal[Absent.ABSENT]] = Absent.ABSENT


class Difference(msgspec.Struct, frozen=True):
    """One thing that differs.

    `path` is a JSONPath such as `$[3].metadata.slot`; indices count in legacy's list, for additions in enhanced's.
    `legacy` and `enhanced` are the canonical values at that place, `ABSENT` where a side has none. They are personal:
    mask them before they are stored or shown.
    """

    path: str
    kind: Kind
    severity: Severity
    legacy: Any = ABSENT
    enhanced: Any = ABSENT


class Judgement(msgspec.Struct, frozen=True):
    """The verdict on one pair of observations, what differs, and why in a few words free of payload."""

    verdict: Verdict
    differences: tuple[Difference, ...] = ()
    reason: str = ""

    @property
    def severity(self) -> Severity | None:
        """The worst severity among the differences; None without any."""
        return worst(difference.severity for difference in self.differences)


def worst(severities: Iterable[Severity]) -> Severity | None:
    """Return the most severe of `severities`; None where there are none."""
    return max(severities, key=lambda severity: severity.rank, default=None)
