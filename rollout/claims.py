"""Claims about rates: what the gate has to see proven, and how it says whether it is.

Each claim is tested at its own level, since all of them together are asked for: an AND needs no split. A pass is proven
on counts divided by their design effect, so that one busy user is not taken for many. That something is *not* reached
is tested on the plain counts: there a design effect would let further failures weaken the evidence against.
"""

from dataclasses import dataclass
from typing import Final

from rollout.decision import Criterion, Standing, worst_standing
from rollout.evidence import Evidence, OperationEvidence
from rollout.policy import Policy
from rollout.statistics import design_effect, log_e_above, log_e_below, lower_bound, rejects

MIN_GROUPS: Final = 10  # from fewer groups of users nobody can estimate how much users differ

_LEAST: Final = 1e-9  # a threshold of exactly 0 or 1 cannot be tested


@dataclass(frozen=True, slots=True, kw_only=True)
class _Claim:
    """More than `threshold` of `n` are good; where `of_bad`, it is said as: less than `threshold` of them are not."""

    name: str
    label: str
    unit: str
    seen: str  # what was seen of the share shown
    good: int
    n: int
    threshold: float
    of_bad: bool = False
    clusters: tuple[tuple[int, int], ...] | None = None  # None: not kept by group of users
    slack: float = 0.0  # how far the truth must lie beyond the threshold before the contrary is proven
    note: str = ""  # what else is to be said

    @property
    def least(self) -> float:
        return self.shown(self.threshold)

    @property
    def asked(self) -> str:
        return f"{self.than} {percent(self.threshold)} is asked for"

    @property
    def than(self) -> str:
        return "less than" if self.of_bad else "more than"

    @property
    def contrary(self) -> float:
        return max(_LEAST, self.least - self.slack)

    def shown(self, share: float) -> float:
        return 1 - share if self.of_bad else share


def success(row: OperationEvidence, evidence: Evidence, policy: Policy) -> Criterion:
    """Return whether enhanced is proven to answer often enough; unknown calls count as failures."""
    return _judged(_success_claim(row, policy.success), evidence, policy)


def error(row: OperationEvidence, evidence: Evidence, policy: Policy) -> Criterion:
    """Return whether errors are proven rare enough: the same counts as for success, against a limit of their own."""
    claim = _success_claim(row, policy.error, of_bad=True)
    return _judged(claim, evidence, policy)


def divergence(row: OperationEvidence, evidence: Evidence, policy: Policy) -> Criterion:
    """Return whether divergences are proven rare enough; unknown calls count as divergences, excluded ones not.

    Legacy differs from itself now and then. So much as pairs prove of that comes on top of what is allowed; but
    critical differences are never noise: where any is allowed for, they are held against the limit by themselves.
    """
    floor = _noise_floor(row, policy)
    net = _judged(_divergence_claim(row, policy, floor), evidence, policy)
    if not floor.proven:
        return net
    critical = _judged(_critical_claim(row, policy), evidence, policy)
    return net if worst_standing((net, critical)) is net.standing else critical


@dataclass(frozen=True, slots=True)
class _Floor:
    """How often legacy differs from itself: at least, as far as that excuses enhanced; and at most."""

    proven: float
    possible: float
    note: str


def _noise_floor(row: OperationEvidence, policy: Policy) -> _Floor:
    if not row.repeats:
        return _Floor(0.0, 0.0, "")
    proven = lower_bound(row.excused, row.repeats, policy.alpha, t_opt=policy.t_opt) if row.excused else 0.0
    possible = 1 - lower_bound(row.repeats - row.noisy, row.repeats, policy.alpha, t_opt=policy.t_opt)
    seen = f"legacy differed from itself in {row.noisy:,} of {row.repeats:,} pairs"
    return _Floor(
        proven, possible, f"; {seen}, which adds {percent(proven)} to what is allowed" if proven else f"; {seen}"
    )


def _divergence_claim(row: OperationEvidence, policy: Policy, floor: _Floor) -> _Claim:
    allowed = min(policy.divergence + floor.proven, 1 - _LEAST)
    return _Claim(
        name=f"divergence:{row.operation}:{row.exposure}",
        label=row.label,
        unit="calls",
        seen="diverged or could not be judged",
        good=row.counts.alike,
        n=row.counts.judged,
        threshold=allowed,
        of_bad=True,
        clusters=tuple((cluster.alike, cluster.judged) for cluster in row.clusters),
        slack=max(0.0, floor.possible - floor.proven),
        note=floor.note,
    )


def _critical_claim(row: OperationEvidence, policy: Policy) -> _Claim:
    return _Claim(
        name=f"divergence:{row.operation}:{row.exposure}",
        label=row.label,
        unit="calls",
        seen="differed critically, which is never noise, or could not be judged",
        good=row.counts.uncritical,
        n=row.counts.judged,
        threshold=policy.divergence,
        of_bad=True,
        clusters=tuple((cluster.uncritical, cluster.judged) for cluster in row.clusters),
    )


def performance(rows: tuple[OperationEvidence, ...], evidence: Evidence, policy: Policy) -> Criterion:
    """Return whether paired reads are proven to be faster more often than slower: a sign test, ties left out.

    Pairs are run by the worker, whoever answered the user, so those of all exposures are taken together.
    """
    wins, losses = sum(row.wins for row in rows), sum(row.losses for row in rows)
    clusters = tuple((c.wins, c.wins + c.losses) for row in rows for c in row.clusters if c.wins + c.losses)
    claim = _Claim(
        name=f"performance:{rows[0].operation}",
        label=rows[0].operation,
        unit="paired reads",
        seen="were faster in enhanced",
        good=wins,
        n=wins + losses,
        threshold=0.5,
        clusters=clusters or None,
        note=_gains(rows),
    )
    return _judged(claim, evidence, policy)


def _gains(rows: tuple[OperationEvidence, ...]) -> str:
    gains = [f"{percent(row.gain, 3)} ({row.exposure})" for row in rows if row.gain is not None]
    return f"; the median gain is {', '.join(gains)}" if gains else ""


def _success_claim(row: OperationEvidence, threshold: float, *, of_bad: bool = False) -> _Claim:
    return _Claim(
        name=f"{'error' if of_bad else 'success'}:{row.operation}:{row.exposure}",
        label=row.label,
        unit="calls",
        seen="failed or could not be judged" if of_bad else "succeeded",
        good=row.counts.successes,
        n=row.counts.trials,
        threshold=threshold,
        of_bad=of_bad,
        clusters=tuple((cluster.successes, cluster.trials) for cluster in row.clusters),
        note="" if of_bad else _baseline(row),
    )


def _baseline(row: OperationEvidence) -> str:
    """Say how often both systems failed side by side: where legacy does, nobody can expect more of enhanced."""
    asked = row.pairs + row.legacy_failed
    if not asked:
        return ""
    return f"; of {asked:,} reads asked of both, legacy failed {row.legacy_failed:,} and enhanced {row.paired_failed:,}"


def _judged(claim: _Claim, evidence: Evidence, policy: Policy) -> Criterion:
    if not claim.n:
        why = f"not enough evidence: {claim.label}: none of its {claim.unit} was compared yet"
        return Criterion(name=claim.name, standing=Standing.OPEN, why=why, threshold=claim.threshold, n=0)
    delta = design_effect(claim.clusters or ())
    least = lower_bound(claim.good / delta, claim.n / delta, policy.alpha, t_opt=policy.t_opt)
    standing, proof = _standing(claim, delta, least, evidence, policy)
    observed = claim.shown(claim.good / claim.n)
    return Criterion(
        name=claim.name,
        standing=standing,
        why=f"{claim.label}: {percent(observed)} of {claim.n:,} {claim.unit} {claim.seen}; {proof}{claim.note}",
        observed=observed,
        bound=claim.shown(least),
        threshold=claim.threshold,
        n=claim.n,
    )


def _standing(claim: _Claim, delta: float, least: float, evidence: Evidence, policy: Policy) -> tuple[Standing, str]:
    if rejects(log_e_below(claim.good, claim.n, claim.contrary, t_opt=policy.t_opt), policy.alpha):
        return Standing.BROKEN, f"{claim.asked}, and the contrary is proven"
    if lacking := _lacking_users(claim, evidence, policy):
        return Standing.OPEN, f"not enough evidence: {lacking}"
    proven = f"{claim.than} {percent(claim.shown(least))} is proven, {claim.asked}"
    if rejects(log_e_above(claim.good / delta, claim.n / delta, claim.least, t_opt=policy.t_opt), policy.alpha):
        return Standing.PASSED, proven
    return Standing.OPEN, f"not enough evidence: {proven}"


def _lacking_users(claim: _Claim, evidence: Evidence, policy: Policy) -> str:
    """Say why the calls come from too few people to prove a pass; empty when they do not."""
    if evidence.distinct_users < policy.users:
        return f"the calls come from {evidence.distinct_users:,} users; {policy.users:,} are needed"
    groups = MIN_GROUPS if claim.clusters is None else sum(1 for _, n in claim.clusters if n)
    return f"the calls come from {groups} groups of users; {MIN_GROUPS} are needed" if groups < MIN_GROUPS else ""


def percent(share: float, digits: int = 5) -> str:
    """Return a share as people read it, in five digits or fewer."""
    return f"{100 * share:.{digits}g} %"
