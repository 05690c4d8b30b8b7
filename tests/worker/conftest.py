"""A tiny application under migration, the lanes it fills, and drains to empty them: all of it in this process."""

import contextlib
import shutil
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import Any

import psycopg
import pytest
import redis

from gnomon import Gnomon, call
from gnomon.connecting import connect
from gnomon.keys import Keys
from gnomon.scripts import APPEND, BEAT, LEAVE
from ledger import Ledger
from ledger.base import Base
from tests.worker.processes import Worker, imported
from worker import drain as draining
from worker.drain import Drain
from worker.lanes import LaneStore
from worker.mending import Mender
from worker.pool import ReplayPool
from worker.replay import Replayer

LANES = 4
USERS = [f"u{n}" for n in range(12)]
PATIENCE_S = 10.0


class Notes:
    """Notes by user, kept twice. `before` is called by each enhanced callable with its operation and arguments."""

    def __init__(self, *clients: Gnomon, flag: str | None = None) -> None:
        self.clients = clients
        self._flag = flag
        self._numbers = count(1)
        self._lock = threading.Lock()
        self.legacy: defaultdict[str, dict[int, str]] = defaultdict(dict)
        self.enhanced: defaultdict[str, dict[int, str]] = defaultdict(dict)
        self.saved_at: dict[int, datetime] = {}  # by number; of old when not in here
        self.replays: list[tuple[str, str]] = []
        self.before: Callable[..., object] = lambda operation, **_: None
        self.serving: Callable[..., object] = lambda operation, **_: None
        self.apps = [self._register(client) for client in clients]

    def _register(self, client: Gnomon) -> Any:
        save = client.operation("note.save", kind="write", user="user", flag=self._flag)(self._save)
        listed = client.operation("note.list", kind="read", user="user", flag=self._flag)(self._list)
        save.enhanced(self._save_enhanced)
        listed.enhanced(self._list_enhanced)
        return save, listed

    def save(self, user: str, text: str, *, app: int = 0) -> int:
        return self.apps[app][0](user, text)

    def read(self, user: str, *, app: int = 0) -> list[str]:
        return self.apps[app][1](user)

    def converse(self, users: Sequence[str] = USERS, *, turns: int = 4, app: int = 0) -> int:
        """Let users save and read in turns; returns the number of calls."""
        for turn in range(turns):
            for user in users:
                self.save(user, f"{user} says {turn}", app=app)
                self.read(user, app=app)
        return 2 * len(users) * turns

    def introduce(self) -> None:
        """Make one call in each live process, so that each is known before there is anything to put in order."""
        for app, client in enumerate(self.clients):
            self.read("somebody", app=app)
            assert client.flush(PATIENCE_S)

    def end(self) -> None:
        """End the live processes, everything captured in its lane."""
        for client in self.clients:
            assert client.flush(PATIENCE_S)
            client.close()

    def _save(self, user: str, text: str) -> int:
        self.serving("note.save", user=user, text=text)
        with self._lock:
            number = next(self._numbers)
            self.legacy[user][number] = text
            self.saved_at[number] = datetime.now(UTC)
        return number

    def _list(self, user: str) -> list[str]:
        return list(self.legacy[user].values())

    def _save_enhanced(self, user: str, text: str) -> int:
        self.replays.append(("note.save", user))
        self.before("note.save", user=user, text=text)
        number = call().origin
        with self._lock:
            self.enhanced[user].setdefault(number, text)
        return number

    def _list_enhanced(self, user: str) -> list[str]:
        self.replays.append(("note.list", user))
        answer = self.before("note.list", user=user)
        return [text for _, text in sorted(self.enhanced[user].items())] if answer is None else answer


@pytest.fixture
def server(valkey_url) -> Iterator["redis.Redis"]:
    with redis.Redis.from_url(valkey_url) as client:
        yield client


@pytest.fixture
def keys() -> Keys:
    return Keys("default")


@pytest.fixture
def make_store(valkey_url) -> Iterator[Callable[[], LaneStore]]:
    """Open lane stores, each as another worker process has it."""
    made: list[LaneStore] = []

    def factory() -> LaneStore:
        made.append(LaneStore(connect(valkey_url), "default"))
        return made[-1]

    yield factory
    for store in made:
        store.close()


@pytest.fixture
def store(make_store) -> LaneStore:
    return make_store()


@pytest.fixture
def make_client(valkey_url) -> Iterator[Callable[..., Gnomon]]:
    made: list[Gnomon] = []

    def factory(**environ: str) -> Gnomon:
        used = {"GNOMON_REDIS_URL": valkey_url, "GNOMON_LANES": str(LANES), **environ}
        made.append(Gnomon.from_env(used))
        return made[-1]

    yield factory
    for client in made:
        client.close(0.1)


@pytest.fixture
def client(make_client) -> Gnomon:
    return make_client()


@pytest.fixture
def notes(client) -> Notes:
    """Give the application with one live process."""
    return Notes(client)


@pytest.fixture
def planted(notes) -> Notes:
    """Let enhanced get some answers wrong, by what it has stored: a replay in the wrong place would tell."""

    def before(operation: str, user: str, **_: Any) -> list[str] | None:
        stored = notes.enhanced[user]
        wrong = operation == "note.list" and user in USERS[::3] and len(stored) % 2
        return ["wrong", *stored.values()] if wrong else None

    notes.before = before
    return notes


@pytest.fixture(scope="session")
def planted_outcomes() -> Counter[str]:
    """What four turns of everybody come to with the planted defect, however often workers die."""
    return Counter(match=2 * len(USERS) * 4 - 8, diverged=8)


@pytest.fixture(scope="session")
def application() -> type[Notes]:
    """Make the application with several live processes."""
    return Notes


@pytest.fixture(scope="session")
def migrated_postgres(postgres_server) -> str:
    """Give one migrated PostgreSQL database for all drains."""
    with psycopg.connect(postgres_server.get_uri(), autocommit=True) as connection:
        connection.execute("CREATE DATABASE drain_tests")
    url = postgres_server.get_uri("drain_tests").replace("postgresql://", "postgresql+psycopg://", 1)
    _migrate(url)
    return url


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory) -> Path:
    """Give a migrated SQLite file to copy."""
    file = tmp_path_factory.mktemp("drains") / "migrated.sqlite3"
    _migrate(f"sqlite:///{file}")
    return file


def _migrate(url: str) -> None:
    ledger = Ledger(url)
    ledger.migrate()
    ledger.close()


@pytest.fixture(params=["sqlite"])
def ledger_url(request, tmp_path) -> str:
    """Give an empty ledger in SQLite; with `on_both` also one on a real PostgreSQL."""
    if request.param == "sqlite":
        migrated = request.getfixturevalue("migrated_file")
        return f"sqlite:///{shutil.copy(migrated, tmp_path / 'ledger.sqlite3')}"
    url = request.getfixturevalue("migrated_postgres")
    tables = ", ".join(name for name in Base.metadata.tables if name not in ("about", "epochs"))
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        connection.execute(f"TRUNCATE {tables} RESTART IDENTITY".encode())
        connection.execute(b"DELETE FROM epochs WHERE epoch > 1")
        connection.execute(b"UPDATE epochs SET closed_at = NULL, rules_version = 0")
    return url


@pytest.fixture
def ledger(ledger_url) -> Iterator[Ledger]:
    made = Ledger(ledger_url)
    yield made
    made.close()


class Producer:
    """A live process by its scripts alone, in another language say: it beats, appends, and leaves or does not."""

    def __init__(self, server: "redis.Redis", keys: Keys, name: str) -> None:
        self.name = name
        self._server, self._keys = server, keys
        self._beats, self._batches = count(1), count(1)
        self._sent: Counter[int] = Counter()  # entries by lane

    def beat(self, watermark: int, *, lifetime_ms: int = 10_000, **facts: object) -> None:
        keys = self._keys
        shared = [keys.producers, keys.watermarks, keys.flags, keys.readiness, keys.unready, keys.dead, keys.metrics]
        said = [part for fact in {"watermark": watermark, **facts}.items() for part in fact]
        args = [self.name, lifetime_ms, watermark, "", "", "", next(self._beats), 0, *said]
        shared += [keys.pressure, keys.stock, keys.oldest, keys.heard]
        self._server.eval(BEAT, 12, keys.producer(self.name), *shared, *args)

    def leave(self) -> None:
        keys = self._keys
        self._server.eval(LEAVE, 3, keys.producer(self.name), keys.producers, keys.watermarks, self.name)

    def append(
        self, lane: int, *entries: tuple[str, int, bytes], watermark: int = 0, cap: int = 10**9, **gaps: int
    ) -> str:
        """Append entries, each a user's digest, a number of captures and a payload; `gaps` by digest."""
        own = self._keys.lane(lane)
        names = [own.stream, own.state, own.sender(self.name), own.scheduled, own.senders, self._keys.queue]
        names += [own.gaps, own.users(self.name), self._keys.stock, self._keys.oldest]
        first = self._sent[lane] + 1
        self._sent[lane] += len(entries)
        captures = sum(entry[1] for entry in entries)
        args = [next(self._batches), cap, watermark, 10_000, 10_000, "hint", self.name, 0, captures, first]
        args += [len(entries), len(gaps), lane, 0, 0]
        args += [part for entry in entries for part in entry]
        args += [part for gap in gaps.items() for part in gap]
        return self._server.eval(APPEND, 10, *names, *args).decode()


@pytest.fixture
def make_producer(server, keys) -> Callable[[str], Producer]:
    return lambda name: Producer(server, keys, name)


class Hints(list[int]):
    """Asked for, and by nobody followed unless the test does."""

    def __call__(self, lane: int) -> None:
        self.append(lane)


@pytest.fixture
def on_commit(ledger, monkeypatch) -> Callable[[Callable[..., Any]], None]:
    """Have all that commits lanes go through a function: it is given what writes them, and the commits."""

    def patch(through: Callable[..., Any]) -> None:
        commit, together = ledger.commit, ledger.commit_together
        monkeypatch.setattr(ledger, "commit", lambda one: through(lambda: commit(one), [one]))
        monkeypatch.setattr(ledger, "commit_together", lambda many: through(lambda: together(many), list(many)))

    return patch


@pytest.fixture
def hints() -> Hints:
    return Hints()


@pytest.fixture
def make_drain(make_store, ledger, client, hints) -> Iterator[Callable[..., Drain]]:
    """Make drains, each as a worker process of its own has it."""
    pools: list[ReplayPool] = []

    def factory(
        *, client: Gnomon = client, timeout_s: float = 10.0, threads: int = 4, share: int = LANES, **parts: Any
    ) -> Drain:
        pools.append(ReplayPool(threads))
        lanes = parts.get("lanes") or make_store()
        used = {
            "lanes": lanes,
            "mender": Mender(client.user_data, lanes.lookout.now_us, lanes.lookout.latest_us),
            "ledger": ledger,
            "replayer": Replayer(client.operations, timeout_s),
            "pool": pools[-1],
            "all_lanes": range(LANES),
            "share": share,
            "hint": hints,
        }
        return Drain(**{**used, **parts})

    yield factory
    for pool in pools:
        pool.close()


@pytest.fixture
def short_turns(monkeypatch) -> None:
    """Let a drain hand its lanes back soon."""
    monkeypatch.setattr(draining, "TURN_S", 0.5)


class Gate:
    """Holds the first replay that comes to it, until it is let go."""

    def __init__(self) -> None:
        self.entered, self.leave = threading.Event(), threading.Event()
        self._passed = False

    def __call__(self, operation: str, **_: Any) -> None:
        if not self._passed:
            self._passed = True
            self.entered.set()
            assert self.leave.wait(PATIENCE_S)


@pytest.fixture
def gate() -> Iterator[Gate]:
    made = Gate()
    yield made
    made.leave.set()


class Running(threading.Thread):
    """A drain in a thread of its own."""

    def __init__(self, drain: Drain, lane: int) -> None:
        super().__init__()
        self._drain, self._lane = drain, lane
        self.start()

    def run(self) -> None:
        self.counts = self._drain.run(self._lane)

    def ended(self) -> Counter[str]:
        self.join(PATIENCE_S)
        return self.counts


@pytest.fixture(scope="session")
def running() -> type[Running]:
    """Run a drain beside the test."""
    return Running


@pytest.fixture
def lane_of(server, keys) -> Callable[[], int]:
    """Return the first lane that holds entries."""
    return lambda: next(lane for lane in range(LANES) if server.xlen(keys.lane(lane).stream))


class Sums:
    """What a ledger says came of everything captured."""

    def __init__(self, ledger: Ledger, store: LaneStore) -> None:
        ledger.fold(store.senders.changed(range(LANES)).sent)
        with ledger.reading() as reading:
            sums = reading.sums()
            self.done = reading.done()
            self.reasons = {(outcome, reason): number for _, outcome, reason, number in reading.reasons()}
            self.gaps = reading.gaps()
        self.funnel: Counter[str] = +sum((found.funnel for found in sums.values()), Counter())
        self.outcomes: Counter[str] = +sum((found.outcomes for found in sums.values()), Counter())
        self.pending = self.funnel["captured"] - self.outcomes.total()


@pytest.fixture
def sums(ledger, store) -> Callable[[], Sums]:
    return lambda: Sums(ledger, store)


@pytest.fixture
def clean(server, keys, store) -> Callable[[], None]:
    """Check that nothing is left of the lanes but their counters."""

    def check() -> None:
        for lane in range(LANES):
            names = keys.lane(lane)
            assert [server.xlen(names.stream), server.exists(names.lease), server.exists(names.journal)] == [0, 0, 0]
            appended, trimmed = server.hmget(names.state, "appended", "trimmed")
            assert int(appended or 0) == int(trimmed or 0)

    return check


@pytest.fixture
def make_application(valkey_url, ledger_url, tmp_path, monkeypatch) -> Iterator[Callable[..., ModuleType]]:
    """Import an application by name and source, with these variables beside those that it cannot do without."""
    usual = {
        "GNOMON_REDIS_URL": valkey_url,
        "GNOMON_DATABASE_URL": ledger_url,
        "GNOMON_LANES": str(LANES),
        "GNOMON_CONCURRENCY": "2",
    }
    with contextlib.ExitStack() as stack:
        yield lambda name, source, **more: stack.enter_context(
            imported(name, source, {**usual, **more}, tmp_path, monkeypatch)
        )


@pytest.fixture
def start_worker(tmp_path) -> Iterator[Callable[[], Worker]]:
    """Start a worker of the application that was made."""
    with contextlib.ExitStack() as stack:

        def start() -> Worker:
            worker = Worker(tmp_path)
            stack.callback(worker.kill)
            return worker

        yield start
