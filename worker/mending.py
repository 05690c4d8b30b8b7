"""Closes a user's gap: verifies what enhanced holds against what legacy does, and repairs it.

On the data's way this stands before the replay of a capture whose user is in a gap, in that user's own order.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import msgspec
import structlog

from gnomon.readiness import UserData
from ledger import UNVERIFIED, FencedError, Opening, Standing

log = structlog.get_logger()

AGAIN_S: Final = 60.0  # between two attempts for a user whose data cannot be made to agree
REPAIRS: Final = 3  # in one attempt, while what must agree may still grow by live writes
MOST_REMEMBERED: Final = 100_000  # users
CLOCKS_US: Final = 1_000_000  # legacy's own clock gives a memory its time: it may be off from ours by so much


@dataclass(frozen=True, slots=True)
class Mended:
    """Where a user stands now; enhanced was found to hold everything that legacy did at `verified_us` (0: not)."""

    standing: Standing
    verified_us: int = 0


class Mender:
    """Asks the application's user data; one for a process, used by many threads. Without any it mends nothing."""

    def __init__(
        self, user_data: UserData | None, now_us: Callable[[], int], latest_us: Callable[[], int] | None = None
    ) -> None:
        self.now_us = now_us  #: Redis's time, or a little more
        self._latest_us = latest_us or now_us  # the same, asked of Redis: its clock may have been set
        self._user_data = user_data
        self._failed: dict[str, float] = {}  # digest → when, on the monotonic clock

    @property
    def able(self) -> bool:
        """Whether there is anything to verify users with."""
        return self._user_data is not None

    def worth_trying(self, standing: Standing) -> bool:
        """Tell whether an attempt may help: none that failed within the last minute does."""
        return self.able and time.monotonic() - self._failed.get(standing.digest, float("-inf")) > AGAIN_S

    def failed(self, standing: Standing) -> None:
        """Note that an attempt came to nothing, or never came back."""
        if len(self._failed) >= MOST_REMEMBERED:
            self._failed.clear()
        self._failed[standing.digest] = time.monotonic()

    def mend(
        self, user: str, standing: Standing, start_us: int, keep: Callable[[Opening], None], *, newest_us: int = 0
    ) -> Mended:
        """Verify a user in a gap before a capture that began at `start_us` is replayed; repair where need be.

        `newest_us`: what waits to be replayed began before this; it may lie ahead of a clock that was set back.

        `keep` writes down, before enhanced is changed, that the user is in a gap: whoever takes over after a crash must
        not take the repaired data for what the replays had come to. Raises FencedError where that is refused.
        """
        assert self._user_data is not None
        try:
            attempt = _Attempt(self._user_data, self.now_us, self._latest_us, user, start_us, newest_us)
            mended = attempt.run(standing, keep)
        except FencedError:
            raise
        except Exception as error:  # the application's; its message may hold personal data
            log.warning("mend.failed", user=standing.digest, error=type(error).__name__)
            mended = Mended(standing)
        if mended.standing.is_open:
            self.failed(standing)
        return mended


@dataclass(frozen=True, slots=True)
class _Attempt:
    user_data: UserData
    now_us: Callable[[], int]
    latest_us: Callable[[], int]
    user: str
    start_us: int
    newest_us: int

    def run(self, standing: Standing, keep: Callable[[Opening], None]) -> Mended:
        before_us = self.start_us - CLOCKS_US
        new = standing.reason == UNVERIFIED and not standing.until_us
        if new and self._verified(before_us):
            return Mended(standing.closed(0))  # nothing was done to enhanced: nothing need be excluded
        began_us = self.now_us()
        if not new and self._verified():
            return Mended(standing.closed(self._now_us()), began_us)
        return self._repaired(standing, keep, before_us if new else standing.until_us + CLOCKS_US)

    def _repaired(self, standing: Standing, keep: Callable[[Opening], None], bound_us: int) -> Mended:
        """Repair everything; what must agree then is what may have been missing: beyond, live writes go on."""
        until_us = max(standing.until_us, self.start_us, 1)
        keep(Opening(digest=standing.digest, since_us=0, until_us=until_us, reason=standing.reason))
        for _ in range(REPAIRS):
            began_us = self.now_us()
            added = self.user_data.repair(self.user)
            log.info("mend.repaired", user=standing.digest, reason=standing.reason, memories=added)
            if self._verified():
                return Mended(standing.closed(self._now_us()), began_us)
            if self._verified(bound_us):
                return Mended(standing.closed(self._now_us()), min(began_us, bound_us))
            if bound_us < began_us:
                break
        return Mended(msgspec.structs.replace(standing, until_us=until_us))

    def _now_us(self) -> int:
        """Return when a gap is closed: what waits began before."""
        return max(self.latest_us(), self.newest_us)

    def _verified(self, before_us: int | None = None) -> bool:
        before = None if before_us is None else datetime.fromtimestamp(max(0, before_us) / 1_000_000, UTC)
        return self.user_data.verify(self.user, before)
