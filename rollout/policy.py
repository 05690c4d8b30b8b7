"""The policy: what an operator asks of a candidate before more users may be answered by it.

The defaults are the migration plan's, and `rollout/policy.toml` says the same. On the data's way it meets the evidence
in the gate, and nowhere else.
"""

from datetime import date
from itertools import pairwise
from math import isfinite, pi
from typing import Any, Final, NamedTuple

import msgspec

from gnomon import ConfigurationError
from rollout.canonical_json import digest
from rollout.stages import Stage


class _Range(NamedTuple):
    low: float
    high: float
    closed: bool = True  # whether the ends belong to it

    def holds(self, value: float) -> bool:
        inside = self.low <= value <= self.high if self.closed else self.low < value < self.high
        return isfinite(value) and inside

    def __str__(self) -> str:
        ends = "" if self.closed else ", both excluded"
        return f"from {self.low:g} to {self.high:g}{ends}"


_MOST_ATTEMPTS: Final = 1_000_000  # by then nothing is left
_RATE: Final = _Range(0, 1, closed=False)
_SHARE: Final = _Range(0, 1)
_RATIO: Final = _Range(0.01, 100)
_HOURS: Final = _Range(0, 24 * 366)
_SECONDS: Final = _Range(0, 24 * 3600)
_COUNT: Final = _Range(1, 2**53)

_RANGES: Final[dict[str, _Range]] = {
    "success": _RATE,
    "error": _RATE,
    "divergence": _RATE,
    "gain": _Range(0, 0),  # wins and losses prove "faster", not by how much
    "tail": _RATIO,
    "no_worse": _RATIO,
    "dwell_h": _HOURS,
    "hours_with_data": _HOURS,
    "lag_s": _SECONDS,
    "coverage": _SHARE,
    "excluded": _SHARE,
    "users": _COUNT,
    "served_calls": _COUNT,
    "complaint_feed_age_s": _SECONDS,
    "deadline_h": _HOURS,
    "alpha": _Range(0, 0.5, closed=False),
    "alpha_harm": _Range(0, 0.5, closed=False),
    "alpha_ratio": _Range(0, 0.5, closed=False),
    "clean_looks": _Range(0, 1_000),
    "t_opt": _Range(100, 1e12),
}

#: limits that one operation may have of its own
OWN: Final = frozenset(
    ("success", "error", "divergence", "tail", "no_worse", "coverage", "excluded", "served_calls"),
)
#: criteria of one operation that a person may waive
WAIVABLE: Final = OWN - {"no_worse"} | {"traffic", "performance", "latency"}


class Waiver(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A person's word that one operation need not prove one thing, because it cannot: it is called too seldom, say.

    It takes the place of evidence that is missing, until the end of the day `until`. A limit that is not kept, or harm,
    it does not excuse.
    """

    operation: str
    criterion: str
    author: str
    reason: str
    until: date

    def __post_init__(self) -> None:
        for name in ("operation", "author", "reason"):
            if not getattr(self, name).strip():
                raise ConfigurationError(f"waivers.{name}", "is empty", "a text")
        if self.criterion not in WAIVABLE:
            expected = f"one of {', '.join(sorted(WAIVABLE))}"
            raise ConfigurationError("waivers.criterion", f"cannot use {self.criterion!r}", expected)


class Policy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The limits of the gate; raises ConfigurationError naming the field that cannot be used.

    `operations`: limits of their own that operations have, by name (`OWN`). `waivers`: what need not be proven.
    """

    success: float = 0.95  #: the rate of answered calls to prove, per operation; exactly this rate is no pass
    error: float = 0.05  #: the rate of errors to stay below; where it is 1 less `success` it is the same statement
    # One wrong answer in a hundred: stricter than errors, since an error falls back to legacy and a wrong answer
    # reaches the user; loose enough that 466 calls without divergence prove it. What people ruled harmless is
    # `ignored` and does not count.
    divergence: float = 0.01  #: the rate of divergences to stay below
    gain: float = 0.0  #: paired reads must be faster by more than this
    tail: float = 1.10  #: limit of the paired p95 ratio of reads
    no_worse: float = 1.25  #: limit of the live p95 ratio of writes and generate calls
    dwell_h: float = 48.0  #: hours at a stage, paused ones left out
    hours_with_data: int = 45  #: distinct hours with traffic among them
    lag_s: float = 900.0  #: age of the oldest pending capture, at most
    coverage: float = 0.99  #: of the calls wanted, the share that was captured
    excluded: float = 0.20  #: of the captures, the share that may be left out of comparison
    users: int = 200  #: distinct users, below which clustered calls prove nothing
    served_calls: int = 154  #: calls answered by enhanced; the shortest perfect record that proves 95 %
    complaint_feed_age_s: float = 900.0  #: since the complaint feed was last alive, at most
    deadline_h: float = 336.0  #: after 14 days without a decision, more of the same will not bring one
    alpha: float = 0.05  #: the risk of a wrong pass, per criterion
    alpha_harm: float = 0.01  #: the risk of a wrong rollback, over all tests for harm
    alpha_ratio: float = 0.001  #: the risk of holding for a sample ratio that is sound
    clean_looks: int = 3  #: looks in a row without a reason to hold, before it holds no longer
    t_opt: float = 1000.0  #: the number of calls at which the tests are tightest
    stages: tuple[int, ...] = tuple(Stage)  #: the shares that a rollout climbs, in percent
    operations: dict[str, dict[str, float]] = {}
    waivers: tuple[Waiver, ...] = ()

    def __post_init__(self) -> None:
        for name, allowed in _RANGES.items():
            _check(name, getattr(self, name), allowed)
        _check_stages(self.stages)
        for operation, own in self.operations.items():
            _check_own(operation, own)

    def of(self, operation: str) -> "Policy":
        """Return the limits that hold for one operation."""
        own = self.operations.get(operation)
        return msgspec.structs.replace(self, operations={}, **own) if own else self

    def at(self, attempt: int) -> "Policy":
        """Return the policy of a later attempt at one stage: attempt r has 6/(π² r²) of the risk of a wrong pass left.

        So trying again until it passes does not pay: all attempts after the first spend less than 0.4 of it together.
        """
        if attempt <= 1:
            return self
        attempt = min(attempt, _MOST_ATTEMPTS)
        return msgspec.structs.replace(self, alpha=self.alpha * 6 / (pi * attempt) ** 2)

    def waiver(self, operation: str, criterion: str) -> Waiver | None:
        """Return the waiver of one criterion of one operation, if there is one."""
        found = (each for each in self.waivers if (each.operation, each.criterion) == (operation, criterion))
        return next(found, None)

    def on(self, day: date) -> "Policy":
        """Return the policy of a day: without the waivers that have ended."""
        return msgspec.structs.replace(self, waivers=tuple(each for each in self.waivers if each.until >= day))

    def digest(self) -> str:
        """Return the SHA-256 of the canonical JSON, in hexadecimal: the same for equal policies."""
        waivers = sorted(self.waivers, key=lambda each: (each.operation, each.criterion, each.until))
        return digest(msgspec.structs.replace(self, waivers=tuple(waivers)))


def _check(name: str, value: object, allowed: _Range) -> None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not allowed.holds(value):  # type: ignore[arg-type]  # is_number says so
        raise ConfigurationError(name, f"cannot use {value!r}", f"a number {allowed}")


def _check_stages(stages: tuple[int, ...]) -> None:
    shares = [int(stage) for stage in Stage]
    first_to_last = len(stages) > 1 and (stages[0], stages[-1]) == (shares[0], shares[-1])
    if not (first_to_last and set(stages) <= set(shares) and all(low < high for low, high in pairwise(stages))):
        expected = f"shares that rise from 0 to 100, of {', '.join(map(str, shares))}"
        raise ConfigurationError("stages", f"cannot use {[*stages]!r}", expected)


def _check_own(operation: str, own: dict[str, Any]) -> None:
    for name, value in own.items():
        variable = f'operations."{operation}".{name}'
        if name not in OWN:
            raise ConfigurationError(variable, "is no limit of one operation", f"one of {', '.join(sorted(OWN))}")
        _check(variable, value, _RANGES[name])
