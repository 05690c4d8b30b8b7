"""Puts parked captures into words: a table of them, and one with what it holds, masked."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import msgspec
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from comparators import mask, nameless
from console.facts import age, counted
from console.output import plain
from gnomon.hashing import user_digest
from ledger import Parked, ParkedState

WIDE: Final = 110  # columns: room for dates
_NOBODY: Final = user_digest("")
_DECODES: Final = (msgspec.MsgspecError, RecursionError, UnicodeDecodeError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """Some parked captures, and how many there are by reason and state."""

    shown: Sequence[Parked]
    totals: Mapping[tuple[str, str], int]
    now: datetime

    def as_json(self) -> dict[str, Any]:
        """Return all of it."""
        totals = [{"reason": r, "state": s, "captures": n} for (r, s), n in _ordered(self.totals)]
        return {"totals": totals, "parked": [as_json(one) for one in self.shown]}

    def __rich_console__(self, console: Console, _: object) -> Iterator[RenderableType]:
        """Yield the table, and what it adds up to."""
        if self.shown:
            yield _table(self, wide=console.width >= WIDE)
            yield ""
        yield from map(Text, self._sums())

    def _sums(self) -> Iterator[str]:
        for state in ParkedState:
            reasons = [(reason, count) for (reason, of), count in _ordered(self.totals) if of == state]
            if reasons:
                named = ", ".join(f"{plain(reason)} {count:,}" for reason, count in reasons)
                yield f"{sum(count for _, count in reasons):,} {state}: {named}"
        hidden = sum(self.totals.values()) - len(self.shown)
        if hidden > 0:
            yield f"{hidden:,} more are not shown: --limit"
        if not self.totals:
            yield "Nothing of that is parked."


def as_json(one: Parked) -> dict[str, Any]:
    """Return one parked capture as `--json` prints it."""
    document: dict[str, Any] = msgspec.to_builtins(one)
    return {"id": document.pop("capture_id"), **document}


def _ordered(totals: Mapping[tuple[str, str], int]) -> list[tuple[tuple[str, str], int]]:
    return sorted(totals.items(), key=lambda item: (-item[1], item[0]))


def _table(listing: Listing, *, wide: bool) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2 if wide else 1, 0, 0))
    table.add_column("id", no_wrap=True, overflow="fold")
    for name in ("operation", "reason"):
        table.add_column(name, overflow="fold")
    table.add_column("when (UTC)" if wide else "ago", no_wrap=True, justify="left" if wide else "right")
    table.add_column("lane", justify="right")
    table.add_column("state", no_wrap=True)
    table.add_column("retries", justify="right")
    for one in listing.shown:
        when = f"{one.parked_at:%Y-%m-%d %H:%M:%S}" if wide else age((listing.now - one.parked_at).total_seconds())
        cells = (one.capture_id, one.operation, one.reason, when, str(one.lane), one.state, str(one.retries))
        table.add_row(*(Text(plain(cell)) for cell in cells))
    return table


# --- one of them


@dataclass(frozen=True, slots=True)
class Held:
    """What a parked capture holds, as far as it can be read: masked, or the reason why there is nothing to see."""

    masked: Any
    problem: str = ""

    @classmethod
    def of(cls, one: Parked, payload: bytes) -> "Held":
        """Look into a payload; never raises, whatever it is."""
        if one.state == ParkedState.DISCARDED:
            return cls(None, "discarded: what it held is gone")
        try:
            document = msgspec.json.decode(payload)
        except _DECODES:
            return cls(None, f"cannot be decoded: {counted(len(payload), 'byte')}, {plain(one.reason)}")
        masked = mask(document)
        return cls(nameless(masked, masked.get("user") if isinstance(masked, dict) else None))


def show(one: Parked, held: Held, console: Console) -> None:
    """Print one parked capture with what it holds."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in _facts(one):
        grid.add_row(name, Text(plain(value)))
    grid.add_row("holds", Text(held.problem or _pretty(held.masked)))
    console.print(grid)


def _facts(one: Parked) -> Iterator[tuple[str, str]]:
    yield "id", one.capture_id
    yield "operation", f"{one.operation}, epoch {one.epoch}, {one.exposure}"
    yield "reason", one.reason
    yield "parked", f"{one.parked_at:%Y-%m-%d %H:%M:%S} UTC, from lane {one.lane}"
    yield "user", "not known" if one.user_digest == _NOBODY else one.user_digest
    yield "state", one.state + (f", retried {counted(one.retries, 'time')}" if one.retries else "")
    if one.decided_at is not None:
        yield "decided", f"{one.decided_at:%Y-%m-%d %H:%M:%S} UTC by {one.decided_by}"
    if one.why:
        yield "why", one.why
    yield "size", counted(one.size_bytes, "byte")


def _pretty(masked: Any) -> str:
    text = msgspec.json.format(msgspec.json.encode(masked)).decode()
    return "\n".join(map(plain, text.split("\n")))
