"""One lane while a worker holds it: read, replay what lies below the watermark, commit, trim."""

import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Final

from ledger import Finding, LaneCommit, Ledger, Position
from worker.jobs import Fanout
from worker.journal import Journal
from worker.lanes import LaneEntry, LaneStore
from worker.replay import unreadable
from worker.selection import Selection, select

READ_ENTRIES: Final = 64  # about 500 captures of busy traffic: one commit of 5 to 10 ms
BATCH_CAPTURES: Final = 2_000  # a commit of 0.1 s; what a watermark held back for long comes in several
EXTEND_S: Final = 2.0


@dataclass(slots=True, kw_only=True)
class HeldLane:
    """A lane under lease and fence. `step` moves it on; it is never waited for."""

    number: int
    token: str
    fence: int
    position: Position
    lanes: LaneStore
    ledger: Ledger
    journal: Journal
    fanout: Fanout
    count: Callable[[Finding], None]
    look_at: float = 0.0  #: when it is worth looking for what may be replayed, on the monotonic clock
    _entries: list[LaneEntry] = field(default_factory=list)
    _selection: Selection | None = None
    _extended: float = field(default_factory=time.monotonic)
    _more: bool = True

    @property
    def busy(self) -> bool:
        """Whether a batch is under way."""
        return self._selection is not None

    @property
    def waiting(self) -> bool:
        """Whether entries were read that may not be replayed yet."""
        return bool(self._entries)

    @property
    def futures(self) -> list[Future[list[Finding]]]:
        """What the batch under way waits for."""
        return self.fanout.futures

    def keep(self) -> bool:
        """Extend the lease where it is time to; False where the lane is lost."""
        if time.monotonic() - self._extended < EXTEND_S:
            return True
        self._extended = time.monotonic()
        return self.lanes.extend(self.number, self.token)

    def begin(self, watermark: int) -> bool:
        """Read on and start the next batch; False where nothing may be replayed now.

        `watermark` was asked for before reading: everything below it has been appended by then.
        """
        cut = self._read(watermark)
        selection = select(self._entries, self.position, cut, limit=BATCH_CAPTURES)
        if not selection.count:
            self._forget(selection)  # a crash may have come between a commit and its trim
            return False
        self._selection = selection
        self.fanout.start(list(selection.by_user.values()))
        return True

    def _read(self, watermark: int) -> int:
        """Read what is new, always through the position; return the cut that holds for what was read.

        Bounded by the lane's byte cap alone: while a watermark holds everything back, only the end of the stream shows
        how far it may go.
        """
        last = self._entries[-1].id if self._entries else (0, 0)
        while True:
            fresh = self.lanes.read(self.number, last, READ_ENTRIES)
            self._entries += fresh
            if len(fresh) < READ_ENTRIES:
                return watermark
            last = fresh[-1].id
            # entries are left unread: below the promise that the newest one read carries, none of them can lie
            promised = max(entry.watermark for entry in self._entries)
            if last >= self.position.read and select(self._entries, self.position, promised).count:
                return promised

    def finish(self) -> bool:
        """Commit the batch if all its users are through; False while they are not."""
        assert self._selection is not None
        findings = self.fanout.collect()
        if findings is None:
            return False
        selection, self._selection = self._selection, None
        everything = (*findings, *(unreadable(due) for due in selection.unreadable))
        self.ledger.commit(
            LaneCommit(
                lane=self.number,
                fence=self.fence,
                before=self.position,
                after=selection.after,
                findings=everything,
                funnel=self.lanes.funnels(range(self.number, self.number + 1)),
            )
        )
        self.position = selection.after
        self.journal.committed(everything)
        for finding in everything:
            self.count(finding)
        self._forget(selection)
        return True

    def _forget(self, selection: Selection) -> None:
        self._entries = selection.held
        if selection.trim:
            self.lanes.trim(self.number, *selection.trim)

    def release(self) -> bool:
        """Give the lane back; True where somebody must be asked to drain what is left."""
        return self.lanes.release(self.number, self.token)
