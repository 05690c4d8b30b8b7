"""`judge` reads no more than it must; here it is held against the slow way, which reads everything (oracle.py)."""

import copy

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given, settings

from comparators import Call, Observation, identical, judge
from tests.comparators import oracle
from tests.comparators.making import OPERATIONS, Making, nested
from tests.comparators.test_properties import VALUES


def agreed(operation, legacy, enhanced, call=None, context=()):
    """Judge both ways and return the judgement that both come to."""
    sides = Observation.returned(copy.deepcopy(legacy)), Observation.returned(copy.deepcopy(enhanced), context=context)
    judgement = judge(operation, *sides, call=call)
    assert judgement == oracle.judge(operation, legacy, enhanced, call, context)
    return judgement


@settings(max_examples=150)
@given(st.sampled_from(OPERATIONS), VALUES, VALUES)
def test_any_two_values_are_judged_as_the_slow_way_does(operation, legacy, enhanced):
    """Same verdict, same reason, same differences in the same order."""
    agreed(operation, legacy, enhanced)


@settings(max_examples=100)
@given(st.sampled_from(OPERATIONS), VALUES)
def test_lines_called_identical_match(operation, value):
    """What is decided from bytes alone is what the whole judgement says, for any operation."""
    line = msgspec.json.encode(value)
    assert not identical(line, line) or agreed(operation, value, msgspec.json.decode(line)).verdict == "match"
    assert not identical(line, line + b" ")


def test_lines_past_a_fence_are_not_called_identical():
    """Bytes, values and levels: `judge` says inconclusive of those."""
    for value in ("a" * 2_000_000, [0] * 30_000, [[[0]] * 100] * 500, nested(65)):
        line = msgspec.json.encode(value)
        assert not identical(line, line)
        assert judge("listing.search", *[Observation.returned(value)] * 2).verdict == "inconclusive"
    assert identical(*[msgspec.json.encode(nested(64))] * 2)


@pytest.mark.parametrize("start", range(0, 600, 200))
def test_answers_as_systems_give_them_are_judged_as_the_slow_way_does(start):
    """Lists of memories lost, doubled, moved, edited, renumbered and spelled otherwise, and whatever else there is."""
    verdicts = set()
    for seed in range(start, start + 200):
        making = Making(seed)
        legacy = making.answer()
        enhanced = making.changed(legacy)
        call = making.call()
        for sides in ((legacy, enhanced), (enhanced, legacy)):
            verdicts.add(agreed(making.dice.choice(OPERATIONS), *sides, call=call).verdict)
    assert verdicts >= {"match", "diverged", "inconclusive"}


@pytest.mark.parametrize("legacy", ["How many beds?", "It has 3 beds.", "Ann met Ben at 3pm.", ""])
@pytest.mark.parametrize("enhanced", ["It has 2 beds.", "It has 3 beds. Rex is 4.", "Ben met Ann at 15:00.", "Unsure."])
def test_replies_are_judged_as_the_slow_way_does(legacy, enhanced):
    """With what stands beside the reply, and with what the chat was told."""
    before, after = {"reply": legacy, "sources": ["a", "b"]}, {"reply": enhanced, "sources": ["b", "a"], "model": 1.0}
    agreed("chat.send", before, after, Call("ann", {"message": "beds?"}), ("dog: Rex, 4",))
    agreed("chat.send", legacy, enhanced)
