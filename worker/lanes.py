"""A lane as a worker sees it in Redis: lease, entries, gaps, journal, trim."""

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from secrets import token_hex
from typing import Final, TypeVar, cast

import msgspec
import redis

from gnomon.appending import HINT_LIFETIME_MS
from gnomon.keys import Keys
from gnomon.scripts import CLEAR_UNREADY, COUNT_BATCH, COUNT_CAPTURE, EXTEND, JOURNAL, RELEASE, REMOVE, TRIM
from ledger import Finding, Opening
from worker.entries import EntryId, LaneEntry, digest_of, entry_of, spelled
from worker.lane_facts import After, Before, Left, Page
from worker.looking import DeadProducer, Lookout
from worker.overlaps import Writer
from worker.senders import Senders

LEASE_MS: Final = 15_000  # longer than the slowest batch between two extensions (2 s, with 64 stuck replays)
GAP: Final = "*"  # begins the name of what a journal keeps beside findings: no capture id begins so
INTENT: Final = "!"  # likewise
_BATCH: Final = (b"at", b"n")
CAPTURED_MS: Final = 3_600_000  # a user whom a dead process captured within so long may have lost something


class LaneStore:
    """All lanes of one namespace, in one Redis."""

    def __init__(self, server: "redis.Redis", namespace: str) -> None:
        self._redis = server
        self._keys = Keys(namespace)
        self.lookout = Lookout(server, self._keys)
        self.senders = Senders(server, self._keys)
        self._clear_unready = server.register_script(CLEAR_UNREADY)
        self._journal = server.register_script(JOURNAL)
        self._count_batch = server.register_script(COUNT_BATCH)
        self._count_capture = server.register_script(COUNT_CAPTURE)
        self._extend = server.register_script(EXTEND)
        self._release = server.register_script(RELEASE)
        self._remove = server.register_script(REMOVE)
        self._trim = server.register_script(TRIM)

    def lease(self, lane: int) -> str | None:
        """Take the lane; None where somebody holds it. The token says which process of its host that is."""
        token = f"{os.getpid()}:{token_hex(8)}"
        return token if self._redis.set(self._keys.lane(lane).lease, token, nx=True, px=LEASE_MS) else None

    def extend(self, lane: int, token: str) -> bool:
        """Hold the lane for longer; False where it is no longer held."""
        return bool(self._extend(keys=[self._keys.lane(lane).lease], args=[token, LEASE_MS]))

    def regain(self, lane: int, token: str) -> None:
        """Hold a lane again whose lease is gone, whoever has it: only for one that the ledger knows as its holder."""
        self._redis.set(self._keys.lane(lane).lease, token, px=LEASE_MS)

    def release(self, lane: int, token: str, *, aside: bool = False) -> bool:
        """Give the lane back; True where entries still wait and somebody must be hinted.

        `aside`: in the midst of a batch, of which the journal tells; its entries may have to be sent again.
        """
        keys = self._keys.lane(lane)
        return bool(
            self._release(
                keys=[keys.lease, keys.stream, keys.scheduled, keys.journal, keys.attempts],
                args=[token, HINT_LIFETIME_MS, int(aside)],
            )
        )

    def read(self, lane: int, after: EntryId, count: int) -> Page:
        """Return up to `count` entries after an id, oldest first, and whether live processes have found gaps."""
        keys = self._keys.lane(lane)
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.xrange(keys.stream, min=f"({spelled(after)}", count=count)
        pipeline.exists(keys.gaps)
        found, gaps = pipeline.execute()
        return Page([entry_of(*entry) for entry in found], bool(gaps))

    def trim(self, lane: int, token: str, keep_from: EntryId, trimmed_bytes: int) -> None:
        """Remove the entries before `keep_from`; where the lane is no longer held, that is left to its next holder."""
        self._trim(keys=self._trimmed_keys(lane), args=_trimming(lane, token, keep_from, trimmed_bytes))

    def remove(self, lane: int, token: str, entries: Sequence[LaneEntry]) -> bool:
        """Remove entries that are done, in the order of their ids, wherever they lie.

        False where the lane is no longer held, and nothing was removed.
        """
        if not entries:
            return True
        args: list[str | int] = [token, entries[-1].appended, lane, *[spelled(entry.id) for entry in entries]]
        return bool(self._remove(keys=self._trimmed_keys(lane), args=args))

    def _trimmed_keys(self, lane: int) -> list[str]:
        keys = self._keys.lane(lane)
        return [keys.lease, keys.stream, keys.state, self._keys.stock, self._keys.oldest]

    def left(self, lane: int) -> Left:
        """Return what earlier holders of the lane found and did not commit, and the last writes that were done."""
        keys = self._keys.lane(lane)
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.hgetall(keys.journal)
        pipeline.zrange(keys.writes, 0, -1, withscores=True)
        pipeline.zrange(keys.senders, 0, -1)
        pipeline.hgetall(keys.attempts)
        pipeline.get(keys.forgot)
        journal, writes, senders, attempts, forgot = pipeline.execute()
        left = Left(
            writes={_writer(member): int(end) for member, end in writes},
            senders=frozenset(name.decode("utf-8", "replace") for name in senders),
            attempts={name.decode("utf-8", "replace"): int(n) for name, n in attempts.items() if name not in _BATCH},
            doubted_us=int(forgot or 0),
            intents=frozenset(name.decode()[1:] for name in journal if name.startswith(INTENT.encode())),
        )
        for raw, line in journal.items():
            name = raw.decode("utf-8", "replace")
            if name.startswith(INTENT):
                continue
            if name.startswith(GAP):
                _keep(left.openings, name, line, Opening)
            else:
                _keep(left.findings, name, line, Finding)
        return left

    def write_journal(
        self,
        lane: int,
        token: str,
        findings: Sequence[Finding],
        openings: Mapping[str, Opening] | None = None,
        intent: str | None = None,
    ) -> bool:
        """Keep what was found until it is committed, and the intent to replay a capture.

        False where the lane is no longer held, and nothing was kept.
        """
        keys = self._keys.lane(lane)
        pairs = _journalled(findings, openings or {})
        pairs += [INTENT + intent, b"1"] if intent else []
        return bool(self._journal(keys=[keys.lease, keys.journal], args=[token, *pairs]))

    def clear_journal(self, lane: int, names: Collection[str]) -> None:
        """Forget what is committed."""
        self._redis.hdel(self._keys.lane(lane).journal, *names)

    # --- attempts

    def count_batch(self, lane: int, token: str, at: str) -> int | None:
        """Count an attempt at the batch that begins at a position; None where the lane is no longer held."""
        keys = self._keys.lane(lane)
        number = cast("int | None", self._count_batch(keys=[keys.lease, keys.attempts], args=[token, at]))
        return None if number is None else int(number)

    def count_capture(self, lane: int, token: str, capture_id: str) -> int | None:
        """Count an attempt at a capture; None where the lane is no longer held."""
        keys = self._keys.lane(lane)
        number = cast("int | None", self._count_capture(keys=[keys.lease, keys.attempts], args=[token, capture_id]))
        return None if number is None else int(number)

    def uncount_capture(self, lane: int, capture_id: str) -> None:
        """Forget the attempts at a capture: it is through."""
        self._redis.hdel(self._keys.lane(lane).attempts, capture_id)

    # --- gaps

    def take_gaps(self, lane: int, token: str, until_us: int) -> dict[str, Opening] | None:
        """Move the gaps that live processes found into the journal and return them, by name.

        All at once, so that none is lost that is found meanwhile. None where the lane is no longer held.
        """
        keys = self._keys.lane(lane)
        with self._redis.pipeline() as pipeline:
            while True:
                pipeline.watch(keys.lease, keys.gaps)  # type: ignore[no-untyped-call]
                if cast("bytes | None", pipeline.get(keys.lease)) != token.encode():
                    return None
                found = _gaps(cast("dict[bytes, bytes]", pipeline.hgetall(keys.gaps)), until_us)
                pipeline.multi()
                if found:
                    kept = {name: msgspec.json.encode(opening) for name, opening in found.items()}
                    pipeline.hset(keys.journal, mapping=kept)  # type: ignore[arg-type]  # bytes are values too
                    pipeline.persist(keys.journal)
                pipeline.delete(keys.gaps)
                try:
                    pipeline.execute()
                except redis.WatchError:
                    continue
                return found

    def captured_by(self, lane: int, dead: Sequence[DeadProducer]) -> list[list[str]]:
        """Return for each dead process the digests of the users whom it captured in the lane in its last hour."""
        pipeline = self._redis.pipeline(transaction=False)
        for one in dead:
            pipeline.zrange(self._keys.lane(lane).users(one.producer), 0, -1, withscores=True)
        return [_of_last_hour(one, users) for one, users in zip(dead, pipeline.execute(), strict=True)]

    def bury(self, lane: int, dead: Sequence[DeadProducer]) -> None:
        """Forget whom dead processes captured in the lane; what they append after having come back stays."""
        pipeline = self._redis.pipeline(transaction=False)
        for one in dead:
            pipeline.zremrangebyscore(self._keys.lane(lane).users(one.producer), "-inf", one.died_ms)
        pipeline.execute()

    def clear_unready(self, since: Mapping[str, int]) -> None:
        """Let go of users' exceptions that are no younger than given: enhanced has what it lacked."""
        pairs = [part for pair in since.items() for part in pair]
        self._clear_unready(keys=[self._keys.unready], args=pairs)

    # --- around a commit

    def before_commit(self, before: Mapping[int, Before]) -> None:
        """Remember, by lane, the last writes that are done.

        Before the commit, for whoever comes after it must know them; to have remembered one too many does no harm.
        """
        pipeline = self._redis.pipeline(transaction=False)
        for lane, (writes, floor_us) in before.items():
            if recent := {_member(*writer): end for writer, end in writes.items() if end > floor_us}:
                pipeline.zadd(self._keys.lane(lane).writes, recent, gt=True)
                pipeline.zremrangebyscore(self._keys.lane(lane).writes, "-inf", floor_us)
        pipeline.execute()

    def after_commit(self, after: Mapping[int, After]) -> None:
        """Write down, by lane, up to where it is done, for whoever waits for that, and remove what is done.

        Where a lane is no longer held, what is in it is left to its next holder.
        """
        pipeline = self._redis.pipeline(transaction=False)
        for lane, (token, cut_us, attempted, trim) in after.items():
            keys = self._keys.lane(lane)
            pipeline.hset(keys.state, "done_us", cut_us)
            pipeline.hdel(keys.attempts, "at", "n", *attempted)
            if trim is not None:
                self._trim(keys=self._trimmed_keys(lane), args=_trimming(lane, token, *trim), client=pipeline)
        pipeline.execute()

    # --- over all lanes

    def ready(self, lanes: range) -> list[int]:
        """Return the lanes that hold entries and that nobody holds."""
        pipeline = self._redis.pipeline(transaction=False)
        for lane in lanes:
            pipeline.xlen(self._keys.lane(lane).stream)
            pipeline.exists(self._keys.lane(lane).lease)
        answers = pipeline.execute()
        return [lane for i, lane in enumerate(lanes) if answers[2 * i] and not answers[2 * i + 1]]

    def empty(self, lanes: Iterable[int]) -> list[int]:
        """Return those lanes that hold nothing and that nobody holds."""
        asked = sorted(lanes)
        pipeline = self._redis.pipeline(transaction=False)
        for lane in asked:
            pipeline.xlen(self._keys.lane(lane).stream)
            pipeline.exists(self._keys.lane(lane).lease)
        answers = pipeline.execute()
        return [lane for i, lane in enumerate(asked) if not answers[2 * i] and not answers[2 * i + 1]]

    def unhinted(self, lanes: range) -> list[int]:
        """Return the lanes that hold entries, that nobody holds and nobody was asked to drain; mark them as asked."""
        return self.unasked(self.ready(lanes))

    def unasked(self, lanes: Iterable[int]) -> list[int]:
        """Return those lanes that nobody was asked to drain; mark them as asked."""
        waiting = list(lanes)
        pipeline = self._redis.pipeline(transaction=False)
        for lane in waiting:
            pipeline.set(self._keys.lane(lane).scheduled, "1", nx=True, px=HINT_LIFETIME_MS)
        return [lane for lane, marked in zip(waiting, pipeline.execute(), strict=True) if marked]

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
        own = self._keys
        keys = [own.flags, own.readiness, own.unready, own.producers, own.watermarks, own.dead, own.metrics, own.queue]
        keys += [own.complaints, own.stock, own.oldest, own.pressure, own.workers]
        names = cast("list[bytes]", list(self._redis.smembers(own.workers)))
        keys += [own.targets(name.decode()) for name in names]
        for lane in map(self._keys.lane, lanes):
            names = cast("list[bytes]", self._redis.zrange(lane.senders, 0, -1))
            keys += [lane.sender(name.decode()) for name in names]
            keys += [lane.stream, lane.state, lane.senders, lane.scheduled, lane.lease, lane.journal]
            keys += [lane.gaps, lane.writes, lane.attempts]
        self._redis.delete(*keys)

    def producers(self) -> list[dict[str, str]]:
        """Return the heartbeats of the live producers."""
        return self.lookout.producers()

    def dead(self) -> list[DeadProducer]:
        """Return the producers that died within the last two hours, with what may be lost with each."""
        return self.lookout.dead()

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()


def _trimming(lane: int, token: str, keep_from: EntryId, trimmed_bytes: int) -> list[str | int]:
    return [token, spelled(keep_from), trimmed_bytes, lane]


Kept = TypeVar("Kept", Finding, Opening)


def _keep(kept: dict[str, Kept], name: str, line: bytes, kind: type[Kept]) -> None:
    with suppress(msgspec.MsgspecError, UnicodeDecodeError):  # another version's: it costs a replay
        kept[name] = msgspec.json.decode(line, type=kind)


def _journalled(findings: Sequence[Finding], openings: Mapping[str, Opening]) -> list[str | bytes]:
    """Return names and lines in turn, as a journal takes them."""
    pairs: list[str | bytes] = []
    for finding in findings:
        pairs += [finding.capture_id, msgspec.json.encode(finding)]
    for name, opening in openings.items():
        pairs += [name, msgspec.json.encode(opening)]
    return pairs


def _gaps(found: Mapping[bytes, bytes], until_us: int) -> dict[str, Opening]:
    openings: dict[str, Opening] = {}
    for raw, since in found.items():
        digest, since_us = digest_of(raw), int(since) if since.isdigit() else 0
        if digest:
            opening = Opening(digest=digest, since_us=since_us, until_us=until_us, reason="lost")
            openings[gap_name(opening)] = opening
    return openings


def gap_name(opening: Opening) -> str:
    """Return the name under which a journal keeps a gap."""
    return f"{GAP}{opening.digest}:{opening.since_us}"


def _of_last_hour(dead: DeadProducer, users: Sequence[tuple[bytes, float]]) -> list[str]:
    """Before its last append, not before its death was noticed: that may have been much later."""
    last_ms = min([dead.died_ms, *[int(ms) for _, ms in users[-1:]]])
    return [digest for raw, ms in users if ms >= last_ms - CAPTURED_MS and (digest := digest_of(raw))]


def _member(digest: str, producer: str) -> str:
    return f"{digest}:{producer}"


def _writer(member: bytes) -> Writer:
    digest, _, producer = member.decode("utf-8", "replace").partition(":")
    return digest, producer
