"""What live processes have sent to a lane, and how much of it was read: pure.

Each numbers its entries in a lane and counts for itself, so a lane's stream may forget, repeat or shuffle them: what
was read is known by number, and what is missing has one.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

MOST_MISSING: Final = 1_000  # numbers of one process that are waited for; beyond, the oldest never come

#: operation, epoch and counter
CountKey = tuple[str, int, str]


@dataclass(frozen=True, slots=True)
class Sent:
    """What a process says it ever sent to a lane: the number of its last entry, and all that it counted there."""

    entries: int = 0
    counts: Mapping[str, int] = field(default_factory=dict)  #: `operation|epoch|counter` → calls


@dataclass(frozen=True, slots=True)
class Seen:
    """Which entries of a process were read: all up to `read`, but for those that are `missing`."""

    read: int = 0
    missing: frozenset[int] = frozenset()

    def has(self, number: int) -> bool:
        """Tell whether an entry was read."""
        return number <= self.read and number not in self.missing

    def after(self, numbers: Iterable[int]) -> "Seen":
        """Return what was read once these are too."""
        fresh = {number for number in numbers if not self.has(number)}
        if not fresh:
            return self
        read = max(self.read, *fresh)
        skipped = range(max(self.read, read - MOST_MISSING) + 1, read)
        missing = (self.missing | set(skipped)) - fresh
        return Seen(read, frozenset(sorted(missing)[-MOST_MISSING:]))


def count_key(name: str) -> CountKey | None:
    """Return the parts of a counter's name; None where it is none."""
    parts = name.rsplit("|", 2)
    if len(parts) != len(("operation", "epoch", "counter")) or not parts[1].isdecimal():
        return None
    return parts[0], int(parts[1]), parts[2]


def grown(known: Mapping[str, int], told: Mapping[str, int]) -> dict[str, int]:
    """Return by how much counters have grown; one that is behind what is known was forgotten, and stays as known."""
    return {name: count - known.get(name, 0) for name, count in told.items() if count > known.get(name, 0)}
