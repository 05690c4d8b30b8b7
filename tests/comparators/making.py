"""Answers as memory systems give them, and what can become of them: all by the throws of one seed."""

import copy
import datetime as dt
import random

from comparators import Call

OPERATIONS = ("memory.recent", "memory.save", "chat.send", "listing.search")
SPELLINGS = (
    "2026-01-05T12:00:00Z", "2026-01-05T13:00:00+01:00", "2026-01-05 12:00:00.000Z", "2026-01-05t12:00:00.50z",
    "2026-01-05T12:00:00.5Z", "2026-02-30T00:00:00+00:00", "2026-01-05", "\u00e9", "e\u0301", "\u212b", "x" * 201,
    "", "a", "A", "a\nb", 'say "2026-01-05T13:00:00+01:00"', "v2.0", "[", "\\", "tags", "a" + "\u0301" * 31,
)  # fmt: skip
NUMBERS = (0, 1, 1.0, -0.0, 0.5, 1.5, 2**53, 2.0**53, 2**53 + 1, 10**400, 1e300, True, False, None)
KEYS = ("id", "user_id", "content", "metadata", "created_at", "tags", "facts", "reply", "a b", "turn", *SPELLINGS[:2])


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


# one fact a line: what it says, in spellings that say the same; the next says something else instead
_SPOKEN = (
    (("3 beds", "three bedrooms", "3 bedrooms"), ("2 beds", "two bedrooms")),
    (("at 3 pm", "at 15:00", "at 3 p.m."), ("at 5 pm", "at 17:00")),
    (("on Tuesday", "on Tue"), ("on Thursday", "on Thu")),
    (("for $1,200", "for 1200 dollars", "for $1200.00"), ("for $12,000", "for 12000 dollars")),
    (("for one year", "for 12 months"), ("for two years", "for 24 months")),
    (("on March 11th", "on 11 March"), ("on March 12th", "on 12 March")),
    (("furnished",), ("unfurnished", "not furnished")),
    (("with Anna",), ("with Ben",)),
)


def replies(dice):
    """Return two replies, each with the facts that it states: in half of the pairs the same, in other spellings."""
    about = sorted(dice.sample(range(len(_SPOKEN)), dice.randrange(1, len(_SPOKEN))))
    facts = [(line, dice.randrange(2)) for line in about]
    others = facts.copy()
    if dice.random() < 0.5:
        place = dice.randrange(len(others))
        line, which = others[place]
        others[place] = (line, 1 - which)
    return tuple((said, _said(dice, said)) for said in (facts, others))


def _said(dice, facts):
    return "It is " + ", ".join(dice.choice(_SPOKEN[line][which]) for line, which in facts) + "."


_FAR_EAST, _FAR_WEST = (dt.timezone(dt.timedelta(hours=hours)) for hours in (14, -12))


def nested(levels):
    """Return 0 in so many lists, one in another."""
    value = 0
    for _ in range(levels):
        value = [value]
    return value


def _ring():
    ring = {"next": []}
    ring["next"].append(ring)
    return ring


_HOSTILE = (
    *(float(number) for number in ("nan", "inf", "-inf")),
    *("\ud800", "a\udfff", {"\ud800": 1}),
    *(10**4_300, -(10**5_000), 10**100_000),
    *(dt.datetime(year, 1, 1, tzinfo=zone) for year in (1, 9999) for zone in (None, dt.UTC, _FAR_EAST, _FAR_WEST)),
    *({key: 1} for key in ("__class__", "__dict__", "__proto__", "$", "a.b", "")),
    *(nested(levels) for levels in (63, 64, 65, 2_000, 10_000)),
    *("e" + "\u0301" * marks for marks in (1, 30, 31, 3_000)),
    *(object, len, b"\xff", {1, "1"}, {1: "a", "1": "b"}, (1, (2,)), 3 + 4j),
    _ring(),
    *(["x" * 100_000] * 11, [0] * 25_001, {f"{number}": number for number in range(25_001)}),
    *NUMBERS,
    *SPELLINGS,
)


def hostile(dice, levels=4):
    """Return a value that has no JSON form, or too much of one, or holds such values, and a few that are harmless."""
    if levels == 0 or dice.random() < 0.6:
        return dice.choice(_HOSTILE)
    inner = [hostile(dice, levels - 1) for _ in range(dice.randrange(4))]
    return inner if dice.random() < 0.5 else dict(zip(KEYS, inner, strict=False))
