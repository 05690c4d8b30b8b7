"""Verifies users' data before enhanced serves them, slice by slice: what one tick of the arbiter has time for.

On the data's way it stands behind the drains: what was captured is replayed, what was there before is compared here,
and repaired. Who still differs becomes an exception; who does not is one no more.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, TypeVar, cast

import msgspec
import redis

from gnomon.hashing import bucket_of, user_digest
from gnomon.keys import Keys
from gnomon.readiness import MOST_EXCEPTIONS, Readiness, UserData
from gnomon.scripts import CLEAR_UNREADY, MARK_UNREADY
from worker.pool import ReplayPool

T = TypeVar("T")

SLICE: Final = 64  # users verified before the clock is looked at: 0.1 s where a query takes 5 ms
PAGE: Final = 500  # users asked for at once
WAITS_S: Final = (0.02, 0.1, 0.3)  # after each repair; a live write stores its second half within some 10 ms
PATIENCE_S: Final = 10.0  # for the answers of a slice; the user data has timeouts of its own


@dataclass(frozen=True, slots=True)
class Unready:
    """The exceptions in Redis: of whom enhanced may lack a write, and since when."""

    server: "redis.Redis"
    keys: Keys

    def mark(self, marks: Mapping[str, int]) -> None:
        """Except users by their digests, each since a moment in µs or a later one known; every live process is told."""
        pairs = [part for pair in marks.items() for part in pair]
        self.server.eval(MARK_UNREADY, 1, self.keys.unready, self.keys.changes, MOST_EXCEPTIONS, *pairs)

    def put(self, marks: Mapping[str, int]) -> None:
        """Except users as `mark` does, also since an earlier moment than known."""
        pipeline = self.server.pipeline()
        for digest, since in marks.items():
            pipeline.hset(self.keys.unready, digest, str(since))
        pipeline.hincrby(self.keys.unready, "version", 1)
        pipeline.publish(self.keys.changes, "")
        pipeline.execute()

    def clear(self, digests: Iterable[str], until_us: int) -> int:
        """Lift exceptions since `until_us` or before; return how many those were."""
        pairs = [part for digest in digests for part in (digest, until_us)]
        return int(cast("int", self.server.eval(CLEAR_UNREADY, 1, self.keys.unready, *pairs))) if pairs else 0

    def now_us(self) -> int:
        """Return the server's time."""
        seconds, micros = self.server.time()
        return seconds * 1_000_000 + micros


@dataclass(frozen=True, slots=True)
class Together:
    """The user data of several clients as one: a user is verified where all of them say so."""

    parts: Sequence[UserData]

    def verify(self, user: str, before: datetime | None = None) -> bool:
        """Tell whether every part verifies `user`."""
        return all(part.verify(user, before) for part in self.parts)

    def repair(self, user: str, before: datetime | None = None) -> int:
        """Have every part repair `user`; return how much that was together."""
        return sum(part.repair(user, before) for part in self.parts)

    def users(self, after: str = "", limit: int = 500) -> list[str]:
        """Return up to `limit` users of any part that sort behind `after`, in order."""
        return sorted({user for part in self.parts for user in part.users(after, limit)})[:limit]


@dataclass(slots=True)
class _Question:
    """Something to ask the user data in a thread of the pool."""

    ask: Callable[[], Any]
    given_up: bool = False

    def __call__(self) -> Any:
        return self.ask()


class Panel:
    """Asks several questions side by side; never more than there are threads, also when answers never come."""

    def __init__(self, threads: int) -> None:
        self._pool = ReplayPool(threads)
        self._asked: list[Future[Any]] = []

    @property
    def stuck(self) -> int:
        """How many questions of earlier are still without an answer: more had better not be asked."""
        return sum(not asked.done() for asked in self._asked)

    def ask(self, questions: Sequence[Callable[[], T]]) -> list[T]:
        """Return the answers; raises what a question raised, or TimeoutError after PATIENCE_S."""
        self._asked = [self._pool.submit(_Question(question)) for question in questions]
        _, late = wait(self._asked, timeout=PATIENCE_S)
        for asked in late:
            asked.cancel()
        if late:
            raise TimeoutError
        return [asked.result() for asked in self._asked]

    def close(self) -> None:
        """Let the threads end."""
        self._pool.close()


@dataclass(slots=True, kw_only=True)
class Verification:
    """One stretch of the way through all users who are dual and not ready; `readiness` tells how far it is."""

    readiness: Readiness
    enabled: Mapping[str, str]  #: users wanted one by one: digest → id
    user_data: UserData
    panel: Panel
    unready: Unready
    clock_error_us: int  #: how far the clocks that exceptions are stamped with may be off
    counts: Counter[str] = field(default_factory=lambda: Counter(verified=0))

    def run(self, seconds: float) -> None:
        """Go on for about so long; raises what the user data raises, with what is behind it still standing."""
        until = time.monotonic() + seconds
        for _ in self._slices():
            if time.monotonic() > until:
                return

    def _slices(self) -> Iterator[None]:
        yield from self._one_by_one()
        if self.readiness.ready_below < self.readiness.dual_below:
            yield from self._buckets()

    def _one_by_one(self) -> Iterator[None]:
        """Verify users who are known by name; each is ready at once."""
        due = sorted(user for digest, user in self.enabled.items() if digest not in self.readiness.ready)
        for users in _sliced(due):
            self._check(users)
            self._become(ready=self.readiness.ready.union(map(user_digest, users)))
            yield

    def _buckets(self) -> Iterator[None]:
        """Verify users by their buckets, in the order of their ids; all are ready with the last one."""
        low, high = self.readiness.ready_below, self.readiness.dual_below
        while page := self._page():
            for users in _sliced([user for user in page if low <= bucket_of(user) < high]):
                self._check(users)
                self._become(cursor=users[-1])
                yield
            self._become(cursor=page[-1])
            yield
        self._become(ready_below=high, cursor="")

    def _become(self, **changes: Any) -> None:
        self.readiness = msgspec.structs.replace(self.readiness, **changes)

    def _page(self) -> list[str]:
        return self.panel.ask([lambda: self.user_data.users(after=self.readiness.cursor, limit=PAGE)])[0]

    def _check(self, users: Sequence[str]) -> None:
        """Verify users side by side: lift the exceptions of those who are as they should be, except the others."""
        before_us = self.unready.now_us() - self.clock_error_us
        found = self.panel.ask([_Check(self.user_data, user) for user in users])
        matching = {user_digest(user) for user, (matches, _) in zip(users, found, strict=True) if matches}
        self.counts["lifted"] += self.unready.clear(matching, before_us)
        self._except({user_digest(user) for user in users} - matching)
        self.counts["verified"] += len(matching)
        self.counts["repaired"] += sum(repaired for _, repaired in found)

    def _except(self, differing: set[str]) -> None:
        if not differing:
            return
        self.counts["unready"] += len(differing)
        since_us = self.unready.now_us() + self.clock_error_us  # no older than the write that may have come between
        self.unready.mark(dict.fromkeys(differing, since_us))


@dataclass(frozen=True, slots=True)
class _Check:
    """Whether a user verifies, repaired if need be, and how much was repaired."""

    user_data: UserData
    user: str

    def __call__(self) -> tuple[bool, int]:
        """Live writes are going on: one that has reached one side alone is a mismatch that passes."""
        repaired = 0
        for wait_s in WAITS_S:
            if self.user_data.verify(self.user):
                return True, repaired
            repaired += self.user_data.repair(self.user)
            time.sleep(wait_s)
        return self.user_data.verify(self.user), repaired


def _sliced(users: Sequence[str]) -> Iterator[Sequence[str]]:
    return (users[first : first + SLICE] for first in range(0, len(users), SLICE))
