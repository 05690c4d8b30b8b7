"""What really happened, by the books of both systems alone: calls made, replays in their order, what is kept."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from gnomon.hashing import cluster_of
from tests.chaos.books import STORED, Line, Mark, lines
from tests.chaos.traffic import ADD, LOOK, Wish

RISK_US = 1_000_000  # a live process appends every 20 ms; what it made in its last second may have gone with it


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """Calls made by operation and user, by what was wished, and by the second; what enhanced did and holds."""

    calls: Counter[tuple[str, str]]
    wishes: Counter[str]
    legacy: dict[str, list[Line]]
    enhanced: dict[str, list[Line]]

    @classmethod
    def of(cls, folder: Path) -> "Truth":
        legacy, enhanced = (dict(lines(folder / side)) for side in ("legacy", "enhanced"))
        calls: Counter[tuple[str, str]] = Counter()
        wishes: Counter[str] = Counter()
        for user, found in legacy.items():
            for line in found:
                calls[ADD if line.mark is Mark.WRITTEN else LOOK, user] += 1
                wishes[line.name] += 1
        return cls(calls=calls, wishes=wishes, legacy=legacy, enhanced=enhanced)

    @property
    def made(self) -> Counter[str]:
        """Calls by operation."""
        return self._by(lambda operation, _: operation)

    @property
    def clusters(self) -> Counter[tuple[str, int]]:
        """Calls by operation and cluster of users: what the ledger may at most have counted there."""
        return self._by(lambda operation, user: (operation, cluster_of(user)))

    def _by(self, key) -> Counter:
        found: Counter = Counter()
        for (operation, user), count in self.calls.items():
            found[key(operation, user)] += count
        return found

    def in_last_second(self, users: list[str]) -> int:
        """Calls of these users in the last second in which any of them made one."""
        moments = [line.at_us for user in users for line in self.legacy.get(user, ())]
        return sum(at >= max(moments) - RISK_US for at in moments)

    def planted(self, wish: Wish) -> int:
        """Return how often something was wished."""
        return self.wishes[str(wish)]

    # --- what enhanced did

    @property
    def replays(self) -> int:
        """Replays that enhanced has seen."""
        return sum(line.mark is not Mark.MENDED for found in self.enhanced.values() for line in found)

    @property
    def mended(self) -> int:
        """Notes that came by a repair."""
        return sum(line.mark is Mark.MENDED for found in self.enhanced.values() for line in found)

    def out_of_order(self) -> list[str]:
        """Return the users of whom some write was replayed before an earlier one."""
        return [user for user, found in self.enhanced.items() if any(b < a for a, b in pairwise(_first_replays(found)))]

    def twice(self) -> list[str]:
        """Return the users of whom enhanced holds some note twice."""
        return [user for user, found in self.enhanced.items() if _kept(found) != sorted(set(_kept(found)))]

    def unlike(self) -> list[str]:
        """Return the users of whom enhanced does not hold exactly what legacy does."""
        everybody = self.legacy.keys() | self.enhanced.keys()
        return [user for user in everybody if self._notes(self.legacy, user) != self._notes(self.enhanced, user)]

    def _notes(self, side: dict[str, list[Line]], user: str) -> dict[int, str]:
        return {line.number: line.text for line in side.get(user, ()) if line.mark in STORED}

    def kept(self) -> dict[str, dict[int, str]]:
        """Return what enhanced holds, by user and number."""
        return {user: self._notes(self.enhanced, user) for user in self.enhanced}

    def replays_by_capture(self) -> Counter[str]:
        """Return how often each capture was replayed to its end."""
        found = (line.name for found in self.enhanced.values() for line in found if line.mark is not Mark.MENDED)
        return Counter(found)


def _first_replays(found: list[Line]) -> Iterator[int]:
    """Yield the numbers of notes in the order in which their captures were replayed first."""
    seen: set[str] = set()
    for line in found:
        if line.mark in {Mark.WRITTEN, Mark.AGAIN} and line.name not in seen:
            seen.add(line.name)
            yield line.number


def _kept(found: list[Line]) -> list[int]:
    return sorted(line.number for line in found if line.mark in STORED)


def users_by(calls: Counter[tuple[str, str]]) -> dict[str, Counter[str]]:
    """Return calls by user, then operation."""
    found: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for (operation, user), count in calls.items():
        found[user][operation] += count
    return dict(found)
