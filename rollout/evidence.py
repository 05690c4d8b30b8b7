"""Evidence: everything the gate may look at, as frozen counts.

On the data's way it stands between the ledger's tallies and the gate. Whoever gathers it reads tallies and clocks; from
here on nothing is read any more, so a decision can be made again from a stored row.

Two sums hold for every operation and exposure:

    eligible = not_sampled + unserialisable + oversize + shed + publish_failed + captured
    captured = match + ignored + diverged + failed + inconclusive + excluded
             + parked + expired + discarded + erased + lost + pending
"""

from enum import StrEnum

import msgspec

from gnomon import Kind
from rollout.canonical_json import digest
from rollout.stages import Epoch


class Exposure(StrEnum):
    """Whether enhanced could hurt anybody."""

    SHADOW = "shadow"  #: enhanced only ran beside
    SERVED = "served"  #: enhanced answered the user


class Funnel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """What became of the eligible live calls before they reached a lane."""

    eligible: int = 0
    not_sampled: int = 0
    unserialisable: int = 0
    oversize: int = 0
    shed: int = 0
    publish_failed: int = 0
    captured: int = 0

    @property
    def accounted(self) -> int:
        """The calls that ended somewhere: equal to `eligible` when the sum is exact."""
        return sum(_counters(self)) - self.eligible

    @property
    def is_exact(self) -> bool:
        """Whether every eligible call ended in exactly one place."""
        return self.accounted == self.eligible

    @property
    def wanted(self) -> int:
        """The calls that should have been captured: all but those left out by sampling."""
        return self.eligible - self.not_sampled


class Outcomes(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """What became of the captures; exactly one of the twelve each."""

    match: int = 0
    ignored: int = 0
    diverged: int = 0
    failed: int = 0
    inconclusive: int = 0
    excluded: int = 0
    parked: int = 0
    expired: int = 0
    discarded: int = 0
    erased: int = 0
    lost: int = 0
    pending: int = 0

    @property
    def total(self) -> int:
        """All captures accounted for: equal to `captured` when the sum is exact."""
        return sum(_counters(self))

    @property
    def settled(self) -> int:
        """The captures whose end is known; pending ones are lag, and prove nothing."""
        return self.total - self.pending

    @property
    def answered(self) -> int:
        """Enhanced answered, rightly or not."""
        return self.match + self.ignored + self.diverged

    @property
    def unknown(self) -> int:
        """Nobody can say what enhanced would have answered: each counts as the worst it could have been."""
        return self.inconclusive + self.parked + self.lost + self.expired + self.discarded


class ClusterEvidence(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """The counts of one hash group of users (0 to 255), which the design effect is estimated from.

    `trials` = `successes` + failed + `unknown` are the calls of the success test; `judged` are those without the
    excluded ones, `divergent` of them diverged. Summed over clusters they are those of the operation, save for unknown
    calls whose user is no longer known. `critical` are those divergent with a critical difference; `wins` and `losses`
    those of its users' pairs. `of` makes them from outcomes.
    """

    cluster: int
    successes: int = 0
    trials: int = 0
    divergent: int = 0
    judged: int = 0
    unknown: int = 0
    critical: int = 0
    wins: int = 0
    losses: int = 0

    @classmethod
    def of(
        cls,
        cluster: int,
        outcomes: Outcomes,
        excluded_returned: int = 0,
        *,
        critical: int = 0,
        pairs: tuple[int, int] = (0, 0),
    ) -> "ClusterEvidence":
        """Return the counts of a cluster from its outcomes, its excluded calls where enhanced returned, and pairs."""
        judged = outcomes.answered + outcomes.failed + outcomes.unknown
        return cls(
            cluster=cluster,
            successes=outcomes.answered + excluded_returned,
            trials=judged + excluded_returned,
            divergent=outcomes.diverged,
            judged=judged,
            unknown=outcomes.unknown,
            critical=critical,
            wins=pairs[0],
            losses=pairs[1],
        )

    @property
    def alike(self) -> int:
        """The judged calls known not to diverge; an unknown one might have."""
        return self.judged - self.divergent - self.unknown

    @property
    def uncritical(self) -> int:
        """The judged calls known not to differ critically; an unknown one might."""
        return self.judged - self.critical - self.unknown


class Window(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The calls of the clock hour under way, and the how-manieth of its epoch that is, from 1.

    `trials` are those of the success test; `good` of them succeeded, or may have.
    """

    number: int = 1
    good: int = 0
    trials: int = 0


class OperationEvidence(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The evidence on one operation under one exposure, within one epoch.

    `excluded_returned`: of the excluded calls, those where enhanced returned; they take part in the success test.
    `excluded_apart`: of the excluded calls, those with a reason that is shown but not held against the limit, such as
    `superseded`.
    `wins`, `losses`, `ties`: pairs of reads in one worker process that enhanced answered faster, slower, or equally
    fast within the clock; a timeout or error of enhanced while legacy returned is a loss.
    `paired_failed`: of the losses, pairs in which legacy returned and enhanced did not; `legacy_failed`: reads that
    were to be paired, and in which legacy itself raised.
    `p95_ratio`: enhanced over legacy, at the 95th percentile of latency: for reads the upper bound of the paired ratio,
    for writes and generate calls the ratio of live latencies; None until measured.
    `gain`: 1 less the median ratio of the pairs, enhanced over legacy; None without pairs.
    `critical`: of the diverged calls, those with a critical difference.
    `repeats`: pairs in which legacy's two runs were compared with each other, `noisy` of them diverged, though not
    critically; `excused` of those at most, in fields in which enhanced's run differed from legacy's as often.
    `missed`: calls of this exposure that were wanted and not captured; None: all that the funnel says were not.
    `window`: the hour under way, in which harm shows that all the calls before it would hide for long.
    """

    operation: str
    kind: Kind
    exposure: Exposure
    funnel: Funnel = Funnel()
    outcomes: Outcomes = Outcomes()
    excluded_returned: int = 0
    excluded_apart: int = 0
    wins: int = 0
    losses: int = 0
    ties: int = 0
    paired_failed: int = 0
    legacy_failed: int = 0
    p95_ratio: float | None = None
    gain: float | None = None
    critical: int = 0
    repeats: int = 0
    noisy: int = 0
    excused: int = 0
    missed: int | None = None
    window: Window = Window()
    clusters: tuple[ClusterEvidence, ...] = ()

    @property
    def label(self) -> str:
        """The operation and its exposure, as people read them."""
        return f"{self.operation} ({self.exposure})"

    @property
    def counts(self) -> ClusterEvidence:
        """The counts of both tests over all users."""
        pairs = (self.wins, self.losses)
        return ClusterEvidence.of(-1, self.outcomes, self.excluded_returned, critical=self.critical, pairs=pairs)

    @property
    def missing(self) -> int:
        """The calls that were wanted and not captured."""
        return self.funnel.wanted - self.funnel.captured if self.missed is None else self.missed

    @property
    def pairs(self) -> int:
        """Reads that a worker made of both systems."""
        return self.wins + self.losses + self.ties

    @property
    def groups_seen(self) -> int:
        """How many clusters of users made calls."""
        return sum(1 for cluster in self.clusters if cluster.trials > 0)


class Evidence(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All the evidence of one epoch at one moment.

    `share`: of the users, 0 to 1, that the flags in force let enhanced answer.
    `attempt`: which stay at this stage it is, from 1; each later one has less risk left to spend.
    `age_s`: how long the epoch has lasted on the database's clock, paused time left out.
    `paused`: who let the rollout rest, and why; empty where nobody did.
    `rolled_back`: why, where the rollout was rolled back and no person has resumed it.
    `clean`: looks in a row, this one left out, without a reason to hold; None where the rollout does not hold.
    `hours_with_data`: distinct clock hours with eligible traffic.
    `distinct_users`: users with at least one capture in the epoch, over both exposures.
    `users_placed`: of these, those whose rollout bucket is known; `users_inside` of them are inside the stage's share.
    `lag_s`: how old the oldest pending capture is; 0.0 with none pending.
    `complaint_feed_age_s`: since the complaint feed last said it was alive; None where there is no feed.
    `required`: the names of the operations that must be proven; without them the others prove nothing.
    """

    epoch: Epoch
    share: float
    attempt: int = 1
    age_s: float
    paused: str = ""
    rolled_back: str = ""
    clean: int | None = None
    hours_with_data: int
    distinct_users: int
    users_inside: int = 0
    users_placed: int = 0
    lag_s: float
    open_complaints: int
    complaint_feed_age_s: float | None
    operations: tuple[OperationEvidence, ...]
    required: tuple[str, ...]

    def rows(self, operation: str) -> tuple[OperationEvidence, ...]:
        """Return the rows of one operation."""
        return tuple(row for row in self.operations if row.operation == operation)

    def digest(self) -> str:
        """Return the SHA-256 of the canonical JSON, in hexadecimal: the same for equal evidence in any order."""
        return digest(_in_order(self))


def _counters(counts: Funnel | Outcomes) -> tuple[int, ...]:
    return msgspec.structs.astuple(counts)


def _in_order(evidence: Evidence) -> Evidence:
    rows = sorted((_clusters_in_order(row) for row in evidence.operations), key=lambda row: (row.label, row.kind))
    return msgspec.structs.replace(evidence, operations=tuple(rows), required=tuple(sorted(evidence.required)))


def _clusters_in_order(row: OperationEvidence) -> OperationEvidence:
    clusters = sorted(row.clusters, key=lambda cluster: cluster.cluster)
    return msgspec.structs.replace(row, clusters=tuple(clusters))
