"""Between the live call and the daemon thread: captures wait here, bounded by count and bytes.

It also knows the process's low watermark: nothing that this process will still append ends before it, and no write
that it will still append starts before it.
"""

import time
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from gnomon.clock import AlignedClock
from gnomon.hashing import user_digest
from gnomon.live_call import Buffered, LiveCall, buffered_of, live_of
from gnomon.readiness import EVERYBODY
from gnomon.shedding import Shedding
from gnomon.usual import FAR, Board, Mark
from gnomon.wire import Side

if TYPE_CHECKING:
    from gnomon.operation import Binding

WRITE_HOLDS_US: Final = 30_000_000  # a write in flight for longer stops holding everybody's replay back


MOST_GAPS: Final = (
    10_000  # users whose lost writes are remembered one by one; beyond, everybody of the lane is in a gap
)

#: lane and user digest → since when a write of that user may be missing, µs
Gaps = dict[tuple[int, str], int]


MISSED_SERVED: Final = "missed_served"  #: of the calls that were not captured: those that enhanced was to answer
BESIDE: Final = frozenset({"eligible", MISSED_SERVED})  #: counters that say nothing of where a call ended


class CounterKey(NamedTuple):
    """One figure of the funnel: which lane's, which operation's, which epoch's."""

    lane: int
    operation: str
    epoch: int
    counter: str


@dataclass(slots=True)
class Alone:
    """Calls of one operation that legacy alone answered and that were captured."""

    calls: int = 0
    answers: int = 0  #: of these, to reads and generate calls
    us: int = 0
    errors: int = 0


class Taken(NamedTuple):
    """What the buffer hands over at once."""

    items: list[Buffered]
    counts: Counter[CounterKey]
    gaps: Gaps


class Buffer:
    """Bounded, drop-newest, thread-safe; every method is short, for the live call waits on its lock.

    What waits lies on the board, where the usual call leaves it by itself.
    """

    def __init__(self, board: Board) -> None:
        self.board = board
        self.clock = AlignedClock(board)
        self.shedding = Shedding(board)
        self._lock = board.lock
        self._counts: Counter[CounterKey] = Counter()
        self._gaps: Gaps = {}
        self._alone: defaultdict[str, Alone] = defaultdict(Alone)
        self._counted = 0  # of the items, those that are in there

    @property
    def captures(self) -> int:
        """How many captures wait here, or are taken and not yet acknowledged."""
        return self.board.captures

    @property
    def size_bytes(self) -> int:
        """Their size."""
        return self.board.size_bytes

    def begin(self, live: LiveCall) -> None:
        """Number a call and stamp its start; a write keeps the watermark there until it is offered or abandoned."""
        live.number = next(self.board.numbers)
        if live.binding.writes:
            with self._lock:
                live.start = self.clock.now_us()
                self.board.writes[live.number] = live
            live.started_ns = time.monotonic_ns()
        else:
            live.started_ns = time.monotonic_ns()
            live.start = self.clock.at_us(live.started_ns)

    def abandon(self, live: LiveCall) -> None:
        """Let go of a call that will not be offered."""
        with self._lock:
            self.board.writes.pop(live.number, None)

    def count(self, key: CounterKey) -> None:
        """Count an eligible call that ends elsewhere than in its lane."""
        with self._lock:
            self._counts[key] += 1

    def offer(
        self,
        live: LiveCall,
        size_bytes: int,
        answer: Side | msgspec.UnsetType | bytes,
        ended_ns: int = 0,
        *,
        enhanced: Side | msgspec.UnsetType = msgspec.UNSET,
        serving: str = "legacy",
        recorded: bool = False,
    ) -> bool | None:
        """Stamp the end of a call and take it. None: refused for want of room; True: the first since last emptied.

        End and place are given under one lock, so nothing that is still to come ends below the watermark. `answer` is
        what legacy did, or the JSON of what it returned; `ended_ns` is when it ended, on the monotonic clock, where the
        caller knows. A watermark told since comes before it.
        """
        board, clock = self.board, self.clock
        with self._lock:
            if board.captures >= board.max_captures or board.size_bytes + size_bytes > board.max_bytes:
                return None
            end = board.last_us = max(clock.us_of(ended_ns or time.monotonic_ns()), board.last_us + 1)
            held = board.writes.pop(live.number, None) is not None
            if live.started_ns < board.shifted_ns:  # and a write in flight was moved along
                live.start = (live.start if held else clock.us_of(live.started_ns)) - clock.unsure_us
            low = live.start if held else end
            board.captures += 1
            board.size_bytes += size_bytes
            board.low = min(board.low, low)
            board.items.append(Buffered(live, end, low, size_bytes, answer, ended_ns, enhanced, serving, recorded))
            return len(board.items) == 1

    def answered(self) -> dict[str, Alone]:
        """Return, by operation, the calls that legacy alone answered: counted off the caller's thread."""
        with self._lock:
            self._count_alone()
            return {operation: replace(row) for operation, row in self._alone.items()}

    def _count_alone(self) -> None:
        items = self.board.items
        for item in items[self._counted :]:
            if not isinstance(item, Buffered):
                self._count(item.way.binding, (item.ended_ns - item.started_ns) // 1_000)
            elif item.live.alone and not item.recorded and (legacy := item.legacy) is not msgspec.UNSET:
                self._count(item.live.binding, legacy.duration_us, failed=legacy.raised is not msgspec.UNSET)
        self._counted = len(items)

    def _count(self, binding: "Binding", duration_us: int, *, failed: bool = False) -> None:
        row = self._alone[binding.name]
        row.calls += 1
        row.answers += not binding.writes
        row.us += duration_us
        row.errors += failed

    def gap(self, lane: int, user: str, since: int) -> None:
        """Note that a write of `user` will never be in its lane."""
        with self._lock:
            self._gap(lane, user, since)

    def _gap(self, lane: int, user: str, since: int) -> None:
        key = (lane, user_digest(user) if len(self._gaps) < MOST_GAPS else EVERYBODY)
        self._gaps[key] = min(since, self._gaps.get(key, since))

    def align(self, server_us: int, sent_ns: int, received_ns: int) -> int:
        """Take in a reading of Redis's clock; returns by how much everything that is here was shifted, µs."""
        with self._lock:
            moved_us = self.clock.align(server_us, sent_ns, received_ns)
            if moved_us:
                unsure_us = self.clock.unsure_us
                board = self.board
                board.items = [buffered_of(item).shifted(moved_us, unsure_us) for item in board.items]
                board.low = min((item.low for item in board.items), default=FAR)
                self._gaps = {key: since + moved_us - unsure_us for key, since in self._gaps.items()}
                for live in board.writes.values():
                    live.start += moved_us
            return moved_us

    def take(self) -> Taken:
        """Hand everything over; its room is free again only once `acknowledge` says so."""
        with self._lock:
            self._count_alone()
            self._counted = 0
            items, counts, gaps = self.board.items, self._counts, self._gaps
            self.board.items, self.board.low, self._counts, self._gaps = [], FAR, Counter(), {}
        return Taken([buffered_of(item) for item in items], counts, gaps)

    @property
    def fill(self) -> float:
        """How full it is, by count or by bytes, from 0 to 1."""
        board = self.board
        return max(board.captures / board.max_captures, board.size_bytes / board.max_bytes)

    @property
    def idle(self) -> bool:
        """Whether nothing waits here and everything taken was acknowledged."""
        with self._lock:
            return self.board.captures == 0 and not self.board.items and not self._counts and not self._gaps

    @property
    def waiting(self) -> bool:
        """Whether there is anything to take; a glance without the lock."""
        return bool(self.board.items)

    @property
    def writing(self) -> bool:
        """Whether a write is in flight."""
        with self._lock:
            return bool(self.board.writes)

    def acknowledge(self, captures: int, size_bytes: int) -> None:
        """Free the room of captures that are in their lane, or given up."""
        with self._lock:
            self.board.captures -= captures
            self.board.size_bytes -= size_bytes

    def low_watermark(self, taken_low: int | None) -> int:
        """Return the low watermark, µs; `taken_low` is the lowest of what was taken and not yet appended."""
        with self._lock:
            self.clock.promised = True
            now = self.clock.now_us()
            self._let_go(now - WRITE_HOLDS_US)
            lows = [self._earliest(live) for live in self.board.writes.values()]
            lows += [low for low in (self.board.low, taken_low) if low is not None and low < FAR]
            return min([*lows, *self._gaps.values()], default=now)

    def _earliest(self, live: LiveCall | Mark) -> int:
        return live.start - (self.clock.unsure_us if live.started_ns < self.board.shifted_ns else 0)

    def _let_go(self, limit: int) -> None:
        """Open the gap of a user whose write has been in flight for too long; what it captures in the end is late."""
        for held in [held for held in self.board.writes.values() if held.start <= limit]:
            live = live_of(held)
            self._gap(live.lane, live.user, self._earliest(live))
            del self.board.writes[live.number]
