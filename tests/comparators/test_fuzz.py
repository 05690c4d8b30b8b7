"""Pairs by the thousand: no crash, no hang, nothing unequal called a match, and what the slow way says of each."""

import random
from collections import Counter

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from comparators import Observation, Verdict, judge
from tests.comparators.making import OPERATIONS, Making, hostile, replies
from tests.comparators.meaning import meaning
from tests.comparators.test_agreement import agreed
from tests.comparators.test_properties import VALUES

AT_ONCE = 2_500  # pairs; a part that hangs is named by its first seed
MADE = range(0, 150_000, AT_ONCE)
SPOKEN = range(0, 20_000, AT_ONCE)
HOSTILE = range(0, 10_000, AT_ONCE)
DRAWN = 20_000


def parts(starts):
    """The first part in a tenth of its length with every run; all of them at length."""
    short = pytest.param(0, AT_ONCE // 10, id="in short")
    return pytest.mark.parametrize(
        ("start", "pairs"),
        [short, *(pytest.param(start, AT_ONCE, id=f"{start}", marks=pytest.mark.chaos) for start in starts)],
    )


@parts(MADE)
def test_made_pairs(start, pairs):
    """Answers as memory systems give them, one changed into the other."""
    verdicts = Counter()
    for seed in range(start, start + pairs):
        making = Making(seed)
        operation, legacy, call = making.dice.choice(OPERATIONS), making.answer(), making.call()
        enhanced = making.changed(legacy)
        verdict = agreed(operation, legacy, enhanced, call=call).verdict
        verdicts[verdict] += 1
        if verdict is Verdict.MATCH and not is_cut(call, legacy, enhanced):
            given_by_call = () if call is None else [name for name, value in call.args.items() if value is not None]
            one, other = (meaning(operation, side, given_by_call) for side in (legacy, enhanced))
            assert one == other, seed
    assert min(verdicts[each] for each in (Verdict.MATCH, Verdict.DIVERGED)) > pairs / 20, verdicts


def is_cut(call, legacy, enhanced):
    """Whether both are full pages, whose last memories may differ by where each was cut off."""
    limit = None if call is None else call.args["limit"]
    return isinstance(legacy, list) and isinstance(enhanced, list) and len(legacy) == len(enhanced) == limit


@parts(SPOKEN)
def test_spoken_pairs(start, pairs):
    """Replies put together from facts, each in one of its spellings: the same facts are equal, and nothing else is."""
    verdicts = Counter()
    for seed in range(start, start + pairs):
        (facts, legacy), (others, enhanced) = replies(random.Random(seed))
        verdict = agreed("chat.send", {"reply": legacy}, {"reply": enhanced}).verdict
        verdicts[verdict] += 1
        assert facts == others or verdict is Verdict.DIVERGED, (seed, legacy, enhanced)
        assert facts != others or verdict is not Verdict.DIVERGED, (seed, legacy, enhanced)
    assert set(verdicts) >= {Verdict.MATCH, Verdict.DIVERGED}


@parts(HOSTILE)
def test_hostile_pairs(start, pairs):
    """What no judge should be handed: a verdict each time, and match only for what is alike."""
    verdicts = Counter()
    for seed in range(start, start + pairs):
        dice = random.Random(seed)
        operation, legacy, enhanced = dice.choice(OPERATIONS), hostile(dice), hostile(dice)
        judgement = judge(operation, Observation.returned(legacy), Observation.returned(enhanced))
        verdicts[judgement.verdict] += 1
        assert judgement.verdict is not Verdict.INCONCLUSIVE or judgement.reason
        assert judgement.verdict is not Verdict.MATCH or are_alike(operation, legacy, enhanced), seed
    assert set(verdicts) >= {Verdict.INCONCLUSIVE, Verdict.DIVERGED}


def are_alike(operation, legacy, enhanced):
    """Whether two answers mean the same; where there is no telling, whether they look the same."""
    try:
        return meaning(operation, legacy) == meaning(operation, enhanced)
    except (TypeError, ValueError, OverflowError, RecursionError):
        return repr(legacy) == repr(enhanced)


@pytest.mark.chaos
@settings(max_examples=DRAWN, database=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(OPERATIONS), VALUES, VALUES, st.booleans())
def test_drawn_pairs(operation, legacy, other, alike):
    """Whatever Hypothesis comes upon; every second pair is twice the same."""
    enhanced = legacy if alike else other
    if agreed(operation, legacy, enhanced).verdict is Verdict.MATCH:
        assert meaning(operation, legacy) == meaning(operation, enhanced)
