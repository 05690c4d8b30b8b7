"""Who is in a gap: since when enhanced may lack writes of a user, and up to when that was made good. Pure.

A gap takes a user's calls out of comparison, whatever came of them; it never stops a replay.
"""

from typing import Final

import msgspec

STEP_US: Final = 1_000_000  # clocks that agree are not apart by so much
UNVERIFIED: Final = "unverified"  #: nobody has looked yet whether enhanced holds what the user had before


class Opening(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A gap found: writes of a user (`*` and a lane's number: of all its users) may be missing in enhanced.

    Missing may be what began at `since_us` or later, and ended by `until_us`: what is verified after that covers it.
    """

    digest: str
    since_us: int
    until_us: int
    reason: str

    def as_of(self, now_us: int) -> "Opening":
        """Return the gap as it is now: one that begins in a time yet to come was found before the clock was set back.

        Of what is captured since, nothing tells on which side of it that lies: it begins before everything.
        """
        return msgspec.structs.replace(self, since_us=0) if self.since_us > now_us + STEP_US else self


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """Where a user stands. `closed_us` is None while the gap is open; after a repair it is the moment of that.

    What began by then is excluded: enhanced held writes that came only after it. 0: verified before anything was
    replayed, so nothing is excluded.
    """

    digest: str
    opened_us: int = 0
    until_us: int = 0
    closed_us: int | None = 0
    reason: str = ""

    @property
    def is_open(self) -> bool:
        """Whether writes may still be missing."""
        return self.closed_us is None

    def as_of(self, now_us: int) -> "Standing":
        """Return the standing as it is now: see `Opening.as_of`."""
        is_ahead = self.is_open and self.opened_us > now_us + STEP_US
        return msgspec.structs.replace(self, opened_us=0) if is_ahead else self

    def opened(self, found: Opening, now_us: int | None = None) -> "Standing":
        """Return the standing after a gap was found; the same where that was made good before.

        What was closed later than now was so before the clock was set back: that tells nothing of a gap found since.
        """
        if self.closed_us is not None:
            if found.until_us <= self.closed_us and (now_us is None or self.closed_us <= now_us):
                return self
            # after a repair, what began before it stays excluded: the new gap reaches back over it
            since_us = 0 if self.closed_us else found.since_us
            return msgspec.structs.replace(
                self, opened_us=since_us, until_us=found.until_us, closed_us=None, reason=found.reason
            )
        since_us, until_us = min(self.opened_us, found.since_us), max(self.until_us, found.until_us)
        reason = found.reason if self.reason == UNVERIFIED else self.reason
        if (since_us, until_us, reason) == (self.opened_us, self.until_us, self.reason):
            return self
        return msgspec.structs.replace(self, opened_us=since_us, until_us=until_us, reason=reason)

    def opening(self) -> Opening:
        """Return the gap as one that was just found."""
        return Opening(digest=self.digest, since_us=self.opened_us, until_us=max(self.until_us, 1), reason=self.reason)

    def closed(self, at_us: int) -> "Standing":
        """Return the standing once everything was found in enhanced: at a moment, or 0, before any replay."""
        return msgspec.structs.replace(self, closed_us=at_us)

    def concerns(self, end_us: int) -> bool:
        """Tell whether a call that ended then lies in a gap that is open."""
        return self.closed_us is None and end_us > self.opened_us

    def excludes(self, start_us: int, end_us: int) -> bool:
        """Tell whether a call lies in the gap, or before the end of what made it good."""
        return self.concerns(end_us) if self.closed_us is None else 0 < start_us <= self.closed_us


def everyone_of(lane: int) -> str:
    """Return the digest under which a gap of all users of a lane is kept."""
    return f"*{lane}"
