"""Where the users of one lane stand, as its holder knows it: loaded in bulk, changed by gaps found, committed with it.

A gap must take effect on the batch in which it is found. So gaps are looked for after the watermark was asked for: a
live process appends the gap of a lost write before its watermark passes the start of that write, and one that died is
among the dead as soon as the watermark no longer waits for it. Either way, whatever is below the cut and behind the
gap is known to be.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from gnomon.hashing import user_digest
from gnomon.readiness import EVERYBODY
from ledger import UNVERIFIED, Hold, Ledger, Opening, Standing, everyone_of
from worker.entries import LaneEntry
from worker.journal import Journal
from worker.lane_entries import LaneEntries
from worker.lanes import LaneStore
from worker.looking import DeadProducer, Look


class LaneStandings:
    """The standings of one lane under one hold."""

    def __init__(
        self, *, lane: int, hold: Hold, lanes: LaneStore, ledger: Ledger, journal: Journal, verifies: bool
    ) -> None:
        self._lane = lane
        self._lanes = lanes
        self._ledger = ledger
        self._journal = journal
        self._verifies = verifies  # whether users nobody has looked at yet are to be verified
        self._stored = hold.standings > 0  # whether the ledger may know of any
        self._everyone = everyone_of(lane)
        self._known: dict[str, Standing] = {}  # by digest
        self._asked: set[str] = set()  # of the ledger
        self._changed: dict[str, Standing] = {}
        self._buried: list[DeadProducer] = []
        self._seen_dead: set[tuple[str, int]] = set()
        self._now_us = lanes.lookout.look().now_us if journal.openings else None  # at the last look
        self._open(journal.openings)

    @property
    def changed(self) -> tuple[Standing, ...]:
        """What the next commit has to take in."""
        return tuple(self._changed.values())

    def look(self, look: Look, entries: LaneEntries, *, gaps: bool) -> list[Opening]:
        """Open the gaps that are found now; `gaps`: live processes have found some. Returns what was found.

        Raises FencedError where the lane is held by another.
        """
        self._now_us = look.now_us
        found = [*self._of_the_dead(look), *_unreadable(entries.waiting), *entries.take_gaps()]
        if gaps:
            found += self._journal.take_gaps(self._lanes.lookout.now_us()).values()
        found = [opening.as_of(look.now_us) for opening in found]
        self._open(found)
        return found

    def of(self, users: Collection[str]) -> dict[str, Standing]:
        """Return the standings of users; who was never in a gap, and need not be verified, is left out."""
        if not (self._verifies or self._stored or self._known):
            return {}
        digests = {user: user_digest(user) for user in users}
        self._load({*digests.values(), self._everyone})
        found = {user: self._of(digest) for user, digest in digests.items()}
        return {user: standing for user, standing in found.items() if standing is not None}

    def take(self, standings: Mapping[str, Standing]) -> None:
        """Take in, by digest, where users have come to."""
        self._known |= standings
        self._changed |= standings

    def set_back(self) -> None:
        """Ask the ledger anew: it has set back what lay in the future."""
        self._known.clear()
        self._asked.clear()
        self._stored = True

    def committed(self) -> None:
        """Forget what is in the ledger now."""
        self._changed.clear()
        if self._buried:
            self._lanes.bury(self._lane, self._buried)
            self._buried = []

    def _of(self, digest: str) -> Standing | None:
        standing = self._known.get(digest)
        if standing is None and self._verifies:
            standing = Standing(digest=digest, closed_us=None, reason=UNVERIFIED)
        everyone = self._known.get(self._everyone)
        if everyone is not None and everyone.is_open:
            gap = Opening(
                digest=digest, since_us=everyone.opened_us, until_us=everyone.until_us, reason=everyone.reason
            )
            standing = (standing or Standing(digest=digest)).opened(gap)
        return standing if standing is None or self._now_us is None else standing.as_of(self._now_us)

    def _open(self, found: Sequence[Opening]) -> None:
        if not found:
            return
        digests = [self._everyone if opening.digest == EVERYBODY else opening.digest for opening in found]
        self._load(set(digests))
        for digest, opening in zip(digests, found, strict=True):
            before = self._known.get(digest)
            after = (before or self._new(digest)).opened(opening, self._now_us)
            if after != before:
                self.take({digest: after})

    def _new(self, digest: str) -> Standing:
        if self._verifies and digest != self._everyone:
            return Standing(digest=digest, closed_us=None, reason=UNVERIFIED)
        return Standing(digest=digest)

    def _load(self, digests: set[str]) -> None:
        wanted = digests - self._asked
        if wanted and (self._stored or self._verifies):
            self._known = {**self._ledger.standings(wanted), **self._known}
        self._asked |= wanted

    def _of_the_dead(self, look: Look) -> list[Opening]:
        dead = [one for one in look.dead if (one.producer, one.died_ms) not in self._seen_dead]
        if not dead:
            return []
        self._seen_dead |= {(one.producer, one.died_ms) for one in dead}
        users = self._lanes.captured_by(self._lane, dead)
        self._buried += [one for one, digests in zip(dead, users, strict=True) if digests]
        return [_lost_with(one, digest) for one, digests in zip(dead, users, strict=True) for digest in digests]


def _lost_with(dead: DeadProducer, digest: str) -> Opening:
    """What a process had not appended when it died began at its watermark or later, and ended before its death."""
    return Opening(
        digest=digest, since_us=dead.watermark, until_us=max(dead.died_ms * 1_000, 1), reason="producer_died"
    )


def _unreadable(entries: Iterable[LaneEntry]) -> list[Opening]:
    """A line that nobody can read may be a write: it began after the watermark that its entry carries."""
    return [
        Opening(digest=entry.digest, since_us=entry.watermark, until_us=(entry.id[0] + 1) * 1_000, reason="unreadable")
        for entry in entries
        if entry.digest not in {"", EVERYBODY} and any(item.capture is None for item in entry.items)
    ]


def since_of(gaps: Sequence[Opening]) -> Callable[[str], float]:
    """Return what tells since when a write of a user may be missing: for ever later where nothing was lost."""
    since: dict[str, int] = {}
    for gap in gaps:
        since[gap.digest] = min(gap.since_us, since.get(gap.digest, gap.since_us))
    if not since:
        return lambda _: float("inf")
    everybody = since.get(EVERYBODY, float("inf"))
    return lambda user: min(everybody, since.get(user_digest(user), everybody))
