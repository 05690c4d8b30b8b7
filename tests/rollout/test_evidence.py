import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout import ClusterEvidence, Evidence, Exposure, Funnel, Outcomes

counts = st.integers(0, 10**9)


def test_evidence_is_frozen(make_evidence):
    """Facts cannot be changed after they were gathered."""
    with pytest.raises(AttributeError):
        make_evidence().open_complaints = 3


def test_evidence_survives_storage(make_evidence):
    """Evidence read back from its row is the evidence that was decided on."""
    evidence = make_evidence()
    assert msgspec.json.decode(msgspec.json.encode(evidence), type=Evidence) == evidence


@given(st.lists(counts, min_size=6, max_size=6))
def test_the_funnel_is_exact_when_every_call_ended_in_one_place(ended):
    """One call more or less than eligible breaks the first sum."""
    places = dict(zip(Funnel.__struct_fields__[1:], ended, strict=True))
    assert Funnel(eligible=sum(ended), **places).is_exact
    assert not Funnel(eligible=sum(ended) + 1, **places).is_exact


@given(st.lists(counts, min_size=12, max_size=12))
def test_outcomes_are_told_apart_without_remainder(ended):
    """Every capture is answered, failed, unknown, excluded, erased or pending."""
    outcomes = Outcomes(**dict(zip(Outcomes.__struct_fields__, ended, strict=True)))
    assert outcomes.total == sum(ended)
    assert outcomes.settled == outcomes.total - outcomes.pending
    sorts = (outcomes.answered, outcomes.failed, outcomes.unknown, outcomes.excluded, outcomes.erased)
    assert outcomes.settled == sum(sorts)


def test_the_success_test_counts_excluded_calls_that_returned():
    """They were unfair to compare, not unfair to count as answered; erased and pending calls prove nothing."""
    outcomes = Outcomes(
        match=80, ignored=5, diverged=3, failed=4, inconclusive=1, excluded=9, lost=2, erased=7, pending=6
    )
    counted = ClusterEvidence.of(17, outcomes, excluded_returned=8)
    assert counted == ClusterEvidence(cluster=17, successes=96, trials=103, divergent=3, judged=95, unknown=3)
    assert counted.alike == 80 + 5 + 4


def test_the_digest_is_that_of_the_content(make_evidence, make_row, change):
    """The order of rows, clusters and names does not matter, nor how a number is written; any count does."""
    rows = [make_row(exposure=side) for side in Exposure]
    evidence = make_evidence(*rows, age_s=180_000.0)
    turned = [change(row, clusters=row.clusters[::-1]) for row in reversed(rows)]
    assert make_evidence(*turned, age_s=180_000).digest() == evidence.digest()
    assert make_evidence(*rows, age_s=180_001.0).digest() != evidence.digest()
    assert len(evidence.digest()) == 64


def test_the_digest_covers_build_and_rules(make_evidence, make_epoch):
    """An approval of one build or rule set is none of another."""
    digests = {
        make_evidence(epoch=make_epoch(**facts)).digest()
        for facts in ({}, {"build": "enhanced-8"}, {"rule_set": "2"}, {"number": 4})
    }
    assert len(digests) == 4
