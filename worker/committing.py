"""Commits lanes: what goes to Redis before it, the ledger's transaction, what goes to Redis behind it.

Lanes whose batches are through at the same moment share all three, for most of that costs the same for one capture as
for hundreds. Each is fenced alone: what another has taken meanwhile is left out, and the others go in.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from ledger import FencedError, Finding, LaneCommit, Ledger, PairedRuns
from worker.entries import LaneEntry
from worker.lane_facts import After, Before
from worker.lanes import LaneStore
from worker.overlaps import LONGEST_US
from worker.selection import Selection, last_writes

if TYPE_CHECKING:
    from worker.held_lane import HeldLane

MOST_FINDINGS: Final = 2_000  # in one transaction of several lanes: 0.1 s, for which others wait


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """What a lane is to commit, and the entries that it is done with then."""

    held: "HeldLane"
    selection: Selection
    chosen: Sequence[LaneEntry]
    findings: tuple[Finding, ...] = ()
    pairs: tuple[PairedRuns, ...] = ()
    set_back_us: int | None = None
    keeps: bool = False  #: its entries stay in the lane for now: what is not done may lie between them
    before: Before = field(init=False)  #: what whoever holds the lane next must know before this is committed

    def __post_init__(self) -> None:
        before = Before(last_writes(self.selection), self.selection.after.cut[0] - LONGEST_US)
        object.__setattr__(self, "before", before)

    @property
    def after(self) -> After:
        """What is done in the lane once this is committed."""
        held = self.held
        trim = None if self.keeps else self.selection.trim
        return After(held.token, held.position.cut[0], held.attempts.counted, trim)


def commit_one(lanes: LaneStore, ledger: Ledger, pending: Pending) -> None:
    """Commit one lane; raises FencedError where another has taken it."""
    if commit(lanes, ledger, [pending]):
        raise FencedError(pending.held.number, pending.held.fence)


def parts(pending: Sequence[Pending]) -> list[list[Pending]]:
    """Split what is to be committed into transactions that are long enough."""
    parts: list[list[Pending]] = []
    room = 0
    for each in pending:
        if not parts or len(each.findings) > room:
            parts.append([])
            room = MOST_FINDINGS
        parts[-1].append(each)
        room -= len(each.findings)
    return parts


def commit(lanes: LaneStore, ledger: Ledger, pending: Sequence[Pending]) -> list["HeldLane"]:
    """Commit lanes; returns those that another has taken, which committed nothing."""
    lanes.before_commit({each.held.number: each.before for each in pending})
    told = lanes.senders.changed([each.held.number for each in pending])
    commits = [(each, each.held.commit_of(each, told.of(each.held.number))) for each in pending]
    gone_in = _write(ledger, [commit for _, commit in commits])
    lanes.senders.taken(told.only(gone_in))
    after: dict[int, After] = {}
    for each, written in commits:
        if written.lane in gone_in:
            each.held.committed(each, written)
            after[written.lane] = each.after
    lanes.after_commit(after)
    for each, written in commits:
        if written.lane in gone_in:
            each.held.let_go(each)
    return [each.held for each, written in commits if written.lane not in gone_in]


def _write(ledger: Ledger, commits: Sequence[LaneCommit]) -> set[int]:
    """Return the lanes whose commits went in."""
    plain = [one for one in commits if one.plain]
    alone = [one for one in commits if not one.plain] if len(plain) > 1 else commits
    gone_in = ledger.commit_together(plain) if len(plain) > 1 else set[int]()
    for one in alone:
        with suppress(FencedError):
            ledger.commit(one)
            gone_in.add(one.lane)
    return gone_in
