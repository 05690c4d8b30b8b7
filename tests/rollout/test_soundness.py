from datetime import UTC, datetime

import pytest

from gnomon import Kind
from rollout import Exposure, Stage, Window
from rollout.soundness import examine


def test_honest_evidence_has_no_problems(make_evidence, make_row):
    """Lost calls without a user, excluded ones and pending ones are no contradiction."""
    row = make_row(
        failed=7, excluded=40, excluded_returned=30, parked=2, pending=5, funnel={"shed": 3, "not_sampled": 9}
    )
    assert examine(make_evidence(row)).problems == ()
    assert examine(make_evidence()).problems == ()


def test_unknown_calls_may_have_lost_their_user(make_evidence, make_row, change):
    """A lost call that belongs to no cluster does not break the sums; a lost success does."""
    row = make_row(lost=3)
    without = tuple(
        change(c, trials=c.trials - c.unknown, judged=c.judged - c.unknown, unknown=0) for c in row.clusters
    )
    assert examine(make_evidence(change(row, clusters=without))).problems == ()
    assert examine(make_evidence(change(row, clusters=without[1:]))).problems != ()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"age_s": -1.0}, "age_s is -1.0: a clock went backwards"),
        ({"age_s": float("nan")}, "age_s is nan"),
        ({"lag_s": float("inf")}, "lag_s is inf"),
        ({"complaint_feed_age_s": -0.1}, "complaint_feed_age_s is -0.1"),
        ({"open_complaints": -1}, "open_complaints is -1, which is no count"),
        ({"hours_with_data": -1}, "hours_with_data is -1"),
        ({"distinct_users": 10**9}, "1,000,000,000 distinct users made only 153,600 captures"),
        ({"distinct_users": 10**400}, "distinct_users is 1000"),
        ({"share": 0.05}, "the flags let enhanced answer 5 % of the users, the stage says 10 %"),
        ({"share": float("nan")}, "the flags let enhanced answer nan %"),
        ({"required": ()}, "no operation is required"),
    ],
)
def test_a_contradiction_is_named(make_evidence, changes, said):
    """Whatever cannot be is said in a sentence."""
    assert any(said in problem for problem in examine(make_evidence(**changes)).problems)


def test_a_closed_epoch_is_not_judged(make_evidence, make_epoch):
    """Its evidence is history, whatever it says."""
    closed = make_epoch(closed_at=datetime(2025, 3, 4, tzinfo=UTC))
    assert examine(make_evidence(epoch=closed)).problems == ("epoch 3 is closed",)


def test_rows_must_be_one_of_a_kind(make_evidence, make_row, change):
    """A doubled row, or an operation of two kinds, is a contradiction."""
    row = make_row()
    assert examine(make_evidence(row, row)).problems == ("memory.recent (shadow) is given 2 times",)
    other = change(row, kind=Kind.WRITE, exposure=Exposure.SERVED)
    assert examine(make_evidence(row, other)).problems == ("memory.recent is given as 2 kinds of operation",)


def _broken_rows(make_row, change):
    row = make_row()
    first = row.clusters[0]
    yield change(row, funnel=change(row.funnel, eligible=row.funnel.eligible + 1)), "25,600 are accounted for"
    yield change(row, outcomes=change(row.outcomes, match=9)), "25,600 calls were captured, 9 have an outcome"
    yield change(row, outcomes=change(row.outcomes, pending=-1)), "pending is -1"
    yield change(row, excluded_returned=1), "more calls are told apart among the excluded"
    yield change(row, wins=25_000, losses=1_000), "more pairs than"
    yield change(row, losses=-1), "losses is -1"
    yield change(row, losses=2**70), "which is no count"
    yield change(row, p95_ratio=float("nan")), "p95_ratio is nan"
    yield change(row, window=Window(good=2, trials=1)), "more calls of this hour"
    yield change(row, window=Window(number=0)), "more calls of this hour"
    yield change(row, clusters=()), "do not add up"
    yield change(row, clusters=(*row.clusters, first)), "not distinct numbers"
    yield change(row, clusters=(change(first, cluster=256), *row.clusters[1:])), "not distinct numbers"
    yield change(row, clusters=(change(first, successes=999), *row.clusters[1:])), "more of something"
    yield change(row, clusters=(change(first, divergent=1), *row.clusters[1:])), "do not add up"


def test_a_row_that_breaks_a_sum_is_named_and_left_out(make_evidence, make_row, change):
    """No statistics are done on a row whose counters contradict each other; the other rows stay."""
    served = make_row(exposure=Exposure.SERVED)
    for row, said in _broken_rows(make_row, change):
        examination = examine(make_evidence(row, served))
        assert any(
            problem.startswith("memory.recent (shadow): ") and said in problem for problem in examination.problems
        )
        assert examination.sound == (served,)


def test_no_evidence_at_all_is_no_contradiction(make_evidence):
    """A fresh epoch has nothing to contradict itself with."""
    evidence = make_evidence(operations=(), distinct_users=0, stage=Stage.SHADOW)
    assert examine(evidence).problems == ()
