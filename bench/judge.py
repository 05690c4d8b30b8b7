"""What one judgement costs, beside deepdiff on the same pair: equal, edited, long, nested, a reply, and the dearest."""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final

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
            _round(case, rounds, deepdiff=not case.is_long or (number == 0 and not quick))
        if number % 10 == 0:
            rounds.add(_WORST, max(_us(_judging(case), 1) for case in dearest))
    return Result(rows=_rows(everyday, rounds), notes=_notes(repeated, dearest))


def _round(case: Case, rounds: Rounds, *, deepdiff: bool) -> None:
    rounds.add(f"{case.name}: judge", _us(_judging(case), case.times))
    if deepdiff and case.deepdiff:
        rounds.add(f"{case.name}: DeepDiff", _us(lambda: _diffed(case), case.deepdiff))
    if _KEPT.startswith(f"{case.name}: "):
        found = _judging(case)().differences
        rounds.add(_KEPT, _us(lambda: [KeptDifference.of(case.operation, each) for each in found], case.times))


def _judging(case: Case) -> Callable[[], Judgement]:
    before, after = Observation.returned(case.legacy), Observation.returned(case.enhanced)
    return lambda: judge(case.operation, before, after, call=_CALL)


def _diffed(case: Case) -> object:
    return DeepDiff(case.legacy, case.enhanced, ignore_order=True)


def _us(call: Callable[[], object], times: int) -> float:
    started = time.thread_time_ns()
    for _ in range(times):
        call()
    return (time.thread_time_ns() - started) / times / 1_000


def _rows(everyday: Iterable[Case], rounds: Rounds) -> list[Row]:
    rows = []
    for case in everyday:
        ours, theirs = f"{case.name}: judge", f"{case.name}: DeepDiff"
        rows.append(rounds.row(ours, "µs"))
        if theirs in rounds:
            rows.append(rounds.row(theirs, "µs", over=ours, of="judge"))
    return [*rows, rounds.row(_KEPT, "µs"), rounds.row(_WORST, "µs")]


def _notes(repeated: int, dearest: Sequence[Case]) -> tuple[str, ...]:
    return (
        f"{repeated} samples in turn, processor time of the thread; DeepDiff(ignore_order=True), once where it takes",
        "seconds, not where it takes minutes.",
        f"The dearest of {len(dearest)}: {', '.join(case.name for case in dearest)}.",
    )


def _check(measured: Iterable[Case]) -> None:
    """Speed is worth nothing where the verdicts are wrong; this warms up, too."""
    for case in measured:
        found = _judging(case)().verdict
        if found != case.verdict:
            raise BenchError(f"judged {case.name!r} {found}, not {case.verdict}")


BENCHMARK: Final = Benchmark(name="judge", title="one judgement of a pair, beside DeepDiff", run=_run)
