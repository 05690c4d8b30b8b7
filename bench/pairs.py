"""The pairs that the judge's benchmark judges: everyday ones, large ones, and the dearest that are known."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from bench.memories import answer, edited, user_of
from comparators import Verdict

USER: Final = user_of(0)
LONG: Final = 200  # records
LONGEST: Final = 1_000
_EDITED_SHARE: Final = 0.2
_VALUES: Final = 20_000  # under the fence of 25,000

Memories = list[dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One pair and what it must be judged.

    A sample is `times` calls, some 10 ms. `others` is how often the other libraries are asked a sample; 0 where they
    do not end.
    """

    name: str
    legacy: Any
    enhanced: Any
    verdict: Verdict = Verdict.DIVERGED
    operation: str = "memory.recent"
    times: int = 200
    others: int = 5

    @property
    def is_long(self) -> bool:
        """Whether the other libraries take seconds."""
        return self.others == 1


def cases() -> Iterator[Case]:
    """Yield what is measured, each under its own name."""
    page = answer(USER, 0)
    yield Case(name="equal", legacy=page, enhanced=answer(USER, 0), verdict=Verdict.MATCH)
    yield Case(name="equal but for new ids", legacy=page, enhanced=_renumbered(page), verdict=Verdict.MATCH)
    yield Case(name="1 of 10 edited", legacy=page, enhanced=edited(page, 0))
    yield Case(name="nested residue", legacy=_placed(page, _PLACE), enhanced=_placed(page, _ELSEWHERE), times=20)
    many = answer(USER, 0, LONG)
    yield Case(name="200, shuffled, 20 % edited", legacy=many, enhanced=_shuffled(LONG), times=3, others=1)
    thousand = answer(USER, 0, LONGEST)
    yield Case(name="1,000, shuffled, 20 % edited", legacy=thousand, enhanced=_shuffled(LONGEST), times=1, others=0)
    yield Case(name="chat reply", operation="chat.send", legacy=_reply(_SAID), enhanced=_reply(_SAYS), times=50)


def worst() -> Iterator[Case]:
    """Yield the pairs that cost most for their size: bulk edits, long lists, deep nests, many lines, long replies."""
    digits = [str(number) for number in range(_VALUES)]
    pairs: dict[str, tuple[Any, Any]] = {
        "shifted": (digits, digits[1:] + ["x"] * 10),
        "reversed": (digits, digits[::-1]),
        "two values in turn": ([0, 1] * (_VALUES // 2), [1, 0] * (_VALUES // 2)),
        "an object, all changed": (dict.fromkeys(digits, 1), dict.fromkeys(digits, 2)),
        "a list in each item": (_listed(digits, []), _listed(digits, [0])),
        "60 levels": (_nested(60, [digits, 1]), _nested(60, [digits, 2])),
        "many lines": (["a\nb\n" * 100_000], ["b\na\n" * 100_000]),
    }
    for name, (legacy, enhanced) in pairs.items():
        yield Case(name=name, operation="listing.search", legacy=legacy, enhanced=enhanced, times=1, others=0)
    before, after = _reply("1, 2 and 3pm. " * 1_000), _reply("March 3. 2, 1 (408) " * 1_000)
    yield Case(name="long replies", operation="chat.send", legacy=before, enhanced=after, times=1, others=0)


_SAID: Final = (
    "The flat near the park has 3 beds, costs $1,850 a month, and can be seen on Tuesday at 3pm. Anna has the keys."
)
_SAYS: Final = (
    "The flat near the park has 2 beds, costs $1,850 a month, and can be seen on Tuesday, 15:00. Anna has the keys."
)


def _reply(text: str) -> dict[str, Any]:
    return {"reply": text, "conversation_id": "c1", "created_at": "2026-01-05T08:00:00Z"}


def _renumbered(memories: Memories) -> Memories:
    return [{**memory, "id": f"n{number}"} for number, memory in enumerate(memories)]


_PLACE: Final = {"city": "San Jose", "near": {"school": {"name": "Lincoln"}}, "tags": ["park"]}
_ELSEWHERE: Final = {"city": "San Jose", "near": {"school": {"name": "Horace Mann"}}}


def _placed(memories: Memories, place: dict[str, Any]) -> Memories:
    """Put something deep below the first memory: what differs there is three levels down, and a list."""
    first = memories[0]
    return [{**first, "metadata": {**first["metadata"], "place": place}}, *memories[1:]]


def _shuffled(count: int) -> Memories:
    dice, memories = random.Random(count), answer(USER, 0, count)
    for place in dice.sample(range(count), int(count * _EDITED_SHARE)):
        memories[place] = {**memories[place], "content": memories[place]["content"].upper()}
    dice.shuffle(memories)
    return memories


def _listed(digits: list[str], more: list[int]) -> list[dict[str, Any]]:
    return [{"a": [digit, *more]} for digit in digits[:6_000]]


def _nested(depth: int, core: Any) -> Any:
    for _ in range(depth):
        core = [core]
    return core
