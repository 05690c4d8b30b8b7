"""Soundness: whether evidence agrees with itself. What contradicts itself proves nothing, so the gate looks here first.

Problems are sentences, and nothing is raised whatever the numbers are.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from math import isfinite
from typing import Final

import msgspec

from gnomon.hashing import CLUSTERS
from rollout.evidence import ClusterEvidence, Evidence, OperationEvidence

_MOST: Final = 2**53  # what a double holds exactly; no honest counter comes near


_OWN: Final = (
    *("excluded_returned", "excluded_apart", "wins", "losses", "ties"),
    *("paired_failed", "legacy_failed", "critical", "repeats", "noisy", "excused"),
)


@dataclass(frozen=True, slots=True)
class Examination:
    """The contradictions in the evidence, and the rows without any, on which statistics may be done."""

    problems: tuple[str, ...]
    sound: tuple[OperationEvidence, ...]


def examine(evidence: Evidence) -> Examination:
    """Look for contradictions in the evidence as a whole and in each of its rows."""
    kinds = (_epoch_problems, _number_problems, _standing_problems, _roster_problems)
    whole = tuple(problem for problems in kinds for problem in problems(evidence))
    by_row = [(row, tuple(_row_problems(row))) for row in evidence.operations]
    within = tuple(problem for _, problems in by_row for problem in problems)
    sound = tuple(row for row, problems in by_row if not problems)
    return Examination((*whole, *within, *_user_problems(evidence)), sound)


def _row_problems(row: OperationEvidence) -> Iterator[str]:
    found = next(_counter_problems(row), None)
    if found:
        yield f"{row.label}: {found}"
        return  # sums over broken counters would only repeat it
    yield from (f"{row.label}: {problem}" for problem in _sum_problems(row))
    yield from (f"{row.label}: {problem}" for problem in _cluster_problems(row))


def _epoch_problems(evidence: Evidence) -> Iterator[str]:
    stage = evidence.epoch.stage
    if evidence.epoch.closed_at is not None:
        yield f"epoch {evidence.epoch.number} is closed"
    if evidence.share != stage.share:
        yield f"the flags let enhanced answer {100 * evidence.share:g} % of the users, the stage says {stage:d} %"


def _number_problems(evidence: Evidence) -> Iterator[str]:
    times = {"age_s": evidence.age_s, "lag_s": evidence.lag_s, "complaint_feed_age_s": evidence.complaint_feed_age_s}
    for name, seconds in times.items():
        if seconds is not None and not (isfinite(seconds) and seconds >= 0):
            yield f"{name} is {seconds}: a clock went backwards or was not read"
    for name in ("hours_with_data", "distinct_users", "users_inside", "users_placed", "open_complaints"):
        if not _is_count(getattr(evidence, name)):
            yield f"{name} is {getattr(evidence, name)}, which is no count"


def _standing_problems(evidence: Evidence) -> Iterator[str]:
    if evidence.attempt < 1:
        yield f"attempt is {evidence.attempt}, and the first is 1"
    if evidence.clean is not None and not _is_count(evidence.clean):
        yield f"clean is {evidence.clean}, which is no count"
    if not evidence.users_inside <= evidence.users_placed <= evidence.distinct_users:
        yield f"more users are placed, or inside, than the {evidence.distinct_users:,} there are"


def _roster_problems(evidence: Evidence) -> Iterator[str]:
    if not evidence.required:
        yield "no operation is required, so nothing would be proven"
    for (operation, exposure), rows in Counter((row.operation, row.exposure) for row in evidence.operations).items():
        if rows > 1:
            yield f"{operation} ({exposure}) is given {rows} times"
    kinds = {(row.operation, row.kind) for row in evidence.operations}
    for operation, several in Counter(operation for operation, _ in kinds).items():
        if several > 1:
            yield f"{operation} is given as {several} kinds of operation"


def _user_problems(evidence: Evidence) -> Iterator[str]:
    captured = sum(row.funnel.captured for row in evidence.operations)
    if evidence.distinct_users > max(captured, 0):
        yield f"{evidence.distinct_users:,} distinct users made only {captured:,} captures"


def _counter_problems(row: OperationEvidence) -> Iterator[str]:
    own = {name: getattr(row, name) for name in _OWN}
    counters = msgspec.structs.asdict(row.funnel) | msgspec.structs.asdict(row.outcomes) | own
    for name, count in counters.items():
        if not _is_count(count):
            yield f"{name} is {count}, which is no count"
    if not _is_count(row.missing):
        yield f"missed is {row.missing}, which is no count"
    if row.p95_ratio is not None and not (isfinite(row.p95_ratio) and row.p95_ratio >= 0):
        yield f"p95_ratio is {row.p95_ratio}, which is no ratio"
    if row.gain is not None and not (isfinite(row.gain) and row.gain <= 1):
        yield f"gain is {row.gain}, which is no gain"


def _sum_problems(row: OperationEvidence) -> Iterator[str]:
    funnel, outcomes = row.funnel, row.outcomes
    if not funnel.is_exact:
        yield f"{funnel.eligible:,} calls were eligible, {funnel.accounted:,} are accounted for"
    if outcomes.total != funnel.captured:
        yield f"{funnel.captured:,} calls were captured, {outcomes.total:,} have an outcome or are pending"
    if max(row.excluded_returned, row.excluded_apart) > outcomes.excluded:
        yield f"more calls are told apart among the excluded than the {outcomes.excluded:,} there are"
    if row.wins + row.losses + row.ties > funnel.captured:
        yield f"there are more pairs than the {funnel.captured:,} captures"
    if row.critical > outcomes.diverged:
        yield f"more calls differ critically than the {outcomes.diverged:,} that diverged"
    if not (row.window.number > 0 and 0 <= row.window.good <= row.window.trials <= row.counts.trials):
        yield f"more calls of this hour are good, or there, than the {row.counts.trials:,} there are"
    if not row.excused <= row.noisy <= row.repeats:
        yield f"legacy differs from itself more often than in the {row.repeats:,} pairs it was compared in"


def _cluster_problems(row: OperationEvidence) -> Iterator[str]:
    numbers = [cluster.cluster for cluster in row.clusters]
    if len(set(numbers)) < len(numbers) or not all(0 <= number < CLUSTERS for number in numbers):
        yield f"its clusters are not distinct numbers from 0 to {CLUSTERS - 1}"
    if not all(_is_possible(cluster) for cluster in row.clusters):
        yield "a cluster has more of something than there are calls, or less than none"
    elif not _adds_up(row):
        yield "its clusters do not add up to its outcomes"


def _is_possible(cluster: ClusterEvidence) -> bool:
    least = min(cluster.successes, cluster.divergent, cluster.unknown, cluster.alike, cluster.critical)
    least = min(least, cluster.wins, cluster.losses, cluster.divergent - cluster.critical)
    return least >= 0 and cluster.successes + cluster.unknown <= cluster.trials <= _MOST


def _adds_up(row: OperationEvidence) -> bool:
    whole = row.counts
    missing = {
        whole.trials - sum(c.trials for c in row.clusters),
        whole.judged - sum(c.judged for c in row.clusters),
        whole.unknown - sum(c.unknown for c in row.clusters),
    }
    # a lost call may have lost its user with it: it belongs to no cluster, and is missing from each of these alike
    return (
        whole.successes == sum(c.successes for c in row.clusters)
        and whole.divergent == sum(c.divergent for c in row.clusters)
        and whole.critical == sum(c.critical for c in row.clusters)
        and _pairs_add_up(row)
        and len(missing) == 1
        and min(missing) >= 0
    )


def _pairs_add_up(row: OperationEvidence) -> bool:
    """Tell whether the clusters' pairs are all there are, or are not kept by cluster at all."""
    wins, losses = sum(c.wins for c in row.clusters), sum(c.losses for c in row.clusters)
    return (wins, losses) in ((row.wins, row.losses), (0, 0))


def _is_count(number: int) -> bool:
    return 0 <= number <= _MOST
