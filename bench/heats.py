"""Who calls when: the plan of a race, the same for everybody who works it out, and what became of it. Pure.

A pair is a write and a read of one user, so far apart, made by two live processes. Nobody passes a baton: each process
works out its own calls and makes them by the clock that all processes of a machine share (CLOCK_MONOTONIC).
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import median
from typing import Final

SPACINGS_US: Final = (50, 200, 1_000, 5_000, 20_000, 50_000, 500_000)
_MS: Final = 1_000


class Mode(StrEnum):
    """Where the users stand while they are raced."""

    SHADOW = "shadow"  #: legacy answers; enhanced is written and read by the worker alone
    SERVED = "served"  #: enhanced answers, the worker reads legacy; both are written live
    DUAL = "dual"  #: legacy answers again, after a rollback; both are written live
    CHANGING = "changing"  #: promoted and rolled back under way


@dataclass(frozen=True, slots=True, kw_only=True)
class Heat:
    """One race: so many pairs of each spacing, one beginning every `period_us`."""

    mode: Mode
    seed: int
    users: int
    pairs: int
    period_us: int
    processes: int
    spacings_us: tuple[int, ...] = SPACINGS_US

    @property
    def seconds(self) -> float:
        """How long it takes."""
        return (self.pairs * len(self.spacings_us) * self.period_us + max(self.spacings_us)) / 1_000_000

    def named(self, spacing_us: int) -> tuple[str, str]:
        """Return the operations of a spacing: by these the ledger keeps them apart."""
        return operations_of(self.mode, spacing_us)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedCall:
    """Half of a pair: to be made so long after the beginning, by one of the processes."""

    at_us: int
    pair: int
    first: bool
    process: int
    user: str
    writes: bool
    spacing_us: int


@dataclass(frozen=True, slots=True)
class Made:
    """Half of a pair as it was made, ns on the monotonic clock."""

    pair: int
    first: bool
    began: int
    ended: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Apart:
    """How far apart the pairs of one spacing really were: from the end of the first call to the start of the second."""

    median_us: float
    overlapped: int  #: pairs of which the second call began before the first had ended


def operations_of(mode: Mode, spacing_us: int) -> tuple[str, str]:
    """Return the names of the write and the read that are raced so far apart."""
    return f"note.save.{mode}.{spacing_us}us", f"note.list.{mode}.{spacing_us}us"


def spelled(spacing_us: int) -> str:
    """Write a spacing for people."""
    return f"{spacing_us} µs" if spacing_us < _MS else f"{spacing_us / _MS:g} ms"


def user_of(number: int) -> str:
    """Return the id of a user."""
    return f"runner-{number:05}"


def users(heat: Heat) -> list[str]:
    """Return everybody who is raced."""
    return [user_of(number) for number in range(heat.users)]


def plan(heat: Heat) -> list[PlannedCall]:
    """Return the calls of all processes, in order of their times."""
    return sorted(_calls(heat), key=lambda call: (call.at_us, call.pair, not call.first))


def _calls(heat: Heat) -> Iterator[PlannedCall]:
    """A user keeps a spacing, and comes round when all others of that spacing have been."""
    chance, spacings = random.Random(heat.seed), heat.spacings_us
    rounds = [[*range(place, heat.users, len(spacings))] for place in range(len(spacings))]
    for lined_up in rounds:
        chance.shuffle(lined_up)
    for pair in range(heat.pairs * len(spacings)):
        spacing_us, lined_up = spacings[pair % len(spacings)], rounds[pair % len(spacings)]
        user = user_of(lined_up[pair // len(spacings) % len(lined_up)])
        at_us, writes_first = pair * heat.period_us + chance.randrange(heat.period_us), chance.random() < 0.5  # noqa: PLR2004 — as often as not
        for process, first in zip(chance.sample(range(heat.processes), 2), (True, False), strict=True):
            yield PlannedCall(
                at_us=at_us if first else at_us + spacing_us,
                pair=pair,
                first=first,
                process=process,
                user=user,
                writes=first is writes_first,
                spacing_us=spacing_us,
            )


def apart(heat: Heat, made: Sequence[Made]) -> Mapping[int, Apart]:
    """Return, by spacing, how far apart the calls really came; a busy machine makes some late."""
    firsts = {half.pair: half for half in made if half.first}
    gaps_us: dict[int, list[float]] = {spacing_us: [] for spacing_us in heat.spacings_us}
    for half in made:
        if not half.first:
            spacing_us = heat.spacings_us[half.pair % len(heat.spacings_us)]
            gaps_us[spacing_us].append(_gap_us(firsts[half.pair], half))
    return {
        spacing_us: Apart(median_us=median(found), overlapped=sum(gap <= 0 for gap in found))
        for spacing_us, found in gaps_us.items()
    }


def _gap_us(one: Made, other: Made) -> float:
    """The second may have come before the first: the machine had other things to do."""
    return max(one.began - other.ended, other.began - one.ended) / 1_000
