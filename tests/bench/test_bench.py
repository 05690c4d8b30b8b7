"""The benchmarks work: each prints a table and its part of the document. Speed is never asserted."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.__main__ import BENCHMARKS

ROOT = Path(__file__).resolve().parents[2]
BOUND_S = 240  # each under 30 s on a machine of its own

pytestmark = [pytest.mark.slow, pytest.mark.performance]


@pytest.fixture(scope="module", params=BENCHMARKS, ids=lambda benchmark: benchmark.name)
def benchmark(request):
    return request.param


@pytest.fixture(scope="module")
def folder(benchmark, tmp_path_factory):
    return tmp_path_factory.mktemp(benchmark.name)


@pytest.fixture(scope="module")
def ran(benchmark, folder):
    """One quick run, its temporary files below `folder`."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GNOMON_")}
    return subprocess.run(
        [sys.executable, "-m", "bench", benchmark.name, "--quick", "--json"],
        cwd=ROOT,
        env={**environment, "TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        timeout=BOUND_S,
        check=True,
    )


def test_json_is_one_document_alone_on_stdout(benchmark, ran):
    """It names the machine and holds the benchmark, with rows of figures."""
    document = json.loads(ran.stdout)
    assert document["machine"]["cores"] > 0
    assert {"python", "celery", "redis", "sqlalchemy", "deepdiff"} <= document["machine"]["versions"].keys()
    [found] = document["benchmarks"]
    assert found["name"] == benchmark.name
    rows = found["rows"]
    assert rows
    assert [row["name"] for row in rows if not 0 <= row["min"] <= row["median"] <= row["max"]] == []
    assert [row["name"] for row in rows if row["times"] is not None and not row["times"] > 0] == []


def test_a_table_is_printed(benchmark, ran):
    """With the benchmark's title, and every row by name."""
    [found] = json.loads(ran.stdout)["benchmarks"]
    assert found["title"] in ran.stderr
    assert [row["name"] for row in found["rows"] if row["name"] not in ran.stderr] == []
    assert [row["group"] for row in found["rows"] if row["group"] not in ran.stderr] == []


def test_nothing_is_left(ran, folder):
    """No file, and no process: all that were started inherited where temporary files go."""
    assert list(folder.iterdir()) == []
    mark = f"TMPDIR={folder}".encode()
    assert [process for process in Path("/proc").glob("[0-9]*/environ") if mark in environment_of(process)] == []


def environment_of(process: Path) -> bytes:
    try:
        return process.read_bytes()
    except OSError:  # another user's, or just ended
        return b""
