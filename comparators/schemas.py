"""What is declared about an operation's answers, so that noise is left out by name and never by a pattern."""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final

from comparators.canonical import JSON, encoded
from comparators.observations import Call
from comparators.paths import ROOT

_BLANK: Final[tuple[JSON, ...]] = (None, {})


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """What to expect of an operation's records: the answer itself, or the items of an answer that is a list.

    Nothing here reaches below a record's own fields, except `unordered`, which names fields at any level.
    """

    volatile: frozenset[str] = frozenset()  #: differ on every run
    minted: frozenset[str] = frozenset()  #: volatile where the call did not give them
    blank: frozenset[str] = frozenset()  #: null, missing and {} mean the same
    unordered: frozenset[str] = frozenset()  #: lists whose order means nothing, `$` for the answer itself
    key: str = "id"  #: tells which record is which, volatile or not
    telling: frozenset[str] = frozenset()  #: without a shared key, records that agree in none of these are different

    def left_out(self, call: Call | None) -> frozenset[str]:
        """Return the fields to leave out of the records that answer `call`."""
        if not self.minted:
            return self.volatile
        given = call.args if call is not None else {}
        return self.volatile | {name for name in self.minted if given.get(name) is None}

    @property
    def ordered(self) -> bool:
        """Whether the order of an answer that is a list means something."""
        return ROOT not in self.unordered

    def compared(self, form: JSON, left_out: AbstractSet[str]) -> JSON:
        """Return the canonical answer `form` with only what is compared in its records."""
        if isinstance(form, list):
            return [self.record(item, left_out) for item in form]
        return self.record(form, left_out)

    def record(self, form: JSON, left_out: AbstractSet[str]) -> JSON:
        """Return one record with only what is compared; what is no object is all compared."""
        if not isinstance(form, dict):
            return form
        record = form.copy()
        for name in left_out:
            record.pop(name, None)
        for name in self.blank:
            if name in record and record[name] in _BLANK:
                del record[name]
        return record

    def settled(self, form: JSON) -> JSON:
        """Return the canonical answer `form` with its unordered lists in one order, the same for both sides."""
        return self._settled(form, ROOT) if not self.ordered or self.may_settle(encoded(form)) else form

    def settled_item(self, form: JSON) -> JSON:
        """Return one item of a canonical answer with its unordered lists in one order."""
        return self._settled(form, "") if self.may_settle(encoded(form)) else form

    def may_settle(self, line: bytes) -> bool:
        """Tell from its bytes whether a walk over a form could find something to sort; most spare themselves that."""
        return any(name.encode() in line for name in self.unordered)

    def _settled(self, form: JSON, name: str) -> JSON:
        if isinstance(form, dict):
            return {key: self._settled(value, key) for key, value in form.items()}
        if isinstance(form, list):
            items = [self._settled(value, "") for value in form]
            return sorted(items, key=encoded) if name in self.unordered else items
        return form
