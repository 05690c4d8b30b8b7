"""What a commit adds to the counters of the ledger: pure.

Most findings of a batch are of one kind, so they are counted first and told apart after: what is worked out costs
something a kind, not a finding.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

from comparators import Severity
from gnomon.hashing import bucket_of, cluster_of, user_digest
from ledger.facts import COUNTED, SUPERSEDED, CallsKey, Failure, Finding, Outcome
from ledger.texts import storable

_MINUTE_US: Final = 60_000_000
_MOST_NAMES: Final = 1_024


@lru_cache(_MOST_NAMES)
def operation_name(text: str) -> str:
    """Return an operation's name as it is kept."""
    return storable(text, 200)


def failed_as(failure: Failure) -> str:
    """Return the column that counts a way of failing."""
    return f"failed_{failure}"


_COUNTERS: Final = (
    *map(str, COUNTED),
    *("excluded_returned", "excluded_superseded", "diverged_critical"),
    *map(failed_as, Failure),
)


class _Kind(NamedTuple):
    """What findings have in common that are counted together."""

    operation: str
    epoch: int
    exposure: str
    user: str
    minute: int
    outcome: Outcome
    failure: Failure | None
    returned: bool
    critical: bool
    reason: str

    @classmethod
    def of(cls, finding: Finding) -> "_Kind":
        outcome = finding.outcome
        diverged = outcome is Outcome.DIVERGED
        # one for each finding: made in half the time from a tuple
        return cls._make(
            (
                finding.operation,
                finding.epoch,
                finding.exposure,
                finding.user,
                finding.called_at_us // _MINUTE_US,
                outcome,
                finding.failure,
                finding.enhanced_returned,
                diverged and finding.severity is Severity.CRITICAL,
                "" if diverged else finding.reason,  # those have groups
            )
        )

    @property
    def counters(self) -> tuple[str, ...]:
        """The columns that count it."""
        if self.outcome is Outcome.EXCLUDED:
            apart = ("excluded_superseded",) if self.reason == SUPERSEDED else ()
            return (self.outcome, "excluded_returned", *apart) if self.returned else (self.outcome, *apart)
        if self.critical:
            return (self.outcome, "diverged_critical")
        if self.outcome is Outcome.FAILED:
            return (self.outcome, failed_as(self.failure or Failure.ERROR))
        return (self.outcome,)


class Sums:
    """Findings, counted."""

    def __init__(self, kinds: Counter[_Kind]) -> None:
        self.kinds = kinds  #: how often each kind of finding was found

    @classmethod
    def of(cls, findings: Iterable[Finding]) -> "Sums":
        """Count findings."""
        return cls(Counter(map(_Kind.of, findings)))

    @classmethod
    def of_all(cls, counted: Sequence["Sums"]) -> "Sums":
        """Return the sums of several, which are told apart by nothing any more."""
        kinds: Counter[_Kind] = Counter()
        for each in counted:
            kinds.update(each.kinds)
        return cls(kinds)

    def calls(self) -> Counter[CallsKey]:
        """Return how many there are by operation and epoch."""
        sums: Counter[CallsKey] = Counter()
        for kind, count in self.kinds.items():
            sums[operation_name(kind.operation), kind.epoch] += count
        return sums

    def tallies(self) -> list[dict[str, Any]]:
        """Return what to add by cluster of users."""
        return self._rows(lambda kind: {**_key(kind), "cluster": cluster_of(kind.user)})

    def minutes(self) -> list[dict[str, Any]]:
        """Return what to add by minute of the call."""
        return self._rows(lambda kind: {**_key(kind), "minute": kind.minute})

    def _rows(self, key_of: Any) -> list[dict[str, Any]]:
        sums: defaultdict[tuple[tuple[str, Any], ...], Counter[str]] = defaultdict(Counter)
        for kind, count in self.kinds.items():
            counts = sums[tuple(key_of(kind).items())]
            for name in kind.counters:
                counts[name] += count
        return [{**dict(key), **{name: counts[name] for name in _COUNTERS}} for key, counts in sums.items()]

    def reasons(self) -> list[dict[str, Any]]:
        """Return how often each reason stood behind an outcome."""
        sums: Counter[tuple[str, int, str, str]] = Counter()
        for kind, count in self.kinds.items():
            if kind.reason:
                reason = storable(kind.reason, 100)
                sums[operation_name(kind.operation), kind.epoch, str(kind.outcome), reason] += count
        names = ("operation", "epoch", "outcome", "reason")
        return [{**dict(zip(names, key, strict=True)), "count": count} for key, count in sums.items()]

    def users(self) -> list[dict[str, Any]]:
        """Return the distinct users of each epoch."""
        distinct = {(kind.epoch, kind.user) for kind in self.kinds}
        return [
            {"epoch": epoch, "user_digest": user_digest(user), "bucket": bucket_of(user)} for epoch, user in distinct
        ]


def place_of(finding: Finding) -> Mapping[str, Any]:
    """Return where one finding is counted: its operation, epoch, exposure, cluster and minute."""
    kind = _Kind.of(finding)
    return {**_key(kind), "cluster": cluster_of(kind.user), "minute": kind.minute}


def _key(kind: _Kind) -> dict[str, Any]:
    return {"operation": operation_name(kind.operation), "epoch": kind.epoch, "exposure": kind.exposure}
