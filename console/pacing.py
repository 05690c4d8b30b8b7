"""When each call of a run is due, counted from the first one: decided here, waited for elsewhere.

A schedule is absolute: a call that comes late makes none of those after it late, so no pace ever drifts.
"""

import math
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Protocol

_PER_DOUBLING: Final = 8  # classes of lateness: told to a tenth
_US: Final = 1_000_000


class Pace(Protocol):
    """Says when a call is due."""

    def due_s(self, number: int, at: datetime) -> float:
        """Return when the call `number` (from 0), recorded `at`, is due: seconds after the first call."""

    def as_json(self) -> dict[str, float]:
        """Return what was asked for."""


@dataclass(frozen=True, slots=True)
class Unpaced:
    """As fast as it goes."""

    def due_s(self, number: int, at: datetime) -> float:  # noqa: ARG002 — as every pace's
        """Return now."""
        return -math.inf

    def as_json(self) -> dict[str, float]:
        """Return nothing: nothing was asked for."""
        return {}


@dataclass(frozen=True, slots=True)
class AtRate:
    """So many calls a second, evenly."""

    per_s: float

    def due_s(self, number: int, at: datetime) -> float:  # noqa: ARG002
        """Return the call's place in an even row."""
        return number / self.per_s

    def as_json(self) -> dict[str, float]:
        """Return the rate."""
        return {"asked_per_s": self.per_s}


@dataclass(slots=True)
class AtSpeed:
    """In the rhythm in which calls were recorded, so many times as fast; one recorded out of order goes at once."""

    times: float
    _first: datetime | None = field(default=None, init=False)

    def due_s(self, number: int, at: datetime) -> float:  # noqa: ARG002
        """Return how long after the first call it was recorded, at this speed."""
        self._first = self._first or at
        return (at - self._first).total_seconds() / self.times

    def as_json(self) -> dict[str, float]:
        """Return the speed."""
        return {"speed": self.times}


@dataclass(slots=True)
class Lateness:
    """How long after they were due calls began: bounded, however many there are."""

    most_s: float = 0.0
    _classes: Counter[int] = field(default_factory=Counter)

    def add(self, late_s: float) -> None:
        """Take in one call."""
        self.most_s = max(self.most_s, late_s)
        self._classes[int(math.log2(1 + max(0.0, late_s) * _US) * _PER_DOUBLING)] += 1

    def quantile_ms(self, share: float) -> float:
        """Return what that share of all calls was at most late by, to a tenth; 0 where there are none."""
        wanted, seen = share * self._classes.total(), 0
        for place in sorted(self._classes):
            seen += self._classes[place]
            if seen >= wanted:
                highest_us = 2 ** ((place + 1) / _PER_DOUBLING) - 1
                return min(highest_us / 1_000, self.most_s * 1_000)
        return 0.0

    def as_json(self) -> dict[str, Any]:
        """Return the middle, the worst hundredth and the worst, in ms."""
        found = {"p50": self.quantile_ms(0.5), "p99": self.quantile_ms(0.99), "max": self.most_s * 1_000}
        return {name: round(late_ms, 3) for name, late_ms in found.items()}
