"""A real worker process of an application in a module of its own, which this process imports as a live one does."""

import contextlib
import importlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType

import pytest

from ledger import Ledger

PATIENCE_S = 120.0  # some starts of a process, on a machine with other things to do


def eventually(condition: Callable[[], object]) -> bool:
    """Wait for what another process does, and nobody here is told of."""
    until = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


@contextlib.contextmanager
def imported(
    name: str, source: str, variables: Mapping[str, str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ModuleType]:
    """Import an application whose environment is these variables, and nothing else of ours; workers inherit them."""
    (folder / f"{name}.py").write_text(source)
    for known in [known for known in os.environ if known.startswith("GNOMON_")]:
        monkeypatch.delenv(known)
    for variable, value in {**variables, "GNOMON_OPERATIONS": name, "PYTHONPATH": str(folder)}.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.syspath_prepend(folder)
    module = importlib.import_module(name)
    yield module
    module.gnomon.close(0.1)
    del sys.modules[name]


class Worker:
    """A worker with a beat, in a process group of its own."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "worker.log"
        command = [sys.executable, "-m", "console", "worker", "--beat", "--schedule", str(folder / "beat")]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    @property
    def said(self) -> str:
        """The end of its log."""
        return self.log.read_text()[-4_000:]

    @property
    def gone(self) -> bool:
        """Whether nothing is left of its group."""
        try:
            os.killpg(self.process.pid, 0)
        except ProcessLookupError:
            return True
        return False

    def kill(self) -> None:
        """End whatever is left of it."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(PATIENCE_S)


def done(ledger: Ledger) -> int:
    """Return how many captures have come to their end."""
    with ledger.reading() as reading:
        return reading.done()
