from itertools import pairwise
from math import exp, inf, isfinite, lgamma, log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.statistics import (
    _mass,
    _one_sided_mass,
    design_effect,
    interval,
    log_e_above,
    log_e_below,
    log_e_mismatch,
    lower_bound,
    rejects,
)

EXACT = 1e-6

probabilities = st.floats(0, 1, exclude_min=True, exclude_max=True)
trials = st.floats(0, 1e15)
shares = st.floats(0, 1)


@pytest.mark.parametrize(
    ("successes", "trials", "lower", "upper", "log_e"),
    [
        (198, 200, 0.942336713, 0.999939538, 2.705516),
        (970, 1000, 0.950993022, 0.983889316, 3.927299),
        (4850, 5000, 0.961839092, 0.977090995, 22.639765),
        (9900, 10_000, 0.986457595, 0.992953894, 240.339525),
        (95_100_000, 100_000_000, 0.950904350, 0.951095541, 1053.271351),
    ],
)
def test_golden_values(successes, trials, lower, upper, log_e):
    """Interval and evidence agree with the published mixture to six digits, up to 100 million calls."""
    assert interval(successes, trials) == pytest.approx((lower, upper), abs=EXACT)
    assert log_e_above(successes, trials, 0.95) == pytest.approx(log_e, abs=EXACT)


@pytest.mark.parametrize(
    ("successes", "trials", "threshold", "above", "below"),
    [
        # from the formulas, evaluated with 60 digits
        (0, 10, 0.5, -0.5556752049365655, 0.7165231260276378),
        (0, 1000, 0.95, -6.172448895773226, 2581.585977968181),
        (5000, 10_000, 0.95, -7.727782577638663, 8224.837953437963),
        (50_000_000, 10**8, 0.95, -16.93809913306598, 83036475.942634338),
        (94_900_000, 10**8, 0.95, -10.829325981697929, 1040.1304317858609),
        (94_923_000, 10**8, 0.95, -10.568286324397209, 615.17733103129064),
        (10**8, 10**8, 0.95, 5129224.9077355034, -14.56488662643692),
        (0, 10**8, 0.99, -18.658018679596077, 460514791.65395238),
        (99.5, 123.25, 0.5, 10.806366698215341, -2.0706310220627097),
        (999_999_000_000, 10**12, 0.999, 992591569.39972459, -21.405553474375594),
    ],
)
def test_tails_are_exact(successes, trials, threshold, above, below):
    """Neither a hopeless nor a perfect record at any count loses digits, or becomes infinite."""
    assert log_e_above(successes, trials, threshold) == pytest.approx(above, rel=1e-10, abs=EXACT)
    assert log_e_below(successes, trials, threshold) == pytest.approx(below, rel=1e-10, abs=EXACT)


def test_the_mass_of_the_prior():
    """K follows from the call count and the level at which the mixture is tightest."""
    assert _mass(1000, 0.05) == pytest.approx(125.0056098, abs=EXACT)
    assert _one_sided_mass(1000, 0.05) == pytest.approx(157.0063491, abs=EXACT)


@pytest.mark.parametrize(("first", "trials"), [(199, 200), (968, 1000), (4794, 5000)])
def test_first_promoting_counts(first, trials):
    """The count that proves more than 95 % is the first that does."""
    assert rejects(log_e_above(first, trials, 0.95), 0.05)
    assert not rejects(log_e_above(first - 1, trials, 0.95), 0.05)


def test_the_shortest_perfect_record():
    """154 perfect calls prove more than 95 %, 153 do not."""
    assert next(n for n in range(200) if rejects(log_e_above(n, n, 0.95), 0.05)) == 154


def test_unknown_calls_weigh_as_errors():
    """970 good, 20 bad and 10 unknown calls prove what 970 of 1,000 do, not what 970 of 990 would."""
    assert log_e_above(970, 970 + 20 + 10, 0.95) == pytest.approx(3.927, abs=1e-3)
    assert log_e_above(970, 970 + 20, 0.95) == pytest.approx(9.733, abs=1e-3)


@pytest.mark.parametrize(("users", "log_e", "mismatch"), [(930, 1.216, False), (870, 7.822, True)])
def test_sample_ratio(users, log_e, mismatch):
    """930 of 10,000 users in a tenth is chance; 870 is a fault in the assignment."""
    assert log_e_mismatch(users, 10_000, 0.10) == pytest.approx(log_e, abs=1e-3)
    assert rejects(log_e_mismatch(users, 10_000, 0.10), 0.001) is mismatch


@pytest.mark.parametrize("log_e", [log_e_above, log_e_below])
@pytest.mark.parametrize(("n", "p"), [(1, 0.95), (12, 0.5), (200, 0.95), (2000, 0.95)])
def test_evidence_averages_one_at_the_threshold(log_e, n, p):
    """Summed over every possible outcome, evidence is worth exactly 1 where the true rate is the threshold."""
    mean = sum(exp(_log_binomial(s, n, p) + log_e(s, n, p)) for s in range(n + 1))
    assert mean == pytest.approx(1.0, abs=1e-9)


def test_peeking_after_every_call_does_not_help():
    """Looked at after each of 300 calls, a candidate at the threshold passes with probability at most alpha."""
    p, alive, promoted = 0.95, {0: 1.0}, 0.0
    for n in range(1, 301):
        reached = {s: alive.get(s, 0.0) * (1 - p) + alive.get(s - 1, 0.0) * p for s in range(n + 1)}
        passing = {s for s in reached if s > 0.95 * n and rejects(log_e_above(s, n, p), 0.05)}
        promoted += sum(reached[s] for s in passing)
        alive = {s: chance for s, chance in reached.items() if s not in passing}
    assert 0 < promoted <= 0.05


@given(n=trials, share=shares, p=probabilities)
def test_never_nan(n, share, p):
    """Whatever the counts, evidence is a finite number, and an interval holds the rate seen."""
    s = min(n, n * share)
    assert all(isfinite(log_e(s, n, p)) for log_e in (log_e_above, log_e_below, log_e_mismatch))
    lower, upper = interval(s, n)
    assert 0 <= lower <= upper <= 1
    if n:
        assert lower - EXACT <= s / n <= upper + EXACT


@given(n=st.integers(1, 10_000), p=st.floats(0.01, 0.99), bad=st.integers(0, 10_000))
def test_one_more_failure_never_speaks_for_the_candidate(n, p, bad):
    """At the same number of calls, a failure more lowers the evidence above and raises the evidence below."""
    s = n - bad % n
    assert log_e_above(s - 1, n, p) <= log_e_above(s, n, p) + EXACT
    assert log_e_below(s - 1, n, p) >= log_e_below(s, n, p) - EXACT


@given(s=st.integers(0, 2000), f=st.integers(0, 2000), p=st.floats(0.01, 0.99))
def test_a_bound_says_what_the_test_says(s, f, p):
    """A rate is proven just when it lies below the bound."""
    bound = lower_bound(s, s + f)
    if abs(bound - p) > 1e-9:
        assert (bound > p) == rejects(log_e_above(s, s + f, p), 0.05)


def test_nothing_proves_nothing():
    """Without trials there is no evidence, and every rate is possible."""
    assert (log_e_above(0, 0, 0.95), log_e_below(0, 0, 0.95), log_e_mismatch(0, 0, 0.1)) == (0.0, 0.0, 0.0)
    assert interval(0, 0) == (0.0, 1.0)
    assert lower_bound(0, 0) == 0.0


def test_an_interval_narrows_with_evidence():
    """Ten times the calls at the same rate leave less room, and a smaller risk leaves more."""
    widths = [upper - lower for lower, upper in (interval(0.97 * n, n) for n in (100, 1000, 10_000))]
    assert all(wide > narrow for wide, narrow in pairwise(widths))
    assert interval(970, 1000, 0.01)[0] < interval(970, 1000, 0.05)[0]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((-1, 10, 0.5), "successes"),
        ((11, 10, 0.5), "successes"),
        ((float("nan"), 10, 0.5), "successes"),
        ((0, -1, 0.5), "trials"),
        ((0, float("nan"), 0.5), "trials"),
        ((0, inf, 0.5), "trials"),
        ((0, 10**400, 0.5), "trials"),
        ((1, 2, 0.0), "threshold"),
        ((1, 2, 1.0), "threshold"),
        ((1, 2, float("nan")), "threshold"),
        ((0, 0, 1.2), "threshold"),
    ],
)
@pytest.mark.parametrize("log_e", [log_e_above, log_e_below])
def test_what_is_no_count_or_no_probability_is_refused_by_name(log_e, arguments, named):
    """Bad input raises an error that names the argument."""
    with pytest.raises(ValueError, match=f"^{named}: cannot use"):
        log_e(*arguments)


def test_bad_options_are_refused_by_name():
    """So do levels and tunings that make no sense."""
    for call, named in [
        (lambda: interval(1, 2, 0), "alpha"),
        (lambda: interval(3, 2), "successes"),
        (lambda: lower_bound(1, 2, float("nan")), "alpha"),
        (lambda: rejects(1.0, 2), "alpha"),
        (lambda: log_e_above(1, 2, 0.5, t_opt=3), "t_opt"),
        (lambda: log_e_above(1, 2, 0.5, alpha_opt=0.5), "alpha_opt"),
        (lambda: log_e_mismatch(1, 2, 0.0), "share"),
        (lambda: design_effect([(2, 1)]), "successes"),
    ]:
        with pytest.raises(ValueError, match=f"^{named}: cannot use"):
            call()


def test_calls_of_alike_users_count_in_full():
    """Where clusters differ no more than chance would have them, the design effect is 1."""
    assert design_effect([(95, 100)] * 256) == 1.0
    assert design_effect([(100, 100)] * 256) == 1.0
    assert design_effect([]) == design_effect([(3, 9)]) == design_effect([(0, 0)] * 256) == 1.0


def test_calls_of_one_kind_of_user_count_once():
    """Where half the clusters always succeed and half never do, a cluster of 100 calls is worth about one."""
    clusters = [(100, 100), (0, 100)] * 128
    assert design_effect(clusters) == pytest.approx(100 * 256 / 255)
    assert design_effect([*clusters, (0, 0)]) == design_effect(clusters)


def test_the_design_effect_as_written():
    """The ratio of the variance between clusters to that of independent calls, computed by hand."""
    clusters = [(9, 10), (20, 20), (12, 15), (5, 5)]
    s, n = 46, 50
    spread = sum((a - s / n * b) ** 2 for a, b in clusters) * 4 / 3 / n**2
    assert design_effect(clusters) == pytest.approx(spread / (s / n * (1 - s / n) / n))


def _log_binomial(s: int, n: int, p: float) -> float:
    return lgamma(n + 1) - lgamma(s + 1) - lgamma(n - s + 1) + s * log(p) + (n - s) * log(1 - p)
