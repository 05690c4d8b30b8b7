"""What one judgement costs, beside deepdiff on the same pair: on equal answers, and with one item of ten edited."""

import time
from collections.abc import Callable
from typing import Any, Final

from deepdiff import DeepDiff

from bench.measuring import BenchError, Benchmark, Result, Rounds
from bench.memories import answer, edited, user_of
from comparators import Call, Observation, Verdict, judge

_USER: Final = user_of(0)
_CALL: Final = Call(user=_USER, args={"user_id": _USER, "number": 0, "limit": 10}, at="2026-01-31T00:00:00Z")
_JUDGED, _DEEPDIFF = 200, 5  # calls a sample: some 10 ms of each


def _run(quick: bool) -> Result:  # noqa: FBT001 — as every benchmark's
    rounds, repeated = Rounds(), 3 if quick else 30
    pairs = {"equal": answer(_USER, 0), "1 of 10 edited": edited(answer(_USER, 0), 0)}
    _check(pairs)
    for _ in range(repeated):
        for name, enhanced in pairs.items():
            _round(name, answer(_USER, 0), enhanced, rounds)
    rows = []
    for name in pairs:
        rows.append(rounds.row(f"{name}: judge", "µs"))
        rows.append(rounds.row(f"{name}: DeepDiff", "µs", over=f"{name}: judge", of="judge"))
    return Result(rows=rows, notes=(f"{repeated} samples in turn; DeepDiff(ignore_order=True).",))


def _round(name: str, legacy: Any, enhanced: Any, rounds: Rounds) -> None:
    before, after = Observation.returned(legacy), Observation.returned(enhanced)
    rounds.add(f"{name}: judge", _us(lambda: judge("memory.recent", before, after, call=_CALL), _JUDGED))
    rounds.add(f"{name}: DeepDiff", _us(lambda: DeepDiff(legacy, enhanced, ignore_order=True), _DEEPDIFF))


def _us(call: Callable[[], object], times: int) -> float:
    started = time.perf_counter_ns()
    for _ in range(times):
        call()
    return (time.perf_counter_ns() - started) / times / 1_000


def _check(pairs: dict[str, Any]) -> None:
    """Speed is worth nothing where the verdicts are wrong; this warms up, too."""
    legacy = Observation.returned(answer(_USER, 0))
    found = [judge("memory.recent", legacy, Observation.returned(e), call=_CALL).verdict for e in pairs.values()]
    if found != [Verdict.MATCH, Verdict.DIVERGED]:
        raise BenchError(f"judged {', '.join(found)}")


BENCHMARK: Final = Benchmark(name="judge", title="one judgement of a 1.7 KB pair, beside DeepDiff", run=_run)
