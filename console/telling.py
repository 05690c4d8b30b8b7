"""Says how a run was driven: which pace was reached, and which lines of a log were no calls."""

from typing import Final

from rich.console import Console

from console.driving import Driven
from console.facts import counted
from console.log_traffic import PassedOver
from console.pacing import Pace, Unpaced

SHOWN_SHAPES: Final = 10
NEARLY: Final = 0.98  # of a rate asked for: less was not reached


def show_driven(driven: Driven, pace: Pace, console: Console) -> None:
    """Print how fast calls were made; nothing where no pace was asked for."""
    reached = driven.reached_per_s
    if isinstance(pace, Unpaced) or reached is None:
        return
    late = driven.late.as_json()
    asked = pace.as_json().get("asked_per_s")
    of = f" of {asked:,.6g} asked for" if asked else f", {pace.as_json()['speed']:g} times as fast as recorded"
    console.print(
        f"{driven.calls:,} calls at {reached:,.1f} a second{of}; late by {late['p50']:.1f} ms (half of them), "
        f"{late['p99']:.1f} ms (99 of 100), {late['max']:.1f} ms (the latest); {driven.callers} in flight at most",
        soft_wrap=True,
    )
    if asked and reached < asked * NEARLY:
        console.print("The rate was not reached: more --callers help where legacy is slow, a machine more where not.\n")


def tell_passed_over(passed: PassedOver, console: Console) -> None:
    """Name what of a log was passed over, and how much."""
    for status, count in sorted(passed.not_2xx.items()):
        console.print(f"gnomon: {counted(count, 'request')} answered {status}: not made", markup=False)
    if passed.no_user:
        console.print(f"gnomon: {counted(passed.no_user, 'request')} of nobody: not made", markup=False)
    if passed.unmatched:
        console.print(f"gnomon: {counted(passed.unmatched.total(), 'line')} without a matching template:", markup=False)
    for shape, count in passed.unmatched.most_common(SHOWN_SHAPES):
        line = f"gnomon:   {count:,} like {shape}, the first in line {passed.first[shape]:,}"
        console.print(line, markup=False, soft_wrap=True)
