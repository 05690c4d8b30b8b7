"""What a drain has found and not yet committed, kept so that a crash cannot change a verdict.

A replayed read sees the writes replayed before it. If a worker dies after replaying a later write, whoever takes over
would replay the read against a state that is too new. So before a write of a user is replayed, what that user's reads
have found is kept beside the lane; the next holder takes it from there instead of reading again. Keeping asks in the
same breath whether the lane is still held: a worker that was frozen past its lease does not go on to write.
"""

from collections.abc import Sequence

from ledger import FencedError, Finding
from worker.lanes import LaneStore


class Journal:
    """The journal of one lane, under one lease."""

    def __init__(self, lanes: LaneStore, lane: int, token: str, fence: int) -> None:
        self._lanes = lanes
        self._lane = lane
        self._token = token
        self._fence = fence
        self._kept = lanes.journal(lane)

    def known(self, capture_id: str) -> Finding | None:
        """Return what was found for a capture before, by whoever held the lane; None where nothing was kept."""
        return self._kept.get(capture_id)

    def keep(self, findings: Sequence[Finding]) -> None:
        """Keep findings; raises FencedError where the lane is held by another, and the write must not happen."""
        if not self._lanes.write_journal(self._lane, self._token, findings):
            raise FencedError(self._lane, self._fence)
        self._kept.update({found.capture_id: found for found in findings})

    def committed(self, findings: Sequence[Finding]) -> None:
        """Forget what is in the ledger now."""
        if gone := [found.capture_id for found in findings if found.capture_id in self._kept]:
            self._lanes.clear_journal(self._lane, gone)
            for capture_id in gone:
                del self._kept[capture_id]
