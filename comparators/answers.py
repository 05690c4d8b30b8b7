"""Both answers of a pair, read for comparing: by their bytes where those prove that it can be done, else by a walk.

What is returned must be plain JSON to be read by its bytes; what Python has beyond that is brought into the wire's form
by the walk, which also finds out what cannot be judged.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from comparators.canonical import JSON, Unjudgeable, canonical
from comparators.lines import is_judgeable
from comparators.records import Reading, Record, same_contents

_split: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decoded: Final = msgspec.json.Decoder().decode


class Answer:
    """One side's answer: a list of `records`, or none of a list, then `records` is None and `root` is the record."""

    __slots__ = ("_root", "reading", "records")

    def __init__(self, reading: Reading, *, records: Sequence[Record] | None = None, root: Record | None = None) -> None:
        self.reading = reading
        self.records = records
        self._root = root

    @classmethod
    def of_form(cls, form: JSON, reading: Reading) -> "Answer":
        """Return the answer of a canonical form."""
        if isinstance(form, list):
            return cls(reading, records=[*map(reading.of_form, form)])
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
        if self.records is None:
            return self.root.form
        return [record.form for record in self.records]

    def equals(self, other: "Answer") -> bool:
        """Tell whether both are equal in what is compared of them."""
        if self.records is None or other.records is None:
            return self.records is other.records and self.root.content == other.root.content
        return same_contents(self.records, other.records)


Lines = tuple[bytes, bytes]


def read(legacy: Any, enhanced: Any, lines: Lines | None, reading: Reading) -> tuple[Answer, Answer]:
    """Read two answers, `lines` their JSON where they have that; raises `Unjudgeable`."""
    if lines is not None and reading.schema.ordered:
        before, after = lines
        if is_judgeable(before, legacy) and is_judgeable(after, enhanced):
            answers = _read_lines(legacy, enhanced, before, after, reading)
            if answers is not None:
                return answers
    return _walked("legacy", legacy, reading), _walked("enhanced", enhanced, reading)


def _walked(side: str, value: Any, reading: Reading) -> Answer:
    try:
        return Answer.of_form(reading.schema.settled(canonical(value)), reading)
    except Unjudgeable as unjudgeable:
        raise Unjudgeable(f"{side}: {unjudgeable.reason}") from None


def _read_lines(
    legacy: Any, enhanced: Any, before: bytes, after: bytes, reading: Reading
) -> tuple[Answer, Answer] | None:
    """Read two answers by their lines; None where one holds what is no plain JSON."""
    shelf = _Shelf(reading)
    answers = shelf.answer(legacy, before), shelf.answer(enhanced, after)
    return answers if shelf.is_plain else None


class _Shelf:
    """The records met so far by their bytes: a second of the same bytes is the first."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._records: dict[bytes, Record] = {}
        self.is_plain = True

    def answer(self, value: Any, line: bytes) -> Answer:
        if type(value) is not list:
            return Answer(self._reading, root=self._record(value, line))
        return Answer(self._reading, records=[*map(self._record, value, map(bytes, _split(line)))])

    def _record(self, value: Any, line: bytes) -> Record:
        record = self._records.get(line)
        if record is None:
            plain = _decoded(line)
            self.is_plain &= plain == value
            record = self._records[line] = Record(self._reading, plain)
        return record
