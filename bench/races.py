"""A write and a read of one user, close together, by whichever live process: how many are compared, and how many not.

Everybody's clock is the machine's, so it is known how far apart two calls really were; the engine knows only what
captures say. Nothing may diverge, and every call must be in the ledger once: else this ends with an error.
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.course import Course, Field, Found, Ran, course
from bench.heats import SPACINGS_US, Apart, Heat, Mode, apart, spelled
from bench.measuring import BenchError, Benchmark, Result, Row
from console.processes import embedded_valkey

REASONS: Final = ("concurrent", "superseded", "causal", "late")
FAIR: Final = {"match", "excluded"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Meeting:
    """Heats on one course: in every mode so many pairs of each spacing."""

    stores: str
    modes: tuple[Mode, ...]
    users: int
    pairs: int
    period_us: int
    spacings_us: tuple[int, ...] = SPACINGS_US

    def heats(self, processes: int) -> list[Heat]:
        """Return one heat a mode."""
        return [
            Heat(
                mode=mode,
                seed=seed,
                users=self.users,
                pairs=self.pairs,
                period_us=self.period_us,
                processes=processes,
                spacings_us=self.spacings_us,
            )
            for seed, mode in enumerate(self.modes)
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What became of the reads of one spacing in one mode."""

    mode: Mode
    spacing_us: int
    pairs: int
    apart: Apart
    found: Found  #: of the reads
    writes: Found

    @property
    def excluded(self) -> float:
        """The share of reads that were left out of comparison."""
        return self.found.outcomes["excluded"] / self.pairs


ALL_MODES: Final = (Mode.SHADOW, Mode.SERVED, Mode.DUAL, Mode.CHANGING)
FULL: Final = (
    Meeting(stores="notes", modes=ALL_MODES, users=1_000, pairs=1_000, period_us=8_000),
    Meeting(stores="memory", modes=(Mode.SHADOW, Mode.SERVED), users=1_000, pairs=400, period_us=16_000),
)
QUICK: Final = (Meeting(stores="notes", modes=(Mode.SHADOW, Mode.SERVED), users=280, pairs=60, period_us=4_000),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a meeting came to: its lines, and the conditions of each heat."""

    meeting: Meeting
    ran: Mapping[Mode, Ran]
    lines: Sequence[Line]


def raced(meeting: Meeting, on: Course) -> Outcome:
    """Run all heats; raises BenchError where a call diverged, failed, or is not in the ledger once."""
    heats = meeting.heats(len(on.racers))
    ran = {heat.mode: on.run(heat) for heat in heats}
    found = on.found(sum(2 * heat.pairs * len(heat.spacings_us) for heat in heats))
    lines = [line for heat in heats for line in _lines(heat, apart(heat, ran[heat.mode].made), found)]
    for line in lines:
        _check(line)
    return Outcome(meeting=meeting, ran=ran, lines=lines)


def _lines(heat: Heat, aparts: Mapping[int, Apart], found: Mapping[str, Found]) -> Iterator[Line]:
    for spacing_us, told in aparts.items():
        writes, reads = (found[name] for name in heat.named(spacing_us))
        yield Line(
            mode=heat.mode,
            spacing_us=spacing_us,
            pairs=heat.pairs,
            apart=told,
            found=reads,
            writes=writes,
        )


def _check(line: Line) -> None:
    for what, found in (("reads", line.found), ("writes", line.writes)):
        named = f"{line.mode}, {spelled(line.spacing_us)}, {what}: {dict(found.outcomes)}"
        if not line.pairs == found.eligible == found.captured == found.outcomes.total():
            raise BenchError(f"{named}: {line.pairs} made, {found.eligible} eligible, {found.captured} captured")
        if not found.outcomes.keys() <= FAIR:
            raise BenchError(named)
        if found.excluded.total() != found.outcomes["excluded"] or not found.excluded.keys() <= set(REASONS):
            raise BenchError(f"{named}, {dict(found.excluded)}")


def result_of(outcomes: Sequence[Outcome]) -> Result:
    """Return what was found as tables: one for each mode, a line for each spacing."""
    rows = [row for outcome in outcomes for line in outcome.lines for row in _rows(outcome.meeting, line)]
    return Result(rows=rows, notes=_notes(outcomes))


def _run(quick: bool) -> Result:  # noqa: FBT001 — as every benchmark's
    return result_of([_run_one(meeting) for meeting in (QUICK if quick else FULL)])


def _run_one(meeting: Meeting) -> Outcome:
    field = Field(stores=meeting.stores, users=meeting.users, spacings_us=meeting.spacings_us)
    with (
        tempfile.TemporaryDirectory(prefix="gnomon-bench-") as folder,
        embedded_valkey(Path(folder) / "valkey") as redis_url,
        course(Path(folder), redis_url, field) as on,
    ):
        return raced(meeting, on)


def _rows(meeting: Meeting, line: Line) -> Iterator[Row]:
    """Of a spacing: how far apart its pairs really were, and what became of the reads."""
    group, name = f"{meeting.stores}, {line.mode}", spelled(line.spacing_us)

    def row(point: str, value: float, unit: str = "") -> Row:
        return Row(name=name, unit=unit, samples=(value,), group=group, point=point)

    yield row("gap", max(0.0, line.apart.median_us), "µs")
    yield row("overlap", line.apart.overlapped)
    yield row("match", line.found.outcomes["match"])
    for reason in REASONS:
        yield row(reason, line.found.excluded[reason])
    yield row("share", 100 * line.excluded, "%")


def _notes(outcomes: Sequence[Outcome]) -> tuple[str, ...]:
    return (
        "4 live processes, 2 workers of 3 processes each; notes: in shared memory; memory: in the two memory systems.",
        "A pair is a write and a read of one user, either first, started so far apart by two processes.",
        "gap: median from the end of the first to the start of the second; overlap: pairs without any.",
        "Then, of the reads: compared and equal; left out, by reason; and the share of those.",
        "Nothing diverged or failed, and every call is in the ledger once: else this ends with an error.",
        *(_conditions(outcome, mode, ran) for outcome in outcomes for mode, ran in outcome.ran.items()),
    )


def _conditions(outcome: Outcome, mode: Mode, ran: Ran) -> str:
    meeting = outcome.meeting
    return (
        f"{meeting.stores}, {mode}: {meeting.pairs:,} pairs of each spacing, {meeting.users:,} users; by their own "
        f"word clocks were off by up to {ran.clock_error_us:,} µs; a lane's oldest capture waited {ran.waits_s:.1f} s."
    )


BENCHMARK: Final = Benchmark(
    name="races", title="a write and a read of one user, close together: what is compared", run=_run
)
