"""From pairs to figures: the median gain, the proven slow end, and how much of a divergence noise may explain."""

import random
from collections import Counter

import pytest

from ledger import Measure, Noise, PairSums
from ledger.pairs import NO_RATIO, ratio_above, ratio_bin
from rollout import Policy
from rollout.pairing import excused, gain, paired_evidence, upper_bound

POLICY = Policy()


def bins(**counts: int) -> Counter[int]:
    """Make a histogram of ratios, named by hundredths: r95 is enhanced at 95 % of legacy's time."""
    return Counter({ratio_bin(int(name[1:]) * 10_000, 1_000_000): count for name, count in counts.items()})


def noise(path: str, repeated: int, compared: int, severity: str = "minor") -> Noise:
    return Noise(operation="op", kind="changed", path=path, severity=severity, repeated=repeated, compared=compared)


def test_the_gain_is_that_of_the_median_pair():
    """However far the others are out."""
    assert gain(Counter()) is None
    assert gain(bins(r50=3, r100=1, r9000=1)) == pytest.approx(0.5, abs=0.01)
    assert gain(bins(r120=3, r10=2)) == pytest.approx(-0.2, abs=0.02)


def test_where_half_of_the_pairs_failed_there_is_no_gain():
    """They are slower than any other."""
    assert gain(Counter({NO_RATIO: 6, -100: 5})) is None
    assert gain(Counter({NO_RATIO: 5, -100: 6})) == pytest.approx(0.63, abs=0.01)


def test_the_bound_of_the_slow_end_takes_154_pairs():
    """The shortest perfect record that proves 95 %; it is rounded outward, to the end of its bin."""
    place = ratio_bin(1_050_000, 1_000_000)
    assert upper_bound(Counter({place: 153}), 0.95, POLICY) is None
    assert upper_bound(Counter({place: 154}), 0.95, POLICY) == ratio_above(place) > 1.05


def test_what_failed_has_no_bound():
    """One pair of ten in which enhanced failed: there is no ratio that 95 % stay below."""
    assert upper_bound(Counter({0: 9_000, NO_RATIO: 1_000}), 0.95, POLICY) is None
    assert upper_bound(Counter({0: 9_990, NO_RATIO: 10}), 0.95, POLICY) == pytest.approx(1.01, abs=0.001)


def test_the_bound_lies_above_the_true_quantile_at_every_look():
    """Of 200 simulated migrations that are looked at every 50 pairs, hardly any is ever told too low a bound."""
    chance, wrong = random.Random(5), 0
    for _ in range(200):
        seen: Counter[int] = Counter()
        low = False
        for _ in range(12):
            for _ in range(50):
                seen[ratio_bin(int(1_000 * chance.lognormvariate(0, 0.5)), 1_000)] += 1
            found = upper_bound(seen, 0.95, POLICY)
            low = low or (found is not None and found < 2.276)  # e^(1.645 * 0.5)
        wrong += low
    assert wrong <= 10


def test_noise_excuses_field_by_field():
    """Not what another field differs by, not more than there is, and nothing critical."""
    sums = PairSums(counts=Counter(noisy=100))
    sums.noise = [noise("$.score", 60, 20), noise("$.at", 50, 0), noise("$.text", 30, 90, "critical")]
    assert excused(sums) == 20
    sums.noise.append(noise("$.rank", 90, 95))
    assert excused(sums) == 100


def test_evidence_of_pairs_is_all_that_the_ledger_counted():
    """Under the names that the gate reads."""
    sums = PairSums(counts=Counter(wins=150, losses=20, ties=3, failed=5, legacy_failed=4, repeated=173, noisy=2))
    sums.histograms[Measure.RATIO] = bins(r80=173)
    found = paired_evidence(sums, POLICY)
    bound, median = found.pop("p95_ratio"), found.pop("gain")
    figures = {"wins": 150, "losses": 20, "ties": 3, "paired_failed": 5, "legacy_failed": 4}
    assert found == {**figures, "repeats": 173, "noisy": 2, "excused": 0}
    assert (bound, median) == (pytest.approx(0.81, abs=0.02), pytest.approx(0.2, abs=0.02))
    nothing = paired_evidence(PairSums(), POLICY)
    assert (nothing["p95_ratio"], nothing["gain"], nothing["wins"]) == (None, None, 0)
