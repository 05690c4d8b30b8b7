"""A whole deployment for a test: Valkey, both memory stores, a ledger, a real worker, real live processes."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from console.processes import WorkerProcess
from gnomon.flags import SHARE, SWITCHES
from gnomon.keys import Keys
from gnomon.switchboard import store_flags
from ledger import Ledger

LIVE = Path(__file__).with_name("live_process.py")
OWN_DATABASE = 1  # as in the live process
PATIENCE_S = 60.0


def eventually(condition: Callable[[], Any], *, within_s: float = PATIENCE_S, every_s: float = 0.05) -> Any:
    """Wait for what another process does; returns what the condition gives, at last something false."""
    until = time.monotonic() + within_s
    while not (found := condition()) and time.monotonic() < until:
        time.sleep(every_s)
    return found


class LiveProcess:
    """A live process that is told what to do line by line, and answers each line with one of JSON."""

    def __init__(self, environment: dict[str, str], *arguments: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(LIVE), *arguments],
            env={**os.environ, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, command: str, **arguments: Any) -> Any:
        self.tell(command, **arguments)
        return self.answer()

    def tell(self, command: str, **arguments: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"command": command, **arguments}) + "\n")
        self._process.stdin.flush()

    def answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"the live process ended with {self._process.wait(10)}"
        return json.loads(line)

    def end(self) -> None:
        """Let it flush and say goodbye."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        if self._process.poll() is None:
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(10)
        assert self._process.stdout is not None
        self._process.stdout.close()


class Deployment:
    """The variables of a deployment, and what a person does with it."""

    def __init__(self, environment: dict[str, str], folder: Path) -> None:
        self.environment = environment
        self.folder = folder
        self.server = redis.Redis.from_url(environment["GNOMON_REDIS_URL"])
        self.keys = Keys("default")
        self.processes: list[LiveProcess] = []
        self.workers: list[WorkerProcess] = []
        self.ledger = Ledger(environment["GNOMON_DATABASE_URL"])
        self.ledger.migrate()

    eventually = staticmethod(eventually)

    def live(self, *arguments: str) -> LiveProcess:
        self.processes.append(LiveProcess(self.environment, *arguments))
        return self.processes[-1]

    def work(self) -> WorkerProcess:
        self.workers.append(WorkerProcess(self.environment, self.folder / "worker.log"))
        return self.workers[-1]

    def share(self, percent: float) -> None:
        """What `gnomon promote` does to the flags."""
        store_flags(self.server, self.keys, {**dict.fromkeys(SWITCHES, True), SHARE: percent}, may_raise=True)

    def command(self, *arguments: str, check: bool = True) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "console", *arguments],
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert not check or done.returncode == 0, done.stderr
        return done.stdout

    def saved(self, user: str) -> list[str]:
        """Return the ids of the memories that were acknowledged to a user, by whichever live process."""
        book = self.environment["GNOMON_REDIS_URL"].rpartition("/")[0] + f"/{OWN_DATABASE}"
        with redis.Redis.from_url(book) as server:
            return [name.decode() for name in server.lrange(f"saved:{user}", 0, -1)]

    def outcomes(self) -> dict[str, dict[str, int]]:
        with self.ledger.reading() as reading:
            return {name: dict(sums.outcomes) for name, sums in reading.sums().items()}

    def settled(self, within_s: float = PATIENCE_S) -> bool:
        """Wait until nothing is pending."""

        def nothing_pending() -> bool:
            with self.ledger.reading() as reading:
                sums = reading.sums()
            waiting = sum(self.server.xlen(self.keys.lane(lane).stream) for lane in range(64))
            return not waiting and bool(sums) and all(found.pending == 0 for found in sums.values())

        return bool(eventually(nothing_pending, within_s=within_s, every_s=0.2))

    def end(self) -> None:
        for process in self.processes:
            process.end()
        for worker in self.workers:
            worker.stop()
        self.server.close()
        self.ledger.close()


@pytest.fixture
def deployment(valkey_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Deployment]:
    """Give a deployment without a worker or a live process yet; all that a test starts is ended after it."""
    for name in [name for name in os.environ if name.startswith("GNOMON_")]:
        monkeypatch.delenv(name)
    environment = {
        "GNOMON_REDIS_URL": valkey_url,
        "GNOMON_DATABASE_URL": f"sqlite:///{tmp_path}/ledger.sqlite3",
        "GNOMON_MEMORY_LEGACY_URL": f"sqlite:///{tmp_path}/legacy.sqlite3",
        "GNOMON_MEMORY_ENHANCED_URL": f"sqlite:///{tmp_path}/enhanced.sqlite3",
        "GNOMON_OPERATIONS": "gnomon_memory.operations",
        "GNOMON_CONCURRENCY": "2",
    }
    made = Deployment(environment, tmp_path)
    try:
        yield made
    finally:
        made.end()
