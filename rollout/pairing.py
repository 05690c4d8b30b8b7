"""From the ledger's pairs to figures of the evidence: how much faster, how slow at worst, and how noisy legacy is.

Everything is taken from whole counts in fixed bins, and rounded against the candidate where a bound is meant.
"""

from bisect import bisect_left
from collections.abc import Mapping
from itertools import accumulate
from math import inf
from typing import Any, Final

from comparators import Severity
from ledger import Measure, PairSums
from ledger.pairs import NO_RATIO, latency_middle, ratio_above, ratio_middle
from rollout.policy import Policy
from rollout.statistics import log_e_above, rejects

TAIL: Final = 0.95  # the share of reads that the tail leaves out
FEWEST: Final = 20  # calls of either side; of fewer the 95th percentile is the slowest


def paired_evidence(sums: PairSums, policy: Policy) -> dict[str, Any]:
    """Return the fields of an operation's evidence that come from its pairs."""
    ratios = sums.histograms[Measure.RATIO]
    return {
        "wins": sums.counts["wins"],
        "losses": sums.counts["losses"],
        "ties": sums.counts["ties"],
        "paired_failed": sums.counts["failed"],
        "legacy_failed": sums.counts["legacy_failed"],
        "p95_ratio": upper_bound(ratios, TAIL, policy),
        "gain": gain(ratios),
        "repeats": sums.counts["repeated"],
        "noisy": sums.counts["noisy"],
        "excused": excused(sums),
    }


def upper_bound(bins: Mapping[int, int], share: float, policy: Policy) -> float | None:
    """Return the least ratio that more than `share` of all pairs are proven to stay below; None where none is proven.

    The confidence bound of a quantile, by inversion of the test of a rate: it lies above x just where the rate of what
    lies below x is under its level. The test is asked at the upper ends of bins, so the bound is rounded outward. It
    holds at every look, since counts grow from bin to bin: if it were too low at any look, then the test at the one
    last end below the quantile would have rejected what is true.
    """
    places, total = sorted(bins), sum(bins.values())
    below = list(accumulate(bins[place] for place in places))

    def proven(count: int) -> bool:
        return rejects(log_e_above(count, total, share, t_opt=policy.t_opt), policy.alpha)

    least = bisect_left(below, True, key=proven)  # the more lie below, the more is proven
    bound = ratio_above(places[least]) if least < len(places) else inf
    return bound if bound < inf else None


def live_ratio(sums: PairSums) -> float | None:
    """Return the ratio of live latencies at the 95th percentile, enhanced over legacy; None from too few calls.

    Bins are 5 % wide, so it is right to that. A failure counts as slow as can be.
    """
    enhanced, legacy = (sums.histograms[side] for side in (Measure.LIVE_ENHANCED, Measure.LIVE_LEGACY))
    if min(enhanced.total(), legacy.total()) < FEWEST:
        return None
    return latency_middle(quantile(enhanced, TAIL)) / latency_middle(quantile(legacy, TAIL))


def quantile(bins: Mapping[int, int], share: float) -> int:
    """Return the bin that holds a quantile of what was counted, and something was."""
    places = sorted(bins)
    below = list(accumulate(bins[place] for place in places))
    return places[bisect_left(below, share * below[-1])]


def gain(bins: Mapping[int, int]) -> float | None:
    """Return 1 less the median of the ratios, above 0 where enhanced is faster; None where there is no median.

    A pair in which enhanced failed is slower than any other; where half of them did, there is no gain to tell.
    """
    total, below = sum(bins.values()), 0
    for place in sorted(bins):
        below += bins[place]
        if 2 * below >= total:
            return 1 - ratio_middle(place) if place < NO_RATIO else None
    return None


def excused(sums: PairSums) -> int:
    """Return in how many pairs legacy differed from itself, as far as that can explain what enhanced differs in.

    Field by field: noise in one excuses nothing in another, nor more than there is. Critical differences never are.
    """
    fields = [field for field in sums.noise if field.severity != Severity.CRITICAL]
    return min(sums.counts["noisy"], sum(min(field.repeated, field.compared) for field in fields))
