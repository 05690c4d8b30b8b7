"""The table that `make chaos` prints, and writes for the page on reliability."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

COLUMNS: Final = (
    "fault",
    "what was done",
    "captures",
    "replays/outcomes",
    "both sums exact",
    "order held",
    "counted twice",
    "lost (allowed, counted)",
    "false divergences",
    "recovered after s",
)
#: what a fault may cost, as the table names it
COSTS: Final = ("lost", "publish_failed", "shed", "unserialisable", "parked", "expired", "inconclusive", "excluded")
VERDICTS: Final = ("match", "ignored", "diverged", "failed", "inconclusive", "excluded", "parked", "expired", "lost")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What came of one fault. `violations` are the promises that did not hold, a sentence each."""

    fault: str
    done: str
    captures: int
    replays: int
    outcomes: Counter[str]
    exact: bool
    in_order: bool
    twice: int
    false: int
    recovered_s: float
    slowest_ms: float
    notes: Sequence[str]
    violations: Sequence[str]

    @property
    def cost(self) -> str:
        """What it cost, counted."""
        said = [f"{self.outcomes[name]:,} {name}" for name in COSTS if self.outcomes[name]]
        return ", ".join([*said, *self.notes]) or "0"

    def cells(self) -> tuple[str, ...]:
        """Return the row as the table has it."""
        ended = sum(self.outcomes[name] for name in VERDICTS)
        return (
            self.fault,
            self.done,
            f"{self.captures:,}",
            f"{self.replays:,}/{ended:,}",
            _yes(self.exact),
            _yes(self.in_order),
            f"{self.twice:,}",
            self.cost,
            f"{self.false:,}",
            f"{self.recovered_s:.1f}",
        )


def _yes(holds: bool) -> str:
    return "yes" if holds else "NO"


def as_text(rows: Sequence[Row]) -> Iterator[str]:
    """Yield the lines of the table for a terminal, and below it what did not hold."""
    cells = [COLUMNS, *(row.cells() for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(COLUMNS))]
    for row in cells:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
    for row in rows:
        for said in row.violations:
            yield f"NOT MET  {row.fault}: {said}"


def as_markdown(rows: Sequence[Row]) -> Iterator[str]:
    """Yield the lines of the table as it stands in the documentation."""
    yield "| " + " | ".join(COLUMNS) + " |"
    yield "|" + "---|" * len(COLUMNS)
    for row in rows:
        yield "| " + " | ".join(row.cells()) + " |"
