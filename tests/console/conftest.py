"""Running the real command, in a folder of its own, with nothing of the tester's environment."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

DEADLINE_S = 150


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
        return subprocess.Popen(
            [sys.executable, "-m", "console", *arguments],
            cwd=self.folder,
            env={**self.environ, **environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


@pytest.fixture
def gnomon(tmp_path) -> Gnomon:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GNOMON_", "ENHANCED_"))}
    return Gnomon(tmp_path, {**kept, "COLUMNS": "120", "NO_COLOR": "1"})


@pytest.fixture(scope="session")
def conversations() -> list[dict]:
    """The demo's own conversations, the first 12 of 6 users."""
    from examples.traffic import conversations as generate

    return list(generate(count=12, users=6))


@pytest.fixture
def traffic(gnomon, conversations) -> str:
    (gnomon.folder / "traffic.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in conversations))
    return "traffic.jsonl"
