"""What a live call takes beyond the bare one: ours beside what one might do instead, then ours while Redis fails.

Every way of calling and every fault has a live process to itself (`bench.caller`), idle while it is not its turn; they
take turns in every round. What was called is counted at the end of each turn, after the fault is lifted: a call that is
missing, or found twice, ends the benchmark with an error.
"""

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from bench.befalling import FATE, FATES, FAULT_PACED, FAULT_TIGHT, MEMORY, FaultSize, befall
from bench.callers import (
    BARE,
    CPU,
    OURS,
    PACED,
    PACED_MAKING,
    PERIOD_S,
    TIGHT,
    Caller,
    Taken,
    add_over_bare,
    key,
    started,
)
from bench.counts import captured_ids, check, check_lanes, funnel
from bench.faults import DELAY_S, FAULTS
from bench.measuring import Benchmark, Result, Rounds, Row
from bench.ways import MADE, MAKING, NAMESPACE, WAYS
from console.processes import embedded_valkey
from gnomon.usual import COMPILED


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How many rounds there are, and how many calls of each kind in each."""

    rounds: int
    warm_up: int
    paced: int
    tight: int
    faults: FaultSize


FULL: Final = Size(
    rounds=5,
    warm_up=500,
    paced=2_000,
    tight=5_000,
    faults=FaultSize(rounds=5, warm_up=500, paced=2_000, flood=30_000, buffer=20_000),  # the client's own buffer
)
QUICK: Final = Size(
    rounds=1,
    warm_up=50,
    paced=100,
    tight=200,
    faults=FaultSize(rounds=1, warm_up=50, paced=100, flood=2_000, buffer=1_000),
)


def _run(quick: bool) -> Result:  # noqa: FBT001 — as every benchmark's
    size, rounds = QUICK if quick else FULL, Rounds()
    with tempfile.TemporaryDirectory(prefix="gnomon-bench-") as folder:
        _compare(Path(folder), size, rounds)
        befall(Path(folder), size.faults, rounds)
    return Result(rows=[*_rows(rounds), *_fault_rows(rounds)], notes=_notes(size))


def _compare(folder: Path, size: Size, rounds: Rounds) -> None:
    with embedded_valkey(folder / "valkey") as url, contextlib.ExitStack() as stack:
        callers = {name: started(stack, name, name, url) for name in WAYS}
        making = [started(stack, name, MADE + name, url) for name in MAKING]
        for caller in (*callers.values(), *making):
            caller.calls_settled(size.warm_up, PERIOD_S)
        for number in range(size.rounds):
            _round(_rotated([*callers.values()], number), _rotated(making, number), size, rounds)
        _check(callers[OURS], url)


def _rotated(callers: Sequence[Caller], by: int) -> list[Caller]:
    """Whoever comes after a loud one should not always come after it."""
    by %= len(callers)
    return [*callers[by:], *callers[:by]]


def _round(callers: Sequence[Caller], making: Sequence[Caller], size: Size, rounds: Rounds) -> None:
    found: Taken = {}
    for caller in callers:
        found[PACED, caller.name] = caller.calls_settled(size.paced, PERIOD_S)
        found[TIGHT, caller.name] = caller.calls_settled(size.tight, 0.0)
    for caller in making:
        found[PACED_MAKING, caller.name] = caller.calls_settled(size.paced, PERIOD_S)
    add_over_bare(found, rounds)


def _check(caller: Caller, url: str) -> None:
    counted = funnel(url, NAMESPACE)
    check(caller.name, made=caller.made, told=caller.counted(), counted=counted)
    check_lanes(caller.name, captured_ids(url, NAMESPACE), counted)


def _rows(rounds: Rounds) -> Iterator[Row]:
    for group, names in ((PACED, WAYS), (PACED_MAKING, MAKING), (TIGHT, WAYS)):
        for name in names:
            yield from _over(rounds, group, name, OURS, ("p50", "p99", "max", CPU))


def _fault_rows(rounds: Rounds) -> Iterator[Row]:
    for group in (FAULT_PACED, FAULT_TIGHT):
        for name in (BARE, *FAULTS):
            yield from _over(rounds, group, name, FAULTS[0], ("p50", "p99", "max"))
    for name in FAULTS:
        for point in FATES:
            yield _row(rounds, (FATE, name, point), "")
        if key(FATE, name, MEMORY) in rounds:
            yield _row(rounds, (FATE, name, MEMORY), "MiB")


def _over(rounds: Rounds, group: str, name: str, over: str, points: Sequence[str]) -> Iterator[Row]:
    """Rows told as multiples of those of `over`, but for the largest of all, which is mostly chance."""
    for point in points:
        compared = name not in (BARE, over) and point != "max"
        yield _row(rounds, (group, name, point), "µs", over if compared else "")


def _row(rounds: Rounds, place: tuple[str, str, str], unit: str, over: str = "") -> Row:
    group, name, point = place
    row = rounds.row(key(*place), unit, over=key(group, over, point) if over else "", of=over)
    return replace(row, name=name, group=group, point=point)


def _notes(size: Size) -> tuple[str, ...]:
    under = size.faults
    made = "with its part in C" if COMPILED else "in Python, for there was no compiler when gnomon was installed"
    return (
        f"ours: {made}.",
        f"{size.rounds} rounds in turn, each of {size.paced:,} calls paced and {size.tight:,} back to back.",
        f"Under faults {under.rounds} rounds, each of {under.paced:,} calls paced and {under.flood:,} back to back.",
        "Figures are medians of the rounds. p50, p99 and max are told over the bare call's p50 of the same round.",
        "CPU: processor time a call, other threads included, until all is sent; over the bare call's, pacing and all.",
        f"stopped: connections are refused; frozen: SIGSTOP; slow: {DELAY_S * 1_000:.0f} ms late in each direction.",
        f"waited: in the buffer for {under.buffer:,} when the fault was lifted.",
        "peak: the live process's memory at its highest, over its highest before the first fault.",
        "Counts are exact, or this ends with an error: made = eligible = the sum of where they went, by Redis's funnel",
        "and by the client's own counters, and every capture lies in its lane once.",
    )


BENCHMARK: Final = Benchmark(name="live", title="a live call of 1 KB beside what one might do instead", run=_run)
