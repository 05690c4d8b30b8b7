"""What a word of a reply means: its concept, whether it affirms or denies that, and how much else it turns."""

from functools import lru_cache
from typing import Final, NamedTuple

from comparators.slot_tables import CARRYING, IDLE_WORDS, PARTIES
from comparators.stems import stem
from comparators.synonyms import OPPOSITES, SYNONYMS


class Sense(NamedTuple):
    """What a word means: a concept, whether it affirms that, and what else it turns: `<`, `!` or nothing."""

    concept: str
    affirms: bool = True
    turns: str = ""


def _opposites() -> dict[str, Sense]:
    table: dict[str, Sense] = {}
    for line in filter(str.strip, OPPOSITES.splitlines()):
        concept, _, words = line.strip().partition(": ")
        affirming, denying = words.split(" | ")
        turns = concept[-1] if concept[-1] in "<!" else ""
        name = concept.removesuffix(turns)
        table |= {stem(word): Sense(name) for word in affirming.split()}
        table |= {stem(word): Sense(name, affirms=False, turns=turns) for word in denying.split()}
    return table


_SENSES: Final = _opposites()


KNOWN: Final = frozenset({*SYNONYMS, *_SENSES, *PARTIES})  #: stems that are words and so no names


@lru_cache(maxsize=8_192)
def sense_of(word: str) -> Sense:
    """Return what a word in lower case means."""
    bare = stem(word)
    meant = SYNONYMS.get(bare, bare)
    found = _SENSES.get(bare) or _SENSES.get(meant)
    if found is None and word.startswith(("non", "un")):
        rest = word.removeprefix("non") if word.startswith("non") else word.removeprefix("un")
        if stem(rest) in KNOWN:
            return sense_of(rest)._replace(affirms=False, turns="<")
    return found or Sense(meant)


#: concepts that mean nothing by themselves when two replies are held side by side
IDLE: Final = frozenset(map(stem, IDLE_WORDS)) | {"find", "hom", "allow", "able", "suggest", "before"}

#: concepts that only one of two replies may have, and they say the same
CARRIED: Final = frozenset(sense_of(word).concept for word in CARRYING)

NEUTRAL: Final = frozenset(  #: say neither yes nor no by themselves
    map(
        stem,
        """
        a an the i you we they he she it its your my our their this that these those there here is are was were be been
        do does did has have had will would shall should may might can could of to at in on for and or but so as if by
        from what which who when where how please sorry unfortunately sadly also too very just still already any some
        able required
        """.split(),  # noqa: SIM905
    )
)
