"""Workers and live processes that can be killed, frozen, and given a clock that is wrong."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from importlib import util
from pathlib import Path
from typing import Any, Final

import psutil

from bench.helper import Helper
from bench.workers import frozen
from console.processes import WorkerProcess
from tests.chaos.traffic import Wish

END_S: Final = 30.0


class Worker(WorkerProcess):
    """A real worker with its pool, in a process group of its own."""

    def kill(self) -> None:
        """End all of it at once."""
        self._end_group()

    def again(self) -> None:
        """Start it again, as its supervisor does."""
        self._process = self._start()

    def frozen(self) -> "contextlib.AbstractContextManager[None]":
        """Hold all of it still for the time of the block."""
        return frozen(self)

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def children(self, replaying: Path) -> list[int]:
        """Return the processes of its pool that have replayed anything; `replaying` is where those sign in."""
        known = {int(file.name) for file in replaying.iterdir()}
        with contextlib.suppress(psutil.NoSuchProcess):
            return [child.pid for child in psutil.Process(self.pid).children() if child.pid in known]
        return []

    def processes(self) -> set[int]:
        """Return all its processes."""
        worker = psutil.Process(self.pid)
        return {worker.pid, *(child.pid for child in worker.children(recursive=True))}

    def kill_child(self, replaying: Path) -> bool:
        """End one process of the pool; False where none has replayed anything yet."""
        children = self.children(replaying)
        for pid in children[:1]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return bool(children)

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return what it has logged under a name."""
        mark = f'"event": "{name}"'
        return [json.loads(line) for line in self._log.read_text().splitlines() if mark in line and line[:1] == "{"]


class LiveProcess(Helper):
    """A live process: `tests.chaos.producer`, with an environment of its own."""

    def __init__(self, name: str, users: list[str], environment: Mapping[str, str], log: Path) -> None:
        self.name = name
        self.users = users
        self.killed = False
        self._named = name
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.chaos.producer"],
                env={**os.environ, **environment},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def start(self, *, seed: int, rate: float, each: int | None = None) -> None:
        """Make the calls that are planned for its users."""
        self.ask(start={"users": self.users, "seed": seed, "rate": rate, "each": each})

    def stop(self) -> None:
        """Make no more calls."""
        self.ask(stop=True)

    def slow_down(self) -> None:
        """Make half as many calls a second."""
        self.ask(slow_down=True)

    def each(self, operation: str, users: list[str] | None = None, wish: Wish = Wish.NOTHING) -> None:
        """Make one call for each of its users, or of others."""
        self.ask(each=users or self.users, operation=operation, wish=str(wish))

    def flush(self, timeout_s: float = 60.0) -> bool:
        """Wait until everything it captured lies in its lanes."""
        flushed: bool = self.ask(flush=timeout_s)["flushed"]
        return flushed

    @property
    def made(self) -> int:
        count: int = self.ask()["made"]
        return count

    @property
    def running(self) -> bool:
        """Whether it is making the calls that were planned."""
        answer: bool = self.ask()["running"]
        return answer

    def kill(self) -> None:
        """End it in the middle of a call, with what its buffer holds."""
        self.killed = True
        os.kill(self.pid, signal.SIGKILL)
        self._process.wait(END_S)


def clock_off_by(offset: str) -> dict[str, str]:
    """Return what makes a process believe that it is earlier or later: `+1h`. Its monotonic clock is left alone."""
    return {**_preload(), "FAKETIME": offset}


def clock_set_by(file: Path) -> dict[str, str]:
    """Return what makes a process read its clock's offset from a file, once a second: it can be turned back."""
    return {**_preload(), "FAKETIME_TIMESTAMP_FILE": str(file), "FAKETIME_CACHE_DURATION": "1"}


def _preload() -> dict[str, str]:
    spec = util.find_spec("libfaketime")
    assert spec is not None
    assert spec.origin is not None
    library = Path(spec.origin).parent / "vendor" / "libfaketime" / "src" / "libfaketime.so.1"
    return {"LD_PRELOAD": str(library), "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
