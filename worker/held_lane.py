"""One lane while a worker holds it: read, replay what lies below the watermark, settle, commit, trim.

A lane is idle, replaying, or settling. It settles where what was replayed may have been written live as well: until it
is known which writes came between a call and its replay, nothing is committed.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Final

import structlog

from gnomon.hashing import user_digest
from gnomon.wire import Capture, Kind, Phase
from ledger import FencedError, Finding, LaneCommit, Ledger, Position
from worker.attempts import Attempts
from worker.entries import AHEAD_US, LaneEntry
from worker.jobs import Fanout
from worker.journal import Journal
from worker.lane_entries import LaneEntries
from worker.lanes import LaneStore
from worker.looking import Look
from worker.overlaps import LONGEST_US, DoneWrites, Overlaps, Span, Writer, producer_of
from worker.replay import COMPARED, superseded
from worker.retries import Retries
from worker.selection import Due, Selection, captures_of, select, with_doubt, with_fairness
from worker.standings import LaneStandings, since_of
from worker.unreadable import unreadable

READ_ENTRIES: Final = 64  # about 500 captures of busy traffic: one commit of 5 to 10 ms
BATCH_CAPTURES: Final = 2_000  # a commit of 0.1 s; what a watermark held back for long comes in several
EXTEND_S: Final = 2.0
FOREVER_US: Final = 2**62

log = structlog.get_logger()


@dataclass(slots=True)
class _Batch:
    """What one commit will cover, of which entries, and what came of it once all replays are through."""

    selection: Selection
    chosen: list[LaneEntry]
    keeps: bool = False  #: its entries stay in the lane for now: what is not done may lie between them
    findings: list[Finding] | None = None


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
    forgotten: bool = False  #: Redis does not know of everybody who has sent to this lane, as the ledger does
    look_at: float = 0.0  #: when it is worth looking again, on the monotonic clock
    _batch: _Batch | None = None
    doubted_us: int = 0  #: up to when captures may have been replayed by somebody whose journal is gone
    _aside: bool = False  # a batch was left to the next holder
    _dual: bool = False  # a user was written to both sides, or served by enhanced
    _extended: float = field(default_factory=time.monotonic)

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
        cut, gaps = self._read_on(look.cut_us, look.error_us)
        if self.entries.strays(self.position.cut[0] - AHEAD_US, look.now_us + AHEAD_US):
            look = self.lanes.lookout.look()  # the clock may have been set since the first
            cut, more = self._read_on(look.cut_us, look.error_us)
            gaps = gaps or more
        narrow, look = look.error_us, self._widened(look)
        cut -= look.error_us - narrow
        self.standings.look(look, self.entries, gaps=gaps)
        if retried := self.retries.select(self.position):
            self._start(retried, [], look)
            return True
        ahead_us = look.now_us + AHEAD_US
        if self.position.cut[0] > ahead_us or self.entries.strays(0, ahead_us):
            return self._begin_anew(look)
        chosen = list(self.entries.waiting)
        selection = select(chosen, self.position, cut, limit=BATCH_CAPTURES)
        if selection.count:
            self._start(selection, chosen, look)
            return True
        if self.standings.changed:
            self._commit(selection, chosen, ())
        self._forget(selection, chosen)  # a crash may have come between a commit and its trim
        return False

    def _start(self, selection: Selection, chosen: list[LaneEntry], look: Look, *, newest_us: int = 0) -> None:
        self.attempts.begin(self.position)
        self._batch = _Batch(self._fair(selection, look), chosen, keeps=bool(newest_us))
        by_user = self._batch.selection.by_user
        self.fanout.start(by_user, self.standings.of(by_user), newest_us=newest_us)

    def _begin_anew(self, look: Look) -> bool:
        """Go on in a lane whose clock was set back: first all that was captured before that, then from the beginning.

        What is newly captured lies below the cut, and would be late for as long as the clock was set back. The cut is
        taken back once nothing is in the lane any more that it says is done.
        """
        self._read_to(FOREVER_US, 0)
        ahead_us = look.now_us + AHEAD_US
        old = self.entries.from_ahead(ahead_us, known=self.position.cut[0] > ahead_us)
        selection = select(old, self.position, FOREVER_US, limit=BATCH_CAPTURES)
        if selection.count:
            self._start(selection, old, look, newest_us=self.entries.newest_us + AHEAD_US)
            return True
        self.lanes.remove(self.number, old)
        self.entries.keep(old, ())
        log.warning("lane.set_back", lane=self.number, seconds=(self.position.cut[0] - look.now_us) // 1_000_000)
        self._commit(replace(selection, after=Position(self.position.read)), [], (), set_back_us=look.now_us)
        self.standings.set_back()
        return False

    def _read_on(self, wanted_us: int, error_us: int) -> tuple[int, bool]:
        """Read what is new, always through the position; return the cut that holds for what was read, and of gaps.

        Bounded by the lane's byte cap alone: while a watermark holds everything back, only the end of the stream shows
        how far it may go.
        """
        while True:
            page = self.lanes.read(self.number, self.entries.last, READ_ENTRIES)
            self.entries.take(page.entries)
            if len(page.entries) < READ_ENTRIES:
                return wanted_us, page.gaps
            if self.entries.disordered:
                continue
            # entries are left unread: below the promise that the newest one read carries, none of them can lie
            promised = min(wanted_us, self.entries.watermark - error_us)
            through = self.entries.last >= self.position.read
            if through and select(self.entries.waiting, self.position, promised).count:
                return promised, page.gaps

    def _widened(self, look: Look) -> Look:
        """Return a look that trusts clocks no more than those did who stamped what waits here."""
        return replace(look, error_us=max(look.error_us, self.entries.error_us))

    def _is_back(self, look: Look) -> bool:
        """Wait, where Redis has lost everything, until live processes have had the time to send it again."""
        if self.lanes.lookout.is_young():
            return False
        self.forgotten, self.doubted_us = False, look.now_us
        self._read_on(look.cut_us, look.error_us)
        self.entries.expect(self.lanes.senders.changed([self.number]).of(self.number), look.now_us)
        return True

    def _fair(self, selection: Selection, look: Look) -> Selection:
        known = self._writes()
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
        users = [user for user, dues in selection.by_user.items() if any(_began_by(due, last_us) for due in dues)]
        return {user: self.done_writes.spans(user_digest(user)) for user in users}

    # --- replaying → settling → idle

    def is_through(self) -> bool:
        """Tell whether all replays of the batch are; raises FencedError where the lane is held by another."""
        assert self._batch is not None
        if self._batch.findings is None:
            self._batch.findings = self.fanout.collect()
            if self._batch.findings is not None:
                self.standings.take(self.fanout.standings)
        return self._batch.findings is not None

    def settle(self, look: Look) -> bool:
        """Commit the batch once no write that came before a replay can be missing; False while one can.

        The look was taken after the replays were through. Raises FencedError where the lane is held by another.
        """
        batch, look = self._batch, self._widened(look)
        assert batch is not None
        assert batch.findings is not None
        doubtful = self._doubtful(batch, look)
        if doubtful:
            replayed_us = max(finding.replayed_us for finding in doubtful.values())
            if look.alive and look.cut_us < replayed_us:
                return False
            batch.findings = self._superseded(batch.findings, doubtful, replayed_us, look)
        findings = self.retries.settled((*batch.findings, *map(unreadable, batch.selection.unreadable)))
        self._commit(batch.selection, batch.chosen, findings)
        self._batch = None
        if not batch.keeps:
            self._forget(batch.selection, batch.chosen)
        return True

    def _doubtful(self, batch: _Batch, look: Look) -> dict[str, Finding]:
        """Return the findings, by capture id, of calls that a live write may have come between and their replay."""
        assert batch.findings is not None
        if not (self._dual or look.may_be_dual):
            return {}  # what is replayed is written by the lane alone
        return {found.capture_id: found for found in batch.findings if found.replayed_us and found.outcome in COMPARED}

    def _superseded(
        self, findings: Sequence[Finding], doubtful: Mapping[str, Finding], replayed_us: int, look: Look
    ) -> list[Finding]:
        gaps = self.standings.look(look, self.entries, gaps=self._read_to(replayed_us, look.error_us))
        writes, lost = self._writes(), since_of(gaps)
        overlaps = {user: Overlaps(map(Span.of, found), look.error_us) for user, found in writes.items()}
        late: set[str] = set()
        for capture in captures_of(self.entries.waiting):
            finding = doubtful.get(capture.id)
            if finding is None:
                continue
            known = overlaps.get(capture.user)
            before_us = finding.replayed_us + look.error_us
            if (known and known.superseded(capture, finding.replayed_us)) or lost(capture.user) < before_us:
                late.add(capture.id)
        return [superseded(finding) if finding.capture_id in late else finding for finding in findings]

    def _read_to(self, moment_us: int, error_us: int) -> bool:
        """Read on until no write is unread that began before a moment; returns whether there are gaps."""
        while True:
            page = self.lanes.read(self.number, self.entries.last, READ_ENTRIES)
            self.entries.take(page.entries)
            if len(page.entries) < READ_ENTRIES or self.entries.watermark - error_us >= moment_us:
                return page.gaps

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

    def _commit(
        self,
        selection: Selection,
        chosen: list[LaneEntry],
        findings: tuple[Finding, ...],
        *,
        set_back_us: int | None = None,
    ) -> None:
        done = _last_writes(selection)
        floor_us = selection.after.cut[0] - LONGEST_US
        self.lanes.before_commit(self.number, done, floor_us)
        told = self.lanes.senders.changed([self.number])
        seen = self.entries.seen_with(chosen)
        self._clear_unready()
        self.ledger.commit(
            LaneCommit(
                lane=self.number,
                fence=self.fence,
                before=self.position,
                after=selection.after,
                findings=findings,
                sent=told.of(self.number),
                seen=seen,
                refilled=self.entries.fills(seen),
                standings=self.standings.changed,
                set_back_us=set_back_us,
            )
        )
        self.lanes.senders.taken(told)
        self.position = selection.after
        self.entries.committed(chosen, seen, self.position)
        self.done_writes.add(done, floor_us)
        self.journal.committed(findings)
        self.standings.committed()
        self.lanes.mark_done(self.number, self.position.cut[0], self.attempts.counted)
        self.attempts.committed()
        for finding in findings:
            self.count(finding)

    def _clear_unready(self) -> None:
        """Let go of exceptions: what enhanced lacked of these users it has, whoever commits."""
        cleared, self.fanout.cleared = self.fanout.cleared, {}
        if cleared:
            self.lanes.clear_unready(cleared)

    def _forget(self, selection: Selection, chosen: list[LaneEntry]) -> None:
        """Let go of entries that are done; those read since are behind them."""
        self.entries.keep(chosen, selection.held)
        if selection.trim:
            self.lanes.trim(self.number, *selection.trim)

    def release(self) -> bool:
        """Give the lane back; True where somebody must be asked to drain what is left."""
        return self.lanes.release(self.number, self.token, aside=self._aside)


def _began_by(due: Due, moment_us: int) -> bool:
    capture = due.item.capture
    return capture is not None and capture.kind is not Kind.WRITE and capture.start <= moment_us


def _last_writes(selection: Selection) -> dict[Writer, int]:
    """Return the ends of the last writes of each user and process; dues lie in the order of their ends."""
    done: dict[Writer, int] = {}
    for user, dues in selection.by_user.items():
        ends = {
            producer_of(due.item.capture.id): due.item.capture.end
            for due in dues
            if due.item.capture is not None and due.item.capture.kind is Kind.WRITE
        }
        if ends:
            digest = user_digest(user)
            done |= {(digest, producer): end for producer, end in ends.items()}
    return done
