"""The clock that captures are stamped with: aligned with Redis's, strictly increasing within the process.

Order across processes is decided by these stamps, so they follow one server's clock rather than each host's own; the
uncertainty of the alignment travels in the heartbeat.
"""

import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from gnomon.usual import Board

_NS: Final = 1_000
_DECAY: Final = 1.05  # an old sample's error grows, so that drift between the clocks is followed within a minute
STEP_US: Final = 1_000_000  # no drift comes to that between two samples: one of the clocks was set
REMEMBERED_NS: Final = 60_000_000_000  # twice as long as a write in flight holds replays back


class AlignedClock:
    """Microseconds since the epoch, as Redis counts them. Its owner calls it under one lock, but for a glance.

    What a live call reads of it, and stamps, stands on the board: `offset_us`, what a reading of the monotonic clock is
    added to; `last_us`, what was stamped last; `shifted_ns`, when it was shifted last, on the monotonic clock: what was
    stamped before is of no use.

    Until Redis has answered once it goes by the host's clock, which may be an hour off, and the first answer may have
    taken long. So when it learns the time, or that a clock was set, it is shifted: its owner moves along what was
    stamped and is still here.
    """

    def __init__(self, board: "Board") -> None:
        self._board = board
        board.offset_us = time.time_ns() // _NS - time.monotonic_ns() // _NS
        self._error_us = float("inf")
        self._before: list[tuple[int, float]] = []  # until when, ns, an error held: the larger the earlier
        self.promised = False  #: a watermark was told by it: from then on it is shifted only where it was set
        self.unsure_us = 0  #: by how much, where others had stamped by the clock of before

    @property
    def aligned(self) -> bool:
        """Whether Redis has told the time."""
        return self._error_us < float("inf")

    @property
    def error_us(self) -> float:
        """How far from Redis's clock any stamp of the last minute may be.

        Half the round trip of the best recent sample; more while the clock waits for the time to catch up with it, and
        while something waits to be judged that was stamped before there was so good a sample.
        """
        now_ns = time.monotonic_ns()
        self._before = [held for held in self._before if now_ns - held[0] < REMEMBERED_NS]
        return max(self._error_us, self._board.last_us - self.us_of(now_ns), *(error for _, error in self._before))

    @property
    def told_error_us(self) -> int:
        """The same as others are told it: a figure also before Redis has told the time."""
        return int(min(self.error_us, 1e9))

    def us_of(self, monotonic_ns: int) -> int:
        """Return the time at a reading of the monotonic clock."""
        return monotonic_ns // _NS + self._board.offset_us

    def now_us(self) -> int:
        """Return the time, later than every time returned before."""
        board = self._board
        board.last_us = max(self.us_of(time.monotonic_ns()), board.last_us + 1)
        return board.last_us

    def at_us(self, monotonic_ns: int) -> int:
        """Return the time at a reading of the monotonic clock; without a lock, and not unlike others.

        Never before what was stamped last: where the clock has just been set back, a read would seem to have begun
        before the write ended that its own thread had waited for.
        """
        return max(self.us_of(monotonic_ns), self._board.last_us)

    def align(self, server_us: int, sent_ns: int, received_ns: int) -> int:
        """Take in one reading of the server's clock, between two monotonic readings of ours.

        Returns by how much the clock was shifted, µs: 0 for one that was right but for drift.
        """
        error_us = (received_ns - sent_ns) / 2 / _NS
        offset_us = server_us - (sent_ns + received_ns) // 2 // _NS
        board = self._board
        moved_us = offset_us - board.offset_us
        better = not self.promised and error_us < self._error_us
        if better or abs(moved_us) > error_us + self._error_us + STEP_US:
            self._error_us, board.offset_us, board.shifted_ns = error_us, offset_us, received_ns
            self.unsure_us = abs(moved_us) if self.promised else 0
            board.last_us += moved_us
            return moved_us
        if error_us > self._error_us * _DECAY:
            self._error_us *= _DECAY
            return 0
        was_off_us = max(self._error_us, abs(moved_us) + error_us)  # it may have drifted while nobody answered
        self._before = [held for held in self._before if held[1] > was_off_us] + [(received_ns, was_off_us)]
        self._error_us, board.offset_us = error_us, offset_us
        return 0
