"""Tests of a rate that stay valid however often one looks: the arithmetic below the gate.

A rate is tested by the beta-binomial mixture of Howard, Ramdas, McAuliffe and Sekhon, "Time-uniform, nonparametric,
nonasymptotic confidence sequences" (Annals of Statistics 49, 2021): the likelihood of the calls seen, averaged over a
beta prior centred at the threshold, over their likelihood at the threshold. Under the hypothesis that average is a
nonnegative martingale, so by Ville's inequality it exceeds 1/alpha at *any* look with probability at most alpha. The
one-sided forms cut the prior off at the threshold.

Counts may be fractions, since counts of clustered calls are divided by their design effect. Functions raise ValueError,
naming the argument, for what is no count or no probability, and never return NaN.
"""

from collections.abc import Callable, Iterable
from functools import cache, lru_cache
from math import inf, lgamma, log, log1p, pi
from typing import Any, Final

T_OPT: Final = 1000.0  # the number of calls at which the mixture is tightest
ALPHA_OPT: Final = 0.05  # the level at which it is
RATIO_T_OPT: Final = 10_000.0  # users, for the sample-ratio test
RATIO_ALPHA_OPT: Final = 0.001  # a mismatch of ratios is a fault of ours: it takes strong evidence to say so
MARGIN: Final = 1e-6  # rounding may cost this much of a logarithm; it must never make a promotion

_MOST_TRIALS: Final = 2**63  # no counter goes further
_LEAST_T_OPT: Final = 100.0  # below, the mass of the prior comes near nothing
_LEAST_PROBABILITY: Final = 1e-100  # no counter can tell smaller thresholds apart, and below it the prior underflows
_LEAST_TAIL: Final = 1e-290  # a smaller tail loses digits on its way to an underflow
_STIRLING_FROM: Final = 16.0  # above, five terms of the series leave less than 1e-14
_RELATIVE_ERROR: Final = 1e-15
_MOST_TERMS: Final = 5_000  # below the least tail the fraction needs 20 terms at any count up to 1e8
_ROOT_WIDTH: Final = 1e-10


def log_e_above(
    successes: float, trials: float, threshold: float, *, t_opt: float = T_OPT, alpha_opt: float = ALPHA_OPT
) -> float:
    """Return the logarithm of the evidence that the true rate of successes lies *above* `threshold`.

    It tests the hypothesis "rate ≤ threshold" and is 0.0 without trials; `rejects` says when it is enough.
    """
    good, bad = _counts(successes, trials)
    p = _probability("threshold", threshold)
    return _one_sided(good, bad, p, 1 - p, _one_sided_mass(t_opt, alpha_opt)) if trials else 0.0


def log_e_below(
    successes: float, trials: float, threshold: float, *, t_opt: float = T_OPT, alpha_opt: float = ALPHA_OPT
) -> float:
    """Return the logarithm of the evidence that the true rate of successes lies *below* `threshold`."""
    good, bad = _counts(successes, trials)
    p = _probability("threshold", threshold)
    return _one_sided(bad, good, 1 - p, p, _one_sided_mass(t_opt, alpha_opt)) if trials else 0.0


def log_e_mismatch(
    count: float, total: float, share: float, *, t_opt: float = RATIO_T_OPT, alpha_opt: float = RATIO_ALPHA_OPT
) -> float:
    """Return the logarithm of the evidence that `count` of `total` users is not the `share` that was drawn.

    The two-sided mixture; a sample-ratio mismatch means that users went missing on one side, so no rate can be trusted.
    """
    inside, outside = _counts(count, total)
    p = _probability("share", share)
    return _two_sided(inside, outside, p, 1 - p, _mass(t_opt, alpha_opt)) if total else 0.0


def rejects(log_e: float, alpha: float) -> bool:
    """Tell whether evidence is enough at level `alpha`, whatever the number of looks before."""
    return log_e >= log(1 / _probability("alpha", alpha)) + MARGIN


def interval(
    successes: float, trials: float, alpha: float = 0.05, *, t_opt: float = T_OPT, alpha_opt: float = ALPHA_OPT
) -> tuple[float, float]:
    """Return the bounds that hold the true rate at every look with probability 1 - `alpha`: (0.0, 1.0) from nothing.

    They are the thresholds that the two-sided mixture does not reject.
    """
    good, bad = _counts(successes, trials)
    limit = log(1 / _probability("alpha", alpha))
    mass = _mass(t_opt, alpha_opt)
    return _lower_end(_two_sided, good, bad, mass, limit), 1 - _lower_end(_two_sided, bad, good, mass, limit)


@lru_cache(maxsize=256)  # success and error ask for the bound of the same counts
def lower_bound(
    successes: float, trials: float, alpha: float = 0.05, *, t_opt: float = T_OPT, alpha_opt: float = ALPHA_OPT
) -> float:
    """Return the highest rate that `log_e_above` proves at level `alpha`; above a threshold just when it rejects."""
    good, bad = _counts(successes, trials)
    limit = log(1 / _probability("alpha", alpha)) + MARGIN
    return _lower_end(_one_sided, good, bad, _one_sided_mass(t_opt, alpha_opt), limit)


def design_effect(clusters: Iterable[tuple[float, float]]) -> float:
    """Return δ ≥ 1: by how much calls of the same users, counted as (successes, trials) a cluster, repeat each other.

    The variance of the ratio Σs/Σn between clusters over what independent calls would show; dividing both counts by it
    makes them worth what they prove. Only clusters with trials count, which for few clusters is the more careful
    choice, so it does not matter whether empty ones are listed. 1.0 where there is nothing to tell apart: a single
    cluster, or calls that all end alike.
    """
    counted = []
    for s, n in clusters:
        if not 0 <= s <= n <= _MOST_TRIALS:
            _counts(s, n)  # says what is wrong
        if n:
            counted.append((s, n))
    successes, trials = float(sum([s for s, _ in counted])), float(sum([n for _, n in counted]))
    if len(counted) < 2 or not 0 < successes < trials:  # noqa: PLR2004
        return 1.0
    rate = successes / trials
    spread = sum([(s - rate * n) ** 2 for s, n in counted]) * len(counted) / (len(counted) - 1)
    return max(1.0, spread / (rate * (1 - rate) * trials))


def _counts(successes: float, trials: float) -> tuple[float, float]:
    if not 0 <= trials <= _MOST_TRIALS:
        raise ValueError(f"trials: cannot use {trials!r}; expected a number from 0 to 2**63")
    if not 0 <= successes <= trials:
        raise ValueError(f"successes: cannot use {successes!r}; expected a number from 0 to trials, here {trials!r}")
    return float(successes), float(trials - successes)


def _probability(name: str, value: float) -> float:
    if not 0 < value < 1:
        raise ValueError(f"{name}: cannot use {value!r}; expected a number between 0 and 1, both excluded")
    return float(value)


@lru_cache(maxsize=64)
def _mass(t_opt: float, alpha_opt: float) -> float:
    """Return K, the weight of the prior in calls: the mixture is tightest after `t_opt` calls at `alpha_opt`."""
    if not _LEAST_T_OPT <= t_opt <= _MOST_TRIALS:
        raise ValueError(f"t_opt: cannot use {t_opt!r}; expected a number from {_LEAST_T_OPT:g} to 2**63")
    width = 2 * log(1 / _probability("alpha_opt", alpha_opt))
    return t_opt / (width + log1p(width)) - 1


def _one_sided_mass(t_opt: float, alpha_opt: float) -> float:
    if not 0 < alpha_opt < 0.5:  # noqa: PLR2004
        raise ValueError(f"alpha_opt: cannot use {alpha_opt!r}; expected a number between 0 and 0.5, both excluded")
    return _mass(t_opt, 2 * alpha_opt)  # one side spends the level that two sides share


def _two_sided(good: float, bad: float, p: float, q: float, mass: float) -> float:
    """Return ln [B(A+s, B+f) / (B(A, B) pˢ qᶠ)] with A = pK and B = qK.

    Taken apart as in Loader's saddle point ("Fast and accurate computation of binomial probabilities", 2000): two
    deviances, which are never negative, and Stirling errors, which are small. The plain difference of three large
    logarithms would lose six digits at 10⁸ trials.
    """
    p, q = max(p, _LEAST_PROBABILITY), max(q, _LEAST_PROBABILITY)
    a, b = p * mass + good, q * mass + bad
    total = a + b
    deviance = _deviance(a, total * p) + _deviance(b, total * q)
    scale = (log(2 * pi) + log(total) - log(a) - log(b)) / 2
    errors = _stirling_error(a) + _stirling_error(b) - _stirling_error(total)
    return deviance + scale + errors + _log_prior(p, q, mass)


def _one_sided(good: float, bad: float, p: float, q: float, mass: float) -> float:
    """Return `_two_sided` with the prior cut off at p: plus the posterior's share above p, minus the prior's."""
    p, q = max(p, _LEAST_PROBABILITY), max(q, _LEAST_PROBABILITY)
    a, b = p * mass + good, q * mass + bad
    log_share = _log_share_above(a, b, p, q)
    if log_share > -inf:
        posterior = _two_sided(good, bad, p, q, mass) + log_share
    else:
        # far below the threshold the mixture and the share are huge and cancel; this is their sum without either
        posterior = _log_prior(p, q, mass) - log(b) + log(_beta_fraction(b, a, q))
    return posterior - _log_share_above(p * mass, q * mass, p, q)


def _log_prior(p: float, q: float, mass: float) -> float:
    """Return ln [pᴬ qᴮ / B(A, B)], what the prior adds whatever the counts."""
    a, b = p * mass, q * mass
    return a * log(p) + b * log(q) - lgamma(a) - lgamma(b) + lgamma(mass)


def _deviance(x: float, mean: float) -> float:
    """Return x ln(x/mean) + mean - x without cancellation where x is near its mean."""
    excess = (x - mean) / mean
    if abs(excess) < 0.5:  # noqa: PLR2004
        return mean * ((1 + excess) * log1p(excess) - excess)
    return x * (log(x) - log(mean)) + mean - x


def _stirling_error(x: float) -> float:
    """Return ln Γ(x) - (x - ½) ln x + x - ½ ln 2π."""
    if x < _STIRLING_FROM:
        return lgamma(x) - (x - 0.5) * log(x) + x - log(2 * pi) / 2
    square = x * x
    return (1 / 12 - (1 / 360 - (1 / 1260 - (1 / 1680 - 1 / 1188 / square) / square) / square) / square) / x


def _log_share_above(a: float, b: float, p: float, q: float) -> float:
    """Return ln P(X > p) for X ~ Beta(a, b); -inf where it is below what a double holds well."""
    below, above = _incomplete_beta()
    # of the two complements of one share, the one with the smaller argument has all its digits
    tail, body = (above(a, b, p), below(a, b, p)) if p <= q else (below(b, a, q), above(b, a, q))
    if body < 0.5:  # noqa: PLR2004
        return log1p(-float(body))
    return log(tail) if tail >= _LEAST_TAIL else -inf


@cache
def _incomplete_beta() -> tuple[Callable[..., Any], Callable[..., Any]]:
    # scipy takes a third of a second to import, which commands that judge nothing need not wait for
    from scipy.special import betainc, betaincc

    return betainc, betaincc


def _beta_fraction(a: float, b: float, x: float) -> float:
    """Return h in Iₓ(a, b) = xᵃ (1 - x)ᵇ h / (a B(a, b)), for x below the mean.

    The continued fraction of DLMF 8.17.22, evaluated by the modified Lentz method.
    """
    numerator, denominator = 1.0, 1 / (1 - (a + b) * x / (a + 1))
    value = denominator
    for m in range(1, _MOST_TERMS):
        for term in (_even_term(a, b, x, m), _odd_term(a, b, x, m)):
            denominator = 1 / (1 + term * denominator)
            numerator = 1 + term / numerator
            value *= denominator * numerator
        if abs(denominator * numerator - 1) < _RELATIVE_ERROR:
            break
    return value


def _even_term(a: float, b: float, x: float, m: int) -> float:
    return m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))


def _odd_term(a: float, b: float, x: float, m: int) -> float:
    return -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))


def _lower_end(evidence: Callable[..., float], good: float, bad: float, mass: float, limit: float) -> float:
    """Return the threshold below the rate seen at which `evidence` falls to `limit`, 0.0 if it never reaches it."""
    low, high = _LEAST_PROBABILITY, good / (good + bad) if good else 0.0
    if not good or evidence(good, bad, low, 1 - low, mass) < limit:
        return 0.0
    while high - low > _ROOT_WIDTH:
        middle = (low + high) / 2
        if evidence(good, bad, middle, 1 - middle, mass) < limit:
            high = middle
        else:
            low = middle
    return low
