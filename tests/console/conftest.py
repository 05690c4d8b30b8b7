"""Running the real command, in a folder of its own, with nothing of the tester's environment."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import redis

from gnomon import Gnomon as Client
from gnomon.settings import ClientSettings
from ledger import Ledger
from tests.forking import TERMINAL

DEADLINE_S = 150
OWN = ("GNOMON_", "ENHANCED_")
LIVE = """
import sys
from gnomon import Gnomon
client = Gnomon.from_env()
client.operation("note.list", kind="read", user="user")(lambda user: [user])("ann")
print("up" if client.flush(10) else "not up", flush=True)
sys.stdin.read()
client.close()
"""


@dataclass
class Ran:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass
class Gnomon:
    """The `gnomon` command in one working folder."""

    folder: Path
    environ: dict[str, str]
    started: "list[subprocess.Popen[str]]" = field(default_factory=list)

    def __call__(self, *arguments: str, **environ: str) -> Ran:
        done = subprocess.run(
            [sys.executable, "-m", "console", *arguments],
            cwd=self.folder,
            env={**self.environ, **environ},
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return Ran(done.returncode, done.stdout, done.stderr)

    def start(self, *arguments: str, **environ: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-m", "console", *arguments],
            cwd=self.folder,
            env={**self.environ, **environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.started.append(process)
        return process

    def end(self) -> None:
        """End what a failed test left running."""
        for process in self.started:
            if process.returncode is None:
                process.terminate()
                process.communicate(timeout=60)


def command_in(folder: Path) -> Gnomon:
    return Gnomon(folder, plain_environment())


def plain_environment() -> dict[str, str]:
    """Return the tester's environment without settings of ours."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OWN)}
    return {**kept, **TERMINAL}


@pytest.fixture
def gnomon(tmp_path) -> Iterator[Gnomon]:
    command = command_in(tmp_path)
    yield command
    command.end()


@dataclass
class Calm:
    """A run that nobody disturbed, and the folder it was made in."""

    gnomon: Gnomon
    ran: Ran


@pytest.fixture(scope="session")
def calm(tmp_path_factory, conversations) -> Calm:
    gnomon = command_in(tmp_path_factory.mktemp("calm"))
    write_traffic(gnomon, conversations)
    return Calm(gnomon, gnomon("run", "traffic.jsonl", "--json"))


def write_traffic(gnomon: Gnomon, entries: list[dict]) -> str:
    (gnomon.folder / "traffic.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    return "traffic.jsonl"


def processes_below(folder: Path) -> list[int]:
    """Every process that works in `folder` or names it."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if str(folder) in (entry / "cmdline").read_text() + str((entry / "cwd").readlink()):
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


@pytest.fixture
def left_running():
    return processes_below


@pytest.fixture(scope="session")
def conversations() -> list[dict]:
    """Some of the demo's own conversations, long enough for a user to have more than 50 memories."""
    from examples.traffic import conversations as generate

    return list(generate(count=14, users=3))


@pytest.fixture
def traffic(gnomon, conversations) -> str:
    return write_traffic(gnomon, conversations)


@pytest.fixture
def server(valkey_url) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(valkey_url) as server:
        yield server


@pytest.fixture
def deployment(gnomon, valkey_url) -> Gnomon:
    """The command in front of a deployment: a Valkey, and a ledger with its tables."""
    ledger = f"sqlite:///{gnomon.folder}/ledger.sqlite3"
    gnomon.environ |= {"GNOMON_REDIS_URL": valkey_url, "GNOMON_DATABASE_URL": ledger}
    with contextlib.closing(Ledger(ledger)) as opened:
        opened.migrate()
    return gnomon


@pytest.fixture
def live_client(valkey_url):
    """Gives what makes a live client in this process, known to Redis."""
    made = []

    def make(**settings) -> Client:
        client = Client(ClientSettings(redis_url=valkey_url, **settings))
        made.append(client)
        listed = client.operation("note.list", kind="read", user="user")(lambda user: [user])
        listed("ann")
        assert client.flush(10)
        return client

    yield make
    for client in made:
        client.close()


@pytest.fixture
def live_process(valkey_url):
    """Gives what starts a live process of its own."""
    started = []

    def start() -> "subprocess.Popen[str]":
        environ = {**os.environ, "GNOMON_REDIS_URL": valkey_url}
        command, pipe = [sys.executable, "-c", LIVE], subprocess.PIPE
        started.append(subprocess.Popen(command, env=environ, stdin=pipe, stdout=pipe, text=True))
        assert started[-1].stdout.readline() == "up\n"
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate(timeout=10)
