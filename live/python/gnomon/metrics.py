"""What a live process counts of its calls: which side was asked, how it went, and how long it took.

Counted under flat names, so that processes add up: `legacy_calls`, `fallback|timeout`, `op|memory.recent|enhanced|us`.
`summary` makes of them what a person asks for.
"""

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, cast

import redis

from gnomon.keys import Keys

if TYPE_CHECKING:
    from gnomon.buffer import Alone

COUNTED: Final = ("legacy_calls", "enhanced_calls", "fallbacks", "errors", "complaints")
#: where an eligible call can end, in the order of the funnel
ENDS: Final = ("captured", "not_sampled", "unserialisable", "oversize", "shed", "publish_failed")
_PERCENT: Final = 100.0


class Tally:
    """Counters of one process; thread-safe."""

    def __init__(self, answered: "Callable[[], dict[str, Alone]]" = dict) -> None:
        self._answered = answered  # what the buffer counts itself
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._told: Counter[str] = Counter()

    def add(self, *names: str) -> None:
        """Count one under each name."""
        with self._lock:
            for name in names:
                self._counts[name] += 1

    def first(self, name: str) -> bool:
        """Count one and tell whether it was the first."""
        with self._lock:
            self._counts[name] += 1
            return self._counts[name] == 1

    def side(self, operation: str, system: str, duration_us: int, *, failed: bool = False) -> None:
        """Count one invocation of a side, and its time."""
        name = f"op|{operation}|{system}|"
        with self._lock:
            counts = self._counts
            counts[system + "_calls"] += 1
            counts[name + "calls"] += 1
            counts[name + "us"] += duration_us
            if failed:
                counts[name + "errors"] += 1

    def counts(self) -> dict[str, int]:
        """Return all counters."""
        with self._lock:
            counts = Counter(self._counts)
        for operation, row in self._answered().items():
            counts.update(_alone(operation, row))
        return dict(counts)

    def changes(self) -> dict[str, int]:
        """Return what was counted since the changes were last told."""
        return {name: count - self._told[name] for name, count in self.counts().items() if count > self._told[name]}

    def told(self, changes: Mapping[str, int]) -> None:
        """Note that `changes` have arrived where all processes' counts are added up."""
        self._told.update(changes)


def _alone(operation: str, row: "Alone") -> dict[str, int]:
    name = f"op|{operation}|legacy|"
    calls = dict.fromkeys(("legacy_calls", "captured", "eligible", name + "calls"), row.calls)
    return {**calls, "answers": row.answers, name + "us": row.us, name + "errors": row.errors}


def summary(counts: Mapping[str, int]) -> dict[str, Any]:
    """Return counters in the form that people read; rates are percentages.

    `success_rate` is the share of live invocations of enhanced that returned (100 where there were none), `adoption`
    the share of answers to reads and generate calls that enhanced gave, `average_performance_gain` by how much
    enhanced's mean duration is below legacy's, over operations where both were invoked live, weighted by its calls.
    """
    operations = _operations(counts)
    enhanced, errors = counts.get("enhanced_calls", 0), counts.get("errors", 0)
    answered, served = counts.get("answers", 0), counts.get("answers|enhanced", 0)
    return {
        **{name: counts.get(name, 0) for name in COUNTED},
        "eligible": counts.get("eligible", 0),
        **{name: counts.get(name, 0) for name in ENDS},
        "fallbacks_by_reason": _named(counts, "fallback|"),
        "errors_by_kind": _named(counts, "error|"),
        "capture_errors": _named(counts, "capture_error|"),
        "success_rate": _PERCENT * (enhanced - errors) / enhanced if enhanced else _PERCENT,
        "adoption": _PERCENT * served / answered if answered else 0.0,
        "average_performance_gain": _gain(operations),
        "operations": operations,
    }


def _named(counts: Mapping[str, int], prefix: str) -> dict[str, int]:
    return {name.removeprefix(prefix): count for name, count in sorted(counts.items()) if name.startswith(prefix)}


def _operations(counts: Mapping[str, int]) -> dict[str, dict[str, dict[str, float]]]:
    found: dict[str, dict[str, dict[str, float]]] = {}
    for name, count in sorted(counts.items()):
        if name.startswith("op|"):
            operation, system, figure = name.removeprefix("op|").rsplit("|", 2)
            found.setdefault(operation, {}).setdefault(system, {"calls": 0, "errors": 0, "us": 0})[figure] = count
    for sides in found.values():
        for side in sides.values():
            side["mean_ms"] = side.pop("us") / 1_000 / side["calls"] if side["calls"] else 0.0
    return found


def _gain(operations: Mapping[str, Mapping[str, Mapping[str, float]]]) -> float:
    both = [sides for sides in operations.values() if {"legacy", "enhanced"} <= sides.keys()]
    weighed = [(sides["enhanced"]["calls"], sides) for sides in both if sides["legacy"]["mean_ms"] > 0]
    total = sum(calls for calls, _ in weighed)
    if not total:
        return 0.0
    gains = (calls * (1 - sides["enhanced"]["mean_ms"] / sides["legacy"]["mean_ms"]) for calls, sides in weighed)
    return _PERCENT * sum(gains) / total


def read_metrics(server: "redis.Redis", keys: Keys) -> dict[str, int]:
    """Return what all live processes of a namespace counted together."""
    counts = cast("dict[bytes, bytes]", server.hgetall(keys.metrics))
    return {name.decode(): int(count) for name, count in counts.items()}
