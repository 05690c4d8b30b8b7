import pytest

from rollout import Exposure, Policy, Standing
from rollout.claims import divergence, error, performance, success


def test_success_counts_unknown_calls_as_failures(make_evidence, make_row):
    """970 good, 20 failed and 10 unknown calls pass as 970 of 1,000 do; exactly 95 % never passes."""
    row = make_row(calls=1_000, failed=20, inconclusive=4, parked=2, lost=2, expired=1, discarded=1)
    criterion = success(row, make_evidence(row, distinct_users=500), Policy())
    assert criterion.passed is True
    assert (criterion.name, criterion.observed, criterion.n) == ("success:memory.recent:shadow", 0.97, 1_000)
    assert criterion.bound > criterion.threshold == 0.95
    exactly = make_row(calls=100_000, failed=5_000)
    assert success(exactly, make_evidence(exactly), Policy()).passed is None


def test_error_says_the_same_with_its_own_limit(make_evidence, make_row):
    """The same counts, told as the share of errors, under a limit of their own."""
    row = make_row(calls=10_000, failed=300)
    evidence = make_evidence(row)
    assert success(row, evidence, Policy()).passed is error(row, evidence, Policy()).passed is True
    strict = error(row, evidence, Policy(error=0.02))
    assert (strict.passed, strict.observed, strict.threshold) == (False, pytest.approx(0.03), 0.02)
    assert strict.why == (
        "memory.recent (shadow): 3 % of 10,000 calls failed or could not be judged; "
        "less than 2 % is asked for, and the contrary is proven"
    )


def test_divergence_leaves_excluded_calls_out(make_evidence, make_row):
    """Excluded calls weigh neither for nor against; unknown ones could have diverged, and count as if they had."""
    row = make_row(calls=10_000, diverged=20, excluded=5_000, excluded_returned=5_000)
    criterion = divergence(row, make_evidence(row), Policy())
    assert (criterion.passed, criterion.n, criterion.observed) == (True, 5_000, pytest.approx(0.004))
    unknown = make_row(calls=10_000, diverged=20, inconclusive=200)
    assert divergence(unknown, make_evidence(unknown), Policy()).passed is False


def test_a_busy_group_of_users_is_not_taken_for_many(make_evidence, make_row, change):
    """The same counts prove less when all the failures come from a few groups of users."""
    row = make_row(calls=10_000, failed=300)
    whole = [change(c, successes=c.trials, unknown=0) for c in row.clusters]
    failing = [change(c, successes=0) for c in whole[:8]]
    lumped = (*failing, *whole[8:])
    counts = {"successes": sum(c.successes for c in lumped), "failed": sum(c.trials - c.successes for c in lumped)}
    outcomes = change(row.outcomes, match=counts["successes"], failed=counts["failed"])
    evidence = make_evidence(row)
    assert success(row, evidence, Policy()).passed is True
    assert success(change(row, clusters=lumped, outcomes=outcomes), evidence, Policy()).passed is None


def test_few_users_prove_nothing(make_evidence, make_row):
    """However many calls there are: below 200 users, or ten groups of them, a pass is not proven."""
    row = make_row()
    few = success(row, make_evidence(row, distinct_users=199), Policy())
    assert (few.passed, "the calls come from 199 users; 200 are needed" in few.why) == (None, True)
    narrow = make_row(groups=9)
    assert "from 9 groups of users; 10 are needed" in success(narrow, make_evidence(narrow), Policy()).why


def test_performance_is_a_sign_test_over_all_pairs(make_evidence, make_row):
    """Ties are left out, and pairs of both exposures are taken together, since the worker ran them all."""
    pairs = {"wins": 300, "losses": 200, "ties": 5_000}
    rows = tuple(make_row(exposure=side, fields=pairs) for side in Exposure)
    criterion = performance(rows, make_evidence(*rows), Policy())
    assert (criterion.name, criterion.passed) == ("performance:memory.recent", True)
    assert (criterion.observed, criterion.threshold, criterion.n) == (0.6, 0.5, 1_000)


@pytest.mark.parametrize(
    ("wins", "losses", "standing"),
    [(0, 0, Standing.OPEN), (260, 240, Standing.OPEN), (500, 1_000, Standing.BROKEN)],
)
def test_performance_is_proven_or_open_or_refuted(make_evidence, make_row, wins, losses, standing):
    """No pairs and close races leave it open; slower reads hold the rollout."""
    row = make_row(fields={"wins": wins, "losses": losses})
    assert performance((row,), make_evidence(row), Policy()).standing is standing


def test_nothing_compared_is_said_so(make_evidence, make_row):
    """Before the first comparison each claim is open, with that reason."""
    row = make_row(calls=5, pending=5, fields={"wins": 0, "losses": 0})
    evidence = make_evidence(row, distinct_users=5)
    for criterion in (success(row, evidence, Policy()), divergence(row, evidence, Policy())):
        assert criterion.passed is None
        assert criterion.why == "not enough evidence: memory.recent (shadow): none of its calls was compared yet"
    fast = performance((row,), evidence, Policy())
    assert fast.why == "not enough evidence: memory.recent: none of its paired reads was compared yet"


def test_success_is_told_beside_the_baseline(make_evidence, make_row):
    """How often both failed side by side: more than legacy does nobody can expect."""
    fields = {"wins": 200, "losses": 50, "ties": 0, "paired_failed": 4, "legacy_failed": 20}
    row = make_row(fields=fields)
    told = success(row, make_evidence(row), Policy()).why
    assert told.endswith("; of 270 reads asked of both, legacy failed 20 and enhanced 4")
    assert "asked of both" not in error(row, make_evidence(row), Policy()).why
