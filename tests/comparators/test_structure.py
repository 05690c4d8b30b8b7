import pytest

from comparators import ABSENT, judge, register, registry
from comparators.schemas import Schema

GET = "listing.get"
CHANGED_BELOW = ("changed", "major", "$[0].a.b[0].c")


@pytest.mark.parametrize(
    ("legacy", "enhanced", "expected"),
    [
        ({"a": {"b": 1}}, {"a": {"b": 2}}, [("changed", "major", "$.a.b")]),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1}}, [("lost", "major", "$.a.c")]),
        ({"a": 1}, {"a": 1, "b": None}, [("added", "major", "$.b")]),
        ({"a": 1}, {"a": "1"}, [("type", "major", "$.a")]),
        ({"a": 1}, {"a": 1.5}, [("changed", "major", "$.a")]),
        ({"a": [1]}, {"a": None}, [("type", "critical", "$.a")]),
        ({"a": [1]}, {"a": []}, [("lost", "critical", "$.a[0]")]),
        ({"a": [1, 2]}, {"a": []}, [("lost", "critical", "$.a")]),
        ({"a": []}, {"a": [1, 2]}, [("added", "critical", "$.a")]),
        ([1, 2, 3], [1, 5, 3], [("changed", "major", "$[1]")]),
        ([1, 2, 3], [1, 3], [("lost", "major", "$[1]")]),
        ([1, 2, 3], [3, 1, 2], [("order", "major", "$")]),
        ([1, 1], [1, 1, 1], [("duplicated", "major", "$[2]")]),
        ([{"a": [1, 2]}], [{"a": [2, 1]}], [("order", "major", "$[0].a")]),
        ([{"a": {"b": [{"id": 1, "c": 2}]}}], [{"a": {"b": [{"id": 1, "c": 3}]}}], [CHANGED_BELOW]),
        ({"a b": {"it's": 1}}, {"a b": {"it's": 2}}, [("changed", "major", "$['a b']['it\\'s']")]),
        ("a", "b", [("changed", "major", "$")]),
        ({"a": 1}, [1], [("type", "critical", "$")]),
        (None, [1], [("type", "major", "$")]),
    ],
)  # fmt: skip
def test_each_difference_is_told_at_its_place(told, legacy, enhanced, expected):
    """Exactly these differences, however deep, in lists by their partners."""
    assert told(GET, legacy, enhanced) == ("diverged", expected)


def test_differences_hold_the_values_of_their_place(judged):
    """Both values as they are, and absent where there is none; long and many-lined text too."""
    long = "line\n" * 100
    found = judged(GET, {"a": long, "b": {"c": None}}, {"a": long + "x", "b": {}}).differences
    assert {(each.path, each.legacy, each.enhanced) for each in found} == {
        ("$.a", long, long + "x"),
        ("$.b.c", None, ABSENT),
    }


def test_moved_items_are_told_by_legacys_indices(judged):
    """A reviewer sees which items moved where."""
    (found,) = judged(GET, ["a", "b", "c"], ["c", "a", "b"]).differences
    assert (found.legacy, found.enhanced) == ([0, 1, 2], [2, 0, 1])


def test_a_moved_and_edited_record_is_told_as_both(told):
    """Order is judged apart from content."""
    legacy = [{"id": 1, "a": 1}, {"id": 2, "a": 1}]
    enhanced = [{"id": 2, "a": 2}, {"id": 1, "a": 1}]
    assert told(GET, legacy, enhanced) == ("diverged", [("order", "major", "$"), ("changed", "major", "$[1].a")])


def test_a_spent_budget_tells_the_whole_and_never_a_match(told, monkeypatch):
    """Where deepdiff may look no further, the place above is told as changed."""
    monkeypatch.setattr("comparators.pairs.Budget.spend", lambda self, nodes: False)
    assert told(GET, {"a": {"b": 1, "c": 1}}, {"a": {"b": 2, "c": 1}}) == ("diverged", [("changed", "major", "$")])


def test_deepdiff_finding_nothing_is_not_believed(told, monkeypatch):
    """Unequal values diverge, whatever deepdiff says."""
    monkeypatch.setattr("comparators.residue._deepdiff_paths", lambda legacy, enhanced: iter(()))
    assert told(GET, {"a": 1}, {"a": 2}) == ("diverged", [("changed", "major", "$")])


def test_unordered_lists_are_compared_as_bags(told, monkeypatch):
    """Declared by name, or as `$` for the answer: order is nothing, multiplicity is."""
    monkeypatch.setattr(registry, "_entries", dict(registry._entries))
    register("listing.tags", schema=Schema(unordered=frozenset({"$", "tags"})))
    assert told("listing.tags", [3, 1, 2], [1, 2, 3]) == ("match", [])
    assert told("listing.tags", {"tags": [{"id": 2}, {"id": 1}]}, {"tags": [{"id": 1}, {"id": 2}]}) == ("match", [])
    assert told("listing.tags", [1, 2, 1], [2, 1])[1][0][0] == "deduplicated"


def test_nothing_but_observations_reaches_a_verdict():
    """What is no observation is inconclusive."""
    assert judge(GET, None, None).verdict == "inconclusive"
