"""How two replies agree, slot by slot: a fact in place of another, a denial, a swap; only then how alike they read.

Likeness can take a finding back where every slot agrees, and can do nothing else.
"""

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from enum import StrEnum
from itertools import groupby, pairwise
from typing import Final

from comparators.facts import Fact
from comparators.senses import CARRIED, NEUTRAL, sense_of
from comparators.signs import clash
from comparators.slots import SOFT, Slots
from comparators.stems import PAST
from comparators.synonyms import RELATIONS

_WHEN: Final = frozenset({"day", "date", "month"})
_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_SOON_DAYS: Final = 14  # a weekday without a date is one of the next two


class Agreement(StrEnum):
    """What two replies come to, the gravest first."""

    CONTRADICTORY = "contradictory"  #: one fact in place of another, a denial, or a swap
    UNEQUAL = "unequal"  #: one states a fact more
    DIFFERENT = "different"  #: all slots agree, and the words are others
    REPHRASED = "rephrased"  #: all slots agree, in other words of the same meaning
    SAME = "same"  #: the same words, in other spellings


def agreement(left: Slots, right: Slots, today: date | None = None) -> Agreement:
    """Tell how two replies agree; the same either way round."""
    if left.order == right.order and left.terms == right.terms and left.asks == right.asks:
        return Agreement.SAME
    only_left, only_right = _unshared(left, right, today)
    if _sorts(only_left) & _sorts(only_right) or opposed(left, right) or clash(left.signs, right.signs):
        return Agreement.CONTRADICTORY
    if only_left or only_right or left.hedges is not right.hedges:
        return Agreement.UNEQUAL
    alike = (left.asks, left.denials) == (right.asks, right.denials) and _alike(left, right)
    return Agreement.REPHRASED if alike else Agreement.DIFFERENT


def restates(said: Slots, again: Slots) -> bool:
    """Tell whether the second says nothing that the first does not."""
    return (
        again.facts <= said.facts
        and _deeds(again) <= _deeds(said)
        and again.content <= said.content
        and again.denials <= said.denials
    )


def extends(left: Slots, right: Slots, known: Slots) -> bool:
    """Tell whether the right reply says all that the left one does, and beyond it only what is known."""
    if not (left.facts <= right.facts and left.terms <= right.terms and left.asks == right.asks):
        return False
    facts = (right.facts - left.facts) - known.facts
    if _deeds(right) - _deeds(left) - _deeds(known):
        return False
    terms = {term for term in right.terms - left.terms - known.terms if term.concept in right.content}
    return not terms and all(_is_known(fact, known) for fact in facts)


def _deeds(slots: Slots) -> set[Fact]:
    return {sign for sign in slots.signs if sign.sort == "deed"}


def _is_known(fact: Fact, known: Slots) -> bool:
    if fact.sort == "name":
        return fact.value in known.words
    return Fact("number", _bare(fact)) in known.facts


def _alike(left: Slots, right: Slots) -> bool:
    """Tell whether two replies speak of the same, to the same effect; a name may be known from the other's words."""
    names = {sense_of(fact.value).concept for slots in (left, right) for fact in slots.facts if fact.sort == "name"}
    only_left, only_right = left.content - right.content - names, right.content - left.content - names
    if (only_left and only_right) or not only_left | only_right <= CARRIED | _asked(left, right):
        return False
    return _signs_agree(left, right) and not _words_moved(left, right) and not _tense_changed(left, right)


def _asked(left: Slots, right: Slots) -> frozenset[str]:
    """Return the concept of a duty where one reply asks for what the other says is required: "please bring it"."""
    free = any(term.affirmed and term.concept in _DUTY for slots in (left, right) for term in slots.terms)
    return _DUTY if (_REQUEST in left.signs) is not (_REQUEST in right.signs) and not free else frozenset()


_DUTY: Final = frozenset({sense_of("required").concept})  # denied: what is affirmed is that it is optional
_REQUEST: Final = Fact("deed", "asked")


def _tense_changed(left: Slots, right: Slots) -> bool:
    """Tell whether one reply has a verb in the past, without a helping verb, that the other has in the present."""
    return _only_past(left, right) or _only_past(right, left)


_HELPING: Final = frozenset(
    ("is", "are", "was", "were", "be", "been", "being", "has", "have", "had", "did"),
)
_WISHES: Final = frozenset({"want", "liked", "tel", "ask", "plan"})  # who wanted it still does
_SPEAKERS: Final = frozenset({"i", "we", "you", "they"})


def _only_past(left: Slots, right: Slots) -> bool:
    if not left.words.isdisjoint(_HELPING):
        return False
    spoken = right.words if "will" in right.words else _verbs_of_speakers(right)
    now = {sense_of(word) for word in right.words if word in spoken or word.endswith("s")}
    return any(
        word not in right.words and sense_of(word) in now and sense_of(word).concept not in _WISHES
        for word in left.words
        if word.endswith("ed") or word in PAST
    )


def _verbs_of_speakers(slots: Slots) -> set[str]:
    return {after for (_, before), (_, after) in pairwise(slots.order) if before in _SPEAKERS}


def _sorts(facts: Sequence[Fact]) -> set[str]:
    return {"when" if fact.sort in _WHEN else fact.sort for fact in facts}


# --- facts


def _unshared(left: Slots, right: Slots, today: date | None) -> tuple[list[Fact], list[Fact]]:
    """Return the facts that only one reply states, whatever their spelling."""
    only_left = [fact for fact in left.facts - right.facts if not _stated(fact, left, right, today)]
    only_right = [fact for fact in right.facts - left.facts if not _stated(fact, right, left, today)]
    soft = {fact.sort for fact in only_left} & {fact.sort for fact in only_right}
    return tuple(
        [fact for fact in only if fact.sort not in SOFT or fact.sort in soft] for only in (only_left, only_right)
    )  # type: ignore[return-value]


def _stated(fact: Fact, own: Slots, other: Slots, today: date | None) -> bool:
    """Tell whether `other` states a fact that it has not in this form."""
    match fact.sort:
        case "name":
            return fact.value in other.words
        case "day":
            return any(_falls_on(each, fact.value, today) for each in (*own.facts, *other.facts))
        case "date":
            return any(each.sort == "day" and _falls_on(fact, each.value, today) for each in other.facts)
        case "money" | "number":
            return any(
                each.sort in ("money", "number") and _bare(each) == _bare(fact) and each.sort != fact.sort
                for each in other.facts
            )
    return False


def _bare(fact: Fact) -> str:
    return fact.value.rpartition(" ")[2]


def _falls_on(fact: Fact, weekday: str, today: date | None) -> bool:
    """Tell whether a date is a weekday within the next two weeks."""
    if fact.sort != "date" or today is None or weekday not in _DAYS:
        return False
    coming = (today + timedelta(days) for days in range(_SOON_DAYS + 1))
    return any(f"{day.month:02d}-{day.day:02d}" == fact.value and _DAYS[day.weekday()] == weekday for day in coming)


# --- denials and swaps


def opposed(left: Slots, right: Slots) -> bool:
    """Tell whether one reply denies what the other affirms, or swaps who did what."""
    found = denied(left, right)
    turned = found <= RELATIONS and bool(found)
    return _swapped(left, right) is not turned if turned else bool(found) or _swapped(left, right)


def denied(left: Slots, right: Slots) -> set[str]:
    """Return the concepts that one reply only affirms and the other only denies."""
    before, after = _signs(left), _signs(right)
    return {concept for concept in before.keys() & after.keys() if not before[concept] & after[concept]}


def _signs_agree(left: Slots, right: Slots) -> bool:
    before, after = _signs(left), _signs(right)
    return all(before[concept] == after[concept] for concept in before.keys() & after.keys() - RELATIONS)


def _signs(slots: Slots) -> dict[str, set[bool]]:
    signs: dict[str, set[bool]] = {}
    for concept, affirmed in slots.terms:
        if concept not in NEUTRAL:
            signs.setdefault(concept, set()).add(affirmed)
    return signs


Entity = tuple[str, str]


def _swapped(left: Slots, right: Slots) -> bool:
    """Tell whether the same parties, values and words stand in each other's places."""
    before, after = _by_sort(left), _by_sort(right)
    shared = [sort for sort in before if sort in after and sorted(before[sort]) == sorted(after[sort])]
    moved = [sort for sort in shared if before[sort] != after[sort]]
    return any(_trades_places(sort, before, after, left, right) for sort in moved)


def _words_moved(left: Slots, right: Slots) -> bool:
    """Tell whether words went to another of several parties, which kept their order."""
    before, after = _by_sort(left), _by_sort(right)
    stayed = any(
        len(set(before[sort])) > 1 and before[sort] == after.get(sort) for sort in (*_WHO, "topic") if sort in before
    )
    both = left.words & right.words
    compared = "than" in both or {"prefer", "to"} <= both
    said, then = _said(left, whole=compared), _said(right, whole=compared)
    return (stayed or compared) and said != then and sorted(said) == sorted(then)


def _said(slots: Slots, *, whole: bool) -> list[str]:
    words = (sense_of(value).concept for sort, value in slots.order if sort == "word")
    return [concept for concept in words if concept in slots.content or (whole and concept not in NEUTRAL)]


_WHO: Final = ("name", "party")


def _by_sort(slots: Slots) -> dict[str, list[str]]:
    """Return the values of each sort in order; words that follow each other in a name are one."""
    found: dict[str, list[str]] = {}
    for sort, value in _entities(slots):
        if sort not in ("word", "answer"):
            found.setdefault(sort, []).append(value)
    who = [(sort, value) for sort, value in _entities(slots) if sort in _WHO and value != "i"]
    sorts = [sort for sort, _ in who]
    listed = any(len(values) > 1 for sort, values in found.items() if sort not in _WHO)
    if {*sorts} == {*_WHO} and (
        sorts.count("name") == 1 or not listed
    ):  # one with a name and one without can trade places too
        found["who"] = [value for _, value in who]
    return found


def _entities(slots: Slots) -> Iterator[Entity]:
    for sort, run in groupby(slots.order, key=lambda entry: entry[0]):
        values = [value for _, value in run]
        yield from [(sort, " ".join(values))] if sort == "name" else [(sort, value) for value in values]


def _trades_places(
    sort: str, before: dict[str, list[str]], after: dict[str, list[str]], left: Slots, right: Slots
) -> bool:
    count = len(before[sort])
    bound = [
        other
        for other in before
        if other not in (sort, "who") and sort != "who" and len(before[other]) == len(after.get(other, ())) == count
    ]
    if bound:
        pairs = zip(before[sort], *(before[other] for other in bound), strict=True)
        traded = sorted(pairs) != sorted(zip(after[sort], *(after[other] for other in bound), strict=True))
        return traded or not (left.parts and right.parts)  # what is listed may be listed in another order
    if _skeleton(left, sort) == _skeleton(right, sort):
        return not _side_by_side(left, sort)
    return _roles_traded(_roles(left, sort), _roles(right, sort))


def _skeleton(slots: Slots, sort: str) -> list[Entity]:
    """Return the order of a reply with the values of one sort left blank."""
    return [(sort, "") if _is(kind, sort) else (kind, _meant(kind, value)) for kind, value in _entities(slots)]


def _is(kind: str, sort: str) -> bool:
    return kind in _WHO if sort == "who" else kind == sort


def _meant(kind: str, value: str) -> str:
    return sense_of(value).concept if kind == "word" else value


def _side_by_side(slots: Slots, sort: str) -> bool:
    """Tell whether the values of a sort are listed with nothing between them but "and" and "or"."""
    kinds = [
        kind
        for kind, value in _entities(slots)
        if (kind, value) not in (("word", "and"), ("word", "or"), ("word", "not"))
    ]
    return "".join("x" if _is(kind, sort) else " " for kind in kinds).strip().count(" ") == 0


def _roles(slots: Slots, sort: str) -> dict[str, str]:
    """Return for each value of a sort the word before it, which says what part it has."""
    roles, role = {}, ""
    for kind, value in _entities(slots):
        if _is(kind, sort):
            roles[value] = role
        role = _meant(kind, value) if kind == "word" and value not in _EQUATING else role if kind == "word" else ""
    return roles


_EQUATING: Final = frozenset({"the", "a", "is", "are"})  # "Anna is the agent" and "the agent is Anna" are one


def _roles_traded(before: dict[str, str], after: dict[str, str]) -> bool:
    names = [name for name in before if name in after]
    return any(
        before[one] == after[other] != before[other] == after[one] for one in names for other in names if one < other
    )
