"""Both answers of a pair, read for comparing: by their bytes where those prove that it can be done, else by a walk.

What is returned must be plain JSON to be read by its bytes; what Python has beyond that is brought into the wire's form
by the walk, which also finds out what cannot be judged.
"""

from typing import Any, Final

import msgspec

from comparators.canonical import JSON, Unjudgeable, canonical
from comparators.lines import has_different_keys, is_judgeable
from comparators.records import Reading, Record, Records, same_ends

_split: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode


class Answer:
    """One side's answer: a list of `records`, or none of a list, then `records` is None and `root` is the record."""

    __slots__ = ("_root", "reading", "records")

    def __init__(self, reading: Reading, *, records: Records | None = None, root: Record | None = None) -> None:
        self.reading = reading
        self.records = records
        self._root = root

    @classmethod
    def of_form(cls, form: JSON, reading: Reading) -> "Answer":
        """Return the answer of a canonical form."""
        if isinstance(form, list):
            return cls(reading, records=reading.of_forms(form))
        return cls(reading, root=reading.of_form(form))

    @property
    def root(self) -> Record:
        """The whole answer as one record."""
        if self._root is None:
            self._root = self.reading.of_form(self.form)
        return self._root

    @property
    def form(self) -> JSON:
        """The whole answer in canonical form."""
        return self.root.form if self.records is None else self.records.forms()

    def equals(self, other: "Answer") -> bool:
        """Tell whether both are equal in what is compared of them."""
        if self.records is None or other.records is None:
            return self.records is other.records and self.root.content == other.root.content
        return self.records.equal(other.records)


Lines = tuple[bytes, bytes]


def read(legacy: Any, enhanced: Any, lines: Lines | None, reading: Reading) -> tuple[Answer, Answer]:
    """Read two answers, `lines` their JSON where they have that; raises `Unjudgeable`."""
    if (
        lines is not None
        and reading.schema.ordered
        and is_judgeable(lines[0], legacy)
        and is_judgeable(lines[1], enhanced)
    ):
        answers = _read_lines(legacy, enhanced, lines, reading)
        if answers is not None:
            return answers
    return _walked("legacy", legacy, reading), _walked("enhanced", enhanced, reading)


def _walked(side: str, value: Any, reading: Reading) -> Answer:
    try:
        return Answer.of_form(reading.schema.settled(canonical(value)), reading)
    except Unjudgeable as unjudgeable:
        raise Unjudgeable(f"{side}: {unjudgeable.reason}") from None


def _read_lines(legacy: Any, enhanced: Any, lines: Lines, reading: Reading) -> tuple[Answer, Answer] | None:
    """Read two answers by their lines; None where one has to be walked: it is no plain JSON, or may repeat a key."""
    before, after = _parts(legacy, lines[0]), _parts(enhanced, lines[1])
    head, tail = same_ends(before, after)
    middle = slice(head, len(before) - tail), slice(head, len(after) - tail)
    if not (has_different_keys(lines[0]) and has_different_keys(b",".join(after[middle[1]]))):
        return None
    if _are_plain(legacy, before, middle[0], reading) and _are_plain(enhanced, after, middle[1], reading):
        return _answer(legacy, before, reading), _answer(enhanced, after, reading)
    return None


def _parts(value: Any, line: bytes) -> list[bytes]:
    return [*map(bytes, _split(line))] if type(value) is list else [line]


def _are_plain(value: Any, parts: list[bytes], middle: slice, reading: Reading) -> bool:
    """Tell whether the parts in the middle stand for what was returned there."""
    items = value[middle] if type(value) is list else [value][middle]
    return all(reading.record(part).value == each for part, each in zip(parts[middle], items, strict=True))


def _answer(value: Any, parts: list[bytes], reading: Reading) -> Answer:
    if type(value) is list:
        return Answer(reading, records=Records(parts, reading))
    return Answer(reading, root=reading.record(parts[0]))
