"""Captures too old to be worth a replay: counted as `expired` where they would be replayed, before any look at them.

What enhanced would answer now says little about an old question, and what waits behind it is younger. Writes never
expire: all that comes later depends on them. Nor does what needs no replay, or is not to be compared anyway.
"""

from typing import Final

from gnomon.wire import Capture, Kind
from worker.selection import is_replayed

TOO_OLD: Final = "too_old"
EXPIRE_AFTER_S: Final = 6 * 3_600.0  # a night without workers; by then lanes of a busy application are full


def is_expired(capture: Capture, now_us: int, after_s: float) -> bool:
    """Tell whether a capture ended more than `after_s` ago, on Redis's clock, and is no write but needs a replay."""
    return capture.kind is not Kind.WRITE and now_us - capture.end > after_s * 1_000_000 and is_replayed(capture)
