"""Samples: which divergences a worker process keeps as a whole, so that each group has up to three that differ.

Each is one of three by its user and by what differs, in every process the same; whatever comes of one kind first in an
epoch is offered to the ledger, once a process, so it costs no question and hardly ever a row.
"""

import threading
from collections.abc import Sequence
from functools import cache
from typing import Any, Final
from zlib import crc32

import structlog

from comparators import Observation, mask, nameless
from gnomon.wire import Capture
from ledger import KeptDifference, Sample

log = structlog.get_logger()

SLOTS: Final = 3  # whole divergences that people see of one group
MOST: Final = 30_000  # remembered as offered: some thousand groups; then all are offered anew, and the ledger has them


class Sampler:
    """What one process has offered; asked by many threads."""

    def __init__(self) -> None:
        self._offered: set[tuple[int, str, int]] = set()
        self._lock = threading.Lock()

    def of(
        self,
        capture: Capture,
        kept: Sequence[KeptDifference],
        *,
        reason: str,
        args: Any,
        legacy: Observation,
        enhanced: Observation,
    ) -> Sample | None:
        """Return a divergence as a whole, masked, where one of its groups may not have such a one; else None.

        Never raises: whatever goes wrong here must change no verdict.
        """
        slot = crc32(f"{capture.user}\n{reason}".encode("utf-8", "replace")) % SLOTS
        wanted = {(capture.epoch, each.group, slot) for each in kept}
        if wanted <= self._offered:
            return None
        with self._lock:
            if len(self._offered) > MOST:
                self._offered = set()
            self._offered |= wanted
        try:
            return _whole(slot, capture.user, args, legacy, enhanced)
        except Exception as error:  # its message may hold a payload
            log.warning("sample.failed", error=type(error).__name__)
            return None


def _whole(slot: int, user: str, args: Any, legacy: Observation, enhanced: Observation) -> Sample:
    masked = (nameless(mask(part), user) for part in (args, _told(legacy), _told(enhanced)))
    return Sample(slot=slot, **dict(zip(("args", "legacy", "enhanced"), masked, strict=True)))


def _told(observation: Observation) -> Any:
    raised = observation.exception
    return observation.value if raised is None else {"raised": raised.type, "message": raised.message}


@cache
def sampler() -> Sampler:
    """Return this process's sampler."""
    return Sampler()
