"""What pairs cost a worker, and whether they are fair: the same captures with none, with the sample, and with all.

Three workers of two processes each, warm, take turns; whoever is not measured is held still.
"""

import contextlib
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from bench.contenders import Ours, Setting, files_in, ours
from bench.equals import AskedOnce, faster_percent
from bench.measuring import BenchError, Benchmark, Result, Rounds, Row
from bench.workers import cpu_s, frozen, wait_for
from console.processes import embedded_valkey
from worker.pairs import Pairs

_NONE, _SAMPLE, _ALL = "none", "the sample", "all"
_SETTINGS: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {
        _NONE: {"pairs_share": "0"},
        _SAMPLE: {},
        _ALL: {"pairs_share": "1", "pairs_per_s": "1000000"},
    }
)
_FAIR, _SHORTER = "equal systems: enhanced faster", "the same, enhanced asked once"


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How many rounds there are, and how many captures each."""

    rounds: int
    captures: int


FULL: Final = Size(rounds=3, captures=8_000)
QUICK: Final = Size(rounds=1, captures=400)


def _run(quick: bool) -> Result:  # noqa: FBT001 — as every benchmark's
    size, rounds = QUICK if quick else FULL, Rounds()
    with _up() as workers:
        for own in workers.values():
            _offered(own, size.captures // 4)
        for _ in range(size.rounds):
            for name, own in workers.items():
                _round(name, own, workers, size, rounds)
            rounds.add(_FAIR, faster_percent(Pairs, size.captures // 4))
            rounds.add(_SHORTER, faster_percent(AskedOnce, size.captures // 4))
    return Result(rows=list(_rows(rounds)), notes=_notes(size, rounds))


@contextlib.contextmanager
def _up() -> Iterator[dict[str, Ours]]:
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gnomon-bench-")))
        redis_url = stack.enter_context(embedded_valkey(folder / "valkey")).removesuffix("/0")
        workers = {}
        for number, (name, settings) in enumerate(_SETTINGS.items()):
            own = folder / str(number)
            own.mkdir()
            setting = Setting(name="", namespace="bench", broker_db=0, database=files_in(own))
            workers[name] = stack.enter_context(ours(own, f"{redis_url}/{number}", setting, settings=settings))
        yield workers


def _round(name: str, own: Ours, workers: Mapping[str, Ours], size: Size, rounds: Rounds) -> None:
    with contextlib.ExitStack() as stack:
        for other in workers.values():
            if other is not own:
                stack.enter_context(frozen(other.worker))
        before, used = own.pairs(), cpu_s(own.worker)
        seconds = _offered(own, size.captures)
        taken = own.pairs().pairs - before.pairs
        rounds.add(_named("comparisons", name), size.captures / seconds)
        rounds.add(_named("pairs", name), float(taken))
        if used is not None:
            rounds.add(_named("CPU", name), ((cpu_s(own.worker) or used) - used) / size.captures * 1_000_000)
    _check(name, taken)


def _check(name: str, taken: int) -> None:
    """A figure for pairs that were not taken, or for none that were, would be none."""
    if (name == _NONE) is (taken > 0) and name != _SAMPLE:
        raise BenchError(f"{name}: {taken} pairs were taken")


def _offered(own: Ours, count: int) -> float:
    before, started = own.done(), time.perf_counter()
    own.offer(count)
    return wait_for(own.done, before + count) - started


def _named(what: str, name: str) -> str:
    return f"{what}: {name}"


def _rows(rounds: Rounds) -> Iterator[Row]:
    for what, unit in (("comparisons", "/s"), ("CPU", "µs")):
        for name in _SETTINGS:
            if _named(what, name) in rounds:
                over = "" if name == _NONE else _named(what, _NONE)
                yield rounds.row(_named(what, name), unit, over=over, of=_NONE if over else "")
    yield rounds.row(_FAIR, "%")
    yield rounds.row(_SHORTER, "%")


def _notes(size: Size, rounds: Rounds) -> tuple[str, ...]:
    sample, everything = (rounds.row(_named("pairs", name), "").median for name in (_SAMPLE, _ALL))
    return (
        f"{size.rounds} rounds in turn of {size.captures:,} captures, from the first call to the last commit; SQLite.",
        f"pairs a round: {sample:,.0f} (5 % of users, at most 10 a second and process), {everything:,.0f} with all.",
        "a pair asks both systems twice and compares twice; CPU: of the worker, per capture.",
    )


BENCHMARK: Final = Benchmark(name="pairs", title="what timing both systems side by side costs a worker", run=_run)
