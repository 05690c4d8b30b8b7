from hypothesis import given, settings
from hypothesis import strategies as st

from rollout import Policy, Standing, Window
from rollout.harm import harm, harm_lately

SETTINGS = settings(max_examples=40)


def test_half_the_calls_failing_is_harm(make_evidence, make_row):
    """A rate that cannot be 95 % any more is proven within a hundred calls."""
    row = make_row(calls=600, failed=300)
    assert harm(row, make_evidence(row, distinct_users=300), Policy()).standing is Standing.HARM


def test_unknown_calls_are_no_harm(make_evidence, make_row):
    """What nobody saw fail takes nothing back: that would punish a candidate for our own losses."""
    row = make_row(calls=600, lost=300)
    assert harm(row, make_evidence(row, distinct_users=300), Policy()).standing is Standing.PASSED


def test_divergences_are_no_failures(make_evidence, make_row):
    """A wrong answer is an answer; the divergence test holds for it."""
    row = make_row(diverged=20_000)
    assert harm(row, make_evidence(row), Policy()).standing is Standing.PASSED


def test_one_unlucky_user_takes_nothing_back(make_evidence, make_row):
    """Among few users, each group counts as one call: 400 failures of one user are one."""
    row = make_row(calls=400, failed=400, groups=1)
    assert harm(row, make_evidence(row, distinct_users=1), Policy()).standing is Standing.PASSED


def test_a_broken_candidate_is_taken_back_with_few_users(make_evidence, make_row):
    """A dozen users whose calls all fail are enough."""
    row = make_row(calls=60, failed=60, groups=12)
    criterion = harm(row, make_evidence(row, distinct_users=12), Policy())
    assert criterion.standing is Standing.HARM
    assert criterion.n == 12
    assert "each counted as one call" in criterion.why


def test_the_level_is_split_over_all_rows(make_evidence, make_row, change):
    """The more is tested, the more it takes: a wrong rollback stays as rare."""
    row = make_row(calls=1_000, failed=81)
    alone = make_evidence(row, distinct_users=500)
    among_many = change(alone, operations=(row,) * 200)
    assert harm(row, alone, Policy()).standing is Standing.HARM
    assert harm(row, among_many, Policy()).standing is Standing.PASSED


def test_without_a_judged_call_there_is_nothing_to_say(make_evidence, make_row):
    """Neither harm nor its absence."""
    row = make_row(calls=9, pending=9)
    criterion = harm(row, make_evidence(row, distinct_users=3), Policy())
    assert criterion.passed is None
    assert criterion.why == "not applicable: memory.recent (shadow): no call was judged yet"


@SETTINGS
@given(failed=st.integers(0, 1_999), users=st.sampled_from([20, 500]), groups=st.sampled_from([4, 60, 256]))
def test_one_more_failure_never_calls_the_alarm_off(make_evidence, make_row, failed, users, groups):
    """Harm once proven stays proven, however further failures fall on the groups of users."""
    fewer, more = (make_row(calls=2_000, failed=count, groups=groups) for count in (failed, failed + 1))
    proven = [harm(row, make_evidence(row, distinct_users=users), Policy()).standing for row in (fewer, more)]
    assert proven != [Standing.HARM, Standing.PASSED]


def test_a_good_candidate_that_turns_bad_shows_within_the_hour(make_evidence, make_row, change):
    """After 40,000 good calls, all calls together hide for thousands what the calls of one hour show at once."""
    row = make_row(calls=40_220, failed=444, fields={"window": Window(number=30, good=176, trials=220)})
    evidence = make_evidence(row)
    assert harm(row, evidence, Policy()).standing is Standing.PASSED
    criterion = harm_lately(row, evidence, Policy())
    assert criterion.standing is Standing.HARM
    assert criterion.why.startswith("memory.recent (shadow): at most 80 % of 220 calls of this hour succeeded; 95 % is")
    good = change(row, window=Window(number=30, good=211, trials=220))
    assert harm_lately(good, evidence, Policy()).standing is Standing.PASSED


def test_later_hours_spend_less(make_evidence, make_row, change):
    """All hours together spend no more than their share, however many there are."""
    row = make_row(fields={"window": Window(number=1, good=59, trials=76)})
    first, late = row, change(row, window=Window(number=2_000, good=59, trials=76))
    told = [harm_lately(each, make_evidence(each), Policy()).standing for each in (first, late)]
    assert told == [Standing.HARM, Standing.PASSED]


def test_an_hour_of_few_users_proves_nothing(make_evidence, make_row):
    """One user may have made all its calls."""
    row = make_row(calls=400, failed=200, groups=4, fields={"window": Window(good=0, trials=200)})
    for found in (row, make_row(calls=9, pending=9)):
        assert harm_lately(found, make_evidence(found, distinct_users=4), Policy()).passed is None
