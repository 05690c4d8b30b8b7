"""What has to happen next before more users are served by enhanced: decided purely, from facts that others gather.

On the data's way this is the arbiter's rule: the flags say whom people want served, the readiness who is written to
both sides and who was verified, heartbeats and lanes how far the writes to one side alone have come.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import msgspec

from gnomon.flags import SHARE, EnvironmentFlags, FlagState, StoredFlags, is_share
from gnomon.hashing import BUCKETS, bucket_of, user_digest
from gnomon.readiness import Readiness

HELD: Final = 2**53 - 1  # µs, the greatest whole number that Lua knows: no drain lifts this exception


class Step(StrEnum):
    """What those who are wanted and not ready wait for."""

    NONE = "none"  #: there are none
    ACKNOWLEDGEMENT = "acknowledgement"  #: live processes that do not yet write all dual users to both sides
    LANES = "lanes"  #: writes to one side alone, on their way to a lane or waiting in it
    VERIFICATION = "verification"  #: their data


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Whom the flags want served: buckets, and users one by one as digest → id; and whom they took out one by one."""

    lowered: int = 0
    below: int = 0
    enabled: Mapping[str, str]
    disabled: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """What a live process last said: the versions it acts upon, its low watermark, how far its clock may be off."""

    flags: int = 0
    readiness: int = 0
    watermark_us: int = 0
    clock_error_us: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """How far live processes and drains are; read in this order: heartbeats, the server's time, the lanes."""

    heartbeats: Sequence[Heartbeat]
    now_us: int
    done_us: int  #: what ended before this is replayed, in every lane

    @property
    def watermark_us(self) -> int:
        """Before this nothing began that is not in its lane."""
        return min((beat.watermark_us for beat in self.heartbeats), default=self.now_us)

    @property
    def clock_error_us(self) -> int:
        """How far the clock of any live process may be off; one that knows nothing yet has not written to both."""
        return max((beat.clock_error_us for beat in self.heartbeats if beat.readiness), default=0)

    def unaware(self, readiness: Readiness) -> int:
        """Return how many live processes do not yet act upon what was asked; a later version is a former Redis's."""
        return sum(
            not (readiness.asked <= beat.readiness <= readiness.version and beat.flags >= readiness.lowered)
            for beat in self.heartbeats
        )


def wanted(flags: StoredFlags, environment: EnvironmentFlags) -> Wanted:
    """Return whom the flags want served where every live process has this environment."""
    disabled = _by_digest(flags.disabled)
    state = FlagState(environment, None)
    state.take(flags.version, msgspec.json.encode(flags))
    if state.quiet or flags.retired:
        return Wanted(lowered=flags.lowered, enabled={}, disabled=disabled)
    share = state.value(SHARE)
    return Wanted(
        lowered=flags.lowered,
        below=math.ceil(share / 100 * BUCKETS) if is_share(share) else 0,
        enabled=_by_digest(flags.enabled.union(*flags.segments.values()) - flags.disabled),
        disabled=disabled,
    )


def _by_digest(users: Iterable[str]) -> dict[str, str]:
    return {user_digest(user): user for user in users}


def advance(readiness: Readiness, wanted: Wanted, facts: Facts) -> Readiness | Step:
    """Return the readiness to store next, or what is to be waited for or done before."""
    if followed := _followed(readiness, wanted):
        return followed
    if wanted.below <= readiness.ready_below and wanted.enabled.keys() <= readiness.ready:
        return Step.NONE
    past_us = facts.now_us + facts.clock_error_us
    if not readiness.acknowledged_us:
        return Step.ACKNOWLEDGEMENT if facts.unaware(readiness) else _next(readiness, acknowledged_us=past_us)
    if readiness.asked:
        # a write may have begun before it was acknowledged and end long after: only once all these are in their lanes
        # is there a moment before which they ended
        late = facts.watermark_us < readiness.acknowledged_us
        return Step.LANES if late else _next(readiness, acknowledged_us=past_us, asked=0)
    return Step.LANES if facts.done_us < readiness.acknowledged_us else Step.VERIFICATION


def _followed(readiness: Readiness, wanted: Wanted) -> Readiness | None:
    """Return the readiness as the flags change it; None where they do not."""
    lowered = wanted.lowered != readiness.lowered
    below, dual = max(readiness.dual_below, wanted.below), readiness.dual | wanted.enabled.keys()
    ready = frozenset() if lowered else readiness.ready - wanted.disabled.keys()
    if lowered or (below, dual) != (readiness.dual_below, readiness.dual):
        return _next(
            readiness,
            lowered=wanted.lowered,
            dual_below=below,
            dual=dual,
            ready_below=0 if lowered else readiness.ready_below,
            ready=ready,
            asked=readiness.version + 1,
            acknowledged_us=0,
            cursor="" if lowered or below > readiness.dual_below else readiness.cursor,
        )
    return _next(readiness, ready=ready) if ready != readiness.ready else None


def trusted(readiness: Readiness, wanted: Wanted) -> Readiness:
    """Return the readiness with all who are wanted, where there is nothing to verify them by."""
    ready = readiness.ready | wanted.enabled.keys()
    return _next(readiness, ready_below=readiness.dual_below, ready=ready, cursor="")


def _next(readiness: Readiness, **changes: Any) -> Readiness:
    return msgspec.structs.replace(readiness, version=readiness.version + 1, **changes)


def excepted(readiness: Readiness, wanted: Wanted, exceptions: Mapping[str, int], now_us: int) -> dict[str, int]:
    """Return the exceptions to write: who is disabled in a ready bucket is held; who is so no more must come back."""
    hold = {
        digest: HELD
        for digest, user in wanted.disabled.items()
        if exceptions.get(digest) != HELD and bucket_of(user) < readiness.ready_below
    }
    free = {digest: now_us for digest, since in exceptions.items() if since == HELD and digest not in wanted.disabled}
    return hold | free


def pristine(readiness: Readiness) -> bool:
    """Tell whether nobody is ready or was verified: an exception for everybody says nothing more."""
    return not (readiness.ready_below or readiness.ready or readiness.acknowledged_us or readiness.cursor)
