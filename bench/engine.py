"""Comparisons a second: the hand-written baseline and ours, on the same captures, in the same Valkey and on SQLite.

The workers of both are up and warm; whoever is not measured is held still. A backlog is offered while its workers are
held still too, and timed from the first commit to the last. The second figure is offered to running workers, so that
the live path shares the cores with them, and timed from the first call to the last commit.
"""

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.contenders import Contender, hand_written, ours
from bench.footprint import Footprint
from bench.measuring import Benchmark, BenchError, Result, Rounds
from bench.memories import ITEMS, differs
from bench.workers import PROCESSES, frozen, watch
from console.processes import embedded_valkey

_THEIRS: Final = "hand-written"
_OURS: Final = "ours"


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured: rounds, and captures of each kind in each of them."""

    rounds: int
    hand_written: int
    ours: int
    warm_up: int

    @property
    def counts(self) -> dict[str, int]:
        """Captures by contender."""
        return {_THEIRS: self.hand_written, _OURS: self.ours}


FULL: Final = Size(rounds=3, hand_written=240, ours=20_000, warm_up=4_000)
QUICK: Final = Size(rounds=1, hand_written=40, ours=1_500, warm_up=500)


def _run(quick: bool) -> Result:  # noqa: FBT001 — as every benchmark's
    size = QUICK if quick else FULL
    rounds = Rounds()
    with tempfile.TemporaryDirectory(prefix="gnomon-bench-") as name, _contenders(Path(name)) as (redis_url, both):
        footprint = Footprint(redis_url)
        _warm_up(both, size)
        for _ in range(size.rounds):
            for side, contender in both.items():
                _round(side, contender, both, rounds, size.counts[side], footprint)
        footprint.sparse(rounds)
        return Result(rows=[*_rows(rounds), *footprint.rows(rounds)], notes=_notes(size, footprint))
