"""A chat model that needs no network and no model: it answers by rule from what it is given, always the same.

It helps to find a home: asks what it must know, recalls what was said, notes the rest. What stands in a context changes
its answers in few ways, each easy to recognise: a question it need not ask becomes what is known (`Looking in San Jose,
as before.`), and a sentence may follow (`You have visited Casa Las Palmas before.`). Nothing else of an answer depends
on context, so without a text that bears on it the answer is the same.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gnomon_memory.chat_ai import Turn

__all__ = ["OfflineChatAI"]

_NAME = r"[^\W\d_a-z][\w'\u2019.-]*"  # a word that begins with no lower-case ASCII letter: any script's capital
_DAYS = "monday|tuesday|wednesday|thursday|friday|saturday|sunday"
_MONTHS = "january|february|march|april|may|june|july|august|september|october|november|december"
_PLACE = rf"(?!I\b|(?i:{_DAYS}|{_MONTHS})\b){_NAME}"
_NUMBER = r"(?:\d+|an?|one|two|three|four|five|six|single)"


@dataclass(frozen=True, slots=True)
class _Topic:
    """Something to know before homes can be shown: how it is said, asked for and recalled."""

    said: re.Pattern[str]  #: by the user
    asked: re.Pattern[str]  #: by the assistant; what follows is taken for the user's answer
    attribute: re.Pattern[str]  #: the names under which traffic saves it
    question: str
    recalled: str


_TOPICS = (
    _Topic(
        said=re.compile(rf"\b(?:[Ii]n|[Nn]ear|[Aa]round|[Aa]t)\s+(?:the\s+)?{_PLACE}"),
        asked=re.compile(r"\b(?:area|city|town|where|location|neighbou?rhood|district)\b[^.!]*\?", re.IGNORECASE),
        attribute=re.compile(r"area|city|town|district|location|neighbou?rhood", re.IGNORECASE),
        question="Which area are you looking in?",
        recalled="Looking in {value}, as before.",
    ),
    _Topic(
        said=re.compile(rf"\b{_NUMBER}[\s-]*(?:bed|br\b)|\bstudio\b", re.IGNORECASE),
        asked=re.compile(r"\b(?:bed ?rooms?|beds?|rooms?)\b[^.!]*\?", re.IGNORECASE),
        attribute=re.compile(r"bed", re.IGNORECASE),
        question="How many bedrooms do you need?",
        recalled="{name}: {value}, as before.",
    ),
)

_HOME = re.compile(
    r"\b(?:apartments?|flats?|houses?|homes?|propert(?:y|ies)|pad|condos?|studio|accomm?odations?|"
    r"(?:place|somewhere|room) to (?:live|stay|rent)|bed ?rooms?|beds?|bath ?rooms?|baths?)\b",
    re.IGNORECASE,
)
_OTHER = re.compile(r"\b(?:cars?|cabs?|taxis?|rides?|pick(?:ed)? up|flights?|travel(?:l?ing)?)\b", re.IGNORECASE)
_SEARCH = re.compile(r"\b(?:find|look|looking|search|searching|need|want|like|get|show|help|rent)\b", re.IGNORECASE)
_VISIT = re.compile(r"\b(?:visit|viewing|view|tour|appointment|schedule)\b", re.IGNORECASE)
_CALENDAR = re.compile(r"\b(?:calendar|event|title|call it|name it)\b", re.IGNORECASE)
_AGREED = re.compile(r"\s*(?:yes|yeah|yep|sure|ok|okay|correct|right|perfect|great|good)\b", re.IGNORECASE)
_CLOSING = re.compile(r"\b(?:thanks?|bye|goodbye|that(?:'s| is|'ll be| will be) (?:all|it)|no more)\b", re.IGNORECASE)
_PRICE = re.compile(r"\b(?:how much|price|rent|cost|costs)\b[^.!]*\?", re.IGNORECASE)
_PHONE = re.compile(r"\b(?:phone|number|contact|call)\b[^.!]*\?", re.IGNORECASE)
_DETAIL = re.compile(r"\b(?:furnished|pets?|garage|garden|balcony|parking)\b[^.!]*\?", re.IGNORECASE)

_MONEY = re.compile(r"[$€£]\s?\d[\d.,]*\d|\d[\d.,]*\d\s?(?:€|EUR|USD)")
_PHONE_NUMBER = re.compile(r"\+?\d[\d ()-]{6,}\d")
_DAY = re.compile(
    r"\b(?:\d{1,2}(?:st|nd|rd|th)|\d{4}-\d{2}-\d{2}|"
    rf"today|tomorrow|next week|{_DAYS}|(?:{_MONTHS}) \d{{1,2}})\b",
    re.IGNORECASE,
)
_AT_HAND = 2  # turns: of the places a conversation has named, what is spoken of now
_NAME_CHARS = 4  # a shorter value is found in any talk by chance
_VISIT_TEXT = "visit: "
_PREFERENCE_TEXT = "preference: "


class OfflineChatAI:
    """Answers by rule from the conversation and, where it bears on the answer, from context."""

    def answer(self, message: str, history: Sequence[Turn], context: Sequence[str]) -> str:
        """Answer `message`; depends on nothing but the arguments."""
        if _VISIT.search(message) and not _CALENDAR.search(message):
            return _visit(message, history, context)
        if (_SEARCH.search(message) and _HOME.search(message)) or _was_asked(history):
            return _search(message, history, context)
        return _recall(message, history) or _remark(message)


def _search(message: str, history: Sequence[Turn], context: Sequence[str]) -> str:
    """Ask for what is still open, unless it is known from before."""
    topic = next((topic for topic in _TOPICS if not _settled(topic, message, history)), None)
    if topic is None:
        return "I will show you what fits."
    return "I can help with that. " + next(_recalled(topic, context), topic.question)


def _visit(message: str, history: Sequence[Turn], context: Sequence[str]) -> str:
    """Settle the day of a visit; remind of an earlier one to the same place."""
    day = _last(_DAY, message, history)
    said = "Which day would suit you for the visit?" if day is None else f"I have noted the visit: {day}."
    talk = "\n".join([*(turn.content for turn in history[-_AT_HAND:]), message]).casefold()
    before = next((name for name in _visited(context) if name.casefold() in talk), None)
    return said if before is None else f"{said} You have visited {before} before."


def _recall(message: str, history: Sequence[Turn]) -> str | None:
    """Answer a question from what was said in the conversation."""
    if _PRICE.search(message):
        price = _last(_MONEY, "", history)
        return f"It was given as {price}." if price else "I will ask for the price and come back to you."
    if _PHONE.search(message):
        number = _last(_PHONE_NUMBER, "", history)
        return f"The number is {number}." if number else "I will find out the number and come back to you."
    if _DETAIL.search(message):
        return "I will check that with the owner and come back to you."
    return None


def _remark(message: str) -> str:
    if _CLOSING.search(message):
        return "You are welcome. Have a good day."
    if _AGREED.match(message):
        return "Good, so it is settled."
    return "Noted. What would you like to do next?"


def _was_asked(history: Sequence[Turn]) -> bool:
    """Tell whether the message answers a question of ours about the home that is talked of."""
    if not history or history[-1].role != "assistant" or _OTHER.search(history[-1].content):
        return False
    asked = any(topic.asked.search(history[-1].content) for topic in _TOPICS)
    return asked and any(_HOME.search(turn.content) for turn in history)


def _settled(topic: _Topic, message: str, history: Sequence[Turn]) -> bool:
    """Tell whether the conversation itself answers `topic`."""
    if topic.said.search(message):
        return True
    return any(
        (topic.asked if turn.role == "assistant" else topic.said).search(turn.content) is not None for turn in history
    )


def _last(pattern: re.Pattern[str], message: str, history: Sequence[Turn]) -> str | None:
    """Return what was said last of a kind, the message first."""
    for text in (message, *(turn.content for turn in reversed(history))):
        found = pattern.findall(text)
        if found:
            return str(found[-1])
    return None


def _recalled(topic: _Topic, context: Sequence[str]) -> Iterator[str]:
    """Tell what is known of `topic`, in the words it was saved in."""
    for text in context:
        if text.startswith(_PREFERENCE_TEXT):
            for name, value in _facts(text.removeprefix(_PREFERENCE_TEXT)):
                if topic.attribute.search(name):
                    yield topic.recalled.format(name=name.replace("_", " ").capitalize(), value=value)


def _visited(context: Sequence[str]) -> Iterator[str]:
    """Return what the visits of a context name: a place is whatever the conversation speaks of by the same name."""
    for text in context:
        if text.startswith(_VISIT_TEXT):
            values = (value for _, value in _facts(text.removeprefix(_VISIT_TEXT)))
            yield from (value for value in values if len(value) >= _NAME_CHARS and not _DAY.fullmatch(value))


def _facts(text: str) -> Iterator[tuple[str, str]]:
    for fact in text.split("; "):
        name, separator, value = fact.partition(" = ")
        if separator and value.strip():
            yield name, value
