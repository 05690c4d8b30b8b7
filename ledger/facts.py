"""The facts that are written to the ledger and read from it: positions, findings, and what adds up to a report."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import msgspec

from comparators import ABSENT, Difference, Severity, explain, fingerprint, mask
from gnomon.hashing import cluster_of, user_digest
from ledger.pairs import PairedRuns
from ledger.senders import Seen, Sent
from ledger.standings import Standing


class Outcome(StrEnum):
    """Where a captured call can end. The first six are verdicts."""

    MATCH = "match"  #: equal under the operation's rules
    IGNORED = "ignored"  #: differs only where a rule says it may
    DIVERGED = "diverged"  #: a difference to review
    FAILED = "failed"  #: legacy returned, enhanced did not
    INCONCLUSIVE = "inconclusive"  #: could not be judged; counts against the gate
    EXCLUDED = "excluded"  #: ruled unfair to compare before its outcome was seen
    PARKED = "parked"  #: could not be replayed; kept for people
    EXPIRED = "expired"  #: too old to be worth a replay
    DISCARDED = "discarded"  #: thrown away by a person
    ERASED = "erased"  #: its user was erased
    LOST = "lost"  #: gone with Redis
    PENDING = "pending"  #: still in its lane


class Failure(StrEnum):
    """How enhanced failed where legacy returned. Each has a counter; none of them is a divergence."""

    ERROR = "error"  #: it raised
    TIMEOUT = "timeout"  #: no answer in time
    REFUSED = "refused"  #: it could not be reached, or turned the call away before doing anything
    GARBAGE = "garbage"  #: it answered with what is no answer: no JSON form, undecodable, nested too deep
    OVERSIZE = "oversize"  #: it answered with more than anybody reads


class Loss(StrEnum):
    """Where an eligible call can end without being captured, and `captured`, where it is."""

    NOT_SAMPLED = "not_sampled"  #: outside the sample, or beyond the hourly budget
    UNSERIALISABLE = "unserialisable"  #: has no JSON form, or an error of ours
    OVERSIZE = "oversize"  #: larger than the cap
    SHED = "shed"  #: refused because its lane is full
    PUBLISH_FAILED = "publish_failed"  #: the buffer was full, Redis did not answer
    CAPTURED = "captured"  #: in its lane


SUPERSEDED: Final = "superseded"  #: why a call is excluded that is not held against the limit of the excluded
#: every counter of the funnel
FUNNEL: Final = ("eligible", *map(str, Loss))
MISSED_SERVED: Final = "missed_served"  #: beside it: of the calls that were lost before, those enhanced was to answer
#: operation and epoch
CallsKey = tuple[str, int]
#: from bad to harmless, as groups are listed
GRAVITY: Final = tuple(sorted(map(str, Severity), key=lambda name: -Severity(name).rank))
#: what the ledger counts itself; pending is what is left
COUNTED: Final = tuple(outcome for outcome in Outcome if outcome is not Outcome.PENDING)


class Position(NamedTuple):
    """How far a lane is drained: the newest entry read, and the cut below which its captures are done."""

    read: tuple[int, int] = (0, 0)
    cut: tuple[int, str] = (0, "")


class KeptDifference(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One difference as it may be kept: values masked, a side that has nothing there left out."""

    group: str  #: the fingerprint
    path: str
    kind: str
    severity: Severity
    explanation: str
    legacy: Any = msgspec.UNSET
    enhanced: Any = msgspec.UNSET
    rule: int = 0  #: the rule that allows it; 0 where none does

    @classmethod
    def of(cls, operation: str, difference: Difference) -> "KeptDifference":
        """Mask a difference of `operation` and give it its fingerprint."""
        legacy, enhanced = difference.legacy, difference.enhanced
        return cls(
            group=fingerprint(operation, difference),
            path=mask(difference.path),  # keys of metadata may be personal too
            kind=str(difference.kind),
            severity=difference.severity,
            explanation=explain(operation, difference),
            legacy=msgspec.UNSET if legacy is ABSENT else mask(legacy),
            enhanced=msgspec.UNSET if enhanced is ABSENT else mask(enhanced),
        )


class Sample(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One divergence as a whole, masked; `slot` is which of a group's three it may be."""

    slot: int
    args: Any = None
    legacy: Any = None
    enhanced: Any = None


class Finding(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What came of one capture."""

    capture_id: str
    operation: str
    epoch: int
    user: str
    called_at_us: int
    outcome: Outcome
    reason: str = ""
    failure: Failure | None = None  #: how it failed, where it did
    exposure: str = "shadow"
    enhanced_returned: bool = False
    live_us: tuple[int, int] = (0, 0)  #: how long legacy and enhanced took live, of what is no read; 0: not asked
    replayed_us: int = 0  #: when the side that did not answer live was replayed, on Redis's clock; of writes 0
    differences: tuple[KeptDifference, ...] = ()
    payload: bytes | None = None  #: the capture itself, where it is parked
    sample: Sample | None = None  #: all of it, where its groups have few such
    unparks: str = ""  #: the parked capture, by the name it is kept under, that was replayed again; this came of it

    @property
    def called_at(self) -> datetime:
        """When the live call began."""
        return datetime.fromtimestamp(self.called_at_us / 1_000_000, UTC)

    @property
    def counted(self) -> tuple[KeptDifference, ...]:
        """Its differences without those that a rule allows."""
        return tuple(kept for kept in self.differences if not kept.rule)

    @property
    def severity(self) -> Severity:
        """The gravest of its differences that no rule allows."""
        return max((kept.severity for kept in self.counted), default=Severity.MAJOR, key=lambda found: found.rank)

    @property
    def digest(self) -> str:
        """Stands for the user."""
        return user_digest(self.user)

    @property
    def cluster(self) -> int:
        """The user's hash group."""
        return cluster_of(self.user)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settling:
    """The lane was empty when `sent` was read: what was captured and is not done, is lost."""

    now_us: int  #: on Redis's clock
    reads: frozenset[str] = frozenset()  #: operations whose loss can change nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneCommit:
    """What one transaction takes in for one lane."""

    lane: int
    fence: int
    before: Position
    after: Position
    findings: tuple[Finding, ...] = ()
    sent: Mapping[str, Sent] = field(default_factory=dict)  #: what processes have sent, read after the entries
    seen: Mapping[str, Seen] = field(default_factory=dict)  #: which entries of them are read with this commit
    refilled: bool = False  #: some of those had been missing
    standings: tuple[Standing, ...] = ()  #: of users, where they have changed
    settling: Settling | None = None
    pairs: tuple[PairedRuns, ...] = ()
    set_back_us: int | None = None  #: Redis's clock was set back to this: no gap can have been closed later

    @property
    def plain(self) -> bool:
        """Whether it may share a transaction: all there is to write is of calls that are counted for the first time."""
        settles = self.settling is not None or self.set_back_us is not None
        return not settles and not any(finding.unparks for finding in self.findings)


class Hold(NamedTuple):
    """What whoever takes a lane must know: its fence, how far it is drained, and how many standings it was given.

    `seen` tells which entries of each process were read, `retrying` how many parked captures are to be replayed again.
    """

    fence: int
    position: Position
    standings: int
    seen: Mapping[str, Seen] = MappingProxyType({})
    retrying: int = 0


@dataclass(slots=True)
class OperationSums:
    """One operation's funnel and outcomes over an epoch, or over several."""

    funnel: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)  #: of the failed: how
    missed_served: int = 0  #: calls that enhanced was to answer, and that were lost before they were captured
    excluded_returned: int = 0
    diverged_critical: int = 0  #: of the diverged, those with a critical difference

    @property
    def eligible(self) -> int:
        """Every live call with a user."""
        return self.funnel["eligible"]

    @property
    def pending(self) -> int:
        """Captures that have not ended yet."""
        return self.funnel["captured"] - sum(self.outcomes.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A kind of difference, and how much of it there is; epochs are 0 where it was seen before they were noted."""

    id: str
    operation: str
    kind: str
    path: str
    severity: str
    explanation: str
    count: int
    users: int
    first_seen: datetime
    last_seen: datetime
    example: str
    first_epoch: int = 0
    last_epoch: int = 0
    regressed_epoch: int = 0

    def is_new(self, epoch: int) -> bool:
        """Tell whether it was seen for the first time in an epoch."""
        return self.first_epoch == epoch

    def is_regressed(self, epoch: int) -> bool:
        """Tell whether it was seen in an epoch after there was one without it."""
        return self.regressed_epoch == epoch


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptSample:
    """A divergence that is kept as a whole: `sample` has what was asked and what both sides said, masked."""

    capture_id: str
    epoch: int
    called_at: datetime
    user_digest: str
    sample: dict[str, Any]
