"""The comparator of `chat.*`: what a reply states decides, not how alike it reads; the text is data and never obeyed.

A reply that keeps legacy's sentences and adds only what the chat had been told is enriched: an addition vouched for.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from comparators.canonical import JSON
from comparators.english import KNOWS_NOTHING
from comparators.facts import LONGEST_TEXT, Fact, contradicts, facts_of, folded, plain, sentences
from comparators.knowledge import Knowledge
from comparators.pairs import Pair
from comparators.paths import ROOT, member
from comparators.schemas import Schema
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
    return (
        _judge_addition(legacy, enhanced, told)
        or _judge_knowledge(legacy, enhanced, Knowledge(told) if pair.context else None)
        or _judge_facts(legacy, enhanced)
        or _CHANGED
    )


def _message(pair: Pair) -> str:
    """Return what the user had written, which both sides were told."""
    message = pair.call.args.get("message") if pair.call is not None else None
    return message if isinstance(message, str) else ""


def _judge_addition(legacy: str, enhanced: str, told: Sequence[str]) -> _Finding | None:
    """Judge a reply that keeps all of legacy's sentences, in their order, and says more."""
    extra = _beyond(sentences(legacy), sentences(enhanced))
    if not extra:
        return None
    borne_out = Knowledge([*told, legacy]).supports(" ".join(extra))
    return _Finding(Kind.ADDED, Severity.MINOR if borne_out else Severity.MAJOR)


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
    open_ended = _asks(legacy) or _knows_nothing(legacy)
    if _knows_nothing(enhanced) and not open_ended:
        return _Finding(Kind.AMNESIA, Severity.CRITICAL)
    if open_ended and told is not None and told.answers(enhanced):
        return _Finding(Kind.ANSWERED, Severity.MINOR)
    return None


def _knows_nothing(text: str) -> bool:
    return not text.strip() or KNOWS_NOTHING.search(plain(text)) is not None


def _asks(text: str) -> bool:
    """Tell whether `text` asks and states no facts beside."""
    *before, last = sentences(text) or [""]
    return last.endswith("?") and not any(map(facts_of, before))


def _judge_facts(legacy: str, enhanced: str) -> _Finding | None:
    """Judge what both replies state; a fact of one sort in place of another is critical, more or fewer are not."""
    if contradicts(legacy, enhanced):
        return _Finding(Kind.FACTS, Severity.CRITICAL)
    before, after = (Counter(filter(_is_measure, facts_of(text))) for text in (legacy, enhanced))
    if before == after:
        return None
    replaced = {fact.sort for fact in before - after} & {fact.sort for fact in after - before}
    return _Finding(Kind.FACTS, Severity.CRITICAL if replaced else Severity.MAJOR)


def _is_measure(fact: Fact) -> bool:
    """Names are told in too many ways to be counted; numbers, times, dates and phone numbers are not."""
    return fact.sort != "name"
