"""Puts results before people as tables, and before programs as one JSON document."""

from typing import Any, Final

from rich.console import Console
from rich.table import Table

from bench.measuring import Benchmark, Result, Row

_WHOLE: Final = 100  # from here on decimals are noise


def header(facts: dict[str, Any]) -> str:
    """Return the machine in two lines."""
    versions = ", ".join(f"{name} {number}" for name, number in facts["versions"].items())
    return (
        f"{facts['cores']} cores, {facts['processor']}, {facts['system']}, "
        f"load of the last minute {facts['load_1min']}\n{versions}"
    )


def show(benchmark: Benchmark, result: Result, console: Console) -> None:
    """Print one result as a table."""
    console.print(f"\n[bold]{benchmark.name}[/] — {benchmark.title}")
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for place, column in enumerate(("", "median", "min to max", "ratio")):
        table.add_column(column, justify="right" if place in (1, 2) else "left", no_wrap=True)
    for row in result.rows:
        between = f"{figure(min(row.samples))} to {figure(max(row.samples))}"
        table.add_row(row.name, f"{figure(row.median)} {row.unit}", between, _ratio(row))
    console.print(table)
    for note in result.notes:
        console.print(note, style="dim", markup=False, soft_wrap=True)


def as_json(benchmark: Benchmark, result: Result) -> dict[str, Any]:
    """Return one result as it goes into the JSON document."""
    rows = [row.as_json() for row in result.rows]
    return {"name": benchmark.name, "title": benchmark.title, "rows": rows, "notes": list(result.notes)}


def figure(value: float) -> str:
    """Write a figure with as many digits as it deserves."""
    if value >= _WHOLE:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 1 else f"{value:.2f}"


def _ratio(row: Row) -> str:
    return "" if row.times is None else f"{figure(row.times)} x {row.of}"
