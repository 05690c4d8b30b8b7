"""Decides which captures of a lane may be replayed now, and where the lane stands when they are: pure.

A capture is done when its entry was read before the last commit and its order is at or below the position's cut.
Below a watermark is not a prefix of arrival, so entries above the cut stay, and a newer entry below it is late.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import msgspec

from gnomon.hashing import user_digest
from gnomon.wire import Capture, Kind
from ledger import Position
from worker.entries import EntryId, LaneEntry, LaneItem
from worker.overlaps import Overlaps, Span, Writer, is_long, producer_of

Unfair = Literal["", "concurrent", "superseded", "causal"]


class Due(msgspec.Struct, frozen=True, gc=False):
    """A capture to be dealt with.

    `late` when it arrived behind the cut, or from nowhere that can be; `unfair` says why comparing it would be, as far
    as that is known before.
    """

    item: LaneItem
    late: bool
    unfair: Unfair = ""


@dataclass(frozen=True, slots=True)
class Selection:
    """What one commit of a lane will cover."""

    after: Position
    by_user: dict[str, list[Due]]
    unreadable: list[Due]
    #: entries that still hold something above the cut
    held: list[LaneEntry]
    #: where the stream can be cut off once committed, and the bytes appended up to there; None to keep all
    trim: tuple[EntryId, int] | None
    count: int = field(default=0)


def select(entries: list[LaneEntry], before: Position, cut_us: int, *, limit: int | None = None) -> Selection:
    """Split `entries`, all that were read and are not done, at the cut, or lower: `limit` bounds one commit."""
    allowed = max(before.cut, (cut_us, ""))
    orders = sorted(found.item.order for entry in entries for found in _due(entry, before, allowed))[:limit]
    # no higher than what is done: what arrives below the watermark and above all that was replayed is not late
    cut = max([before.cut, *orders[-1:]])
    read = entries[-1].id if entries else before.read
    held = [entry for entry in entries if any(item.order > cut for item in entry.items)]
    due = [found for entry in entries for found in _due(entry, before, cut)]
    return Selection(
        after=Position(read, cut),
        by_user=by_user(due),
        unreadable=[found for found in due if found.item.capture is None],
        held=held,
        trim=_trim(entries, held),
        count=len(due),
    )


def ids_of(by_user: Mapping[str, Sequence[Due]]) -> set[str]:
    """Return the ids of the captures that are due."""
    return {due.item.capture.id for dues in by_user.values() for due in dues if due.item.capture is not None}


def captures_of(entries: Iterable[LaneEntry]) -> Iterator[Capture]:
    """Return everything in entries that can be read."""
    return (item.capture for entry in entries for item in entry.items if item.capture is not None)


def with_fairness(
    selection: Selection,
    known: Mapping[str, Sequence[Capture]],
    before: Mapping[str, Sequence[Span]],
    *,
    error_us: int,
    now_us: int,
) -> Selection:
    """Mark the reads and generate calls whose comparison a write of their user makes unfair.

    `known` are the writes by user of all entries read, below the cut and above; `before` those done with earlier
    commits, as far as they end within a minute of the cut. `concurrent`: a write overlapped the call. `superseded`:
    a write has changed the side that is to be replayed since; what comes until the replay is seen when it is through.

    No write that overlapped a call is missing. It started before the call ended, and the call ends at or below the
    cut. The cut lies, by the clock error, below a watermark that was asked for before reading, and a live process
    holds its watermark at the start of each write in flight: so the write was appended by then, and it has been read,
    for reading goes on to the end of the stream or to a promise that bounds what is left unread. It is in `known`, or
    it was done and trimmed: then it is in `before`, or it ended more than a minute before the cut, and a call that
    it overlapped ran longer than that, which is `concurrent` by itself.
    """
    marked = {
        user: _marked(dues, [*map(Span.of, known.get(user, ())), *before.get(user, ())], error_us, now_us)
        for user, dues in selection.by_user.items()
    }
    return replace(selection, by_user=marked)


def with_doubt(selection: Selection, known: Mapping[str, Sequence[Capture]], until_us: int) -> Selection:
    """Mark the reads and generate calls that may have been replayed before, their user's later writes with them.

    What was found is forgotten; a second replay would see those writes. `until_us`: up to when captures may have been.
    """
    last = {
        user: max((write.order for write in writes if write.end <= until_us), default=(0, ""))
        for user, writes in known.items()
    }
    marked = {
        user: [_unfairly(due, "causal") if _reads_before(due, last.get(user, (0, ""))) else due for due in dues]
        for user, dues in selection.by_user.items()
    }
    return replace(selection, by_user=marked)


def with_step(selection: Selection, promised_us: int) -> Selection:
    """Mark the reads and generate calls before which writes may be missing that come by another clock.

    Redis's clock was set back: what live processes had not appended by then is moved along with it. Nothing of that
    ended by `promised_us`.
    """
    marked = {
        user: [_unfairly(due, "causal") if _reads_after(due, promised_us) else due for due in dues]
        for user, dues in selection.by_user.items()
    }
    return replace(selection, by_user=marked)


def _reads_after(due: Due, moment_us: int) -> bool:
    capture = due.item.capture
    return capture is not None and capture.kind is not Kind.WRITE and capture.end > moment_us


def _reads_before(due: Due, moment: tuple[int, str]) -> bool:
    capture = due.item.capture
    return capture is not None and capture.kind is not Kind.WRITE and due.item.order < moment


def _marked(dues: list[Due], spans: Sequence[Span], error_us: int, now_us: int) -> list[Due]:
    if not spans and not any(due.item.capture and is_long(due.item.capture) for due in dues):
        return dues
    overlaps = Overlaps(spans, error_us)
    return [_judged(due, overlaps, now_us) for due in dues]


def _judged(due: Due, overlaps: Overlaps, now_us: int) -> Due:
    capture = due.item.capture
    if capture is None or capture.kind is Kind.WRITE:
        return due
    if overlaps.concurrent(capture):
        return _unfairly(due, "concurrent")
    return _unfairly(due, "superseded") if is_replayed(capture) and overlaps.superseded(capture, now_us) else due


def _unfairly(due: Due, reason: Unfair) -> Due:
    return msgspec.structs.replace(due, unfair=reason)


def is_replayed(capture: Capture) -> bool:
    """Tell whether one of the sides of a read or generate call has to be replayed."""
    return (capture.legacy is msgspec.UNSET) != (capture.enhanced is msgspec.UNSET)


def _due(entry: LaneEntry, before: Position, cut: tuple[int, str]) -> Iterable[Due]:
    for item in entry.items:
        behind = item.order <= before.cut
        if item.order <= cut and not (entry.known and behind):
            yield Due(item, late=behind or item.misplaced)


def by_user(due: Iterable[Due]) -> dict[str, list[Due]]:
    """Return what is to be dealt with by user, each one's in the order of their calls."""
    users: defaultdict[str, list[Due]] = defaultdict(list)
    for found in due:
        if found.item.capture is not None:
            users[found.item.capture.user].append(found)
    for of_user in users.values():
        of_user.sort(key=lambda found: found.item.order)
    return dict(users)


def _trim(entries: list[LaneEntry], held: list[LaneEntry]) -> tuple[EntryId, int] | None:
    """Only what lies before the oldest entry not done may go: what lies behind it stays until that is done."""
    oldest = held[0].id if held else None
    gone = [entry for entry in entries if oldest is None or entry.id < oldest]
    if not gone:
        return None
    ms, seq = gone[-1].id
    return (oldest or (ms, seq + 1), gone[-1].appended)


def began_by(due: Due, moment_us: int) -> bool:
    """Tell whether a read or generate call began at or before a moment."""
    capture = due.item.capture
    return capture is not None and capture.kind is not Kind.WRITE and capture.start <= moment_us


def last_writes(selection: Selection) -> dict[Writer, int]:
    """Return the ends of the last writes of each user and process; dues lie in the order of their ends."""
    done: dict[Writer, int] = {}
    for user, dues in selection.by_user.items():
        ends = {
            producer_of(due.item.capture.id): due.item.capture.end
            for due in dues
            if due.item.capture is not None and due.item.capture.kind is Kind.WRITE
        }
        if ends:
            digest = user_digest(user)
            done |= {(digest, producer): end for producer, end in ends.items()}
    return done
