"""What is known of a lane before it is read, while it is, and when something of it is committed."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from ledger import Finding, Opening
from worker.entries import EntryId, LaneEntry
from worker.overlaps import Writer


class Page(NamedTuple):
    """What was read of a lane in one go; `gaps`: some writes will be missing from it."""

    entries: list[LaneEntry]
    gaps: bool


@dataclass(frozen=True, slots=True)
class Left:
    """What earlier holders of a lane left to the next."""

    findings: dict[str, Finding] = field(default_factory=dict)  #: by capture id
    openings: dict[str, Opening] = field(default_factory=dict)  #: gaps found and not committed, by name
    writes: dict[Writer, int] = field(default_factory=dict)  #: the ends of the last that were done, µs
    senders: frozenset[str] = frozenset()  #: the processes that have sent to the lane
    attempts: dict[str, int] = field(default_factory=dict)  #: by capture id, of those at work when a holder died
    doubted_us: int = 0  #: up to when captures may have been replayed and their findings forgotten, by Redis; 0: none
    intents: frozenset[str] = frozenset()  #: capture ids of writes that can't be repeated and may have been made


class Before(NamedTuple):
    """What is known of a lane before a commit: the ends of the last writes that it covers, µs, and which are old."""

    writes: Mapping[Writer, int]
    floor_us: int


class After(NamedTuple):
    """What is known of a lane after a commit.

    Up to where it is done, by whom it is held, which attempts are to be forgotten, and which entry is the first to be
    kept, with the bytes appended before it; None to keep all.
    """

    token: str
    cut_us: int
    attempted: Collection[str]
    trim: tuple[EntryId, int] | None
