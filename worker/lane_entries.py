"""What was read of a lane and is not done, in the order of its stream, and which entries of each process were read.

A stream may be shorter than it was, hold an entry twice, or out of order: Redis restarted, a network repeated itself.
So entries go by the numbers that their senders gave them. One that was read before is no news; a number that is missing
may have been a write, and puts the whole lane in a gap.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from itertools import takewhile
from typing import Final

from msgspec.structs import replace

from gnomon.readiness import EVERYBODY
from ledger import Opening, Position, Seen, Sent
from worker.entries import AHEAD_US, EntryId, LaneEntry

NONE_SEEN: Final = Seen()


class LaneEntries:
    """The entries of one lane under one hold; `seen` is what the ledger knows to have been read."""

    def __init__(self, seen: Mapping[str, Seen], position: Position) -> None:
        self.waiting: list[LaneEntry] = []
        self._seen = dict(seen)
        self._read = position.read
        self._here: set[tuple[str, int]] = set()  # senders' numbers of those that wait
        self._highest: defaultdict[str, int] = defaultdict(int)
        self._fresh: defaultdict[str, dict[int, EntryId]] = defaultdict(dict)  # not looked through for holes yet
        self._whole: dict[str, int] = {}  # up to where each was
        self._gaps: list[Opening] = []
        self.disordered = False  #: what was read is not in its senders' order, so no promise in it bounds what is not

    @property
    def last(self) -> EntryId:
        """The id behind which to read on."""
        return self.waiting[-1].id if self.waiting else (0, 0)

    @property
    def watermark(self) -> int:
        """The highest promise that an entry carries: what is read later lies above it."""
        return max(entry.watermark for entry in self.waiting)

    @property
    def error_us(self) -> int:
        """How far apart the clocks may be that the captures here were stamped by."""
        return 2 * max((entry.error_us for entry in self.waiting), default=0)

    @property
    def newest_us(self) -> int:
        """The latest place of what waits; 0 where nothing does."""
        return max((item.order[0] for entry in self.waiting for item in entry.items), default=0)

    def take(self, entries: Iterable[LaneEntry]) -> None:
        """Take in what was read on."""
        self.waiting += [self._marked(entry) for entry in entries]

    def _marked(self, entry: LaneEntry) -> LaneEntry:
        if entry.sender is None:
            return replace(entry, known=True) if entry.id <= self._read else entry
        if entry.sender in self._here:
            return replace(entry, items=(), known=True)  # a copy of what waits already
        self._here.add(entry.sender)
        producer, number = entry.sender
        seen = self._seen.get(producer, NONE_SEEN)
        if seen.has(number):
            return replace(entry, known=True)
        self.disordered |= number != max(seen.read, self._highest[producer]) + 1
        self._fresh[producer][number] = entry.id
        self._highest[producer] = max(number, self._highest[producer])
        return entry

    def expect(self, sent: Mapping[str, Sent], now_us: int) -> None:
        """Compare what was read to the end with what processes say they have sent: more than that is gone."""
        for producer, told in sent.items():
            if told.entries > max(self._seen.get(producer, NONE_SEEN).read, self._highest[producer]):
                self._miss(now_us)

    def _miss(self, until_us: int) -> None:
        self._gaps.append(Opening(digest=EVERYBODY, since_us=0, until_us=until_us, reason="lost"))

    def take_gaps(self) -> list[Opening]:
        """Hand over the gaps that missing entries have opened; what was read out of order is not missing."""
        fresh, self._fresh, self.disordered = self._fresh, defaultdict(dict), False
        for producer, numbers in fresh.items():
            self._look_for_holes(producer, numbers)
        found, self._gaps = self._gaps, []
        return found

    def _look_for_holes(self, producer: str, numbers: Mapping[int, EntryId]) -> None:
        last = max(self._seen.get(producer, NONE_SEEN).read, self._whole.get(producer, 0))
        for number in sorted(numbers):
            if number > last + 1:
                self._miss((numbers[number][0] + 1) * 1_000)
            last = max(last, number)
        self._whole[producer] = last

    def strays(self, earliest_us: int, latest_us: int) -> bool:
        """Tell whether something that was not read before is of a time outside of these moments."""
        fresh = (item for entry in self.waiting if not entry.known for item in entry.items)
        return any(not earliest_us <= item.order[0] <= latest_us for item in fresh)

    def set_back(self, now_us: int) -> bool:
        """Tell whether something is of a time before the clock was set back."""
        return any(self._of_old(now_us))

    def split(self, now_us: int, *, position_too: bool) -> tuple[list[LaneEntry], list[LaneEntry]]:
        """Return what came before everything of a time before the clock was set back, and the first of that time.

        Where the lane stands in that time as well (`position_too`), so does everything that was read before, and
        nothing comes before it. What lies behind the first that is of the new time is left for later.
        """
        old = self._of_old(now_us)
        first = 0 if position_too else old.index(True)
        before, rest = self.waiting[:first], list(zip(self.waiting, old, strict=True))[first:]
        leading = {entry.id for entry, _ in takewhile(lambda found: found[0].known or found[1], rest)}
        return before, [entry for entry, _ in rest if entry.known or entry.id in leading]

    def _of_old(self, now_us: int) -> list[bool]:
        """Tell of each entry whether it is from the future, or its sender has stamped its user's next ones earlier.

        A process never stamps a user's calls backwards, unless its clock was set; those of different users, and of
        different processes, may come in any order.
        """
        behind: dict[tuple[str, str], int] = {}  # sender and user → the earliest stamp among the sender's later entries
        old: set[EntryId] = set()
        for entry in sorted(self.waiting, key=_number, reverse=True):
            stamps = [item.order[0] for item in entry.items if item.capture is not None and not item.misplaced]
            writer = (entry.sender[0], entry.digest) if entry.sender is not None else ("", "")
            if any(stamp > behind.get(writer, now_us) + AHEAD_US for stamp in stamps):
                old.add(entry.id)
            if any(item.order[0] > now_us + AHEAD_US for item in entry.items):
                old.add(entry.id)
            if entry.sender is not None and stamps:
                behind[writer] = min(*stamps, behind.get(writer, now_us))
        return [entry.id in old for entry in self.waiting]

    def seen_with(self, chosen: Iterable[LaneEntry]) -> dict[str, Seen]:
        """Return what is read of each process once these entries are, where that is more than before."""
        numbers: defaultdict[str, list[int]] = defaultdict(list)
        for entry in chosen:
            if entry.sender is not None and not entry.known:
                numbers[entry.sender[0]].append(entry.sender[1])
        return {producer: self._seen.get(producer, NONE_SEEN).after(found) for producer, found in numbers.items()}

    def fills(self, seen: Mapping[str, Seen]) -> bool:
        """Tell whether something that was missing has come after all."""
        return any(self._seen.get(name, NONE_SEEN).missing - now.missing for name, now in seen.items())

    def committed(self, chosen: Iterable[LaneEntry], seen: Mapping[str, Seen], position: Position) -> None:
        """Note that these entries are in the ledger as read."""
        read = {entry.id for entry in chosen}
        self.waiting = [replace(entry, known=True) if entry.id in read else entry for entry in self.waiting]
        self._seen |= seen
        self._read = position.read

    def keep(self, chosen: Iterable[LaneEntry], held: Iterable[LaneEntry]) -> None:
        """Let go of these entries but for those that still hold something."""
        gone = {entry.id for entry in chosen} - {entry.id for entry in held}
        self.waiting = [entry for entry in self.waiting if entry.id not in gone]
        self._here = {entry.sender for entry in self.waiting if entry.sender is not None}


def _number(entry: LaneEntry) -> int:
    return entry.sender[1] if entry.sender is not None else 0
