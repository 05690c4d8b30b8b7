"""What an enhanced chat had been told, and whether what it says beyond legacy is borne out by that."""

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from typing import Final

from comparators.english import IDLE, NEGATIONS
from comparators.facts import facts_of, negations_in, sentences, words_of

_LONGEST: Final = 100_000  # characters of context that are read
_TELLING_LETTERS: Final = 4  # shorter words are mostly glue


class Knowledge:
    """The facts and words of the texts that a reply may draw on; read once, asked often."""

    def __init__(self, texts: Iterable[str]) -> None:
        text = "\n".join(texts)[:_LONGEST]
        self._facts = frozenset(facts_of(text))
        self._words = frozenset(words_of(text))
        denials = (sentence for line in text.splitlines() for sentence in sentences(line) if negations_in(sentence))
        self._denied = frozenset(word for sentence in denials for word in words_of(sentence))

    def supports(self, text: str) -> bool:
        """Tell whether every sentence of `text` is borne out; a courtesy claims nothing and needs no support."""
        return all(map(self._supports, sentences(text)))

    def answers(self, text: str) -> bool:
        """Tell whether `text` is borne out and says something."""
        return self.supports(text) and bool(facts_of(text) or _telling_words(text))

    def _supports(self, sentence: str) -> bool:
        facts = facts_of(sentence)
        telling = _telling_words(sentence)
        if negations_in(sentence) and not self._denies(sentence):
            return False
        if facts:
            return all(fact in self._facts or self._names(fact.sort, fact.value) for fact in facts)
        return _mostly(telling, self._words)

    def _denies(self, sentence: str) -> bool:
        """Tell whether what `sentence` denies is denied in what was told; a denial of nothing is no courtesy."""
        denied = [word for word in words_of(sentence) if word not in IDLE and word not in NEGATIONS]
        return bool(denied) and _mostly(denied, self._denied)

    def _names(self, sort: str, value: str) -> bool:
        """A name is known in lower case too: `city: san jose` bears out San Jose."""
        return sort == "name" and all(word in self._words for word in words_of(value))


def _mostly(telling: Sequence[str], known: AbstractSet[str]) -> bool:
    """Tell whether at least half of the words are known."""
    return 2 * sum(word in known for word in telling) >= len(telling)


def _telling_words(text: str) -> list[str]:
    return [word for word in words_of(text) if len(word) >= _TELLING_LETTERS and word not in IDLE]
