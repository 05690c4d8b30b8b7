"""What one judgement costs, beside deepdiff and jsondiff: equal, edited, long, nested, a reply, and the dearest."""

import functools
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

import jsondiff
from deepdiff import DeepDiff

from bench.measuring import BenchError, Benchmark, Result, Rounds, Row
from bench.pairs import USER, Case, cases, worst
from comparators import Call, Judgement, Observation, judge
from ledger import KeptDifference

_CALL: Final = Call(user=USER, args={"user_id": USER, "number": 0}, at="2026-01-31T00:00:00Z")
_KEPT: Final = "1 of 10 edited: masked and named"
_WORST: Final = "the dearest pair: judge"


def _run(quick: bool) -> Result:  # noqa: FBT001 — as every benchmark's
    rounds, repeated = Rounds(), 3 if quick else 30
    everyday, dearest = [*cases()], [*worst()]
    _check([*everyday, *dearest])
    for number in range(repeated):
        for case in everyday:
            _round(case, rounds, others=not case.is_long or (number == 0 and not quick))
        if number % 10 == 0:
            rounds.add(_WORST, max(_us(_judging(case), 1) for case in dearest))
    return Result(rows=_rows(everyday, rounds), notes=_notes(repeated, dearest))


def _round(case: Case, rounds: Rounds, *, others: bool) -> None:
    rounds.add(f"{case.name}: judge", _us(_judging(case), case.times))
    if others and case.others:
        for name, diff in _OTHERS.items():
            rounds.add(f"{case.name}: {name}", _us(functools.partial(diff, case), case.others))
    if _KEPT.startswith(f"{case.name}: "):
        found = _judging(case)().differences
        rounds.add(_KEPT, _us(lambda: [KeptDifference.of(case.operation, each) for each in found], case.times))


def _judging(case: Case) -> Callable[[], Judgement]:
    before, after = Observation.returned(case.legacy), Observation.returned(case.enhanced)
    return lambda: judge(case.operation, before, after, call=_CALL)


def _deepdiff(case: Case) -> object:
    return DeepDiff(case.legacy, case.enhanced, ignore_order=True)


def _jsondiff(case: Case) -> object:
    return jsondiff.diff(case.legacy, case.enhanced, syntax="symmetric")


_OTHERS: Final[Mapping[str, Callable[[Case], object]]] = {"DeepDiff": _deepdiff, "jsondiff": _jsondiff}


def _us(call: Callable[[], object], times: int) -> float:
    started = time.thread_time_ns()
    for _ in range(times):
        call()
    return (time.thread_time_ns() - started) / times / 1_000


def _rows(everyday: Iterable[Case], rounds: Rounds) -> list[Row]:
    rows = []
    for case in everyday:
        ours = f"{case.name}: judge"
        rows.append(rounds.row(ours, "µs"))
        theirs = [f"{case.name}: {name}" for name in _OTHERS]
        rows += [rounds.row(name, "µs", over=ours, of="judge") for name in theirs if name in rounds]
    return [*rows, rounds.row(_KEPT, "µs"), rounds.row(_WORST, "µs")]


def _notes(repeated: int, dearest: Sequence[Case]) -> tuple[str, ...]:
    return (
        f"{repeated} samples in turn, processor time of the thread; DeepDiff(ignore_order=True) and jsondiff, which",
        "compares lists in order: once where they take seconds, not where they take minutes.",
        f"The dearest of {len(dearest)}: {', '.join(case.name for case in dearest)}.",
    )


def _check(measured: Iterable[Case]) -> None:
    """Speed is worth nothing where the verdicts are wrong; this warms up, too."""
    for case in measured:
        found = _judging(case)().verdict
        if found != case.verdict:
            raise BenchError(f"judged {case.name!r} {found}, not {case.verdict}")


BENCHMARK: Final = Benchmark(name="judge", title="one judgement of a pair, beside DeepDiff and jsondiff", run=_run)
