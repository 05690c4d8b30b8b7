"""Puts rules into words: a table of them, and what one would hide."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from rich.console import Console, Group, RenderableType
from rich.text import Text

from console.facts import counted
from console.output import cell, plain
from console.tables import table_of
from ledger import Listed, Preview


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The rules, the version of their set, and whether the open epoch is still to be counted anew by it."""

    shown: Sequence[Listed]
    version: int
    not_rejudged: bool
    now: datetime

    def as_json(self) -> dict[str, Any]:
        """Return all of it."""
        rules = [msgspec.to_builtins(rule) for rule in self.shown]
        return {"version": self.version, "not_rejudged": self.not_rejudged, "rules": rules}

    def __rich_console__(self, console: Console, _: object) -> Iterator[RenderableType]:
        """Yield the table, and what is to be known of the set."""
        if self.shown:
            yield _table(self)
            yield ""
        yield Text(f"Rule set version {self.version}." if self.version else "No rule was ever made.")
        if self.not_rejudged:
            yield Text("What is kept of the open epoch is not counted by it yet: gnomon rejudge")


def _table(rules: Rules) -> RenderableType:
    table = table_of("rule", right=("hits", "of which now"))
    table.add_column("allows", overflow="fold")
    table.add_column("by", overflow="fold")
    table.add_column("until", no_wrap=True)
    for rule in rules.shown:
        allows = Group(cell(f"{rule.kind} at {rule.path} of {rule.operation}"), Text(plain(rule.reason), style="dim"))
        figures = (f"{rule.hits:,}", f"{rule.hits_in_epoch:,}")
        table.add_row(str(rule.id), *figures, allows, cell(rule.author), _until(rule, rules.now))
    return table


def _until(rule: Listed, now: datetime) -> str:
    if rule.ended_at is not None:
        return f"{'retired' if rule.ended_by else 'expired'} {rule.ended_at:%Y-%m-%d}"
    if rule.expires_at is None:
        return "-"
    return "expired" if rule.expires_at <= now else f"{rule.expires_at:%Y-%m-%d %H:%M}"


def preview_as_json(preview: Preview) -> dict[str, Any]:
    """Return a preview as commands print it."""
    found: dict[str, Any] = msgspec.to_builtins(preview)
    return {**found, "refused": preview.critical > 0}


def in_words(preview: Preview) -> Iterator[str]:
    """Say what a rule would hide."""
    if not preview.groups:
        yield "It names nothing that was seen so far."
        return
    critical = f", {preview.critical:,} critical: refused" if preview.critical else ", none critical"
    yield f"It hides {counted(preview.hides, 'divergence')} of the open epoch{critical}."
    if preview.in_part:
        yield f"Of {preview.in_part:,} more it allows a part; they stay divergences."
    yield f"Groups: {', '.join(preview.groups)}"
