"""What a drain has found and not yet committed, kept so that a crash cannot change a verdict.

A replayed read sees the writes replayed before it. If a worker dies after replaying a later write, whoever takes over
would replay the read against a state that is too new. So before a write of a user is replayed, what that user's reads
have found is kept beside the lane; the next holder takes it from there instead of reading again. Keeping asks in the
same breath whether the lane is still held: a worker that was frozen past its lease does not go on to write.

So are gaps: those that live processes found wait here until they are committed, and a user is in one here before their
data is repaired. And so is the intent of a write that can't be repeated: where nobody wrote down what came of it, it
may have been made or not, and nobody makes it again.
"""

from collections.abc import Iterable, Mapping, Sequence

from ledger import FencedError, Finding, Opening
from worker.lane_facts import Left
from worker.lanes import INTENT, LaneStore, gap_name


class Journal:
    """The journal of one lane, under one lease; `left` is what earlier holders kept."""

    def __init__(self, lanes: LaneStore, lane: int, token: str, fence: int, left: Left | None = None) -> None:
        self._lanes = lanes
        self._lane = lane
        self._token = token
        self._fence = fence
        left = lanes.left(lane) if left is None else left
        self._kept = dict(left.findings)
        self._openings = dict(left.openings)
        self._intents = set(left.intents)

    @property
    def openings(self) -> Sequence[Opening]:
        """The gaps kept and not committed."""
        return list(self._openings.values())

    def known(self, capture_id: str) -> Finding | None:
        """Return what was found for a capture before, by whoever held the lane; None where nothing was kept."""
        return self._kept.get(capture_id)

    def is_ambiguous(self, capture_id: str) -> bool:
        """Tell whether a write may have been made and may not: somebody began with it and said no more."""
        return capture_id in self._intents and capture_id not in self._kept

    def intend(self, capture_id: str, findings: Sequence[Finding], openings: Sequence[Opening]) -> None:
        """Write down that a write that can't be repeated is about to be made, and what was found before it.

        Raises FencedError where the lane is held by another.
        """
        self._write(findings, openings, capture_id)
        self._intents.add(capture_id)

    def keep(self, findings: Sequence[Finding], openings: Sequence[Opening] = ()) -> None:
        """Keep what was found; raises FencedError where the lane is held by another, and nothing must be changed."""
        self._write(findings, openings)

    def _write(self, findings: Sequence[Finding], openings: Sequence[Opening], intent: str | None = None) -> None:
        named = {gap_name(opening): opening for opening in openings}
        if not self._lanes.write_journal(self._lane, self._token, findings, named, intent):
            raise FencedError(self._lane, self._fence)
        self._kept.update({found.capture_id: found for found in findings})
        self._openings.update(named)

    def take_gaps(self, until_us: int) -> Mapping[str, Opening]:
        """Take over the gaps that live processes found; raises FencedError where the lane is held by another."""
        found = self._lanes.take_gaps(self._lane, self._token, until_us)
        if found is None:
            raise FencedError(self._lane, self._fence)
        self._openings.update(found)
        return found

    def forget(self, capture_ids: Iterable[str]) -> None:
        """Forget what was found for captures: it is in the ledger already, or holds no more."""
        self._clear(capture_ids, ())

    def committed(self, findings: Sequence[Finding]) -> None:
        """Forget what is in the ledger now: these findings, and all gaps."""
        self._clear([found.capture_id for found in findings], self._openings)
        self._openings.clear()

    def _clear(self, capture_ids: Iterable[str], names: Iterable[str]) -> None:
        asked = set(capture_ids)
        kept, intents = asked & self._kept.keys(), asked & self._intents
        if gone := [*names, *kept, *(INTENT + capture_id for capture_id in intents)]:
            self._lanes.clear_journal(self._lane, gone)
        for capture_id in kept:
            del self._kept[capture_id]
        self._intents -= intents
