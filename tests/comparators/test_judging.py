import math
import time

import pytest

from comparators import ABSENT, Difference, Kind, Observation, Severity, judge, register, registry
from comparators.judging import MAX_DIFFERENCES

NAN = float("nan")


def judged(legacy, enhanced, operation="listing.get"):
    return judge(operation, Observation.returned(legacy), Observation.returned(enhanced))


def nested(depth, core=1):
    value = core
    for _ in range(depth):
        value = [value]
    return value


def holding_itself():
    value = {}
    value["self"] = [value]
    return value


HOSTILE = {
    "10,000 deep": lambda: (nested(10_000), nested(10_000)),
    "65 deep": lambda: (nested(65), nested(65)),
    "recursive": lambda: (holding_itself(), holding_itself()),
    "NaN": lambda: ([NAN], [NAN]),
    "NaN against null": lambda: ([NAN], [None]),
    "null against infinity": lambda: ([None], [math.inf]),
    "surrogates": lambda: ("\ud800", "\ud801"),
    "100,000 digits": lambda: (10**100_000, 10**100_000 + 1),
    "2 MB": lambda: ("a" * 2_000_000, "b" * 2_000_000),
    "2 MB, equal": lambda: (["a" * 20] * 100_000, ["a" * 20] * 100_000),
    "too many items": lambda: ([0] * 100_000, [0] * 100_000),
    "two objects": lambda: (object(), object()),
    "combining marks": lambda: ("a" + "\u0301\u0323" * 200_000, "b"),
    "no observation": lambda: (NotImplemented, ...),
}


@pytest.mark.parametrize("operation", ["listing.get", "memory.recent", "chat.send"])
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_values_are_inconclusive_at_once(name, operation):
    """What no comparison could be fair to is inconclusive with a reason; nothing raises, nothing hangs."""
    legacy, enhanced = HOSTILE[name]()
    started = time.thread_time()
    judgement = judged(legacy, enhanced, operation)
    assert judgement.verdict == "inconclusive"
    assert judgement.reason
    assert time.thread_time() - started < 1


def test_fifty_megabytes_are_inconclusive_at_once():
    """A value far past the cap costs no more than a look at it."""
    huge = "a" * 50_000_000
    started = time.thread_time()
    assert judged(huge, [huge]).verdict == "inconclusive"
    assert time.thread_time() - started < 1


def test_odd_values_are_judged_for_what_they_are():
    """`__class__` is a key like any other; datetimes at the ends of time are compared as text."""
    assert judged({"__class__": 1}, {"__class__": 2}).differences[0].path == "$.__class__"
    assert judged({"__a": 1}, {}).differences[0].kind == "lost"
    assert judged("0001-01-01T00:00:00+05:00", "0001-01-01T00:00:00+05:00").verdict == "match"
    assert judged("0001-01-01T00:00:00+05:00", "9999-12-31T23:59:59-05:00").verdict == "diverged"


@pytest.mark.parametrize(
    ("left", "right"),
    [(1, True), (0, False), (None, False), ("1", 1), ("", None), ([], None), ({}, []), (2**53, 2**53 + 1), ("A", "a")],
)
def test_look_alikes_diverge(left, right):
    """No false equal among values that some comparisons take for one another, bare or inside of an answer."""
    for wrap in (lambda value: value, lambda value: [value], lambda value: {"a": {"b": [value, 1]}}):
        assert judged(wrap(left), wrap(right)).verdict == "diverged"
        assert judged(wrap(right), wrap(left)).verdict == "diverged"


@pytest.mark.parametrize(
    ("left", "right"),
    [(1, 1.0), ((1, 2), [1, 2]), ({"a": 1, "b": 2}, {"b": 2, "a": 1}), (-0.0, 0), ({1: "a"}, {"1": "a"})],
)
def test_values_of_one_meaning_match(left, right):
    """JSON knows one kind of number and of list, and no order of keys."""
    assert judged(left, right).verdict == judged([left], [right]).verdict == "match"


def test_an_equal_page_of_memories_matches_by_its_bytes(page, copied, monkeypatch):
    """The common case brings nothing into canonical form: identical, or but for what is volatile."""
    monkeypatch.setattr("comparators.judging._judge_values", None)
    renamed = [{**memory, "id": f"new {memory['id']}"} for memory in page()]
    assert judged(page(), copied(page()), "memory.recent").verdict == "match"
    assert judged(page(), renamed, "memory.recent").verdict == "match"
    assert judged([{"note": None}], [{"note": None}]).verdict == "match"


@pytest.mark.parametrize("error", [ZeroDivisionError("of ann's rent"), RecursionError(), MemoryError()])
def test_a_comparator_that_raises_is_inconclusive(monkeypatch, error):
    """The reason names the exception's class, and holds no payload."""
    monkeypatch.setattr(registry, "_entries", dict(registry._entries))

    def broken(pair):
        raise error

    register("listing.get", broken)
    judgement = judged(1, 2)
    assert (judgement.verdict, judgement.reason) == ("inconclusive", f"comparator raised {type(error).__name__}")


def test_a_comparator_that_never_ends_is_stopped(monkeypatch):
    """No more is taken from it than is told."""
    monkeypatch.setattr(registry, "_entries", dict(registry._entries))

    def endless(pair):
        while True:
            yield Difference("$", Kind.CHANGED, Severity.MAJOR, 1, ABSENT)

    register("listing.get", endless)
    judgement = judged(1, 2)
    assert len(judgement.differences) == MAX_DIFFERENCES
    assert judgement.reason.endswith("200 told")


def test_the_reason_counts_kinds_and_holds_no_payload(page, copied):
    """A reviewer reads what kinds of differences there are without seeing anybody's text."""
    enhanced = copied(page())
    del enhanced[0]
    enhanced[3]["content"] = "secret words"
    assert judged(page(), enhanced, "memory.recent").reason == "1 lost, 1 changed"


def slow_pairs(page, copied):
    edited, digits = copied(page(200)), [str(number) for number in range(20_000)]
    for index in range(0, 200, 5):
        for near in range(index, index + 3):
            edited[near]["content"] += ", edited"
    yield "memory.recent", page(200), edited
    yield "listing.search", digits, digits[1:] + ["x"] * 10
    yield "listing.search", digits, digits[::-1]
    yield "listing.search", [0, 1] * 10_000, [1, 0] * 10_000
    yield "listing.search", dict.fromkeys(digits, 1), dict.fromkeys(digits, 2)
    yield (
        "listing.search",
        [{"a": [digit]} for digit in digits[:6_000]],
        [{"a": [digit, 0]} for digit in digits[:6_000]],
    )
    yield "listing.search", ["a\nb\n" * 100_000], ["b\na\n" * 100_000]
    yield "listing.search", nested(60, [digits, 1]), nested(60, [digits, 2])
    yield "chat.send", {"reply": "1, 2 and 3pm. " * 1_000}, {"reply": "March 3. 2, 1 (408) " * 1_000}


def test_the_slowest_pairs_known_take_less_than_a_second(page, copied):
    """Cost is bounded by size on any thread: edits in bulk, long lists, deep nests, many lines, long replies."""
    judged([{"a": 1}], [{"a": 2}])  # loads deepdiff
    for operation, legacy, enhanced in slow_pairs(page, copied):
        started = time.thread_time()
        assert judged(legacy, enhanced, operation).verdict == "diverged"
        assert time.thread_time() - started < 1
