"""Which calls are made: of each user always the same ones in the same order, whoever makes them and when."""

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import count, islice
from typing import Final

ADD: Final = "note.add"
LOOK: Final = "note.look"
WRITES: Final = 0.45  # of all calls
WRONG: Final = 0.03
REFUSED: Final = 0.02


class Wish(StrEnum):
    """What a caller may ask the two systems, and the client, to do besides answering."""

    NOTHING = "-"  #: both answer alike
    WRONG = "wrong"  #: enhanced answers something else: a real difference, planted
    REFUSE = "refuse"  #: enhanced raises
    DEEP = "deep"  #: enhanced answers something 10,000 deep
    DEEP_LEGACY = "deep-legacy"  #: legacy answers something 10,000 deep: that cannot be captured
    DEEP_CAPTURE = "deep-capture"  #: the capture holds something 10,000 deep
    EXIT = "exit"  #: enhanced ends the process that replays
    MINOR = "minor"  #: the capture is of the next minor version: it holds more than we know
    MAJOR = "major"  #: the capture is of the next major version
    RUBBISH = "rubbish"  #: the capture is no JSON at all


@dataclass(frozen=True, slots=True)
class Planned:
    """One call to be made."""

    operation: str
    wish: Wish = Wish.NOTHING
    text: str = ""


def plan(user: str, seed: int) -> Iterator[Planned]:
    """Yield the calls of a user, without end."""
    chance = random.Random(f"{seed}:{user}")
    for number in count():
        drawn = chance.random()
        if drawn < WRITES:
            yield Planned(ADD, text=f"{user}#{seed}.{number}")
        elif drawn < WRITES + WRONG:
            yield Planned(LOOK, Wish.WRONG)
        else:
            yield Planned(LOOK, Wish.REFUSE if drawn < WRITES + WRONG + REFUSED else Wish.NOTHING)


def expected(users: Sequence[str], seed: int, each: int) -> dict[str, Counter[str]]:
    """Return what so many calls of each user come to where nothing goes wrong: by operation, outcomes."""
    outcomes = {Wish.WRONG: "diverged", Wish.REFUSE: "failed"}
    found = {ADD: Counter[str](), LOOK: Counter[str]()}
    for user in users:
        for call in islice(plan(user, seed), each):
            found[call.operation][outcomes.get(call.wish, "match")] += 1
    return found


def users_of(name: str, count: int) -> list[str]:
    """Return the users whose calls a live process makes: nobody else does, so their order is certain."""
    return [f"{name}-{number:04}" for number in range(count)]
