"""`judge` reads no more than it must; here it is held against the slow way, which reads everything (oracle.py)."""

import copy
import random

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given, settings

from comparators import Call, Observation, identical, judge
from tests.comparators import oracle
from tests.comparators.test_properties import VALUES

OPERATIONS = ("memory.recent", "memory.save", "chat.send", "listing.search")
SPELLINGS = (
    "2026-01-05T12:00:00Z", "2026-01-05T13:00:00+01:00", "2026-01-05 12:00:00.000Z", "2026-01-05t12:00:00.50z",
    "2026-01-05T12:00:00.5Z", "2026-02-30T00:00:00+00:00", "2026-01-05", "\u00e9", "e\u0301", "\u212b", "x" * 201,
    "", "a", "A", "a\nb", 'say "2026-01-05T13:00:00+01:00"', "v2.0", "[", "\\", "tags", "a" + "\u0301" * 31,
)  # fmt: skip
NUMBERS = (0, 1, 1.0, -0.0, 0.5, 1.5, 2**53, 2.0**53, 2**53 + 1, 10**400, 1e300, True, False, None)
KEYS = ("id", "user_id", "content", "metadata", "created_at", "tags", "facts", "reply", "a b", "turn", *SPELLINGS[:2])


def agreed(operation, legacy, enhanced, call=None, context=()):
    """Judge both ways and return the judgement that both come to."""
    sides = Observation.returned(copy.deepcopy(legacy)), Observation.returned(copy.deepcopy(enhanced), context=context)
    judgement = judge(operation, *sides, call=call)
    assert judgement == oracle.judge(operation, legacy, enhanced, call, context)
    return judgement


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(OPERATIONS), VALUES, VALUES)
def test_any_two_values_are_judged_as_the_slow_way_does(operation, legacy, enhanced):
    """Same verdict, same reason, same differences in the same order."""
    agreed(operation, legacy, enhanced)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(OPERATIONS), VALUES)
def test_lines_called_identical_match(operation, value):
    """What is decided from bytes alone is what the whole judgement says, for any operation."""
    line = msgspec.json.encode(value)
    assert not identical(line, line) or agreed(operation, value, msgspec.json.decode(line)).verdict == "match"
    assert not identical(line, line + b" ")


def test_lines_past_a_fence_are_not_called_identical():
    """Bytes, values and levels: `judge` says inconclusive of those."""
    for value in ("a" * 2_000_000, [0] * 30_000, [[[0]] * 100] * 500, levels_deep(65)):
        line = msgspec.json.encode(value)
        assert not identical(line, line)
        assert judge("listing.search", *[Observation.returned(value)] * 2).verdict == "inconclusive"
    assert identical(*[msgspec.json.encode(levels_deep(64))] * 2)


def levels_deep(levels):
    value = 0
    for _ in range(levels):
        value = [value]
    return value


class Making:
    """Answers such as memory systems give, and what can become of them, by the throws of one seed."""

    def __init__(self, seed):
        self.dice = random.Random(seed)

    def scalar(self):
        return self.dice.choice(self.dice.choice((SPELLINGS, SPELLINGS, NUMBERS)))

    def value(self, depth):
        draw = self.dice.random()
        if depth and draw < 0.2:
            return [self.value(depth - 1) for _ in range(self.dice.randrange(4))]
        if depth and draw < 0.4:
            return {self.dice.choice(KEYS): self.value(depth - 1) for _ in range(self.dice.randrange(4))}
        return self.scalar()

    def memory(self, number):
        memory = {
            "id": self.dice.choice((f"m{number}", number, None, f"m{number}")),
            "user_id": self.dice.choice(("ann", "ann", "ann", "ben", 42)),
            "content": self.dice.choice((f"message {number}", f"message {number % 3}", self.scalar())),
            "metadata": self.dice.choice(({}, None, {"turn": number, "slot": self.scalar()}, self.value(3))),
            "created_at": self.dice.choice((f"2026-01-05T08:00:{number % 60:02d}+00:00", self.scalar())),
        }
        if self.dice.random() < 0.3:
            memory[self.dice.choice(KEYS)] = self.value(2)
        return memory

    def answer(self):
        shape = self.dice.random()
        if shape < 0.8:
            return [self.memory(number) for number in range(self.dice.randrange(14), 0, -1)]
        return self.memory(1) if shape < 0.95 else self.value(3)

    def changed(self, answer):
        """Return a copy with up to five changes made to it."""
        answer = copy.deepcopy(answer)
        for _ in range(self.dice.randrange(6)):
            answer = self._changed_once(answer)
        return answer

    def _changed_once(self, answer):
        if isinstance(answer, dict):
            return self._edited(answer)
        if not (isinstance(answer, list) and answer):
            return answer if self.dice.random() < 0.5 else self.value(2)
        place = self.dice.randrange(len(answer))
        match self.dice.randrange(8):
            case 0:
                del answer[place]
            case 1:
                answer.insert(self.dice.randrange(len(answer)), copy.deepcopy(answer[place]))
            case 2:
                self.dice.shuffle(answer)
            case 3:
                answer.insert(place, self.memory(99))
            case 4:
                answer = [{**each, "id": self.dice.random()} if isinstance(each, dict) else each for each in answer]
            case _:
                answer[place] = self._changed_once(answer[place])
        return answer

    def _edited(self, record):
        name = self.dice.choice([*record, self.dice.choice(KEYS)])
        match self.dice.randrange(4):
            case 0:
                record.pop(name, None)
            case 1:
                record[name] = self._changed_once(record.get(name))
            case 2:
                record = dict(reversed(record.items()))
            case 3:
                record[name] = self.value(2)
        return record

    def call(self):
        limit = self.dice.choice((None, 5, 10))
        args = {"limit": limit, "conversation_id": self.dice.choice((None, "c1"))}
        return self.dice.choice((None, Call("ann", args), Call("ann", args)))


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
