"""How often a gate is fooled by looking again and again: simulated rollouts, judged by three rules.

Each rollout is a candidate whose true rate of success is known, and looked at every 200 calls: it is promoted at the
first look at which its rule says so. *naive* takes the rate seen, *Wilson* the lower end of the 95 % interval that
every dashboard has, *ours* is what `rollout.claims` does: the mixture of `rollout.statistics` over counts divided by
their design effect. Calls are independent, or 20 a user whose calls resemble each other (correlation 0.2).
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from math import inf, pi, sqrt
from statistics import median
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bench.measuring import BenchError, Benchmark, Result, Row
from rollout import Policy
from rollout.claims import MIN_GROUPS
from rollout.statistics import design_effect, log_e_above, log_e_below, rejects

LOOK: Final = 200  # calls between two looks
LOOKS: Final = 250
ROLLOUTS: Final = 2_000
GROUPS: Final = 256
OF_A_USER: Final = 20  # calls
ALIKE: Final = 0.2  # correlation between the calls of one user
PROMOTED: Final = (0.945, 0.95, 0.96, 0.97, 0.99)
STEP: Final = 20  # calls between two looks at a candidate that turned bad
MOST_STEPS: Final = 1_000
HOUR: Final = 500  # calls an hour
ROLLED_BACK: Final = (0.97, 0.95, 0.94, 0.9, 0.5)
SEED: Final = 20_210_401

_WILSON_Z: Final = 1.959964  # of 95 %, two-sided
_POLICY: Final = Policy()

Counts = NDArray[np.int64]
Shares = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Look:
    """All rollouts at one moment: successes of each, out of how many calls and users, and their design effects."""

    successes: Counts
    calls: int
    users: int
    groups: int  # the fewest that any of them has calls of
    effects: Shares


Rule = Callable[[Look, int], bool]


def courses(rate: float, rollouts: int, looks: int, *, clustered: bool) -> Iterator[Look]:
    """Yield rollouts look by look; the same ones whenever they are asked for."""
    dice = np.random.default_rng([SEED, round(rate * 1_000_000), clustered])
    by_group, good_by_group = (np.zeros((rollouts, GROUPS), np.int64) for _ in range(2))
    rows, users = np.arange(rollouts)[:, None], LOOK // OF_A_USER if clustered else LOOK
    for look in range(1, looks + 1):
        if clustered:
            weight = (1 - ALIKE) / ALIKE
            likely = dice.beta(rate * weight, (1 - rate) * weight, (rollouts, users))
            good, each = dice.binomial(OF_A_USER, likely), OF_A_USER
        else:
            good, each = dice.binomial(1, rate, (rollouts, users)), 1
        groups = dice.integers(0, GROUPS, (rollouts, users))
        np.add.at(by_group, (rows, groups), each)
        np.add.at(good_by_group, (rows, groups), good)
        seen = int((by_group > 0).sum(axis=1).min())
        yield Look(good_by_group.sum(axis=1), look * LOOK, look * users, seen, _effects(good_by_group, by_group))


def _effects(good: Counts, calls: Counts) -> Shares:
    """Return the design effect of each rollout: `design_effect`, of all at once."""
    rates = (good.sum(axis=1) / calls.sum(axis=1))[:, None]
    groups = (calls > 0).sum(axis=1)
    spread = ((good - rates * calls) ** 2).sum(axis=1) * groups / (groups - 1)
    noise = (rates * (1 - rates))[:, 0] * calls.sum(axis=1)
    effects: Shares = np.maximum(1.0, np.divide(spread, noise, out=np.ones(len(noise)), where=noise > 0))
    expected = design_effect(list(zip(map(float, good[0]), map(float, calls[0]), strict=True)))
    if abs(effects[0] - expected) > 1e-9 * expected:
        raise BenchError(f"a design effect of {effects[0]}, where rollout.statistics says {expected}")
    return effects


def naive(look: Look, place: int) -> bool:
    """Promote where the rate seen is above the threshold."""
    return bool(look.successes[place] > _POLICY.success * look.calls)


def wilson(look: Look, place: int) -> bool:
    """Promote where the lower end of Wilson's interval is above the threshold."""
    n, seen, square = look.calls, look.successes[place] / look.calls, _WILSON_Z**2
    low = seen + square / (2 * n) - _WILSON_Z * sqrt(seen * (1 - seen) / n + square / (4 * n * n))
    return bool(low / (1 + square / n) > _POLICY.success)


def ours(look: Look, place: int) -> bool:
    """Promote as the gate does: enough people, and the evidence of counts divided by their design effect."""
    if look.users < _POLICY.users or look.groups < MIN_GROUPS or not naive(look, place):
        return False  # what is not even seen is never proven
    effect = float(look.effects[place])
    log_e = log_e_above(look.successes[place] / effect, look.calls / effect, _POLICY.success, t_opt=_POLICY.t_opt)
    return rejects(log_e, _POLICY.alpha)


def harmed(look: Look, place: int) -> bool:
    """Roll back as the gate does, for one operation."""
    if look.users < _POLICY.users:
        return False
    log_e = log_e_below(float(look.successes[place]), look.calls, _POLICY.success, t_opt=_POLICY.t_opt)
    return rejects(log_e, _POLICY.alpha_harm)


RULES: Final[dict[str, Rule]] = {"naive": naive, "Wilson": wilson, "ours": ours}


def first_times(
    rules: dict[str, Rule], rate: float, rollouts: int, looks: int, *, clustered: bool
) -> dict[str, list[float]]:
    """Return, by rule, after how many calls each rollout was decided; infinity where it never was."""
    times = {name: [inf] * rollouts for name in rules}
    for look in courses(rate, rollouts, looks, clustered=clustered):
        for name, rule in rules.items():
            undecided = times[name]
            for place, known in enumerate(undecided):
                if known == inf and rule(look, place):
                    undecided[place] = float(look.calls)
        if all(max(found) < inf for found in times.values()):
            break
    return times


def _run(quick: bool) -> Result:  # noqa: FBT001 — as every benchmark's
    rollouts, looks = (100, 20) if quick else (ROLLOUTS, LOOKS)
    rows: list[Row] = []
    for clustered in (False, True):
        kind = "20 calls a user" if clustered else "independent calls"
        for rate in PROMOTED:
            found = first_times(RULES, rate, rollouts, looks, clustered=clustered)
            rows += _told(found, rate, "promoted", kind)
        for rate in ROLLED_BACK:
            found = first_times({"ours": harmed}, rate, rollouts, looks, clustered=clustered)
            rows += _told(found, rate, "rolled back", kind)
    for name, times in turned_bad(20 if quick else 500, 40_000).items():
        rows.append(
            Row(name=name, unit="calls", samples=tuple(times), group="turned bad: calls until then", point="median")
        )
    return Result(rows=sorted(rows, key=lambda row: row.group), notes=_notes(rollouts, looks))


def _late(name: str, times: list[float]) -> Row:
    return Row(name=name, unit="calls", samples=tuple(times), group="turned bad: rolled back after", point="median")


def turned_bad(rollouts: int, before: int) -> dict[str, list[float]]:
    """Return how many calls at 0.8 it takes to roll back what answered `before` calls at 0.99, by two tests."""
    dice = np.random.default_rng([SEED, before])
    found: dict[str, list[float]] = {"by all calls of the epoch": [], "by the calls of the hour": []}
    for _ in range(rollouts):
        good = int(dice.binomial(before, 0.99))
        since = np.cumsum(dice.binomial(STEP, 0.8, MOST_STEPS))
        looks = range(1, MOST_STEPS + 1)
        found["by all calls of the epoch"].append(_first(_rejected(good + since, at, before) for at in looks))
        found["by the calls of the hour"].append(_first(_lately(since, at, before) for at in looks))
    return found


def _first(is_harm: Iterable[bool]) -> float:
    return next((at * STEP for at, harm in enumerate(is_harm, 1) if harm), inf)


def _rejected(good: Counts, at: int, before: int, level: float = 1.0) -> bool:
    log_e = log_e_below(float(good[at - 1]), before + at * STEP, _POLICY.success, t_opt=_POLICY.t_opt)
    return rejects(log_e, _POLICY.alpha_harm / 2 * level)


def _lately(good: Counts, at: int, before: int) -> bool:
    """Judge the hour under way: it began with the last `HOUR` calls, the first of them with the change."""
    start = (at - 1) * STEP // HOUR * HOUR // STEP
    number = (before + start * STEP) // HOUR + 1
    here = good - (good[start - 1] if start else 0)
    return _rejected(here[start:], at - start, 0, 6 / (pi * number) ** 2)


def _told(found: dict[str, list[float]], rate: float, what: str, kind: str) -> Iterator[Row]:
    for name, times in found.items():
        decided = [time for time in times if time < inf]
        share, calls = 100 * len(decided) / len(times), median(decided or [0.0])
        for unit, figure, of_what in (("%", share, "of the rollouts"), ("calls", calls, "until then, the median")):
            yield Row(name=name, unit=unit, samples=(figure,), group=f"{what}, {kind}: {of_what}", point=f"{rate:g}")


def _notes(rollouts: int, looks: int) -> tuple[str, ...]:
    return (
        f"{rollouts:,} rollouts of each true rate, a look every {LOOK} calls to {LOOK * looks:,}.",
        f"To be proven is more than {_POLICY.success:g}; the columns are the true rates.",
        "How many were promoted, or rolled back, at any look, and after how many calls, in the middle of those.",
        f"turned bad: 0.99 for 40,000 calls, then 0.8; {HOUR} calls an hour, a look every {STEP}.",
        f"20 calls a user: these resemble each other, with a correlation of {ALIKE:g}.",
    )


BENCHMARK: Final = Benchmark(name="gate", title="how often a gate is fooled by looking again", run=_run)
