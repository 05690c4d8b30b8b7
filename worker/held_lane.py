"""One lane while a worker holds it: read, replay what lies below the watermark, settle, commit, trim.

A lane is idle, replaying, or settling. It settles where what was replayed may have been written live as well: until it
is known which writes came between a call and its replay, nothing is committed.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Final

import structlog

from gnomon.hashing import user_digest
from gnomon.wire import Capture, Kind, Phase
from ledger import FencedError, Finding, LaneCommit, Ledger, PairedRuns, Position, Sent
from worker.attempts import Attempts
from worker.committing import Pending, commit_one
from worker.entries import AHEAD_US, LaneEntry
from worker.fanout import Fanout
from worker.findings import COMPARED, superseded
from worker.journal import Journal
from worker.lane_entries import LaneEntries
from worker.lanes import LaneStore
from worker.looking import Look
from worker.overlaps import DoneWrites, Span, overtaken
from worker.pairs import Around, doubted, settled
from worker.reading import Reader
from worker.retries import Retries
from worker.rulebook import Rulebook
from worker.selection import (
    Selection,
    began_by,
    captures_of,
    ids_of,
    select,
    with_doubt,
    with_fairness,
    with_step,
)
from worker.standings import LaneStandings, since_of
from worker.unreadable import unreadable

BATCH_CAPTURES: Final = 2_000  # a commit of 0.1 s; what a watermark held back for long comes in several
EXTEND_S: Final = 2.0
PAIRS_S: Final = 1.5  # a sample holds no commit up for longer; a beat is due every 0.25 s
FOREVER_US: Final = 2**62

log = structlog.get_logger()


@dataclass(slots=True)
class _Batch:
    """What one commit will cover, of which entries, and what came of it once all replays are through."""

    selection: Selection
    chosen: list[LaneEntry]
    keeps: bool = False  #: its entries stay in the lane for now: what is not done may lie between them
    findings: list[Finding] | None = None
    pairs: list[PairedRuns] = field(default_factory=list)
    through_at: float = 0.0  #: when all replays were through, on the monotonic clock


@dataclass(slots=True, kw_only=True)
class HeldLane:
    """A lane under lease and fence. Its steps move it on; it is never waited for."""

    number: int
    token: str
    fence: int
    position: Position
    lanes: LaneStore
    ledger: Ledger
    journal: Journal
    fanout: Fanout
    standings: LaneStandings
    done_writes: DoneWrites
    entries: LaneEntries
    retries: Retries
    attempts: Attempts
    count: Callable[[Finding], None]
    rulebook: Rulebook
    forgotten: bool = False  #: Redis does not know of everybody who has sent to this lane, as the ledger does
    look_at: float = 0.0  #: when it is worth looking again, on the monotonic clock
    idle_since: float = 0.0  #: on the monotonic clock
    _batch: _Batch | None = None
    doubted_us: int = 0  #: up to when captures may have been replayed by somebody whose journal is gone
    _aside: bool = False  # a batch was left to the next holder
    _dual: bool = False  # a user was written to both sides, or served by enhanced
    _extended: float = field(default_factory=time.monotonic)
    _reader: Reader = field(init=False)

    def __post_init__(self) -> None:
        self._reader = Reader(self.number, self.lanes, self.entries)

    @property
    def busy(self) -> bool:
        """Whether a batch is under way."""
        return self._batch is not None

    @property
    def replaying(self) -> bool:
        """Whether replays of the batch are under way."""
        return self._batch is not None and self._batch.findings is None

    @property
    def paused(self) -> bool:
        """Whether replays of the batch wait for a target to answer again, and none is under way."""
        return self.replaying and self.fanout.paused

    @property
    def settling(self) -> bool:
        """Whether all replays of the batch are through and only its commit is left."""
        return self._batch is not None and self._batch.findings is not None

    @property
    def waiting(self) -> bool:
        """Whether there is something that may not be replayed yet."""
        return self.forgotten or bool(self.entries.waiting)

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

    # --- idle → replaying

    def begin(self, look: Look) -> bool:
        """Read on and start the next batch; False where nothing may be replayed now.

        The look was taken before reading: everything below its watermark has been appended by then. Raises FencedError
        where the lane is held by another.
        """
        if self.forgotten and not self._is_back(look):
            return False
        cut, gaps = self._reader.read_on(look.cut_us, look.error_us, self.position)
        if self.entries.strays(self.position.cut[0] - AHEAD_US, look.now_us + AHEAD_US):
            look = self.lanes.lookout.look()  # the clock may have been set since the first
            cut, more = self._reader.read_on(look.cut_us, look.error_us, self.position)
            gaps = gaps or more
        look = self._widened(look)
        self.standings.look(look, self.entries, gaps=gaps)
        if retried := self.retries.select(self.position):
            self._start(retried, [], look)
            return True
        if self._is_ahead(look) or self.entries.set_back(look.now_us):
            return self._begin_anew(look, cut)
        chosen = list(self.entries.waiting)
        selection = select(chosen, self.position, cut, limit=BATCH_CAPTURES)
        if selection.count:
            self._start(selection, chosen, look)
            return True
        if self.standings.changed:
            self._commit(Pending(held=self, selection=selection, chosen=chosen))
        else:
            self._forget(selection, chosen)  # a crash may have come between a commit and its trim
        return False

    def _start(
        self,
        selection: Selection,
        chosen: list[LaneEntry],
        look: Look,
        *,
        newest_us: int = 0,
        keeps: bool = False,
    ) -> None:
        self.attempts.begin(self.position)
        writes = self._writes()
        self._batch = _Batch(self._fair(selection, writes, look), chosen, keeps=keeps)
        by_user = self._batch.selection.by_user
        followed = {user for user, found in writes.items() if any(one.order > selection.after.cut for one in found)}
        around = Around(followed, behind=not self._reader.at_end)
        newest_us = max(newest_us, look.now_us, self.lanes.lookout.now_us())
        self.fanout.start(by_user, self.standings.of(by_user), newest_us=newest_us, around=around)

    def _is_ahead(self, look: Look) -> bool:
        return self.position.cut[0] > look.now_us + AHEAD_US

    def _begin_anew(self, look: Look, cut: int) -> bool:
        """Go on in a lane whose clock was set back: first all that was captured before that, then from the beginning.

        What is newly captured lies below the cut, and would be late for as long as the clock was set back. The cut is
        taken back once nothing is in the lane any more that it says is done. Times that follow one another in the lane
        are gone through one by one: what lies between two is dealt with as ever, and before the second.
        """
        self._reader.read_to(FOREVER_US, 0)
        before, old = self.entries.split(look.now_us, position_too=self._is_ahead(look))
        newest_us = self.entries.newest_us + AHEAD_US
        selection = select(before, self.position, cut, limit=BATCH_CAPTURES)
        if selection.count or selection.held:
            return self._begin_before(selection, before, look, newest_us)
        selection = select(old, self.position, FOREVER_US, limit=BATCH_CAPTURES)
        if selection.count:
            promised_us = max(entry.watermark for entry in old) - look.error_us
            self._start(with_step(selection, promised_us), old, look, newest_us=newest_us, keeps=True)
            return True
        if self.lanes.lookout.is_young():  # what it has forgotten may be sent again: it must find the cut where it was
            return False
        done = [*before, *old]
        if not self.lanes.remove(self.number, self.token, done):  # what is done must be gone before the cut goes back
            raise FencedError(self.number, self.fence)
        self.entries.keep(done, ())
        log.warning("lane.set_back", lane=self.number, seconds=(self.position.cut[0] - look.now_us) // 1_000_000)
        selection = replace(selection, after=Position(self.position.read))
        self._commit(Pending(held=self, selection=selection, chosen=[], set_back_us=look.now_us, keeps=True))
        self.standings.set_back()
        return False

    def _begin_before(self, selection: Selection, before: list[LaneEntry], look: Look, newest_us: int) -> bool:
        """Deal with what came before the old time as ever: some of it may have to wait for a watermark."""
        if selection.count:
            self._start(selection, before, look, newest_us=newest_us)
            return True
        self._forget(selection, before)
        return False

    def _widened(self, look: Look) -> Look:
        """Return a look that trusts clocks no more than those did who stamped what waits here."""
        return replace(look, error_us=max(look.error_us, self.entries.error_us))

    def _is_back(self, look: Look) -> bool:
        """Wait, where Redis has lost everything, until live processes have had the time to send it again."""
        if self.lanes.lookout.is_young():
            return False
        self.forgotten, self.doubted_us = False, look.now_us
        self._reader.read_on(look.cut_us, look.error_us, self.position)
        self.entries.expect(self.lanes.senders.changed([self.number]).of(self.number), look.now_us)
        return True

    def _fair(self, selection: Selection, known: Mapping[str, list[Capture]], look: Look) -> Selection:
        before = self._writes_before(selection, look.error_us)
        if self.doubted_us:
            selection = with_doubt(selection, known, self.doubted_us)
        return with_fairness(selection, known, before, error_us=look.error_us, now_us=look.now_us)

    def _writes(self) -> dict[str, list[Capture]]:
        """Return all writes among the entries, by user."""
        writes: defaultdict[str, list[Capture]] = defaultdict(list)
        for capture in captures_of(self.entries.waiting):
            if capture.phase is not Phase.SHADOW:
                self._dual = True
            if capture.kind is Kind.WRITE:
                writes[capture.user].append(capture)
        return writes

    def _writes_before(self, selection: Selection, error_us: int) -> dict[str, list[Span]]:
        """Return the last writes that are done already, of users with a call that was under way at the last cut."""
        last_us = self.position.cut[0] + error_us
        users = [user for user, dues in selection.by_user.items() if any(began_by(due, last_us) for due in dues)]
        return {user: self.done_writes.spans(user_digest(user)) for user in users}

    # --- replaying → settling → idle

    def is_through(self) -> bool:
        """Tell whether all replays of the batch are; raises FencedError where the lane is held by another."""
        assert self._batch is not None
        if self._batch.findings is None:
            self._batch.findings = self.fanout.collect()
            if self._batch.findings is not None:
                self.standings.take(self.fanout.standings)
                self._batch.pairs, self._batch.through_at = self.fanout.pairs, time.monotonic()
        return self._batch.findings is not None

    def settle(self, look: Look) -> Pending | None:
        """Return what is to be committed once no write that came before a replay can be missing; None while one can.

        The look was taken after the replays were through. Raises FencedError where the lane is held by another.
        """
        batch, look = self._batch, self._widened(look)
        assert batch is not None
        assert batch.findings is not None
        doubtful = self._doubtful(batch, look)
        replayed_us = max(doubtful.values(), default=0)
        asked_us = max(replayed_us, *(pair.ended_us for pair in batch.pairs), 0)
        if look.alive and look.cut_us < asked_us:
            if look.cut_us < replayed_us or time.monotonic() < batch.through_at + PAIRS_S:
                return None
            batch.pairs, asked_us = doubted(batch.pairs), replayed_us
        if asked_us:
            gaps = self.standings.look(look, self.entries, gaps=self._reader.read_to(asked_us, look.error_us))
            writes, lost, done = self._writes(), since_of(gaps), ids_of(batch.selection.by_user)
            late = overtaken(captures_of(self.entries.waiting), doubtful, writes, lost, look.error_us)
            batch.findings = [superseded(found) if found.capture_id in late else found for found in batch.findings]
            batch.pairs = settled(batch.pairs, writes, done, lost, look.error_us)
        batch.findings = self.rulebook.on_all(batch.findings)
        findings = self.retries.settled((*batch.findings, *map(unreadable, batch.selection.unreadable)))
        return Pending(
            held=self,
            selection=batch.selection,
            chosen=batch.chosen,
            findings=findings,
            pairs=tuple(batch.pairs),
            keeps=batch.keeps,
        )

    def _doubtful(self, batch: _Batch, look: Look) -> dict[str, int]:
        """Return by capture id when calls were replayed that a live write may have come between and their replay."""
        assert batch.findings is not None
        if not (self._dual or look.may_be_dual):
            return {}  # what is replayed is written by the lane alone
        compared = [found for found in batch.findings if found.replayed_us and found.outcome in COMPARED]
        return {found.capture_id: found.replayed_us for found in compared}

    def regain(self) -> None:
        """Take the lease again where it is gone: it ran out, or Redis has forgotten it.

        Raises FencedError where another has taken the lane over since.
        """
        if self.ledger.fence(self.number) != self.fence:
            raise FencedError(self.number, self.fence)
        self.lanes.regain(self.number, self.token)

    def put_aside(self, *, again: bool = False) -> None:
        """Leave a batch to whoever holds the lane next: nothing of it that is through is replayed again.

        `again`: also what was kept before, which may have been forgotten. Raises FencedError where the lane is held by
        another.
        """
        batch = self._batch
        assert batch is not None
        if batch.findings is None:
            batch.findings = self.fanout.leave()
            self.standings.take(self.fanout.standings)
        fresh = [finding for finding in batch.findings if again or self.journal.known(finding.capture_id) is None]
        self.journal.keep(fresh, [standing.opening() for standing in self.standings.changed if standing.is_open])
        self._batch, self._aside = None, True
        self._clear_unready()

    # --- the commit

    def _commit(self, pending: Pending) -> None:
        commit_one(self.lanes, self.ledger, pending)

    def commit_of(self, pending: Pending, sent: Mapping[str, Sent]) -> LaneCommit:
        """Return what the ledger is to take in; `sent` is what processes have sent, asked after the entries were read.

        Whoever is repaired by then is excepted no more.
        """
        self._clear_unready()
        seen = self.entries.seen_with(pending.chosen)
        return LaneCommit(
            lane=self.number,
            fence=self.fence,
            before=self.position,
            after=pending.selection.after,
            findings=pending.findings,
            sent=sent,
            seen=seen,
            refilled=self.entries.fills(seen),
            standings=self.standings.changed,
            pairs=pending.pairs,
            set_back_us=pending.set_back_us,
        )

    def committed(self, pending: Pending, commit: LaneCommit) -> None:
        """Go on from what is in the ledger now; a batch that was under way is through. Asks nobody."""
        if self._batch is not None:
            self._batch, self.idle_since = None, time.monotonic()
        self.position = commit.after
        self.entries.committed(pending.chosen, commit.seen, self.position)
        before = pending.before
        self.done_writes.add(before.writes, before.floor_us)
        for finding in pending.findings:
            self.count(finding)

    def let_go(self, pending: Pending) -> None:
        """Forget what was kept until this was committed, here and in Redis."""
        self.journal.committed(pending.findings)
        self.standings.committed()
        self.attempts.committed()
        if not pending.keeps:
            self.entries.keep(pending.chosen, pending.selection.held)

    def _clear_unready(self) -> None:
        """Let go of exceptions: what enhanced lacked of these users it has, whoever commits."""
        cleared, self.fanout.cleared = self.fanout.cleared, {}
        if cleared:
            self.lanes.clear_unready(cleared)

    def _forget(self, selection: Selection, chosen: list[LaneEntry]) -> None:
        """Let go of entries that are done; those read since are behind them."""
        self.entries.keep(chosen, selection.held)
        if selection.trim:
            self.lanes.trim(self.number, self.token, *selection.trim)

    def release(self) -> bool:
        """Give the lane back; True where somebody must be asked to drain what is left."""
        return self.lanes.release(self.number, self.token, aside=self._aside)
