"""Puts a picture on one screen: what fits a terminal, the most urgent first; colour only repeats what a word says."""

from dataclasses import dataclass
from typing import Final

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from console.facts import Fact, facts
from console.output import plain
from console.picture import InRedis, Picture
from console.report import Sums
from console.tables import outcome_tables, process_table

WIDE: Final = 110  # columns: room for what is nice to know
ENDLESS: Final = 100_000  # lines, of a page that may scroll
_NAMES: Final = 11  # columns of the facts' names, with the space after
_GAP: Final = 1
_OUTCOMES: Final = 6  # lines for a gap, the head, three operations and all: they come first
_PROCESSES: Final = 5  # lines for a gap, the head and three processes

Lines = list[list[Segment]]


@dataclass(frozen=True, slots=True)
class Screen:
    """A picture as lines of a terminal: never wider than that and, where `height` is given, never higher."""

    picture: Picture
    height: int = ENDLESS

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the lines that fit."""
        layout = _Layout(console, options)
        lines = layout.facts(self.picture)
        room = self.height - len(lines)
        alive, known = self.picture.in_redis, self.picture.in_ledger
        if known:
            lines += (found := layout.outcomes(known.sums, min(room, max(_OUTCOMES, room - _kept(alive, room)))))
            room -= len(found)
        if alive:
            lines += layout.processes(alive, room)
        for line in lines[: self.height]:
            yield from line
            yield Segment.line()


def _kept(alive: InRedis | None, room: int) -> int:
    """Return how many lines the outcomes leave to the processes."""
    wanted = _GAP + 1 + len(alive.live) + len(alive.ended) if alive else 0
    return min(wanted, max(_PROCESSES, room // 3))


class _Layout:
    """Makes lines of what there is to say, in a given width."""

    def __init__(self, console: Console, options: ConsoleOptions) -> None:
        self._console = console
        self._options = options.update(height=None)
        self._width = options.max_width

    def facts(self, picture: Picture) -> Lines:
        grid = Table.grid(padding=(0, 1, 0, 0))
        grid.add_column(style="bold", no_wrap=True, width=_NAMES - 1)
        grid.add_column(overflow="fold")
        for fact in facts(picture):
            grid.add_row(fact.name, self._packed(fact))
        return self._lines(grid)

    def _packed(self, fact: Fact) -> Text:
        """Break between parts rather than inside one."""
        lines = [""]
        for part in map(plain, fact.parts):
            longer = f"{lines[-1]} · {part}" if lines[-1] else part
            if len(longer) > self._width - _NAMES and lines[-1]:
                lines.append(part)
            else:
                lines[-1] = longer
        return Text("\n".join(lines), style=fact.style)

    def outcomes(self, sums: Sums, room: int) -> Lines:
        *wider, narrowest = outcome_tables(sums)
        table = next((table for table in wider if self._fits(table.rows())), narrowest)
        most = room - _GAP - table.overhead
        return [[], *self._lines(table.rows(most))] if most >= 0 else []

    def processes(self, found: InRedis, room: int) -> Lines:
        if not (found.live or found.ended) or room < _GAP + 2:
            return []
        return [[], *self._lines(process_table(found, room - _GAP - 1, wide=self._width >= WIDE))]

    def _lines(self, what: RenderableType) -> Lines:
        return self._console.render_lines(what, self._options, pad=False)

    def _fits(self, what: RenderableType) -> bool:
        free = self._options.update(max_width=10_000)
        return Measurement.get(self._console, free, what).maximum <= self._width
