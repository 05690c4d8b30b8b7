import pytest

from comparators import ABSENT, Difference, Judgement, Kind, Severity, Verdict, worst


def test_verdicts_and_severities_are_closed_sets():
    """The names that ledger, gate and pages rely on."""
    assert [*Verdict] == ["match", "ignored", "diverged", "failed", "inconclusive", "excluded"]
    assert [*Severity] == ["critical", "major", "minor"]


def test_severities_are_ordered_by_rank():
    """Critical is worst; nothing at all has no severity."""
    assert sorted(Severity, key=lambda severity: severity.rank) == ["minor", "major", "critical"]
    assert worst([Severity.MINOR, Severity.CRITICAL, Severity.MAJOR]) is Severity.CRITICAL
    assert worst([]) is None


def test_a_judgement_is_as_severe_as_its_worst_difference():
    """A reviewer sees the worst first."""
    found = (Difference("$.a", Kind.CHANGED, Severity.MAJOR, 1, 2), Difference("$.b", Kind.LEAK, Severity.CRITICAL))
    assert Judgement(Verdict.DIVERGED, found, "").severity is Severity.CRITICAL
    assert Judgement(Verdict.MATCH).severity is None


def test_absent_is_not_none():
    """A side without a value says so, and nobody takes it for null."""
    assert Difference("$", Kind.LOST, Severity.MAJOR, None).enhanced is ABSENT
    assert ABSENT is not None


def test_differences_are_facts():
    """A difference can't be altered."""
    with pytest.raises(AttributeError):
        Difference("$", Kind.LOST, Severity.MAJOR).path = "$.a"
