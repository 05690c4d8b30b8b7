"""Known faults to plant into answers, and changes that mean the same: what `gnomon drill` tries a comparator with.

Pure, and used by nothing that judges. A mutation takes an answer as the wire has it and returns a changed copy, or None
where there is nothing in it to change. Random choices are the caller's generator's, so a drill can be repeated.
"""

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from comparators.english import MONTHS, OPENERS, WEEKDAYS
from comparators.facts import facts_of
from comparators.observations import Observation
from comparators.schemas import Schema

_NAMES: Final = ("Marlowe", "Quimby", "Thessaly", "Osborne", "Varga")
_MONTH_NAMES: Final = ("January", "February", "April", "July", "October", "December")
_DAY_NAMES: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


@dataclass(frozen=True, slots=True)
class Setting:
    """What a mutation may draw on: chance, what is not compared, and what belongs to other users."""

    chance: random.Random
    schema: Schema = field(default_factory=Schema)
    foreign: Sequence[Mapping[str, Any]] = ()  #: memories of other users


Mutate = Callable[[Any, Setting], Any]


class Mutation(NamedTuple):
    """One way to change an answer: its name, whether it is about what a reply says, and whether it is a fault."""

    name: str
    plant: Callable[[Any, Setting], Observation | None]
    chat: bool = False
    harmful: bool = True


# --- answers that are lists


def _drop(value: Any, setting: Setting) -> Any:
    if not _is_list(value, 1):
        return None
    place = setting.chance.randrange(len(value))
    return value[:place] + value[place + 1 :]


def _duplicate(value: Any, setting: Setting) -> Any:
    if not _is_list(value, 1):
        return None
    place = setting.chance.randrange(len(value))
    return [*value[: place + 1], *value[place:]]


def _swap(value: Any, setting: Setting) -> Any:
    if not _is_list(value, 2):
        return None
    read = [setting.schema.record(item, setting.schema.volatile) for item in value]
    places = [place for place in range(len(value) - 1) if read[place] != read[place + 1]]
    if not places:
        return None
    place = setting.chance.choice(places)
    return [*value[:place], value[place + 1], value[place], *value[place + 2 :]]


def _truncate(value: Any, _: Setting) -> Any:
    return value[: len(value) // 2] if _is_list(value, 1) else None


def _leak(value: Any, setting: Setting) -> Any:
    """Put a memory of another user among those of an answer."""
    if not _is_list(value, 1) or not isinstance(value[0], dict) or "user_id" not in value[0]:
        return None
    others = [memory for memory in setting.foreign if memory["user_id"] != value[0]["user_id"]]
    if not others:
        return None
    place = setting.chance.randrange(len(value))
    return [*value[:place], dict(setting.chance.choice(others)), *value[place:]]


def _edit(value: Any, setting: Setting) -> Any:
    """Change one field that is compared, of a record or of one in a list."""
    if _is_list(value, 1):
        place = setting.chance.randrange(len(value))
        edited = _edit(value[place], setting)
        return None if edited is None else [*value[:place], edited, *value[place + 1 :]]
    if not isinstance(value, dict):
        return None
    names = [name for name in value if name not in setting.schema.volatile | setting.schema.minted | {"user_id"}]
    texts = [name for name in names if isinstance(value[name], str)]
    if not texts:
        return None
    name = setting.chance.choice(texts)
    return {**value, name: f"{value[name]} (edited)"}


def _is_list(value: Any, fewest: int) -> bool:
    return isinstance(value, list) and len(value) >= fewest


# --- what a reply says


def _in_reply(change: Callable[[str, Setting], str | None]) -> Mutate:
    """Return what changes the text of a reply, be it bare or a field."""

    def mutate(value: Any, setting: Setting) -> Any:
        text = value.get("reply") if isinstance(value, dict) else value
        changed = change(text, setting) if isinstance(text, str) else None
        if changed is None or changed == text:
            return None
        return {**value, "reply": changed} if isinstance(value, dict) else changed

    return mutate


def _replaced(text: str, found: re.Match[str], by: str) -> str:
    return text[: found.start()] + by + text[found.end() :]


def _one_of(pattern: re.Pattern[str], text: str, setting: Setting) -> re.Match[str] | None:
    found = [*pattern.finditer(text)]
    return setting.chance.choice(found) if found else None


_DIGIT: Final = re.compile(r"[0-9]")


def _number(text: str, setting: Setting) -> str | None:
    found = _one_of(_DIGIT, text, setting)
    if found is None:
        return None
    return _replaced(text, found, setting.chance.choice([digit for digit in "123456789" if digit != found[0]]))


_DAY: Final = re.compile(rf"\b(?:{WEEKDAYS}|(?<!after )tomorrow|(?!may\b)(?:{MONTHS}))\b", re.IGNORECASE)


def _day(text: str, setting: Setting) -> str | None:
    found = _one_of(_DAY, text, setting)
    if found is None:
        return None
    if found[0].lower() == "tomorrow":
        return _replaced(text, found, "yesterday")  # a weekday might be the same day
    names = _MONTH_NAMES if re.fullmatch(MONTHS, found[0], re.IGNORECASE) else _DAY_NAMES
    others = [name for name in names if name[:3].lower() != found[0][:3].lower()]
    return _replaced(text, found, setting.chance.choice(others))


_DENIAL: Final = re.compile(
    r"\b(?:is|are|was|were|do|does|did|has|have|can|could|will|would)(?:n't| not)\b", re.IGNORECASE
)
_CAN_DENY: Final = re.compile(
    r"\b(?:is|are|was|were|has been|have been|can|will)\b(?= [a-z])(?![^.?!]*\?)", re.IGNORECASE
)
_SPELLED: Final = {"can't": "can", "won't": "will", "cannot": "can"}


def _negation(text: str, setting: Setting) -> str | None:
    """Take a denial away, or deny what a sentence affirms; what is asked is left alone."""
    for spelled, affirmed in _SPELLED.items():
        if spelled in text:
            return text.replace(spelled, affirmed, 1)
    if denial := _one_of(_DENIAL, text, setting):
        return _replaced(text, denial, denial[0].removesuffix("n't").removesuffix(" not"))
    if statement := _one_of(_CAN_DENY, text, setting):
        return _replaced(text, statement, f"{statement[0]} not")
    return None


_CAPITAL: Final = re.compile(r"(?<=[a-z,] )[A-Z][a-z]{2,}\b")


def _name(text: str, setting: Setting) -> str | None:
    """Put another name in place of one within a sentence."""
    found = [each for each in _CAPITAL.finditer(text) if each[0].lower() not in OPENERS and _is_name(each[0])]
    if not found:
        return None
    return _replaced(text, setting.chance.choice(found), setting.chance.choice(_NAMES))


def _is_name(word: str) -> bool:
    return [fact.sort for fact in facts_of(word)] == ["name"]


def _half(text: str, _: Setting) -> str | None:
    words = text.split()
    return " ".join(words[: len(words) // 2]) if len(words) > 1 else None


def _another_users(text: str, setting: Setting) -> str | None:
    """Let a reply tell what another user had said."""
    contents = [memory["content"] for memory in setting.foreign if isinstance(memory.get("content"), str)]
    told = [content for content in contents if content not in text and facts_of(content)]
    return f"{text} You told me: {setting.chance.choice(told)}" if told else None


# --- what means the same


_HOUR: Final = re.compile(r"\b(1[0-2]|[1-9])(?::([0-5]\d))? ?([ap])\.?m\b\.?", re.IGNORECASE)
_THOUSANDS: Final = re.compile(r"(?<=\d),(?=\d{3}\b)")
_COUNT: Final = re.compile(r"\b[2-9](?= (?:bed|bath|apartment|place|home|room)s?\b)")
_COUNTS: Final = ("two", "three", "four", "five", "six", "seven", "eight", "nine")
_LONG_FORMS: Final = (
    ("n't ", " not "),
    ("It's ", "It is "),
    ("it's ", "it is "),
    ("I'm ", "I am "),
    ("I've ", "I have "),
)


def _in_other_form(text: str, _: Setting) -> str | None:
    """Write times, amounts, counts and contractions in their other form."""
    if "can't " not in text and "won't " not in text:
        for short, long in _LONG_FORMS:
            text = text.replace(short, long)
    text = _HOUR.sub(_on_24_hours, _THOUSANDS.sub("", text))
    return _COUNT.sub(lambda found: _COUNTS[int(found[0]) - 2], text)


def _on_24_hours(found: re.Match[str]) -> str:
    hour = int(found[1]) % 12 + (12 if found[3].lower() == "p" else 0)
    stop = "." if found[0].endswith(".") else ""
    return f"{hour:02d}:{found[2] or '00'}{stop}"


def _spaced(text: str, _: Setting) -> str:
    return f" {text.replace(' ', '  ')}\n"


def _in_other_order(value: Any, setting: Setting) -> Any:
    """Return a copy whose keys come the other way round; nothing else differs."""
    if isinstance(value, dict):
        return {name: _in_other_order(value[name], setting) for name in reversed(value)}
    return [_in_other_order(item, setting) for item in value] if isinstance(value, list) else value


def _renewed(value: Any, setting: Setting) -> Any:
    """Return a copy with another id and another time of change in each record."""
    if not {"id", "updated_at"} <= setting.schema.volatile:
        return None
    if isinstance(value, list):
        return [_renewed(item, setting) for item in value] if value else None
    if not isinstance(value, dict) or "id" not in value:
        return None
    return {**value, "id": f"{setting.chance.getrandbits(64):x}", "updated_at": "2030-01-01T00:00:00Z"}


def _instants(value: Any, setting: Setting) -> Any:
    """Return a copy with its instants in another spelling."""
    if isinstance(value, list):
        changed = [_instants(item, setting) for item in value]
        return changed if value and None not in changed else None
    at = value.get("created_at") if isinstance(value, dict) else None
    return {**value, "created_at": at.removesuffix("+00:00") + "Z"} if isinstance(at, str) and "+00:00" in at else None


# --- all of them


def _returning(mutate: Mutate) -> Callable[[Any, Setting], Observation | None]:
    def plant(value: Any, setting: Setting) -> Observation | None:
        changed = mutate(value, setting)
        return None if changed is None else Observation.returned(changed)

    return plant


def _error(_value: Any, _: Setting) -> Observation:
    return Observation.raised("PlantedError", "planted by a drill")


MUTATIONS: Final = (
    Mutation("drop", _returning(_drop)),
    Mutation("duplicate", _returning(_duplicate)),
    Mutation("swap order", _returning(_swap)),
    Mutation("edit a field", _returning(_edit)),
    Mutation("leak", _returning(_leak)),
    Mutation("truncate", _returning(_truncate)),
    Mutation("error", _error),
    Mutation("reply: number", _returning(_in_reply(_number)), chat=True),
    Mutation("reply: day", _returning(_in_reply(_day)), chat=True),
    Mutation("reply: negation", _returning(_in_reply(_negation)), chat=True),
    Mutation("reply: name", _returning(_in_reply(_name)), chat=True),
    Mutation("reply: leak", _returning(_in_reply(_another_users)), chat=True),
    Mutation("reply: truncate", _returning(_in_reply(_half)), chat=True),
    Mutation("copy", _returning(_in_other_order), harmful=False),
    Mutation("new ids", _returning(_renewed), harmful=False),
    Mutation("instants", _returning(_instants), harmful=False),
    Mutation("reply: format", _returning(_in_reply(_in_other_form)), chat=True, harmful=False),
    Mutation("reply: spaces", _returning(_in_reply(_spaced)), chat=True, harmful=False),
)
