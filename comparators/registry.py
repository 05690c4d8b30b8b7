"""Which comparator judges which operation: the one of its name, else of the nearest prefix, else structure alone."""

from typing import Final, NamedTuple

from comparators.pairs import Comparator
from comparators.schemas import Schema
from comparators.structure import compare_structure


class Entry(NamedTuple):
    """How an operation is judged."""

    compare: Comparator
    schema: Schema


_DEFAULT: Final = Entry(compare_structure, Schema())
_entries: dict[str, Entry] = {}


def register(operation: str, compare: Comparator = compare_structure, *, schema: Schema = _DEFAULT.schema) -> None:
    """Judge `operation` (a name, or a prefix as `memory.*`) by `compare` under `schema`; a second time is an error."""
    if operation in _entries:
        raise ValueError(f"a comparator for {operation!r} is registered already")
    _entries[operation] = Entry(compare, schema)


def entry_of(operation: str) -> Entry:
    """Return how `operation` is judged."""
    entry = _entries.get(operation)
    prefix = operation
    while entry is None and "." in prefix:
        prefix = prefix.rpartition(".")[0]
        entry = _entries.get(f"{prefix}.*")
    return entry if entry is not None else _DEFAULT
