"""What a reply gives away beside its slots: whether a thing was done or will be, who is to do it, how sure it is.

A sign that only one of two replies has means nothing: most can be said without it. Two that exclude each other do.
"""

import re
from typing import Final

from comparators.facts import Fact

_WHO: Final = (
    r"(?:i|we|you|they|he|she|agent|landlord|owner|tenant|caretaker|neighbour|plumber|(?-i:[A-Z][a-z]{1,20}))"
    r"(?:'ve|'s| have| has| had)? (?:just |already )?"
)
_PAST: Final = "sent|made|put|told|paid|gave|given|wrote|written|spoke|spoken|came|met|got|took|sold|bought"
_REQUESTS: Final = (
    "call|contact|tell|ask(?= the| your| him| her| them| for| you)|email|text|message|ring|meet|remind|send|give|pay"
)
_STARTS: Final = r"(?:^|[.!?,;] )"
_YOU: Final = r"\b(?:(?:could|can|would|will|should) you|you(?:'ll|'d| will| can| may| should| must)?)"
_ME: Final = r"\b(?:i|we)(?:'ll|'d| will| can| could| would)?"

_NO_DEED: Final = r"(?! (?:not )?\w{2,20}(?:ed|en)\b)"
_ASKS: Final = "(?:do|does|can|could|will|would|is|are|should|ask)"
_SOMEBODY: Final = "(?:you|i|we|they|he|she|it|the [a-z]{2,20} [a-z])"
_ASKED: Final = "call contact tell ask email text message ring meet remind send give pay"
_WILL: Final = "will ll"
_SIGNS: Final = tuple(  # a sort, a value, words or endings of which a text has one (of each, where / parts them), how
    (Fact(sort, value), tuple(frozenset(some.split()) for some in words.split("/")), re.compile(pattern, re.IGNORECASE))
    for sort, value, words, pattern in (
        (
            "deed",
            "done",
            f"-ed been happened {_PAST.replace('|', ' ')}",
            (
                rf"\b{_WHO}(?:(?!need|required)\w{{2,20}}ed|{_PAST})\b|\b(?:was|were) \w{{2,20}}ed\b|\bhappened\b"
                r"|\b(?:has|have|'ve|'s) (?:just |already )?been \w"
            ),
        ),
        (
            "deed",
            "offered",
            f"{_WILL} can could would may might",
            r"\b(?:will|can|could|would|(?-i:may)|might)\b(?! not)|'ll\b(?! not)",
        ),
        (
            "deed",
            "asked",
            f"please remember forget {_ASKED}",
            rf"\b(?:remember|forget) to\b|{_STARTS}(?:please )?(?:{_REQUESTS})\b|\bplease [a-z]",
        ),
        (
            "deed",
            "under way",
            "-ing",
            r"\b(?:is|are) being \w|\b(?:i'm|we're|i am|we are|they're) (?!looking)\w{2,20}ing\b(?! to\b)",
        ),
        ("result", "reached", "-ed", r"(?:\b(?:is|are)|'s|'re) (?:now |already |all )?\w{2,20}ed\b"),
        ("result", "to come", _WILL, r"(?:\bwill|'ll) be \w{2,20}ed\b"),
        ("chance", "will", _WILL, r"\bwill\b(?! not)|'ll\b(?! not)"),
        ("chance", "may", "may might could i we", r"\b(?:(?-i:may)|might|could|i can|we can)\b(?! not)"),
        ("doer", "you", _ASKED, rf"{_STARTS}(?:please )?(?:{_REQUESTS})\b|{_YOU} (?:please )?(?:{_REQUESTS})\b"),
        (
            "doer",
            "another",
            f"you i we be/{_ASKED} {' '.join(f'{word}s' for word in _ASKED.split())} contacted told reminded called",
            rf"\b(?:{_REQUESTS})s? you\b|{_ME} (?:{_REQUESTS})\b|\bbe (?:contacted|told|reminded|called)\b",
        ),
        ("state", "was", "was were", rf"\b(?:was|were)\b{_NO_DEED}"),
        ("state", "is", "is are", r"\b(?:is|are)\b"),
        ("era", "past", "was were", rf"\b(?:was|were)\b{_NO_DEED}"),
        ("era", "to come", _WILL, r"\bwill\b|'ll\b"),
        ("question", "when", "when", rf"\bwhen {_ASKS}\b"),
        ("question", "where", "where", rf"\bwhere {_ASKS}\b"),
        ("question", "how much", "amount", r"\bwhat amount\b"),
        ("order", "when", "when once", rf"\b(?:when|once) {_SOMEBODY}\b"),
        ("order", "before", "before", rf"\bbefore {_SOMEBODY}\b"),
        ("order", "after", "after", rf"\bafter {_SOMEBODY}\b"),
        ("whose", "yours", "your yours", r"\byours?\b"),
        ("whose", "mine", "my mine", r"\b(?:my|mine)\b"),
    )
)
_WORD: Final = re.compile("[a-z]+")
_HEDGING: Final = ("might", "maybe", "perhaps", "could")
_HEDGES: Final = re.compile(r"\b(?:might|maybe|perhaps|could(?! not| you| i|n't))\b", re.IGNORECASE)


def signs_of(text: str) -> frozenset[Fact]:
    """Return what a text gives away: of each sort only another value is a difference, a lack is none."""
    words = set(_WORD.findall(text.lower()))
    endings = {word[-2:] for word in words}
    if "ed" in endings:
        words.add("-ed")
    if "ng" in endings and any(word.endswith("ing") for word in words):
        words.add("-ing")
    return frozenset(
        sign for sign, needed, pattern in _SIGNS if not any(map(words.isdisjoint, needed)) and pattern.search(text)
    )


def hedges(text: str) -> bool:
    """Tell whether a text leaves open whether what it says is so."""
    lower = text.lower()
    return any(word in lower for word in _HEDGING) and _HEDGES.search(text) is not None


def clash(left: frozenset[Fact], right: frozenset[Fact]) -> bool:
    """Tell whether two replies give away what excludes each other."""
    return not {sign.sort for sign in left - right}.isdisjoint(sign.sort for sign in right - left)
