"""Puts results before people as tables, and before programs as one JSON document."""

from collections.abc import Iterable, Sequence
from itertools import chain, groupby
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
    for group, rows in groupby(result.rows, key=lambda row: row.group):
        _show_group(group, list(rows), console)
    for note in result.notes:
        console.print(note, style="dim", markup=False, soft_wrap=True)


def _show_group(group: str, rows: Sequence[Row], console: Console) -> None:
    if not group:
        console.print(_listed(rows))
        return
    of = next((f" (x: times {row.of})" for row in rows if row.of), "")
    console.print(f"\n{group}{of}", style="italic", markup=False)
    console.print(_grouped(rows))


def _listed(rows: Iterable[Row]) -> Table:
    """A line for each row, with its spread."""
    table = _table()
    for place, column in enumerate(("", "median", "min to max", "ratio")):
        table.add_column(column, justify="right" if place in (1, 2) else "left", no_wrap=True)
    for row in rows:
        between = f"{figure(min(row.samples))} to {figure(max(row.samples))}"
        table.add_row(row.name, f"{figure(row.median)} {row.unit}", between, _ratio(row))
    return table


def _grouped(rows: Sequence[Row]) -> Table:
    """A line for each name, a column for each point, and beside it what it is a multiple of."""
    points = {row.point: row for row in rows}  # the last of each: the first may be what others are told over
    table = _table()
    table.add_column("", no_wrap=True)
    for point, row in points.items():
        table.add_column(f"{point}, {row.unit}" if row.unit else point, justify="right", no_wrap=True)
        if row.of:
            table.add_column("x", no_wrap=True)
    by_place = {(row.name, row.point): row for row in rows}
    for name in dict.fromkeys(row.name for row in rows):
        cells = [_cells(by_place[name, point], compared=bool(row.of)) for point, row in points.items()]
        table.add_row(name, *chain.from_iterable(cells))
    return table


def _cells(row: Row, *, compared: bool) -> tuple[str, ...]:
    ratio = "" if row.times is None else figure(row.times)
    return (figure(row.median), ratio) if compared else (figure(row.median),)


def _table() -> Table:
    return Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))


def as_json(benchmark: Benchmark, result: Result) -> dict[str, Any]:
    """Return one result as it goes into the JSON document."""
    rows = [row.as_json() for row in result.rows]
    return {"name": benchmark.name, "title": benchmark.title, "rows": rows, "notes": list(result.notes)}


def figure(value: float) -> str:
    """Write a figure with as many digits as it deserves; a count has no others."""
    if value >= _WHOLE or isinstance(value, int) or value == 0:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 1 else f"{value:.2f}"


def _ratio(row: Row) -> str:
    return "" if row.times is None else f"{figure(row.times)} x {row.of}"
