"""One plain sentence for each kind of difference, for people who read a report; it never quotes a payload."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from comparators.masking import mask_text
from comparators.paths import ROOT, wildcard
from comparators.verdicts import Difference, Kind, Severity

_THINGS: Final[Mapping[str, str]] = {"memory": "a memory"}  # what a list of an operation's family holds
_ITEM: Final = "$[*]"

_OF_ITEMS: Final[Mapping[Kind, str]] = {
    Kind.LOST: "{thing} that legacy returns is missing from enhanced's answer",
    Kind.ADDED: "enhanced returns {thing} that legacy does not",
    Kind.DEDUPLICATED: "{thing} that legacy returns several times comes fewer times from enhanced",
    Kind.DUPLICATED: "{thing} comes more often from enhanced than from legacy",
    Kind.LEAK: "enhanced returns {thing} that belongs to another user",
}
_OF_ANSWERS: Final[Mapping[Kind, str]] = {
    Kind.LOST: "enhanced's answer is empty where legacy's is not",
    Kind.ADDED: "legacy's answer is empty where enhanced's is not",
    Kind.CHANGED: "enhanced gives another answer than legacy",
    Kind.TYPE: "enhanced's answer is of another type than legacy's",
    Kind.ORDER: "enhanced returns the same items as legacy in another order",
    Kind.EXCEPTION: "legacy raises an exception where enhanced answers",
    Kind.FAILURE: "enhanced raises an exception where legacy answers",
}
_OF_REPLIES: Final[Mapping[Kind, str]] = {
    Kind.ADDED: "enhanced says what legacy says and adds something that nothing it was told bears out",
    Kind.CHANGED: "enhanced's reply says something else than legacy's, with the same numbers, dates and times",
    Kind.FACTS: "enhanced's reply contradicts legacy's, or states other numbers, dates or times",
    Kind.AMNESIA: "enhanced says that it has no information where legacy answers",
    Kind.REFUSAL: "enhanced declines to help where legacy answers",
    Kind.REPHRASED: "enhanced says the same as legacy in other words",
    Kind.ANSWERED: "legacy asks or does not know, and enhanced answers from what it was told",
}
_OF_PLACES: Final[Mapping[Kind, str]] = {
    Kind.LOST: "{place} is missing from enhanced's answer",
    Kind.ADDED: "{place} is in enhanced's answer but not in legacy's",
    Kind.CHANGED: "{place} has another value in enhanced's answer",
    Kind.TYPE: "{place} is of another type in enhanced's answer",
    Kind.ORDER: "{place} holds the same items in another order in enhanced's answer",
    Kind.DUPLICATED: "{place} comes more often in enhanced's answer",
    Kind.DEDUPLICATED: "{place} comes fewer times in enhanced's answer",
    Kind.LEAK: "{place} in enhanced's answer names another user",
    Kind.EXCEPTION: "both raise, and the exception's {place} differs",
}
_ENRICHED: Final = "enhanced says what legacy says and adds what it was told"


def explain(operation: str, difference: Difference) -> str:
    """Return what a group's difference means, in one sentence for a report."""
    family = operation.partition(".")[0]
    return _explained(family, wildcard(difference.path), difference.kind, difference.severity)


@lru_cache(maxsize=4_096)  # there are few kinds of difference, and many of each
def _explained(family: str, path: str, kind: Kind, severity: Severity) -> str:
    thing = _THINGS.get(family, "an item")
    return _sentence(family, kind, severity, path).format(thing=thing, place=_place(path, thing))


def _place(path: str, thing: str) -> str:
    """Name a place by what follows the item or the answer that holds it; a key may be personal."""
    if path in (ROOT, _ITEM):
        return "the answer" if path == ROOT else thing
    return mask_text(path.removeprefix(f"{_ITEM}.").removeprefix(f"{ROOT}."))


def _sentence(family: str, kind: Kind, severity: Severity, place: str) -> str:
    if family == "chat" and kind in _OF_REPLIES:
        enriched = kind is Kind.ADDED and severity is Severity.MINOR
        return _ENRICHED if enriched else _OF_REPLIES[kind]
    if place == _ITEM and kind in _OF_ITEMS:
        return _OF_ITEMS[kind]
    if place == ROOT and kind in _OF_ANSWERS:
        return _OF_ANSWERS[kind]
    return _OF_PLACES.get(kind, "enhanced differs from legacy at {place}")
