"""A lane as a worker sees it in Redis: lease, entries, watermark, trim."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from secrets import token_hex
from typing import Final, cast

import msgspec
import redis

from gnomon.errors import WireError
from gnomon.keys import Keys
from gnomon.publisher import HINT_LIFETIME_MS
from gnomon.scripts import BEAT, EXTEND, JOURNAL, RELEASE, TRIM
from gnomon.wire import Capture, decode, unpack
from ledger import Finding, FunnelKey

LEASE_MS: Final = 15_000  # longer than the slowest batch between two extensions (2 s, with 64 stuck replays)
MOST_CAPTURES: Final = 4_096  # in one entry; producers pack 32
LONGEST_NUMBER: Final = 19  # digits: below 2**63

EntryId = tuple[int, int]


@dataclass(frozen=True, slots=True)
class LaneItem:
    """One capture in its lane, or a line that is none (`capture` None) with the reason."""

    order: tuple[int, str]
    line: bytes
    capture: Capture | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class LaneEntry:
    """One stream entry: captures of one user. `appended` counts the lane's bytes up to and with it."""

    id: EntryId
    watermark: int
    appended: int
    items: tuple[LaneItem, ...]


class LaneStore:
    """All lanes of one namespace, in one Redis."""

    def __init__(self, server: "redis.Redis", namespace: str) -> None:
        self._redis = server
        self._keys = Keys(namespace)
        self._beat = server.register_script(BEAT)
        self._journal = server.register_script(JOURNAL)
        self._extend = server.register_script(EXTEND)
        self._release = server.register_script(RELEASE)
        self._trim = server.register_script(TRIM)

    def lease(self, lane: int) -> str | None:
        """Take the lane; None where somebody holds it."""
        token = token_hex(8)
        return token if self._redis.set(self._keys.lane(lane).lease, token, nx=True, px=LEASE_MS) else None

    def extend(self, lane: int, token: str) -> bool:
        """Hold the lane for longer; False where it is no longer held."""
        return bool(self._extend(keys=[self._keys.lane(lane).lease], args=[token, LEASE_MS]))

    def release(self, lane: int, token: str) -> bool:
        """Give the lane back; True where entries still wait and somebody must be hinted."""
        keys = self._keys.lane(lane)
        return bool(
            self._release(keys=[keys.lease, keys.stream, keys.scheduled, keys.journal], args=[token, HINT_LIFETIME_MS])
        )

    def watermark(self) -> int:
        """Return the lowest watermark of the live producers, µs; the server's time where none is alive."""
        keys = ["", self._keys.producers, self._keys.watermarks, self._keys.flags]
        keys[0] = self._keys.producer("")
        seconds, micros, lowest, _ = self._beat(keys=keys, args=["", 0, 0])
        return int(float(lowest)) if lowest else int(seconds) * 1_000_000 + int(micros)

    def read(self, lane: int, after: EntryId, count: int) -> list[LaneEntry]:
        """Return up to `count` entries after an id, oldest first."""
        found = self._redis.xrange(self._keys.lane(lane).stream, min=f"({_spelled(after)}", count=count)
        return [_entry(*entry) for entry in cast("list[tuple[bytes, dict[bytes, bytes]]]", found)]

    def trim(self, lane: int, keep_from: EntryId, trimmed_bytes: int) -> None:
        """Remove the entries before `keep_from`."""
        keys = self._keys.lane(lane)
        self._trim(keys=[keys.stream, keys.state], args=[_spelled(keep_from), trimmed_bytes])

    def journal(self, lane: int) -> dict[str, Finding]:
        """Return what earlier holders of the lane found and did not commit, by capture id."""
        kept = cast("dict[bytes, bytes]", self._redis.hgetall(self._keys.lane(lane).journal))
        read = {name.decode("utf-8", "replace"): _finding(line) for name, line in kept.items()}
        return {name: found for name, found in read.items() if found is not None}

    def write_journal(self, lane: int, token: str, findings: Sequence[Finding]) -> bool:
        """Keep findings until they are committed; False where the lane is no longer held, and nothing was kept."""
        keys = self._keys.lane(lane)
        pairs = [part for found in findings for part in (found.capture_id, msgspec.json.encode(found))]
        return bool(self._journal(keys=[keys.lease, keys.journal], args=[token, *pairs]))

    def clear_journal(self, lane: int, capture_ids: Sequence[str]) -> None:
        """Forget findings that are committed."""
        self._redis.hdel(self._keys.lane(lane).journal, *capture_ids)

    def ready(self, lanes: range) -> list[int]:
        """Return the lanes that hold entries and that nobody holds."""
        pipeline = self._redis.pipeline(transaction=False)
        for lane in lanes:
            pipeline.xlen(self._keys.lane(lane).stream)
            pipeline.exists(self._keys.lane(lane).lease)
        answers = pipeline.execute()
        return [lane for i, lane in enumerate(lanes) if answers[2 * i] and not answers[2 * i + 1]]

    def unhinted(self, lanes: range) -> list[int]:
        """Return the lanes that hold entries, that nobody holds and nobody was asked to drain; mark them as asked."""
        waiting = self.ready(lanes)
        pipeline = self._redis.pipeline(transaction=False)
        for lane in waiting:
            pipeline.set(self._keys.lane(lane).scheduled, "1", nx=True, px=HINT_LIFETIME_MS)
        return [lane for lane, marked in zip(waiting, pipeline.execute(), strict=True) if marked]

    def funnels(self, lanes: range) -> dict[FunnelKey, int]:
        """Return every lane's cumulative funnel, by lane, operation, epoch and counter."""
        pipeline = self._redis.pipeline(transaction=False)
        for lane in lanes:
            pipeline.hgetall(self._keys.lane(lane).funnel)
        found: dict[FunnelKey, int] = {}
        for lane, counters in zip(lanes, pipeline.execute(), strict=True):  # cumulative: a repetition does no harm
            for field, count in counters.items():
                operation, epoch, counter = field.decode().rsplit("|", 2)
                found[lane, operation, int(epoch), counter] = int(count)
        return found

    def captured(self, lanes: range) -> int:
        """Return how many captures were ever appended."""
        pipeline = self._redis.pipeline(transaction=False)
        for lane in lanes:
            pipeline.hget(self._keys.lane(lane).state, "captured")
        return sum(int(count or 0) for count in pipeline.execute())

    def waiting(self, lanes: range) -> int:
        """Return how many entries lie in the lanes."""
        pipeline = self._redis.pipeline(transaction=False)
        for lane in lanes:
            pipeline.xlen(self._keys.lane(lane).stream)
        return sum(pipeline.execute())

    def oldest(self, lanes: range) -> datetime | None:
        """Return when the oldest entry that waits was appended; None where none waits."""
        pipeline = self._redis.pipeline(transaction=False)
        for lane in lanes:
            pipeline.xrange(self._keys.lane(lane).stream, count=1)
        first = [int(entries[0][0].split(b"-")[0]) for entries in pipeline.execute() if entries]
        return datetime.fromtimestamp(min(first) / 1_000, UTC) if first else None

    def purge(self, lanes: range) -> None:
        """Remove every key of the namespace; only for one that nobody uses any more."""
        keys = [self._keys.flags, self._keys.producers, self._keys.watermarks, self._keys.queue]
        for lane in map(self._keys.lane, lanes):
            keys += [lane.stream, lane.state, lane.funnel, lane.scheduled, lane.lease, lane.journal]
        self._redis.delete(*keys)

    def producers(self) -> list[dict[str, str]]:
        """Return the heartbeats of the live producers."""
        seconds, _ = self._redis.time()
        alive = cast("list[bytes]", self._redis.zrangebyscore(self._keys.producers, seconds * 1_000, "+inf"))
        beats = [cast("dict[bytes, bytes]", self._redis.hgetall(self._keys.producer(name.decode()))) for name in alive]
        return [{key.decode(): value.decode() for key, value in beat.items()} for beat in beats]

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()


def _spelled(entry: EntryId) -> str:
    return f"{entry[0]}-{entry[1]}"


def _entry(raw_id: bytes, fields: dict[bytes, bytes]) -> LaneEntry:
    ms, seq = map(int, raw_id.split(b"-"))
    items = tuple(_items(ms, f"{ms}-{seq}", fields))
    return LaneEntry((ms, seq), _number(fields, b"w", 0), _number(fields, b"b", 0), items)


def _number(fields: dict[bytes, bytes], name: bytes, otherwise: int) -> int:
    """What a foreign entry does not say is taken as nothing: it must not stop its lane."""
    text = fields.get(name, b"")
    return int(text) if text.isdigit() and len(text) < LONGEST_NUMBER else otherwise


def _finding(line: bytes) -> Finding | None:
    try:
        return msgspec.json.decode(line, type=Finding)
    except (msgspec.MsgspecError, UnicodeDecodeError):  # another version's: it costs a replay
        return None


def _items(ms: int, entry_id: str, fields: dict[bytes, bytes]) -> Iterator[LaneItem]:
    count = min(_number(fields, b"n", 1), MOST_CAPTURES)
    payload = fields.get(b"p", b"")
    try:
        lines = unpack(payload)
    except WireError as error:
        lines, reason = [], error.reason
    else:
        reason = "malformed"
    for place, line in enumerate(lines):
        yield _item(line, (ms * 1_000, f"{entry_id}/{place}"))
    # what the entry says it holds and does not: each is accounted for
    for missing in range(len(lines), count):
        yield LaneItem((ms * 1_000, f"{entry_id}/{missing}"), payload, reason=reason)


def _item(line: bytes, arrived: tuple[int, str]) -> LaneItem:
    """Return a line as the capture it is, or, in the place of its arrival, as one that cannot be read."""
    try:
        capture = decode(line)
    except WireError as error:
        return LaneItem(arrived, line, reason=error.reason)
    return LaneItem(capture.order, line, capture)
