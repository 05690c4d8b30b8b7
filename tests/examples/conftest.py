"""The example application as each of its two deployments has it: in this process, or served by uvicorn."""

import asyncio
import importlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

ROOT = Path(__file__).parents[2]
MODULES = {
    "before": ["gnomon_memory.legacy_service"],
    "after": ["gnomon_memory.operations", "gnomon_memory.safe_migration_service"],
}
OF_THE_MIGRATION = ("GNOMON_", "ENHANCED_", "RENTAL_", "REACT_APP_")
PATIENCE_S = 30.0
RUNNING = re.compile(r"Uvicorn running on (http://\S+)")


@dataclass(frozen=True)
class Web:
    """A deployed application: what it answers, and the memory module that it imports."""

    ask: Callable[..., httpx.Response]
    memory: Any = None


Deploy = Callable[..., AbstractContextManager[Web]]


def environment(folder: Path, **changes: str) -> dict[str, str]:
    """Return this process's environment with memory stores of their own, and no other setting of a migration."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OF_THE_MIGRATION)}
    folder.mkdir(exist_ok=True)
    stores = {f"GNOMON_MEMORY_{side.upper()}_URL": f"sqlite:///{folder}/{side}.db" for side in ("legacy", "enhanced")}
    return {**kept, **stores, **changes}


def forget(patch: pytest.MonkeyPatch, name: str) -> None:
    """Have a module imported anew, and the one there was put back when the patch ends."""
    package, _, short = name.rpartition(".")
    patch.setitem(sys.modules, name, None)
    patch.setattr(importlib.import_module(package), short, None, raising=False)
    del sys.modules[name]
    delattr(sys.modules[package], short)


def close(memory: Any) -> None:
    if memory.__name__.endswith("legacy_service"):
        memory._legacy.store.close()
        return
    memory.client.close()
    memory.legacy.store.close()
    memory.enhanced.service.store.close()


@contextmanager
def in_process(folder: Path, name: str, **changes: str) -> Iterator[Web]:
    """Import `before` or `after` as a new process with this environment does; requests go straight to the app."""
    with pytest.MonkeyPatch.context() as patch, asyncio.Runner() as runner:
        wanted = environment(folder / name, **changes)
        for variable in os.environ.keys() - wanted.keys():
            patch.delenv(variable)
        for variable, value in wanted.items():
            patch.setenv(variable, value)
        modules = [*MODULES[name], f"examples.live_app.{name}"]
        for module in modules:
            forget(patch, module)
        *_, memory, deployed = [importlib.import_module(module) for module in modules]
        client = httpx.AsyncClient(transport=httpx.ASGITransport(deployed.app), base_url="http://app")
        try:
            yield Web(lambda *args, **kwargs: runner.run(client.request(*args, **kwargs)), memory)
        finally:
            runner.run(client.aclose())
            close(memory)


@contextmanager
def by_uvicorn(folder: Path, name: str, **changes: str) -> Iterator[Web]:
    """Serve `before` or `after` by uvicorn, on a port that the system chooses; it ends without having complained."""
    log = folder / f"{name}.log"
    command = [sys.executable, "-W", "error", "-m", "uvicorn", f"examples.live_app.{name}:app", "--port", "0"]
    with log.open("w") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment(folder / f"served-{name}", **changes), stdout=output, stderr=output
        )
    try:
        with httpx.Client(base_url=_address(process, log)) as client:
            yield Web(client.request)
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == 0, log.read_text()
        assert "Traceback" not in log.read_text()
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        process.wait(PATIENCE_S)


def _address(process: "subprocess.Popen[bytes]", log: Path) -> str:
    until = time.monotonic() + PATIENCE_S
    while process.poll() is None and time.monotonic() < until:
        if found := RUNNING.search(log.read_text()):
            return found[1]
        time.sleep(0.05)
    raise AssertionError(f"not served: {log.read_text()}")


@pytest.fixture
def deploy(tmp_path: Path) -> Deploy:
    """Give what runs `before` or `after` in this process, with stores and settings of its own."""
    return lambda name, **changes: in_process(tmp_path, name, **changes)


@pytest.fixture
def serve(tmp_path: Path) -> Deploy:
    """Give what serves `before` or `after` in a process of its own."""
    return lambda name, **changes: by_uvicorn(tmp_path, name, **changes)


@pytest.fixture(params=["before", "after"])
def web(request: pytest.FixtureRequest, deploy: Deploy) -> Iterator[Web]:
    """Each deployment, without a Redis."""
    with deploy(request.param) as web:
        yield web
