"""One record of an answer, read only as far as somebody looks: most are the same on both sides, and are not read at all.

A record's bytes are brought into canonical form where they are not in it already; what is equal by its bytes stands
once for both sides.
"""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import Final

import msgspec

from comparators.canonical import JSON, canonical, encoded
from comparators.lines import is_canonical
from comparators.schemas import Schema

_decoded: Final = msgspec.json.Decoder().decode
_UNREAD: Final = object()


class Reading:
    """How the records of one pair are read: by its schema, less what that leaves out of this call's records."""

    __slots__ = ("left_out", "schema")

    def __init__(self, schema: Schema, left_out: AbstractSet[str] = frozenset()) -> None:
        self.schema = schema
        self.left_out = left_out

    def of_form(self, form: JSON) -> "Record":
        """Return the record of a canonical form."""
        record = Record(self, form)
        record._form = form  # noqa: SLF001 -- its maker's
        return record

    def line(self, value: JSON) -> bytes | None:
        """Return what is compared of a record as its canonical bytes; None where `value` has to be walked for that."""
        line = encoded(self.schema.record(value, self.left_out))
        return line if is_canonical(line) and not self.schema.may_settle(line) else None


class Record:
    """One item of an answer that is a list, or an answer that is none: a plain JSON value within the fences."""

    __slots__ = ("_content", "_form", "_identity", "_reading", "value")

    def __init__(self, reading: Reading, value: JSON) -> None:
        self.value = value  #: as it was returned
        self._reading = reading
        self._form: JSON = _UNREAD
        self._content: bytes | None = None
        self._identity: JSON = _UNREAD

    @property
    def form(self) -> JSON:
        """The whole record in canonical form, its unordered lists in one order."""
        if self._form is _UNREAD:
            self._form = self._reading.schema.settled_item(canonical(self.value))
        return self._form

    @property
    def content(self) -> bytes:
        """What is compared of it, in canonical form, as bytes."""
        if self._content is None:
            self._content = self._reading.line(self.value) if self._form is _UNREAD else None
            if self._content is None:
                self._content = encoded(self._reading.schema.record(self.form, self._reading.left_out))
        return self._content

    @property
    def compared(self) -> JSON:
        """What is compared of it, in canonical form."""
        return _decoded(self.content)

    @property
    def identity(self) -> bytes | None:
        """What tells which record it is, as bytes; None where nothing does."""
        if self._identity is _UNREAD:
            identity = self.field(self._reading.schema.key)
            self._identity = None if identity is None else encoded(identity)
        return self._identity  # type: ignore[no-any-return]

    def field(self, name: str, default: JSON = None) -> JSON:
        """Return one field in canonical form; `default` where there is none."""
        if not isinstance(self.value, dict):
            return default
        value = self.value.get(name, default)
        if type(value) in _AS_THEY_ARE or (type(value) is str and _is_plain(value)):
            return value
        return self.form.get(name, default)


def same_contents(left: Sequence[Record], right: Sequence[Record]) -> bool:
    """Tell whether two lists of records are equal in what is compared of them."""
    return len(left) == len(right) and all(a is b or a.content == b.content for a, b in zip(left, right, strict=True))


_AS_THEY_ARE: Final = frozenset({int, bool, type(None)})


def _is_plain(text: str) -> bool:
    """Tell whether a text is its own canonical form for certain: no instant, and nothing to compose."""
    return text.isascii() and text[4:5] != "-"
