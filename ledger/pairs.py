"""Pairs: reads that a worker made of both systems, one right after another, and what is counted of them. Pure.

A pair is three runs of one captured read: legacy twice, enhanced once. They are compared only with each other. Counters
are whole numbers and histograms have fixed bins, so that whatever is added in whatever order gives the same figures.
"""

from enum import StrEnum
from math import exp, floor, log
from typing import Final

import msgspec

from comparators import Difference, Severity, fingerprint, mask, wildcard
from gnomon.hashing import cluster_of

RATIO_WIDTH: Final = 0.01  # of a bin, in nats: about 1 %, so that a limit of 1.10 is met to a tenth
RATIO_LIMIT: Final = 700  # bins either way: a thousand times as fast, or as slow
NO_RATIO: Final = 1_000  #: the bin of pairs in which enhanced failed: slower than any other
LATENCY_WIDTH: Final = 0.05  # about 5 %
LATENCY_LIMIT: Final = 400  # bins: e^20 µs are 8 minutes, and no replay may take so long
TIE_NS: Final = 1_000  # what the clock and its reading can't tell apart
MICRO: Final = 1_000_000


class Unpaired(StrEnum):
    """Why a pair that was to be taken is none."""

    CAPPED = "capped"  #: legacy is asked no more often than this, or is given a rest
    BEHIND = "behind"  #: the worker has more urgent things to do
    SUPERSEDED = "superseded"  #: a write of the user came in between: the runs may not have seen the same
    LEGACY_FAILED = "legacy_failed"  #: there is nothing to compare with
    GIVEN_UP = "given_up"  #: legacy did not come back, or an error of ours


class Measure(StrEnum):
    """What there are histograms of."""

    RATIO = "ratio"  #: enhanced over legacy, of one pair
    REPEAT = "repeat"  #: legacy's second run over its first: what time and caches do
    LEGACY = "legacy"  #: of a pair, in µs
    ENHANCED = "enhanced"  #: of a pair, in µs
    WAIT = "wait"  #: from the end of the call to its pair, in µs
    LIVE_LEGACY = "live_legacy"  #: of live writes and generate calls, in µs
    LIVE_ENHANCED = "live_enhanced"  #: the same; failures among them as slow as can be


#: the measures of pairs
PAIRED: Final = tuple(each for each in Measure if each not in (Measure.LIVE_LEGACY, Measure.LIVE_ENHANCED))


class Field(msgspec.Struct, frozen=True):
    """Where two runs differ: indices wildcarded, names of personal keys masked, and never a value."""

    group: str
    path: str
    kind: str
    severity: Severity

    @classmethod
    def of(cls, operation: str, difference: Difference) -> "Field":
        """Name the field that a difference is in."""
        path = wildcard(mask(difference.path))
        return cls(fingerprint(operation, difference), path, str(difference.kind), difference.severity)


class Comparison(msgspec.Struct, frozen=True):
    """What came of comparing two runs: whether they diverge, and in which fields, each once."""

    diverged: bool
    fields: tuple[Field, ...] = ()

    @property
    def critical(self) -> bool:
        """Whether anything is critical: that is never noise."""
        return any(field.severity is Severity.CRITICAL for field in self.fields)


class PairedRuns(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One pair, or why there is none.

    `legacy_ns` is the run that enhanced is held against, `first_ns` the one before it. `failed`: legacy returned and
    enhanced did not. `timed` is False where times say nothing, of generate calls. `repeated` compares legacy's runs,
    `compared` legacy's and enhanced's; None where one of them raised.
    """

    capture_id: str
    operation: str
    epoch: int
    exposure: str
    user: str
    ended_us: int = 0  #: when the last run was through, on Redis's clock; 0: nothing was run
    wait_us: int = 0
    first_ns: int = 0
    legacy_ns: int = 0
    enhanced_ns: int = 0
    failed: bool = False
    timed: bool = True
    unpaired: Unpaired | None = None
    repeated: Comparison | None = None
    compared: Comparison | None = None

    @property
    def cluster(self) -> int:
        """The user's hash group."""
        return cluster_of(self.user)

    @property
    def log_ratio(self) -> float | None:
        """The logarithm of enhanced's time over legacy's; None where there is no such."""
        if self.failed or not self.timed or self.unpaired is not None:
            return None
        return log(max(self.enhanced_ns, 1) / max(self.legacy_ns, 1))

    def counts(self) -> dict[str, int]:
        """Return what this adds to the counters of its operation and cluster."""
        if self.unpaired is not None:
            return {str(self.unpaired): 1}
        return {**(self._speed() if self.timed else {}), **self._differences()}

    def _speed(self) -> dict[str, int]:
        ratio = self.log_ratio
        if ratio is None:
            return {"losses": 1, "failed": 1}
        sums = {"log_sum": round(ratio * MICRO), "log_squares": round(ratio * ratio * MICRO)}
        if abs(self.enhanced_ns - self.legacy_ns) < TIE_NS:
            return {"ties": 1, **sums}
        return {"wins" if ratio < 0 else "losses": 1, **sums}

    def _differences(self) -> dict[str, int]:
        found: dict[str, int] = {}
        if self.repeated is not None:
            found |= {"repeated": 1, "noisy": int(self.repeated.diverged and not self.repeated.critical)}
        if self.compared is not None:
            found |= {"compared": 1, "differing": int(self.compared.diverged)}
        return found

    def bins(self) -> dict[Measure, int]:
        """Return the bin it falls into, of each histogram."""
        if self.unpaired is not None or not self.timed:
            return {}
        found = {
            Measure.RATIO: ratio_bin(self.enhanced_ns, self.legacy_ns) if not self.failed else NO_RATIO,
            Measure.WAIT: latency_bin(self.wait_us),
        }
        if self.legacy_ns:
            found[Measure.LEGACY] = latency_bin(self.legacy_ns / 1_000)
        if not self.failed:
            found[Measure.ENHANCED] = latency_bin(self.enhanced_ns / 1_000)
        if self.first_ns:
            found[Measure.REPEAT] = ratio_bin(self.legacy_ns, self.first_ns)
        return found


def ratio_bin(one_ns: int, other_ns: int) -> int:
    """Return the bin of a ratio of two times: bin b holds those from e^(b w) up to e^((b+1) w), w = 0.01."""
    place = floor(log(max(one_ns, 1) / max(other_ns, 1)) / RATIO_WIDTH)
    return max(-RATIO_LIMIT, min(place, RATIO_LIMIT))


def latency_bin(us: float) -> int:
    """Return the bin of a time in µs: bin b holds those from e^(b w) up to e^((b+1) w), w = 0.05."""
    return min(floor(log(max(us, 1.0)) / LATENCY_WIDTH), LATENCY_LIMIT)


def ratio_above(place: int) -> float:
    """Return the upper end of a bin of ratios; infinite for the last ones, which have none."""
    return exp((place + 1) * RATIO_WIDTH) if place < RATIO_LIMIT else float("inf")


def ratio_middle(place: int) -> float:
    """Return what a bin of ratios is taken for where one figure is asked for; infinite where enhanced failed."""
    return exp((place + 0.5) * RATIO_WIDTH) if place < NO_RATIO else float("inf")


def latency_middle(place: int) -> float:
    """Return what a bin of times is taken for, in µs."""
    return exp((place + 0.5) * LATENCY_WIDTH)
