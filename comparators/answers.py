"""Both answers of a pair, read for comparing: by their bytes where those prove that it can be done, else by a walk.

What is returned must be plain JSON to be read by its bytes; what Python has beyond that is brought into the wire's form
by the walk, which also finds out what cannot be judged.
"""

from collections.abc import Container, Sequence
from typing import Any, Final

import msgspec

from comparators.canonical import JSON, Unjudgeable, canonical
from comparators.lines import has_different_keys, is_judgeable
from comparators.records import Reading, Record, same_contents

_split: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode


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
        if is_judgeable(lines[0], legacy) and is_judgeable(lines[1], enhanced):
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
    """Read two answers by their lines, what is the same on both sides once; None where one has to be walked."""
    left, right = _parts(legacy, lines[0]), _parts(enhanced, lines[1])
    shared = {part: Record(reading, part) for part in {*left}.intersection(right)}
    before, after = ([shared.get(part) or Record(reading, part) for part in parts] for parts in (left, right))
    if not (has_different_keys(lines[0]) and all(part in shared or has_different_keys(part) for part in right)):
        return None
    if not (_is_plain(legacy, left, before, shared) and _is_plain(enhanced, right, after, shared)):
        return None
    return _answer(legacy, before, reading), _answer(enhanced, after, reading)


def _parts(value: Any, line: bytes) -> list[bytes]:
    return [*map(bytes, _split(line))] if type(value) is list else [line]


def _is_plain(value: Any, parts: Sequence[bytes], records: Sequence[Record], shared: Container[bytes]) -> bool:
    """Tell whether what is not the same on both sides is what its line says."""
    items = value if type(value) is list else [value]
    return all(
        part in shared or record.value == each for part, record, each in zip(parts, records, items, strict=True)
    )


def _answer(value: Any, records: list[Record], reading: Reading) -> Answer:
    return Answer(reading, records=records) if type(value) is list else Answer(reading, root=records[0])
