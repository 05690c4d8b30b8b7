"""Limits: the criteria of the gate that compare a figure with a number, without a test behind it."""

from typing import Final

from gnomon import Kind
from rollout.claims import percent
from rollout.decision import Criterion, Standing
from rollout.evidence import Evidence, Exposure, OperationEvidence
from rollout.policy import Policy
from rollout.statistics import log_e_mismatch, rejects

_MOST: Final = 2**53  # users that a double counts exactly


def dwell(evidence: Evidence, policy: Policy) -> Criterion:
    """Return whether the stage has lasted long enough; paused time is not in the age."""
    hours, needed = evidence.age_s / 3600, policy.dwell_h
    return _at_least("dwell", f"the stage has lasted {hours:.1f} hours; {needed:g} are needed", hours, needed)


def hours_with_data(evidence: Evidence, policy: Policy) -> Criterion:
    """Return whether enough distinct hours had traffic, so that nights and peaks are both seen."""
    seen, needed = evidence.hours_with_data, policy.hours_with_data
    return _at_least("hours_with_data", f"{seen:,} distinct hours had traffic; {needed:,} are needed", seen, needed)


def users(evidence: Evidence, policy: Policy) -> Criterion:
    """Return whether enough people made the calls."""
    seen, needed = evidence.distinct_users, policy.users
    return _at_least("users", f"{seen:,} distinct users were seen; {needed:,} are needed", seen, needed)


def lag(evidence: Evidence, policy: Policy) -> Criterion:
    """Return whether comparison keeps up with the live traffic; pending calls are lag, and prove nothing."""
    fresh = evidence.lag_s <= policy.lag_s
    return Criterion(
        name="lag",
        standing=Standing.PASSED if fresh else Standing.BROKEN,
        why=f"the oldest pending call is {evidence.lag_s:.0f} s old; {policy.lag_s:g} s are allowed",
        observed=evidence.lag_s,
        threshold=policy.lag_s,
        n=sum(row.outcomes.pending for row in evidence.operations),
    )


def policy(evidence: Evidence, asked: Policy) -> Criterion:
    """Return whether the epoch has been under this policy from its beginning: another one is another epoch."""
    under = evidence.epoch.policy
    if not under:
        return _not_applicable("policy", "the gate at work has not looked yet, so the epoch is under none")
    if under == asked.digest():
        return Criterion(name="policy", standing=Standing.PASSED, why="the epoch is under this policy")
    why = "the epoch is under another policy; the gate opens another at its next look"
    return Criterion(name="policy", standing=Standing.BROKEN, why=why)


def paused(evidence: Evidence) -> Criterion:
    """Return whether nobody lets the rollout rest."""
    if not evidence.paused:
        return Criterion(name="paused", standing=Standing.PASSED, why="nobody has paused the rollout")
    return Criterion(name="paused", standing=Standing.BROKEN, why=f"paused by {evidence.paused}")


def rolled_back(evidence: Evidence) -> Criterion:
    """Return whether the candidate was not rolled back; a person ends that by resuming."""
    if not evidence.rolled_back:
        return Criterion(name="rolled_back", standing=Standing.PASSED, why="this candidate was not rolled back")
    why = f"rolled back ({evidence.rolled_back}); gnomon resume begins again"
    return Criterion(name="rolled_back", standing=Standing.BROKEN, why=why)


def settled(evidence: Evidence, policy: Policy) -> Criterion:
    """Return whether the rollout, once it held, has given no reason to for several looks in a row."""
    clean, needed = evidence.clean, policy.clean_looks
    if clean is None or clean + 1 >= needed:
        return Criterion(name="settled", standing=Standing.PASSED, why="no hold has to wear off", threshold=needed)
    why = f"it held until lately: this is clean look {clean + 1} of {needed} before it goes on"
    return Criterion(name="settled", standing=Standing.BROKEN, why=why, observed=clean + 1, threshold=needed)


def sample_ratio(evidence: Evidence, policy: Policy) -> Criterion:
    """Return whether as many users are inside as the stage's share says: fewer or more, and they went missing.

    Users who are inside and not ready yet are inside: that they are answered by legacy meanwhile loses nobody.
    """
    name, inside, placed = "sample_ratio", evidence.users_inside, evidence.users_placed
    if not 0 < evidence.share < 1:
        return _not_applicable(name, "nobody is told apart by share at this stage")
    if not placed:
        return _unmeasured(name, "no user was seen yet", evidence.share, 0)
    if not 0 <= inside <= placed <= _MOST:
        return Criterion(name=name, standing=Standing.BROKEN, why=f"{inside:,} of {placed:,} users cannot be inside")
    mismatch = rejects(log_e_mismatch(inside, placed, evidence.share), policy.alpha_ratio)
    said = f"{inside:,} of {placed:,} users are inside, {percent(inside / placed)}"
    expected = f"{percent(evidence.share)} {'is out of the question' if mismatch else 'is possible'}"
    return Criterion(
        name=name,
        standing=Standing.BROKEN if mismatch else Standing.PASSED,
        why=f"{said}; {expected}",
        observed=inside / placed,
        threshold=evidence.share,
        n=placed,
    )


def complaints(evidence: Evidence, policy: Policy) -> Criterion:
    """Return whether nobody complains, and somebody would hear if they did."""
    standing, why = _complaints(evidence, policy)
    return Criterion(
        name="complaints",
        standing=standing,
        why=why,
        observed=evidence.open_complaints,
        threshold=0,
        n=evidence.distinct_users,
    )


def _complaints(evidence: Evidence, policy: Policy) -> tuple[Standing, str]:
    age_s = evidence.complaint_feed_age_s
    if evidence.open_complaints:
        are = "complaint is" if evidence.open_complaints == 1 else "complaints are"
        return Standing.BROKEN, f"{evidence.open_complaints:,} {are} open"
    if evidence.share <= 0:
        return Standing.NOT_APPLICABLE, "not applicable: enhanced answers nobody, so nobody can complain of it"
    if age_s is None:
        return Standing.OPEN, "not enough evidence: there is no complaint feed, so silence means nothing"
    if not age_s <= policy.complaint_feed_age_s:
        return Standing.BROKEN, f"the complaint feed was last alive {age_s:.0f} s ago, so silence means nothing"
    bound = percent(min(1.0, 3 / max(evidence.distinct_users, 1)))
    return Standing.PASSED, f"none of {evidence.distinct_users:,} users complained: at most about {bound} would"


def traffic(operation: str, rows: tuple[OperationEvidence, ...]) -> Criterion:
    """Return whether a required operation was called at all under the exposures on trial."""
    captured = sum(row.funnel.captured for row in rows)
    return _at_least(f"traffic:{operation}", f"{operation}: {captured:,} calls were captured", captured, 1)


def served_calls(operation: str, rows: tuple[OperationEvidence, ...], evidence: Evidence, policy: Policy) -> Criterion:
    """Return whether enhanced answered often enough, once it answers anybody; it never answers a write."""
    name = f"served_calls:{operation}"
    if evidence.share <= 0:
        return _not_applicable(name, f"{operation}: enhanced answers nobody at this stage")
    if any(row.kind is Kind.WRITE for row in rows):
        return _not_applicable(name, f"{operation}: legacy's value of a write is what users get")
    seen = sum(row.counts.trials for row in rows if row.exposure is Exposure.SERVED)
    needed = policy.served_calls
    return _at_least(name, f"{operation}: enhanced answered {seen:,} calls; {needed:,} are needed", seen, needed)


def coverage(row: OperationEvidence, policy: Policy) -> Criterion:
    """Return whether nearly all calls that should have been captured were."""
    name = f"coverage:{row.operation}:{row.exposure}"
    captured = row.funnel.captured
    wanted = captured + row.missing
    if not wanted:
        why = f"not enough evidence: {row.label}: no call was to be captured yet"
        return Criterion(name=name, standing=Standing.OPEN, why=why, threshold=policy.coverage, n=0)
    share = captured / wanted
    return Criterion(
        name=name,
        standing=Standing.PASSED if share >= policy.coverage else Standing.BROKEN,
        why=f"{row.label}: {percent(share)} of {wanted:,} calls were captured; "
        f"{percent(policy.coverage)} are asked for",
        observed=share,
        threshold=policy.coverage,
        n=wanted,
    )


def excluded(row: OperationEvidence, policy: Policy) -> Criterion:
    """Return whether few enough calls were ruled unfair to compare."""
    name = f"excluded:{row.operation}:{row.exposure}"
    settled = row.outcomes.settled
    if not settled:
        why = f"not enough evidence: {row.label}: no call was compared yet"
        return Criterion(name=name, standing=Standing.OPEN, why=why, threshold=policy.excluded, n=0)
    share = (row.outcomes.excluded - row.excluded_apart) / settled
    return Criterion(
        name=name,
        standing=Standing.PASSED if share <= policy.excluded else Standing.BROKEN,
        why=f"{row.label}: {percent(share)} of {settled:,} calls were excluded from comparison; "
        f"{percent(policy.excluded)} are allowed",
        observed=share,
        threshold=policy.excluded,
        n=settled,
    )


def tail(rows: tuple[OperationEvidence, ...], policy: Policy) -> Criterion:
    """Return whether the slow reads are slow enough no more: the upper bound of the paired p95 ratio."""
    name, operation = f"tail:{rows[0].operation}", rows[0].operation
    ratio = _worst_ratio(rows)
    pairs = sum(row.pairs for row in rows)
    if ratio is None:
        return _unmeasured(name, f"{operation}: {pairs:,} pairs put no bound on the p95 ratio yet", policy.tail, pairs)
    standing = Standing.PASSED if ratio <= policy.tail else Standing.OPEN  # a bound comes down with more pairs
    text = f"{operation}: the p95 ratio of {pairs:,} pairs is at most {ratio:.4g}; {policy.tail:g} is allowed"
    return Criterion(
        name=name, standing=standing, why=_text(standing, text), bound=ratio, threshold=policy.tail, n=pairs
    )


def latency(rows: tuple[OperationEvidence, ...], evidence: Evidence, policy: Policy) -> Criterion:
    """Return whether writes and generate calls are hardly slower live: they have no pairs to be faster in."""
    name, operation = f"latency:{rows[0].operation}", rows[0].operation
    ratio = _worst_ratio(rows)
    if ratio is None and evidence.share <= 0:
        return _not_applicable(name, f"{operation}: enhanced runs live for nobody at this stage")
    if ratio is None:
        return _unmeasured(name, f"{operation}: no live p95 ratio was measured yet", policy.no_worse)
    return Criterion(
        name=name,
        standing=Standing.PASSED if ratio <= policy.no_worse else Standing.BROKEN,
        why=f"{operation}: the live p95 ratio is {ratio:.4g}; {policy.no_worse:g} is allowed",
        observed=ratio,
        threshold=policy.no_worse,
    )


def _worst_ratio(rows: tuple[OperationEvidence, ...]) -> float | None:
    return max((row.p95_ratio for row in rows if row.p95_ratio is not None), default=None)


def _at_least(name: str, text: str, seen: float, needed: float) -> Criterion:
    standing = Standing.PASSED if seen >= needed else Standing.OPEN
    return Criterion(name=name, standing=standing, why=_text(standing, text), observed=seen, threshold=needed)


def _text(standing: Standing, text: str) -> str:
    return f"not enough evidence: {text}" if standing is Standing.OPEN else text


def _not_applicable(name: str, text: str) -> Criterion:
    return Criterion(name=name, standing=Standing.NOT_APPLICABLE, why=f"not applicable: {text}")


def _unmeasured(name: str, text: str, threshold: float, n: int | None = None) -> Criterion:
    return Criterion(name=name, standing=Standing.OPEN, why=f"not enough evidence: {text}", threshold=threshold, n=n)
