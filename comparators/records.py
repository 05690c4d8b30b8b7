"""One record of an answer, read only as far as somebody looks: most are the same on both sides, and are never read.

A record's bytes are brought into canonical form where they are not in it already; what is equal by its bytes stands
once for both sides.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final, Generic, TypeVar

import msgspec

from comparators.canonical import JSON, canonical, encoded
from comparators.lines import is_canonical
from comparators.schemas import Schema

_decoded: Final = msgspec.json.Decoder().decode
_Value = TypeVar("_Value")


class once(Generic[_Value]):  # noqa: N801 -- used as a decorator
    """A property that is made when it is first asked for, and then is the object's own: as cheap as any attribute."""

    def __init__(self, make: Callable[[Any], _Value]) -> None:
        self._make = make
        self.__doc__ = make.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, record: Any, owner: type) -> _Value:
        value = record.__dict__[self._name] = self._make(record)
        return value


class Reading:
    """How the records of one pair are read: by its schema, less what that leaves out of this call's records.

    A record is known by its bytes, so that what stands on both sides is one object, and is read once.
    """

    __slots__ = ("_records", "left_out", "schema")

    def __init__(self, schema: Schema, left_out: AbstractSet[str] = frozenset()) -> None:
        self.schema = schema
        self.left_out = left_out
        self._records: dict[bytes, Record] = {}

    def record(self, line: bytes) -> "Record":
        """Return the record that `line` stands for."""
        record = self._records.get(line)
        if record is None:
            record = self._records[line] = Record(self, line)
        return record

    def of_form(self, form: JSON) -> "Record":
        """Return the record of a canonical form."""
        record = self.record(encoded(form))
        record.value = record.form = form
        return record

    def of_forms(self, forms: Iterable[JSON]) -> "Records":
        """Return the records of canonical forms."""
        forms = [*forms]
        for form in forms:
            self.of_form(form)
        return Records([*map(encoded, forms)], self)

    def line(self, value: JSON) -> bytes | None:
        """Return what is compared of a record as its canonical bytes; None where `value` has to be walked for that."""
        line = self.content(value)
        return line if is_canonical(line) and not self.schema.may_settle(line) else None

    def content(self, value: JSON) -> bytes:
        """Return what is compared of a record as bytes."""
        return encoded(self.schema.record(value, self.left_out))


class Record:
    """One item of an answer that is a list, or an answer that is none: a plain JSON value within the fences."""

    def __init__(self, reading: Reading, line: bytes) -> None:
        self._reading = reading
        self._line = line

    @once
    def value(self) -> JSON:
        """The record as it was returned."""
        return _decoded(self._line)

    @once
    def form(self) -> JSON:
        """The whole record in canonical form, its unordered lists in one order."""
        return self._reading.schema.settled_item(canonical(self.value))

    @once
    def content(self) -> bytes:
        """What is compared of it, in canonical form, as bytes."""
        line = None if "form" in self.__dict__ else self._reading.line(self.value)
        return line if line is not None else self._reading.content(self.form)

    @property
    def compared(self) -> JSON:
        """What is compared of it, in canonical form."""
        return _decoded(self.content)

    @once
    def identity(self) -> bytes | None:
        """What tells which record it is, as bytes; None where nothing does."""
        identity = self.field(self._reading.schema.key)
        return None if identity is None else encoded(identity)

    def field(self, name: str, default: JSON = None) -> JSON:
        """Return one field in canonical form; `default` where there is none."""
        if not isinstance(self.value, dict):
            return default
        value = self.value.get(name, default)
        if type(value) in _AS_THEY_ARE or (type(value) is str and _is_plain(value)):
            return value
        return self.form.get(name, default)


class Records:
    """The records of an answer that is a list, each made when it is asked for."""

    __slots__ = ("_reading", "parts")

    def __init__(self, parts: list[bytes], reading: Reading) -> None:
        self.parts = parts
        self._reading = reading

    def __len__(self) -> int:
        return len(self.parts)

    def __getitem__(self, index: int) -> Record:
        return self._reading.record(self.parts[index])

    def __iter__(self) -> Iterator[Record]:
        return map(self._reading.record, self.parts)

    def forms(self) -> list[JSON]:
        """Return all in canonical form."""
        return [record.form for record in self]

    def equal(self, other: "Records") -> bool:
        """Tell whether both are equal in what is compared of them."""
        return len(self) == len(other) and all(
            mine == its or self[index].content == other[index].content
            for index, (mine, its) in enumerate(zip(self.parts, other.parts, strict=True))
        )

    def same_ends(self, other: "Records") -> tuple[int, int]:
        """Count the records that are the same to the byte at both starts, and behind those at both ends."""
        return same_ends(self.parts, other.parts)


def same_ends(left: Sequence[bytes], right: Sequence[bytes]) -> tuple[int, int]:
    """Count what is equal at both starts, and behind that at both ends."""
    shorter = min(len(left), len(right))
    head = 0
    while head < shorter and left[head] == right[head]:
        head += 1
    tail = 0
    while tail < shorter - head and left[-1 - tail] == right[-1 - tail]:
        tail += 1
    return head, tail


_AS_THEY_ARE: Final = frozenset({int, bool, type(None)})


def _is_plain(text: str) -> bool:
    """Tell whether a text is its own canonical form for certain: no instant, and nothing to compose."""
    return text.isascii() and text[4:5] != "-"
