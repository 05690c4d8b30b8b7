"""The live processes as the benchmark sees them: one a way of calling, which makes calls when it is its turn."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from bench.helper import Helper
from bench.measuring import BenchError, Rounds

BARE: Final = "bare"
OURS: Final = "ours"
CPU: Final = "CPU"
PERIOD_S: Final = 0.001
PACED: Final = f"paced at {1 / PERIOD_S:,.0f} calls a second"
PACED_MAKING: Final = f"{PACED}, each answer made by its call"
TIGHT: Final = "back to back"

#: by group and name of a row: what its calls took
Taken = dict[tuple[str, str], dict[str, float]]


@dataclass(slots=True)
class Caller:
    """A live process, and how many calls it has made."""

    name: str
    helper: Helper
    made: int = 0

    def calls(self, count: int, period_s: float) -> dict[str, float]:
        """Have calls made; returns p50, p99 and max, µs."""
        self.made += count
        return self.helper.ask(calls=count, period_s=period_s)

    def calls_settled(self, count: int, period_s: float) -> dict[str, float]:
        """Have calls made and wait until all has arrived; returns the processor time of a call too, µs.

        Raises BenchError where not all has: speed is worth nothing then.
        """
        used = self.helper.ask()["cpu_s"]
        taken, seen = self.calls(count, period_s), self.settle()
        if seen is not None and seen != self.made:
            raise BenchError(f"{self.name}: {self.made} calls made, {seen} arrived")
        return taken | {CPU: (self.helper.ask()["cpu_s"] - used) / count * 1_000_000}

    def settle(self) -> int | None:
        """Wait until all that was sent away has arrived; returns how many calls have, since the beginning."""
        seen: int | None = self.helper.ask(settle=True)["seen"]
        return seen

    def counted(self) -> Mapping[str, int]:
        """Return what the process itself has counted."""
        counts: Mapping[str, int] = self.helper.ask()["counted"]
        return counts

    def peak_bytes(self) -> int | None:
        """Return the most memory it ever had; None where the system does not tell."""
        peak: int | None = self.helper.ask()["peak_bytes"]
        return peak


def started(stack: contextlib.ExitStack, name: str, way: str, redis_url: str, *settings: str) -> Caller:
    """Start a live process that calls in one way; it ends with `stack`."""
    helper = Helper("bench.caller", way, redis_url, *settings)
    return Caller(name, stack.enter_context(contextlib.closing(helper)))


def add_over_bare(found: Taken, rounds: Rounds) -> None:
    """Add what each took beyond the bare call's median of the same round; the bare call itself is told as it is."""
    for (group, name), taken in found.items():
        bare = {} if name == BARE else found[group, BARE]
        for point, value in taken.items():
            rounds.add(key(group, name, point), value - bare.get(CPU if point == CPU else "p50", 0.0))


def key(group: str, name: str, point: str) -> str:
    """Return what the samples of one figure are collected under."""
    return f"{group}: {name}, {point}"
