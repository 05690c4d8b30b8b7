"""What a reply states, slot by slot: each fact in one spelling, each word with its sign, in the reply's order.

A slot is a sort of fact and a value. Words that are no facts are kept as their concept, affirmed or denied:
"unfurnished", "not furnished" and "without furniture" all deny one concept.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from enum import Enum, auto
from functools import cached_property, lru_cache
from typing import Final, NamedTuple

from comparators.english import CONTRACTIONS, NEGATIONS, OPENERS
from comparators.facts import Fact
from comparators.senses import IDLE, KNOWN, Sense, sense_of
from comparators.signs import hedges, signs_of
from comparators.slot_tables import COMPASS, IDLE_WORDS, NAME_PARTS, NOUNS, PARTIES, PERSONS, SPELLINGS, TOPICS
from comparators.spoken import written
from comparators.stems import stem
from comparators.tokens import END, PAUSE, WORD, tokens

SOFT: Final = frozenset({"period", "answer", "year", "person"})  #: only another value differs, a lack does not


class Term(NamedTuple):
    """A concept that a reply speaks of, and whether it affirms it."""

    concept: str
    affirmed: bool


@dataclass(frozen=True, kw_only=True)
class Slots:
    """What a reply states. `order` has facts and words in the reply's order, and is what "reads the same" goes by."""

    order: tuple[tuple[str, str], ...]
    facts: frozenset[Fact]
    terms: frozenset[Term]
    asks: bool
    denials: int  #: how many of its clauses deny something
    parts: int  #: how many parts it has, by commas, "and" and full stops
    words: frozenset[str]  #: every word in lower case, as it stands
    text: str  #: the reply, its spoken forms written

    @cached_property
    def signs(self) -> frozenset[Fact]:
        """What it gives away beside: what was done, who is to do it; looked for where the facts leave it open."""
        return signs_of(self.text)

    @cached_property
    def hedges(self) -> bool:
        """Whether it says "perhaps"."""
        return hedges(self.text)

    @property
    def content(self) -> frozenset[str]:
        """The concepts that mean something by themselves."""
        return frozenset(term.concept for term in self.terms if term.concept not in IDLE)


def read(text: str, today: date | None = None) -> Slots:
    """Read a reply; with `today` the days it speaks of relative to that become dates."""
    text = written(text)
    reader = _Reader(text)
    for sort, value in tokens(text, today):
        if sort == WORD:
            reader.words(_read_word(value))
        elif sort == PAUSE:
            reader.pause(value)
        elif sort == END:
            reader.end(value)
        else:
            reader.fact(sort, value)
    return reader.slots()


class _Reader:
    """One reading: what was found so far, and where in a sentence it is."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._facts: list[Fact] = []
        self._order: list[tuple[str, str]] = []
        self._words: list[str] = []
        self._clause: list[tuple[str, bool]] = []  # words, and whether what denies them stands before them
        self._has_verb = False  # the clause, or a word that begins one
        self._terms: set[Term] = set()
        self._negated = False  # the whole clause
        self._forward = False  # from here to its end
        self._turned = False  # by a word of the clause
        self._asks = False
        self._denials = 0
        self._parts = 0
        self._broken = False  # a part has ended, and another would be one more

    def fact(self, sort: str, value: str) -> None:
        """Take a fact."""
        self._begin()
        self._facts.append(Fact(sort, value))
        self._order.append((sort, value))

    def words(self, words: "Sequence[_Word]") -> None:
        """Take a word, contractions taken apart."""
        self._parts += self._broken
        self._broken = False
        for word in words:
            self._words.append(word.text)
            if word.part is _Part.PLAIN:  # nearly every word
                self._order.append(word.entry)
                self._clause.append((word.text, self._forward))
            else:
                self._take(word)
            self._turned = self._turned or word.turns

    def pause(self, mark: str) -> None:
        """Take a comma or the like, which ends a clause that has a verb."""
        self._broken = True
        if mark == ";" or (mark != ":" and self._has_verb):
            self._close()

    def end(self, marks: str) -> None:
        """Take the end of a sentence."""
        self._broken = True
        self._asks = self._asks or "?" in marks
        self._close()

    def slots(self) -> Slots:
        """Return what was found."""
        self._close()
        return Slots(
            order=tuple(self._order),
            facts=frozenset(self._facts),
            terms=frozenset(self._terms),
            asks=self._asks,
            denials=self._denials,
            parts=self._parts,
            words=frozenset(self._words),
            text=self._text,
        )

    def _begin(self) -> None:
        self._parts += self._broken
        self._broken = False

    def _take(self, word: "_Word") -> None:
        """Take a word that does something to its clause, or is a fact."""
        text = word.text
        if text in _CONDITIONS:
            self._close()
        if text in _BREAKS:
            self._parts += 1
            if self._has_verb and not (text == "or" and (self._negated or self._forward)):
                self._close()
                return
        if word.part is _Part.FACT:
            self._facts.append(Fact(*word.entry))
            self._order.append(word.entry)
        elif word.part is _Part.DENIAL:
            self._deny(text)
        else:
            self._order.append(word.entry)
            self._clause.append((text, self._forward))
            self._has_verb = self._has_verb or word.part is _Part.VERB

    def _deny(self, word: str) -> None:
        self._order.append((WORD, "not"))
        if word in _FORWARD:
            self._forward = True
        else:
            self._negated = not self._negated

    def _describes(self, place: int) -> bool:
        """Tell whether a word stands before what it turns: "a non-refundable fee", not "the fee is non-refundable"."""
        return place > 0 and self._clause[place - 1][0] in _ARTICLES and place + 1 < len(self._clause)

    def _close(self) -> None:
        """End a clause: what it denies is all of it, or what follows."""
        if self._negated or self._forward or self._turned:
            self._denials += 1
            self._take_denied([sense_of(word) for word, _ in self._clause])
        else:
            self._terms.update([_term_of(word) for word, _ in self._clause])
        self._clause, self._has_verb, self._negated, self._forward, self._turned = [], False, False, False, False

    def _take_denied(self, senses: Sequence[Sense]) -> None:
        """Take the words of a clause in which something is denied, each with its sign."""
        turned = sum(sense.turns == "!" for sense in senses)
        places = [place for place, sense in enumerate(senses) if sense.turns == "<"]
        before, after = sum(not self._describes(place) for place in places), 0  # that turn what stands there
        for place, ((_, forward), sense) in enumerate(zip(self._clause, senses, strict=True)):
            turning = sense.turns == "<"
            before -= turning and not self._describes(place)
            denials = self._negated + forward + turned + before + after + (not sense.affirms and sense.turns != "!")
            after += turning and self._describes(place)
            self._terms.add(Term(sense.concept, denials % 2 == 0))


_BREAKS: Final = frozenset({"but", "and", "however", "though", "although", "while", "or"})
_CONDITIONS: Final = frozenset({"if", "unless", "because"})  # what denies before them denies nothing after them
_CLAUSES: Final = frozenset({*_CONDITIONS, "when", "once", "since"})  # begin a clause that ends at its comma
_ARTICLES: Final = frozenset({"a", "an", "the", "your"})
_ANSWERS: Final = {"yes": "yes", "nope": "no"}
_FORWARD: Final = frozenset({"no", "without", "neither", "nor"})  # what stands before them is not denied
_VERBS: Final = frozenset(
    {
        *("is", "are", "was", "were", "be", "has", "have", "had", "do", "does", "did", "can", "could", "will", "would"),
        *(
            "may",
            "must",
            "allow",
            "allows",
            "comes",
            "come",
            "owe",
            "accept",
            "accepts",
            "include",
            "includes",
            "offer",
        ),
    }
)


_DENIAL: Final = "denial"
_FACTS: Final = frozenset({"answer", "person", "name"})  # what a word can be


class _Part(Enum):
    """What a word does where it stands."""

    PLAIN = auto()  #: it means what it means
    VERB = auto()  #: besides, its clause can end at a comma
    BREAK = auto()  #: besides, it may end a clause
    DENIAL = auto()
    FACT = auto()


class _Word(NamedTuple):
    """A word in lower case, what it does, and its sort and value."""

    text: str
    part: _Part
    entry: tuple[str, str]
    turns: bool


@lru_cache(maxsize=8_192)  # most words of an assistant are the same few hundred
def _read_word(spoken: str) -> tuple[_Word, ...]:
    """Return the words of a word, contractions taken apart."""
    parts = _parts_of(spoken)
    capitals = (spoken[0].isupper(), *(False for _ in parts[1:]))
    entries = [(word, _sorted(word, capital=capital)) for word, capital in zip(parts, capitals, strict=True)]
    return tuple(_word_of(word, entry) for word, entry in entries)


def _word_of(word: str, entry: tuple[str, str]) -> _Word:
    part = _part_of(word, entry[0])
    return _Word(word, part, entry, part not in (_Part.FACT, _Part.DENIAL) and bool(sense_of(word).turns))


def _part_of(word: str, sort: str) -> _Part:
    if sort in _FACTS:
        return _Part.FACT
    if sort == _DENIAL:
        return _Part.DENIAL
    if word in _VERBS or word in _CLAUSES or word.endswith("ed"):
        return _Part.VERB
    return _Part.BREAK if word in _BREAKS else _Part.PLAIN


@lru_cache(maxsize=8_192)
def _term_of(word: str) -> Term:
    sense = sense_of(word)
    return Term(sense.concept, sense.affirms)


def _sorted(word: str, *, capital: bool) -> tuple[str, str]:
    """Return the sort of a word, and its value."""
    if word in _ANSWERS:
        return "answer", _ANSWERS[word]
    if word in NEGATIONS:
        return _DENIAL, word
    if word in PERSONS:
        return "person", PERSONS[word]
    if named := _name(word, capital=capital):
        return "name", named
    return _place_of(word), SPELLINGS.get(word, word)


def _place_of(word: str) -> str:
    """Tell what sort of place a word holds: one that could be another's, or none."""
    if stem(word) in PARTIES:
        return "party"
    return "topic" if sense_of(word).concept in TOPICS else WORD


def _name(word: str, *, capital: bool) -> str | None:
    """Return the name, or the part of an address, that a word is; None where it is none."""
    bare = word.removesuffix("'s")
    if bare in NAME_PARTS:
        return NAME_PARTS[bare]
    if not capital or bare in _NO_NAMES or stem(bare) in KNOWN:
        return None
    return COMPASS.get(bare, bare)


_NO_NAMES: Final = NOUNS | OPENERS | IDLE_WORDS
_ENDINGS: Final = (("n't", "not"), ("'re", "are"), ("'ve", "have"), ("'ll", "will"), ("'m", "am"), ("'d", "would"))
_WITH_IS: Final = frozenset({"it's", "that's", "there's", "what's", "here's", "he's", "she's"})


def _parts_of(spoken: str) -> Sequence[str]:
    """Return a word in lower case, contractions taken apart."""
    word = spoken.lower()
    if "'" not in word and word not in CONTRACTIONS:
        return (word,)
    if word in CONTRACTIONS:
        return CONTRACTIONS[word].split()
    if word in _WITH_IS:
        return [word.removesuffix("'s"), "is"]
    for ending, full in _ENDINGS:
        if word.endswith(ending):
            return [word.removesuffix(ending), full]
    return [word]
