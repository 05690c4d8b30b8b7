"""Someone's data on two sides, live processes by hand, and arbiters to make users ready."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path

import msgspec
import pytest

from gnomon.connecting import connect
from gnomon.flags import SHARE, SWITCHES, EnvironmentFlags, with_user
from gnomon.hashing import BUCKETS, bucket_of
from gnomon.readiness import Readiness
from gnomon.scripts import BEAT
from gnomon.switchboard import change_flags, store_flags
from worker import arbiter as arbiters
from worker import verification
from worker.arbiter import Arbiter, status
from worker.steps import Step
from worker.verification import Unready

LANES = range(2)
NOBODY = EnvironmentFlags()
FAR_US = 2**52  # behind every time in these tests


class Shelves:
    """What legacy and enhanced hold, in a table each. `before` is called with each user who is to be verified."""

    def __init__(self, folder: Path, *people: str) -> None:
        self.people = list(people)
        self._file = folder / "shelves.sqlite3"
        self.before: Callable[[str], object] = lambda _user: None
        self.verified: list[str] = []
        self.unrepairable: set[str] = set()
        with self._open() as shelves:
            shelves.execute("CREATE TABLE legacy (user TEXT, note TEXT, PRIMARY KEY (user, note))")
            shelves.execute("CREATE TABLE enhanced (user TEXT, note TEXT, PRIMARY KEY (user, note))")
        for side in ("legacy", "enhanced"):
            self.put(side, *people)

    def below(self, percent: float) -> list[str]:
        """Return the people in the first buckets."""
        return [user for user in self.people if bucket_of(user) < percent / 100 * BUCKETS]

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self._file, timeout=10)) as shelves, shelves:
            shelves.execute("PRAGMA synchronous = OFF")
            yield shelves

    def put(self, side: str, *users: str, note: str = "hello") -> None:
        with self._open() as shelves:
            shelves.executemany(f"INSERT INTO {side} VALUES (?, ?)", [(user, note) for user in users])

    def verify(self, user: str, before: datetime | None = None) -> bool:
        assert before is None
        self.verified.append(user)
        self.before(user)
        with self._open() as shelves:
            legacy, enhanced = (
                shelves.execute(f"SELECT note FROM {side} WHERE user = ? ORDER BY note", [user]).fetchall()
                for side in ("legacy", "enhanced")
            )
        return legacy == enhanced

    def repair(self, user: str, before: datetime | None = None) -> int:
        assert before is None
        if user in self.unrepairable:
            return 0
        with self._open() as shelves:
            return shelves.execute(
                "INSERT OR IGNORE INTO enhanced SELECT * FROM legacy WHERE user = ?", [user]
            ).rowcount

    def users(self, after: str = "", limit: int = 500) -> list[str]:
        with self._open() as shelves:
            found = shelves.execute(
                "SELECT DISTINCT user FROM legacy WHERE user > ? ORDER BY user LIMIT ?", [after, limit]
            )
            return [user for (user,) in found]


class Process:
    """A live process as Redis knows it: its heartbeats, by hand."""

    def __init__(self, server, keys, name: str) -> None:
        self._server, self._keys, self._name = server, keys, name
        self._beats = self.flags = self.readiness = 0
        self.watermark = FAR_US
        self.beat()

    def beat(self, lifetime_ms: int = 10_000) -> None:
        """Tell what it knows, then take in what is new."""
        self._beats += 1
        keys = self._keys
        shared = [keys.producers, keys.watermarks, keys.flags, keys.readiness, keys.unready, keys.dead, keys.metrics]
        facts = ["flags", self.flags, "readiness", self.readiness, "clock_error_us", 0]
        args = [self._name, lifetime_ms, self.watermark, -1, -1, -1, self._beats, 0, *facts]
        shared += [keys.pressure, keys.stock, keys.oldest, keys.heard]
        answer = self._server.eval(BEAT, 12, keys.producer(self._name), *shared, *args)
        self.flags, self.readiness = int(answer[3]), int(answer[5])

    def know(self) -> None:
        """Know what is stored, and say so."""
        self.beat()
        self.beat()


@pytest.fixture(autouse=True)
def impatient(monkeypatch) -> None:
    """Wait for no live write that there is not, and let one tick verify everybody, however slow the machine is."""
    monkeypatch.setattr(verification, "WAITS_S", (0.0, 0.0, 0.0))
    monkeypatch.setattr(arbiters, "VERIFY_S", 60.0)


@pytest.fixture
def shelves(tmp_path) -> Shelves:
    """Hold 300 people, each the same on both sides."""
    return Shelves(tmp_path, *(f"user{n:03}" for n in range(300)))


@pytest.fixture
def make_shelves() -> Callable[..., Shelves]:
    return Shelves


@pytest.fixture
def make_arbiter(valkey_url, keys, shelves) -> Iterator[Callable[..., Arbiter]]:
    made: list[Arbiter] = []

    def factory(**parts) -> Arbiter:
        used = {"lanes": LANES, "user_data": shelves, "environment": NOBODY, **parts}
        made.append(Arbiter(connect(valkey_url), keys, **used))
        return made[-1]

    yield factory
    for arbiter in made:
        arbiter.close()


@pytest.fixture
def arbiter(make_arbiter) -> Arbiter:
    return make_arbiter()


@pytest.fixture
def process(server, keys) -> Callable[[str], Process]:
    return lambda name="p1": Process(server, keys, name)


@pytest.fixture
def share(server, keys) -> Callable[[float], None]:
    """Switch all flags on for a share of users."""

    def change(percent: float) -> None:
        store_flags(server, keys, {**dict.fromkeys(SWITCHES, True), SHARE: percent}, may_raise=True)

    return change


@pytest.fixture
def enable(server, keys) -> Callable[..., None]:
    """Enable (True) or disable (False) a user, or neither (None)."""
    return lambda user, enabled=True: change_flags(server, keys, lambda flags: with_user(flags, user, enabled=enabled))


@pytest.fixture
def stored(server, keys) -> Callable[[], Readiness]:
    return lambda: msgspec.json.decode(server.hget(keys.readiness, "document"), type=Readiness)


@pytest.fixture
def unready(server, keys) -> Callable[[], dict[str, int]]:
    def read() -> dict[str, int]:
        return {name.decode(): int(at) for name, at in server.hgetall(keys.unready).items() if name != b"version"}

    return read


@pytest.fixture
def mark(server, keys) -> Callable[[str, int], None]:
    return lambda digest, since: Unready(server, keys).mark({digest: since})


@pytest.fixture
def waiting(server, keys) -> Callable[[], str]:
    return lambda: status(server, keys, lanes=LANES, environment=NOBODY)["waiting"]


@pytest.fixture
def settle() -> Callable[[Arbiter], None]:
    """Tick until nothing is left to do."""

    def tick(arbiter: Arbiter) -> None:
        until = time.monotonic() + 20
        while arbiter.tick() is not Step.NONE:
            assert time.monotonic() < until

    return tick
