"""The tables of a status: what became of the calls, and the live processes; each can do with fewer rows."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from console.facts import ALARM, WARNING, age
from console.output import cell
from console.picture import InRedis
from console.producers import UNALIGNED_US, Ended, Producer
from console.report import Sums
from ledger import Loss, Outcome

SILENT_S: Final = 2.0  # eight heartbeats
_ALWAYS: Final = (Outcome.MATCH, Outcome.IGNORED, Outcome.DIVERGED, Outcome.FAILED, Outcome.PENDING)
_THOUSAND: Final = 1_000
_MAGNITUDES: Final = ((1_000_000_000_000, "T"), (1_000_000_000, "G"), (1_000_000, "M"))


@dataclass(frozen=True, slots=True)
class OutcomeTable:
    """Outcomes by operation, one way of laying them out: some outcomes may stand together as `other`."""

    sums: Sums
    columns: tuple[Outcome, ...]
    together: tuple[Outcome, ...] = ()
    spell: Callable[[int], str] = "{:,}".format

    @property
    def overhead(self) -> int:
        """Lines besides those of the operations: the head, all, what `other` is."""
        return 3 if self.together else 2

    def rows(self, most: int | None = None) -> RenderableType:
        """Return the table; with more operations than `most`, those with the most failures and differences."""
        other = ("other",) if self.together else ()
        table = table_of("operation", right=("captured", *map(str, self.columns), *other))
        for name in self._shown(most):
            of = self.sums.operations[name]
            table.add_row(
                cell(name), *self._cells(of.funnel[Loss.CAPTURED], {**of.outcomes, Outcome.PENDING: of.pending})
            )
        captured, outcomes = self.sums.funnel[Loss.CAPTURED], self.sums.outcomes
        hidden = len(self.sums.operations) - table.row_count
        table.add_row(f"all, {hidden} not shown" if hidden else "all", *self._cells(captured, outcomes), style="bold")
        if not self.together:
            return table
        named = ", ".join(f"{self.spell(outcomes[name])} {name}" for name in self.together)
        return Group(table, Text(f"other: {named}", style="dim", no_wrap=True, overflow="ellipsis"))

    def _cells(self, captured: int, counts: Mapping[str, int]) -> Iterator[str]:
        yield self.spell(captured)
        for name in self.columns:
            yield self.spell(counts.get(name, 0))
        if self.together:
            yield self.spell(sum(counts.get(name, 0) for name in self.together))

    def _shown(self, most: int | None) -> list[str]:
        names = list(self.sums.operations)
        if most is None or len(names) <= most:
            return names
        worst = sorted(names, key=self._harm, reverse=True)[: max(0, most)]
        return [name for name in names if name in worst]

    def _harm(self, name: str) -> int:
        outcomes = self.sums.operations[name].outcomes
        return outcomes[Outcome.FAILED] + outcomes[Outcome.DIVERGED]


def outcome_tables(sums: Sums) -> Iterator[OutcomeTable]:
    """Yield the ways to lay outcomes out, from the one that tells most to the narrowest."""
    rare = tuple(outcome for outcome in Outcome if sums.outcomes[outcome] and outcome not in _ALWAYS)
    yield OutcomeTable(sums, (*_ALWAYS[:-1], *rare, Outcome.PENDING))
    yield OutcomeTable(sums, _ALWAYS, rare)
    yield OutcomeTable(sums, _ALWAYS, rare, short)


def process_table(found: InRedis, most: int, *, wide: bool) -> Table:
    """Return the live processes, those in trouble first, then those that ended; `most` rows in all."""
    live = sorted(found.live, key=lambda producer: not _troubles(producer, found.version))
    rows = [*(_live_row(one, found.version) for one in live), *map(_ended_row, found.ended)]
    shown = rows if len(rows) <= most else rows[: most - 1]
    table = table_of("host", right=("process",))
    table.padding = (0, 2 if wide else 1, 0, 0)
    table.columns[0].max_width = 40 if wide else 18
    table.add_column("build", max_width=24 if wide else 10, no_wrap=True, overflow="ellipsis")
    for name in ("clock", "buffered", "flags", *(["heard"] if wide else [])):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("state", no_wrap=True, overflow="ellipsis")
    for cells in shown:
        table.add_row(*(cells if wide else (*cells[:6], cells[7])))
    if len(shown) < len(rows):
        table.add_row(f"and {len(rows) - len(shown):,} more")
    return table


def _live_row(one: Producer, version: int) -> tuple[str | Text, ...]:
    clock = "?" if one.clock_error_us >= UNALIGNED_US else f"±{one.clock_error_us / _THOUSAND:.1f} ms"
    troubles = _troubles(one, version)
    state = Text(", ".join(troubles), style=WARNING) if troubles else Text("ok", style="green")
    heard = f"{one.silent_s:.1f} s"
    return (
        cell(one.host),
        str(one.pid),
        cell(one.build or "-"),
        clock,
        f"{one.buffered:,}",
        str(one.flags),
        heard,
        state,
    )


def _troubles(one: Producer, version: int) -> list[str]:
    said = {
        "killed": one.killed,
        "behind": one.flags < version,
        f"silent {one.silent_s:.0f} s": one.silent_s > SILENT_S,
    }
    return [name for name, true in said.items() if true]


def _ended_row(one: Ended) -> tuple[str | Text, ...]:
    state = Text(f"ended {age(one.noticed_s_ago)} ago", style=ALARM)
    return (cell(one.host), cell(one.pid), "", "", f"{one.buffered:,}", "", "", state)


def table_of(first: str, *, right: tuple[str, ...]) -> Table:
    """Return an empty table without lines: one column of names, and columns of figures."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1, 0, 0), collapse_padding=True)
    table.add_column(first, max_width=32, no_wrap=True, overflow="ellipsis")
    for name in right:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def short(count: int) -> str:
    """Return a number in few characters: 12.3M."""
    for size, letter in _MAGNITUDES:
        if count >= size:
            return f"{count / size:.1f}{letter}"
    return f"{count:,}"
