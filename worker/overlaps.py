"""Which calls of a user a write overlapped, or followed too soon: what makes a comparison unfair. Pure.

Two captures of one process are stamped by one clock, so their order is certain. Between processes it is known up to the
clock error, and every span is widened by that.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from gnomon.wire import Capture, Phase

#: a call that ran longer is taken to have been overlapped: nobody remembers the writes of its beginning
LONGEST_US: Final = 60_000_000
NEVER: Final = -(2**62)
MOST_DONE: Final = 4_096  # users with writes that are remembered before the oldest are forgotten
_DUAL: Final = (Phase.DUAL, Phase.SERVED)


#: user digest and process
Writer = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Span:
    """The time a write took. `dual`: enhanced may have it from elsewhere than its replay: a live half, or a repair."""

    start: int
    end: int
    producer: str
    dual: bool = False

    @classmethod
    def of(cls, capture: Capture) -> "Span":
        """Return the span of a captured write."""
        dual = capture.phase in _DUAL or capture.enhanced is not msgspec.UNSET
        return cls(capture.start, capture.end, producer_of(capture.id), dual)


def producer_of(capture_id: str) -> str:
    """Return the process that a capture was taken in; empty where its id does not say."""
    return capture_id.rpartition("-")[0]


def is_long(capture: Capture) -> bool:
    """Tell whether a call ran for longer than its user's writes are remembered."""
    return capture.end - capture.start > LONGEST_US


class Overlaps:
    """The writes of one user, to be asked about their other calls."""

    def __init__(self, spans: Iterable[Span], error_us: int) -> None:
        self._error_us = error_us
        by_producer: defaultdict[str, list[Span]] = defaultdict(list)
        for span in sorted(spans, key=lambda span: span.start):
            by_producer[span.producer].append(span)
        self._rows = {producer: _Row(found) for producer, found in by_producer.items()}

    def concurrent(self, capture: Capture) -> bool:
        """Tell whether a write overlapped a call: what the call saw of it is anybody's guess, on either side."""
        if is_long(capture):
            return True
        own = producer_of(capture.id)
        for producer, row in self._rows.items():
            slack = 0 if producer and producer == own else self._error_us
            if row.latest_end(capture.end + slack) > capture.start - slack:
                return True
        return False

    def superseded(self, capture: Capture, before_us: int) -> bool:
        """Tell whether a live write may have come between a call and its replay, which ended at `before_us`.

        Where legacy is replayed that is any write; where enhanced is, those of a user who was dual.
        """
        any_write = capture.legacy is msgspec.UNSET
        limit = before_us + self._error_us
        return any(row.latest_end(limit, dual=not any_write) > capture.start for row in self._rows.values())


def overtaken(
    captures: Iterable[Capture],
    replayed_us: Mapping[str, int],
    writes: Mapping[str, Sequence[Capture]],
    lost: Callable[[str], float],
    error_us: int,
) -> set[str]:
    """Return the ids of captures that a live write of their user may have come before the replay of.

    `replayed_us` is when each that is asked about was replayed, by id; `writes` are those known by user, `lost` since
    when one of a user may be missing.
    """
    late: set[str] = set()
    if not replayed_us:
        return late
    overlaps = {user: Overlaps(map(Span.of, found), error_us) for user, found in writes.items()}
    for capture in captures:
        moment_us = replayed_us.get(capture.id)
        if moment_us is None:
            continue
        known = overlaps.get(capture.user)
        if (known and known.superseded(capture, moment_us)) or lost(capture.user) < moment_us + error_us:
            late.add(capture.id)
    return late


class DoneWrites:
    """The writes that are done, by user digest and process: the end of the last of each. Of the last minute alone."""

    def __init__(self, ends: Mapping[Writer, int]) -> None:
        self._ends: defaultdict[str, dict[str, int]] = defaultdict(dict)
        self.add(ends, 0)

    def add(self, ends: Mapping[Writer, int], floor_us: int) -> None:
        """Take in what was done, and forget what ended by `floor_us`, now and then."""
        for (digest, producer), end in ends.items():
            of_user = self._ends[digest]
            of_user[producer] = max(end, of_user.get(producer, 0))
        if len(self._ends) > MOST_DONE:
            recent = {digest: ends for digest, ends in self._ends.items() if max(ends.values()) > floor_us}
            self._ends = defaultdict(dict, recent)

    def spans(self, digest: str) -> list[Span]:
        """Return a user's last writes; of those that are done only the end matters."""
        return [Span(end, end, producer) for producer, end in self._ends.get(digest, {}).items()]


class _Row:
    """The writes of one process in order of their starts, with the latest end up to each."""

    def __init__(self, spans: list[Span]) -> None:
        self._starts = [span.start for span in spans]
        self._ends: list[int] = []
        self._dual_ends: list[int] = []
        latest = latest_dual = NEVER
        for span in spans:
            latest = max(latest, span.end)
            latest_dual = max(latest_dual, span.end) if span.dual else latest_dual
            self._ends.append(latest)
            self._dual_ends.append(latest_dual)

    def latest_end(self, before_us: int, *, dual: bool = False) -> int:
        """Return the latest end of those that started before a moment; NEVER where none did."""
        place = bisect_left(self._starts, before_us)
        return (self._dual_ends if dual else self._ends)[place - 1] if place else NEVER
