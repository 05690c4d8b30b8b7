"""The comparator of `chat.*`: what a reply states decides, not how alike it reads; the text is data and never obeyed.

A reply that keeps legacy's sentences and adds only what the chat had been told is enriched: an addition vouched for.
One that states the same in other words of one meaning is rephrased: words count only where all slots agree.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Final, NamedTuple

from comparators.canonical import JSON
from comparators.english import KNOWS_NOTHING, KNOWS_NOTHING_WORDS, REFUSES, REFUSES_WORDS
from comparators.facts import LONGEST_TEXT, facts_of, folded, plain, sentences
from comparators.knowledge import Knowledge
from comparators.pairs import Pair
from comparators.paths import ROOT, member
from comparators.reply_agreement import Agreement, agreement, denied, extends, restates
from comparators.schemas import Schema
from comparators.slots import Slots, read
from comparators.structure import compare_structure
from comparators.verdicts import Difference, Kind, Severity

_REPLY: Final = "reply"

SCHEMA: Final = Schema(
    volatile=frozenset({"id", "created_at"}),
    minted=frozenset({"conversation_id"}),
)


def compare(pair: Pair) -> Iterator[Difference]:
    """Yield what differs between two answers of a chat: of the reply at most one thing, then of the rest."""
    legacy, enhanced = _reply(pair.legacy), _reply(pair.enhanced)
    if legacy is None or enhanced is None or type(pair.legacy) is not type(pair.enhanced):
        yield from compare_structure(pair)
        return
    finding = _compare_texts(legacy, enhanced, pair)
    if finding is not None:
        path = ROOT if isinstance(pair.legacy, str) else member(ROOT, _REPLY)
        yield Difference(path, finding.kind, finding.severity, legacy, enhanced)
    yield from compare_structure(pair.of(_rest(pair.legacy), _rest(pair.enhanced)))


def _reply(answer: JSON) -> str | None:
    """Return the text that an answer of a chat gives, or None where it is no such answer."""
    text = answer.get(_REPLY) if isinstance(answer, dict) else answer
    return text if isinstance(text, str) else None


def _rest(answer: JSON) -> JSON:
    return {name: value for name, value in answer.items() if name != _REPLY} if isinstance(answer, dict) else {}


class _Finding(NamedTuple):
    kind: Kind
    severity: Severity


_CHANGED: Final = _Finding(Kind.CHANGED, Severity.MAJOR)


def _compare_texts(legacy: str, enhanced: str, pair: Pair) -> _Finding | None:
    if folded(legacy) == folded(enhanced):
        return None
    if max(len(legacy), len(enhanced)) > LONGEST_TEXT:
        return _CHANGED
    told = [*pair.context, _message(pair)]
    return _judge_addition(legacy, enhanced, told) or _judge_slots(legacy, enhanced, told, pair)


def _judge_slots(legacy: str, enhanced: str, told: Sequence[str], pair: Pair) -> _Finding | None:
    """Judge replies by what each states; words count only where all slots agree."""
    today = _today(pair)
    before, after = read(legacy, today), read(enhanced, today)
    agreed = agreement(before, after, today)
    if agreed is Agreement.SAME:
        return None
    if agreed is Agreement.REPHRASED and _is_cut_off(legacy, enhanced):
        return _CHANGED
    found = _judge_knowledge(legacy, enhanced, Knowledge(told) if pair.context else None)
    if found is None and pair.context and agreed in _MAY_EXTEND and extends(before, after, _known(told, today)):
        return _Finding(Kind.ADDED, Severity.MINOR)
    return found or _FOUND[agreed]


_MAY_EXTEND: Final = (Agreement.UNEQUAL, Agreement.DIFFERENT)
_LONGEST_KNOWN: Final = 20_000  # characters of context that are read for slots


_FALSE: Final = re.compile(r"\b([\w ]{1,60})(?:: | = )(?:false|no)\b", re.IGNORECASE)


def _known(told: Sequence[str], today: date | None = None) -> Slots:
    """Read what a chat was told; `pets_allowed: False` denies what it names."""
    text = ".\n".join(told)[:_LONGEST_KNOWN].replace("_", " ")
    return read(_FALSE.sub(r"no \1", text), today)


_FOUND: Final[Mapping[Agreement, _Finding]] = {
    Agreement.CONTRADICTORY: _Finding(Kind.FACTS, Severity.CRITICAL),
    Agreement.UNEQUAL: _Finding(Kind.FACTS, Severity.MAJOR),
    Agreement.DIFFERENT: _CHANGED,
    Agreement.REPHRASED: _Finding(Kind.REPHRASED, Severity.MINOR),
}


def _today(pair: Pair) -> date | None:
    """Return the day on which the call was made, from which "tomorrow" counts."""
    at = pair.call.at if pair.call is not None else None
    if isinstance(at, str):
        try:
            at = datetime.fromisoformat(at)
        except ValueError:
            return None
    return at.date() if isinstance(at, datetime) else None


def _is_cut_off(legacy: str, enhanced: str) -> bool:
    """Tell whether enhanced says what legacy does up to a point, and nothing after it."""
    said, kept = folded(legacy), folded(enhanced).rstrip(".!?")
    return said.startswith(kept) and said.removeprefix(kept).strip(".!? ") != ""


def _message(pair: Pair) -> str:
    """Return what the user had written, which both sides were told."""
    message = pair.call.args.get("message") if pair.call is not None else None
    return message if isinstance(message, str) else ""


def _judge_addition(legacy: str, enhanced: str, told: Sequence[str]) -> _Finding | None:
    """Judge a reply that keeps all of legacy's sentences, in their order, and says more."""
    before, after = sentences(legacy), sentences(enhanced)
    extra = _beyond(before, after) if len(after) > len(before) else []
    if not extra:
        return None
    said, known, read_known = read(legacy), Knowledge(told), _known(told)
    borne_out = all(_is_borne_out(sentence, said, known, read_known) for sentence in extra)
    return _Finding(Kind.ADDED, Severity.MINOR if borne_out else Severity.MAJOR)


def _is_borne_out(sentence: str, said: Slots, known: Knowledge, read_known: Slots) -> bool:
    slots = read(sentence)
    return restates(said, slots) or (known.supports(sentence) and not denied(read_known, slots))


def _beyond(legacy: Sequence[str], enhanced: Sequence[str]) -> list[str]:
    """Return the sentences of enhanced beyond those of legacy; none where legacy has none or one is missing."""
    expected = [folded(sentence) for sentence in legacy]
    extra = []
    for sentence in enhanced:
        if expected and folded(sentence) == expected[0]:
            expected = expected[1:]
        else:
            extra.append(sentence)
    return extra if legacy and not expected else []


def _judge_knowledge(legacy: str, enhanced: str, told: Knowledge | None) -> _Finding | None:
    """Judge replies of which one has nothing to say: the other answers, from what it was told or not."""
    if (_knows_nothing(enhanced) or _only_asks(legacy, enhanced)) and not _is_open(legacy):
        return _Finding(Kind.AMNESIA, Severity.CRITICAL)
    if _refuses(enhanced) and not _refuses(legacy):
        return _Finding(Kind.REFUSAL, Severity.CRITICAL)
    if told is not None and _is_open(legacy) and told.answers(enhanced):
        return _Finding(Kind.ANSWERED, Severity.MINOR)
    if _knows_nothing(legacy) and not _knows_nothing(enhanced):
        return _Finding(Kind.FACTS, Severity.MAJOR)  # what legacy does not know it cannot contradict
    return None


def _is_open(legacy: str) -> bool:
    """Tell whether legacy leaves open what enhanced may answer."""
    return _asks(legacy) or _knows_nothing(legacy)


def _knows_nothing(text: str) -> bool:
    return not text.strip() or _says(text, KNOWS_NOTHING_WORDS, KNOWS_NOTHING)


def _refuses(text: str) -> bool:
    return _says(text, REFUSES_WORDS, REFUSES)


def _says(text: str, some: Iterable[str], pattern: re.Pattern[str]) -> bool:
    """Tell whether a text says what a pattern looks for; what has none of its words need not be searched."""
    text = plain(text)
    lower = text.lower()
    return any(word in lower for word in some) and pattern.search(text) is not None


def _only_asks(legacy: str, enhanced: str) -> bool:
    """Tell whether enhanced asks, and states nothing, where legacy states facts."""
    return (
        "?" in enhanced and "?" not in legacy and _asks(enhanced) and not facts_of(enhanced) and bool(facts_of(legacy))
    )


def _asks(text: str) -> bool:
    """Tell whether `text` asks and states no facts beside."""
    *before, last = sentences(text) or [""]
    return last.endswith("?") and not any(map(facts_of, before))
