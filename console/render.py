"""Puts a report into words and tables for a terminal; colour only ever repeats what a word says."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from rich.console import Console, Group
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from console.output import cell, plain
from console.pairs import noise_table, speed_table
from console.report import Report
from ledger import Group as DifferenceGroup
from ledger import Outcome, PairSums
from rollout import Decision, Standing, State

SEVERITIES: Final = {"critical": "bold red", "major": "yellow", "minor": "cyan"}
_STATES: Final = {
    State.ELIGIBLE: "bold green",
    State.ROLLBACK: "bold red",
    State.HOLD: "bold yellow",
    State.INCONCLUSIVE: "bold yellow",
    State.COLLECTING: "bold cyan",
}
_MEANINGS: Final = {
    State.ELIGIBLE: "every criterion is met; a person may let the rollout advance",
    State.ROLLBACK: "harm is proven; legacy should answer everybody",
    State.HOLD: "something is not as it must be; the rollout stays where it is",
    State.INCONCLUSIVE: "the deadline passed before the evidence was enough",
    State.COLLECTING: "nothing speaks against it yet, and not everything speaks for it",
}
_URGENCY: Final = (Standing.HARM, Standing.BROKEN, Standing.OPEN, Standing.PASSED, Standing.NOT_APPLICABLE)
_SIGNS: Final = {
    Standing.PASSED: Text("met", style="green"),
    Standing.NOT_APPLICABLE: Text("apart", style="dim"),
    Standing.OPEN: Text("open", style="cyan"),
    Standing.BROKEN: Text("NOT MET", style="yellow"),
    Standing.HARM: Text("HARM", style="bold red"),
}
_SILENT: Final = (Standing.PASSED, Standing.NOT_APPLICABLE)


def show(report: Report, console: Console) -> None:
    """Print a whole report."""
    console.print(Rule("What was captured"))
    console.print(_funnel(report))
    console.print(Rule("What became of it"))
    console.print(outcomes_table(report), "")
    if named := [f"{count:,} {failure}" for failure, count in report.failures.items() if count]:
        console.print(Text(f"failed: {', '.join(named)}\n", style="dim"))
    for line in report.imbalance:
        console.print(Text.assemble(("The sums are not exact: ", "bold red"), plain(line)))
    if report.reasons:
        console.print(_reasons(report), "")
    console.print(Rule("What differs"))
    show_groups(report.groups, console)
    if report.pairs:
        console.print(Rule("Both systems side by side"))
        show_pairs(report.pairs, console)
    console.print(Rule("The gate"))
    show_gate(report.decision, console)
    if report.seconds:
        speed = report.comparisons / report.seconds
        console.print(f"{report.comparisons:,} comparisons in {report.seconds:.1f} s: {speed:,.0f} a second\n")


def _funnel(report: Report) -> Text:
    losses = [f"{count:,} {name.replace('_', ' ')}" for name, count in report.funnel.items() if name != "captured"]
    text = Text(f"{report.eligible:,} eligible calls, {report.funnel['captured']:,} captured\n")
    return text.append(f"not captured: {', '.join(losses)}\n", style="dim")


def outcomes_table(report: Report) -> Table:
    """Return outcomes by operation; a column for every outcome that happened."""
    totals = report.outcomes
    shown = [name for name in Outcome if totals[name] or name in ("match", "diverged", "failed", "pending")]
    table = _table("operation", "captured", *shown, right=len(shown) + 1)
    for name, sums in report.operations.items():
        counts = {**sums.outcomes, Outcome.PENDING: sums.pending}
        table.add_row(
            cell(name), *(f"{count:,}" for count in (sums.funnel["captured"], *(counts.get(n, 0) for n in shown)))
        )
    table.add_section()
    table.add_row("all", f"{report.funnel['captured']:,}", *(f"{totals[name]:,}" for name in shown), style="bold")
    return table


def _reasons(report: Report) -> Table:
    table = _table("operation", "outcome", "because", "calls", right=1)
    for operation, outcome, reason, count in report.reasons[:12]:
        table.add_row(cell(operation), outcome, cell(reason), f"{count:,}")
    return table


def show_groups(groups: Iterable[DifferenceGroup], console: Console) -> None:
    """Print the groups, each with what it means."""
    found = list(groups)
    if not found:
        console.print("Nothing: no divergence was recorded.\n")
        return
    table = _table("group", "operation", "severity", "kind at path", "count", "users", right=2)
    for group in found:
        what = Group(cell(f"{group.kind} at {group.path}"), Text(group.explanation, style="dim"))
        severity = Text(group.severity, style=SEVERITIES.get(group.severity, ""))
        table.add_row(group.id, cell(group.operation), severity, what, f"{group.count:,}", f"{group.users:,}")
    console.print(table, "")


def show_pairs(pairs: Mapping[str, PairSums], console: Console) -> None:
    """Print how fast both systems are in one process, and the fields in which legacy differs from itself."""
    console.print(speed_table(pairs), "")
    if any(sums.noise for sums in pairs.values()):
        console.print(noise_table(pairs), "")
    repeated, noisy = (sum(sums.counts[name] for sums in pairs.values()) for name in ("repeated", "noisy"))
    said = (
        f"gain: median; times: median / 95th percentile; legacy differed from itself in {noisy:,} of {repeated:,} pairs"
    )
    console.print(Text(f"{said}\n", style="dim"))


def show_gate(decision: Decision, console: Console, *, everything: bool = False) -> None:
    """Print the gate's state and each criterion that is not met, with its reason; with `everything` all of them."""
    state = Text(decision.state.upper(), style=_STATES[decision.state])
    console.print(state.append(f": {_MEANINGS[decision.state]}\n", style="default"))
    table = _table("criterion", "", "why")
    for criterion in sorted(decision.criteria, key=lambda criterion: _URGENCY.index(criterion.standing)):
        if everything or criterion.standing not in _SILENT:
            table.add_row(criterion.name, _SIGNS[criterion.standing], criterion.why)
    console.print(table, "")
    silent = Counter(criterion.standing for criterion in decision.criteria)
    if not everything:
        met, apart = silent[Standing.PASSED], silent[Standing.NOT_APPLICABLE]
        console.print(f"{met} more criteria are met, {apart} do not apply at this stage: gnomon gate shows all.\n")


def _table(*columns: str, right: int = 0) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for place, column in enumerate(columns):
        numeric = place >= len(columns) - right
        table.add_column(column, justify="right" if numeric else "left", no_wrap=numeric or place == 0)
    return table
