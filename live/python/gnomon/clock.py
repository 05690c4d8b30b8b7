"""The clock that captures are stamped with: aligned with Redis's, strictly increasing within the process.

Order across processes is decided by these stamps, so they follow one server's clock rather than each host's own; the
uncertainty of the alignment travels in the heartbeat.
"""

import time
from typing import Final

_NS: Final = 1_000
_DECAY: Final = 1.05  # an old sample's error grows, so that drift between the clocks is followed within a minute


class AlignedClock:
    """Microseconds since the epoch, as Redis counts them. Its owner calls it under one lock, but for a glance."""

    def __init__(self) -> None:
        self._offset_us = time.time_ns() // _NS - time.monotonic_ns() // _NS
        self._last_us = 0
        self._error_us = float("inf")

    @property
    def error_us(self) -> float:
        """Half the round trip of the best recent sample: how far from Redis's clock this one may be."""
        return self._error_us

    def now_us(self) -> int:
        """Return the time, later than every time returned before."""
        self._last_us = max(self._last_us + 1, time.monotonic_ns() // _NS + self._offset_us)
        return self._last_us

    def at_us(self, monotonic_ns: int) -> int:
        """Return the time at a reading of the monotonic clock; without a lock, and not unlike others.

        Never before what was stamped last: where the clock has just been set back, a read would seem to have begun
        before the write ended that its own thread had waited for.
        """
        return max(self._last_us, monotonic_ns // _NS + self._offset_us)

    def align(self, server_us: int, sent_ns: int, received_ns: int) -> None:
        """Take in one reading of the server's clock, between two monotonic readings of ours."""
        error_us = (received_ns - sent_ns) / 2 / _NS
        if error_us > self._error_us * _DECAY:
            self._error_us *= _DECAY
            return
        self._error_us = error_us
        self._offset_us = server_us - (sent_ns + received_ns) // 2 // _NS
