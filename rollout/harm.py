"""Harm: whether a candidate is proven to answer too rarely, giving it the benefit of every doubt.

Unknown calls count as successes here, and the level is split over all operations and exposures, so a good candidate is
hardly ever taken back. Half of it is spent on all calls of the epoch, half on those of the hour under way: a candidate
that was good for days and turns bad shows there first.

Counts are not divided by a design effect: more failures in one group would raise it, and so weaken the alarm they
should raise. Where few users made the calls, each group of users counts as one call instead, so that a single unlucky
user takes nothing back.
"""

from math import pi
from typing import Final

from rollout.claims import MIN_GROUPS, percent
from rollout.decision import Criterion, Standing
from rollout.evidence import Evidence, OperationEvidence
from rollout.policy import Policy
from rollout.statistics import log_e_below, rejects

GROUPS_T_OPT: Final = 100.0  # there are 256 groups at most: that test has to be tight early


def harm(row: OperationEvidence, evidence: Evidence, policy: Policy) -> Criterion:
    """Return whether the operation is proven to be harmed; applies as soon as one call was judged."""
    name = f"harm:{row.operation}:{row.exposure}"
    if not row.counts.trials:
        why = f"not applicable: {row.label}: no call was judged yet"
        return Criterion(name=name, standing=Standing.NOT_APPLICABLE, why=why, threshold=policy.success, n=0)
    few = _few_users(row, evidence, policy)
    good, n, unit = _by_group(row) if few else _by_call(row)
    log_e = log_e_below(good, n, policy.success, t_opt=GROUPS_T_OPT if few else policy.t_opt)
    proven = rejects(log_e, _level(evidence, policy))
    verdict = "is proven to be out of reach" if proven else "is not proven to be out of reach"
    return Criterion(
        name=name,
        standing=Standing.HARM if proven else Standing.PASSED,
        why=f"{row.label}: at most {percent(good / n if n else 1)} of {n:,} {unit} succeeded; "
        f"{percent(policy.success)} {verdict}",
        observed=good / n if n else None,
        threshold=policy.success,
        n=n,
    )


def harm_lately(row: OperationEvidence, evidence: Evidence, policy: Policy) -> Criterion:
    """Return whether it is proven from the calls of this hour alone; hour w spends 6/(π²w²) of the level of all."""
    name, window = f"harm_lately:{row.operation}:{row.exposure}", row.window
    if not window.trials or _few_users(row, evidence, policy):
        lacking = "no call of this hour was judged yet" if not window.trials else "too few users to go by single hours"
        why = f"not applicable: {row.label}: {lacking}"
        return Criterion(
            name=name, standing=Standing.NOT_APPLICABLE, why=why, threshold=policy.success, n=window.trials
        )
    log_e = log_e_below(window.good, window.trials, policy.success, t_opt=policy.t_opt)
    proven = rejects(log_e, _level(evidence, policy) * 6 / (pi * window.number) ** 2)
    verdict = "is proven to be out of reach" if proven else "is not proven to be out of reach"
    share = window.good / window.trials
    return Criterion(
        name=name,
        standing=Standing.HARM if proven else Standing.PASSED,
        why=f"{row.label}: at most {percent(share)} of {window.trials:,} calls of this hour succeeded; "
        f"{percent(policy.success)} {verdict}",
        observed=share,
        threshold=policy.success,
        n=window.trials,
    )


def _level(evidence: Evidence, policy: Policy) -> float:
    """Return the risk that one row spends on the epoch as a whole, and on its hours."""
    return policy.alpha_harm / len(evidence.operations) / 2


def _few_users(row: OperationEvidence, evidence: Evidence, policy: Policy) -> bool:
    return evidence.distinct_users < policy.users or row.groups_seen < MIN_GROUPS


def _by_call(row: OperationEvidence) -> tuple[float, int, str]:
    return row.counts.successes + row.counts.unknown, row.counts.trials, "calls"


def _by_group(row: OperationEvidence) -> tuple[float, int, str]:
    shares = [(c.successes + c.unknown) / c.trials for c in row.clusters if c.trials]
    return sum(shares), len(shares), "groups of users, each counted as one call,"
