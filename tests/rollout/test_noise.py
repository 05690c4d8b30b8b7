"""Divergence net of what legacy differs from itself: proven noise is allowed for, and nothing critical hides in it."""

import pytest

from rollout import ClusterEvidence, Policy, Standing
from rollout.claims import divergence, performance
from rollout.soundness import examine

POLICY = Policy()
CALLS = 25_600


@pytest.fixture
def judged(make_row, make_evidence, change):
    """Judge divergences: how many, how many of them critical, and what pairs say of noise."""

    def judge(diverged: int, *, critical: int = 0, repeats: int = 0, noisy: int = 0, excused: int | None = None):
        row = make_row(diverged=diverged, calls=CALLS)
        clusters = spread(row.clusters, critical, change)
        facts = {"repeats": repeats, "noisy": noisy, "excused": noisy if excused is None else excused}
        row = change(row, critical=critical, clusters=clusters, **facts)
        found = make_evidence(row)
        assert examine(found).problems == ()
        return divergence(row, found, POLICY)

    return judge


def spread(clusters, critical: int, change) -> tuple[ClusterEvidence, ...]:
    made = []
    for cluster in clusters:
        taken = min(cluster.divergent, critical)
        critical -= taken
        made.append(change(cluster, critical=taken))
    return tuple(made)


def test_without_pairs_nothing_is_allowed_for(judged):
    """Five divergences of a hundred are too many."""
    assert judged(CALLS // 20).standing is Standing.BROKEN


def test_what_legacy_is_proven_to_differ_by_is_allowed_for(judged):
    """A candidate that is as noisy as legacy passes, and both rates are said."""
    found = judged(CALLS // 20, repeats=20_000, noisy=1_000)
    assert found.standing is Standing.PASSED
    assert "legacy differed from itself in 1,000 of 20,000 pairs" in found.why
    assert POLICY.divergence + 0.04 < found.threshold < POLICY.divergence + 0.05


def test_a_real_regression_in_a_noisy_field_still_counts(judged):
    """Twice the noise is more than noise."""
    assert judged(CALLS // 10, repeats=20_000, noisy=1_000).standing is Standing.BROKEN


def test_noise_that_few_pairs_tell_of_neither_passes_nor_breaks(judged):
    """It may be as much, or as little."""
    assert judged(CALLS // 20, repeats=40, noisy=2).standing is Standing.OPEN


def test_noise_in_other_fields_excuses_nothing(judged):
    """Nor does it prove the contrary, for nobody knows what of the divergences is noise."""
    found = judged(CALLS // 20, repeats=20_000, noisy=1_000, excused=0)
    assert (found.standing, found.threshold) == (Standing.OPEN, pytest.approx(POLICY.divergence))


@pytest.mark.parametrize(("critical", "standing"), [(CALLS // 25, Standing.BROKEN), (5, Standing.PASSED)])
def test_critical_differences_are_held_against_the_limit_by_themselves(judged, critical, standing):
    """They are never noise, however noisy legacy is."""
    found = judged(CALLS // 20, critical=critical, repeats=20_000, noisy=1_000)
    assert found.standing is standing
    if standing is Standing.BROKEN:
        assert "critically" in found.why


def test_a_legacy_that_is_never_noisy_changes_nothing(judged):
    """The same threshold, the same verdicts as without pairs."""
    few, many = judged(20, repeats=20_000), judged(CALLS // 20, repeats=20_000)
    assert (few.standing, many.standing) == (Standing.PASSED, Standing.BROKEN)
    assert few.threshold == pytest.approx(POLICY.divergence)


# --- the paired sign test, by users


def test_pairs_of_a_few_busy_users_prove_nothing(make_row, make_evidence, change):
    """A thousand pairs of nine groups of users are no thousand users."""
    row = make_row(fields={"wins": 900, "losses": 0})
    busy = tuple(change(c, wins=100) if c.cluster < 9 else c for c in row.clusters)
    row = change(row, clusters=busy)
    found = performance((row,), make_evidence(row), POLICY)
    assert (found.standing, found.n) == (Standing.OPEN, 900)
    assert "9 groups of users" in found.why


def test_pairs_that_hang_together_by_user_count_for_less(make_row, make_evidence, change):
    """All of a user's pairs won or all lost: as many calls as there are groups."""
    row = make_row(fields={"wins": 1_440, "losses": 1_120, "gain": 0.25})
    alike = tuple(
        change(c, wins=10 if c.cluster < 144 else 0, losses=0 if c.cluster < 144 else 10) for c in row.clusters
    )
    apart = change(row, clusters=alike)
    assert performance((row,), make_evidence(row), POLICY).standing is Standing.PASSED
    found = performance((apart,), make_evidence(apart), POLICY)
    assert found.standing is Standing.OPEN
    assert "the median gain is 25 % (shadow)" in found.why


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"critical": 7, "outcomes": {"diverged": 6}}, "differ critically"),
        ({"repeats": 5, "noisy": 6}, "more often than in the 5 pairs"),
        ({"repeats": 5, "noisy": 2, "excused": 3}, "more often than in the 5 pairs"),
        ({"gain": 1.5}, "no gain"),
        ({"noisy": -1}, "no count"),
    ],
)
def test_pairs_that_contradict_themselves_are_no_evidence(make_row, make_evidence, facts, said):
    """The gate holds."""
    facts = dict(facts)
    row = make_row(**facts.pop("outcomes", {}), fields=facts)
    assert any(said in problem for problem in examine(make_evidence(row)).problems)
