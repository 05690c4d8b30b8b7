"""Our wrapped call while Redis fails: as fast as ever, bounded, and every call accounted for once Redis is back."""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bench.callers import BARE, OURS, PACED, PERIOD_S, TIGHT, Caller, Taken, add_over_bare, key, started
from bench.counts import DROPS, captured_ids, check, check_lanes, funnel
from bench.faults import Fault, faults
from bench.measuring import BenchError, Rounds
from bench.ways import NAMESPACE

FAULT_PACED: Final = f"ours under faults, {PACED}"
FAULT_TIGHT: Final = f"ours under faults, {TIGHT}"
FATE: Final = "what became of these calls"
FATES: Final = ("made", "captured", "publish_failed", "shed", "waited")
MEMORY: Final = "peak"
_MEBIBYTE: Final = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultSize:
    """How many rounds there are, and how many calls of each kind in each; `flood` overflows the `buffer`."""

    rounds: int
    warm_up: int
    paced: int
    flood: int
    buffer: int


@dataclass(slots=True)
class _Case:
    """A fault, the live process that it befalls, and what was counted and held before."""

    fault: Fault
    caller: Caller
    before: Mapping[str, int] = field(default_factory=dict)
    base_bytes: int | None = None


def befall(folder: Path, size: FaultSize, rounds: Rounds) -> None:
    """Make calls while each fault is in force, in turn; raises BenchError where the counts do not add up."""
    with faults(folder) as found, contextlib.ExitStack() as stack:
        bare = started(stack, BARE, BARE, "")
        cases = [_case(stack, fault, size) for fault in found]
        for case in cases:
            _warm_up(case, size)
        for _ in range(size.rounds):
            _round(bare, cases, size, rounds)
        for case in cases:
            check_lanes(case.fault.name, captured_ids(case.fault.straight, NAMESPACE), case.before)


def _case(stack: contextlib.ExitStack, fault: Fault, size: FaultSize) -> _Case:
    return _Case(fault, started(stack, fault.name, OURS, fault.url, f"buffer_captures={size.buffer}"))


def _warm_up(case: _Case, size: FaultSize) -> None:
    case.caller.calls_settled(size.warm_up, PERIOD_S)
    case.before = funnel(case.fault.straight, NAMESPACE)
    case.base_bytes = case.caller.peak_bytes()


def _round(bare: Caller, cases: Sequence[_Case], size: FaultSize, rounds: Rounds) -> None:
    found: Taken = {}
    for group, count, period_s in ((FAULT_PACED, size.paced, PERIOD_S), (FAULT_TIGHT, size.flood, 0.0)):
        found[group, BARE] = bare.calls(count, period_s)
    for case in cases:
        with case.fault.inflicted():
            found[FAULT_PACED, case.fault.name] = case.caller.calls(size.paced, PERIOD_S)
            found[FAULT_TIGHT, case.fault.name] = case.caller.calls(size.flood, 0.0)
            waited = _waiting(case)
        if waited > size.buffer:
            raise BenchError(f"{case.fault.name}: {waited} captures wait in a buffer for {size.buffer}")
        _add_fate(case, waited, rounds)
    add_over_bare(found, rounds)


def _waiting(case: _Case) -> int:
    """Return how many captures wait in the live process for Redis."""
    arrived = funnel(case.fault.straight, NAMESPACE) if case.fault.answers else case.before
    return case.caller.counted()["captured"] - arrived.get("captured", 0)


def _add_fate(case: _Case, waited: int, rounds: Rounds) -> None:
    """Add, once the fault is lifted and all is in Redis, what became of this turn's calls."""
    name, caller = case.fault.name, case.caller
    caller.settle()
    after = funnel(case.fault.straight, NAMESPACE)
    check(name, made=caller.made, told=caller.counted(), counted=after)
    gone = {end: after[end] - case.before.get(end, 0) for end in ("eligible", "captured", *DROPS)}
    for fate, count in zip(FATES, (gone["eligible"], *(gone[end] for end in FATES[1:-1]), waited), strict=True):
        rounds.add(key(FATE, name, fate), count)
    if case.base_bytes is not None:
        rounds.add(key(FATE, name, MEMORY), ((caller.peak_bytes() or 0) - case.base_bytes) / _MEBIBYTE)
    case.before = after
