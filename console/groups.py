"""Puts groups of divergences into words: how each develops, what is new, what is back, and samples side by side."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import msgspec
from rich.console import Console, RenderableType
from rich.console import Group as Lines
from rich.table import Table
from rich.text import Text

from console.facts import age
from console.output import cell, plain
from console.render import SEVERITIES
from console.report import group_as_json
from console.tables import table_of
from ledger import Group, KeptSample, Tendency, Trend

_ARROWS: Final = {Tendency.RISING: "rising", Tendency.STEADY: "steady", Tendency.FALLING: "falling"}
_NO_TREND: Final = Trend()
_TOLD: Final = ("args", "legacy", "enhanced")


@dataclass(frozen=True, slots=True, kw_only=True)
class Groups:
    """The groups, the gravest and largest first, with how each develops; `epoch` is the open one."""

    shown: Sequence[Group]
    trends: Mapping[str, Trend]
    epoch: int
    now: datetime

    def as_json(self) -> list[dict[str, Any]]:
        """Return all of it."""
        return [self.one_as_json(group) for group in self.shown]

    def one_as_json(self, group: Group) -> dict[str, Any]:
        """Return one group with everything that is known of it."""
        trend = self._trend(group)
        names = ("first_seen", "last_seen", "first_epoch", "last_epoch", "example")
        figures = {name: getattr(trend, name) for name in Trend.__dataclass_fields__}
        return {
            **group_as_json(group),
            **{name: getattr(group, name) for name in names},
            "new": group.is_new(self.epoch),
            "regressed": group.is_regressed(self.epoch),
            "trend": {"tendency": str(trend.tendency), **figures},
        }

    def __rich_console__(self, console: Console, _: object) -> Iterator[RenderableType]:
        """Yield the table, or that there is nothing."""
        if not self.shown:
            yield Text("Nothing: no divergence was recorded.")
            return
        table = table_of("group", right=("count", "users"))
        table.add_column("what differs", overflow="fold")
        table.add_column("last seen", no_wrap=True)
        table.add_column("trend", no_wrap=True)
        for group in self.shown:
            table.add_row(*self._cells(group))
        yield table

    def _cells(self, group: Group) -> Iterator[RenderableType]:
        yield cell(group.id)
        yield f"{group.count:,}"
        yield f"{group.users:,}"
        marks = [name for name, true in self._marks(group) if true]
        said = Text(group.severity, style=SEVERITIES.get(group.severity, ""))
        said.append(f" {plain(group.kind)} at {plain(group.path)} of {plain(group.operation)}", style="default")
        said.append(f" ({', '.join(marks)})" if marks else "", style="bold")
        yield Lines(said, Text(plain(group.explanation), style="dim"))
        yield f"{age((self.now - group.last_seen).total_seconds())} ago"
        yield _ARROWS.get(self._trend(group).tendency, "-")

    def _marks(self, group: Group) -> tuple[tuple[str, bool], ...]:
        return ("new", group.is_new(self.epoch)), ("back", group.is_regressed(self.epoch))

    def _trend(self, group: Group) -> Trend:
        return self.trends.get(group.id, _NO_TREND)


def sample_as_json(kept: KeptSample) -> dict[str, Any]:
    """Return one sample as commands print it."""
    document: dict[str, Any] = msgspec.to_builtins(kept)
    return {**document, "sample": {name: kept.sample.get(name) for name in _TOLD}}


def show_samples(samples: Sequence[KeptSample], console: Console) -> None:
    """Print samples one after another, what both sides said side by side."""
    if not samples:
        console.print("No whole sample of it is kept.")
    for kept in samples:
        head = f"{kept.capture_id}, user {kept.user_digest}, {kept.called_at:%Y-%m-%d %H:%M:%S} UTC, epoch {kept.epoch}"
        console.print("", Text(plain(head), style="bold"))
        console.print(Text(_pretty(kept.sample.get("args"))))
        sides = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
        for name in _TOLD[1:]:
            sides.add_column(name, ratio=1, overflow="fold")
        sides.add_row(*(Text(_pretty(kept.sample.get(name))) for name in _TOLD[1:]))
        console.print(sides)


def _pretty(masked: Any) -> str:
    text = msgspec.json.format(msgspec.json.encode(masked)).decode()
    return "\n".join(map(plain, text.split("\n")))
