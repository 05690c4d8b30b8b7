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
OFTEN = {"engine", "judge", "live"}  # what the others measure is tested elsewhere, too

pytestmark = [pytest.mark.slow, pytest.mark.long]


def benchmarks():
    """Yield all; those that take half a minute of waiting each only with the other long tests."""
    for benchmark in BENCHMARKS:
        marks = [] if benchmark.name in OFTEN else [pytest.mark.chaos]
        yield pytest.param(benchmark, id=benchmark.name, marks=marks)


@pytest.mark.parametrize("benchmark", list(benchmarks()))
def test_a_quick_run_tells_its_figures_and_leaves_nothing(benchmark, tmp_path):
    """One document alone on stdout, a table on stderr; afterwards no file and no process is left."""
    ran = quick_run(benchmark.name, tmp_path)
    document = json.loads(ran.stdout)
    check_document(document, benchmark.name)
    check_table(document["benchmarks"][0], ran.stderr)
    assert list(tmp_path.iterdir()) == []
    assert processes_with(f"TMPDIR={tmp_path}") == []


def quick_run(name, folder):
    """Run one benchmark, its temporary files below `folder`."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GNOMON_")}
    return subprocess.run(
        [sys.executable, "-m", "bench", name, "--quick", "--json"],
        cwd=ROOT,
        env={**environment, "TMPDIR": str(folder), "COLUMNS": "200"},  # names are whole there
        capture_output=True,
        text=True,
        timeout=BOUND_S,
        check=True,
    )


def check_document(document, name):
    """It names the machine and holds the benchmark, with rows of figures."""
    assert document["machine"]["cores"] > 0
    assert {"python", "celery", "redis", "sqlalchemy", "deepdiff"} <= document["machine"]["versions"].keys()
    [found] = document["benchmarks"]
    assert found["name"] == name
    rows = found["rows"]
    assert rows
    assert [row["name"] for row in rows if not 0 <= row["min"] <= row["median"] <= row["max"]] == []
    assert [row["name"] for row in rows if row["times"] is not None and not row["times"] > 0] == []


def check_table(found, shown):
    """It has the benchmark's title, and every row by name and group."""
    assert found["title"] in shown
    assert [row["name"] for row in found["rows"] if row["name"] not in shown] == []
    assert [row["group"] for row in found["rows"] if row["group"] not in shown] == []


def processes_with(mark):
    """Whatever was started inherited where temporary files go."""
    return [process for process in Path("/proc").glob("[0-9]*/environ") if mark.encode() in environment_of(process)]


def environment_of(process):
    try:
        return process.read_bytes()
    except OSError:  # another user's, or just ended
        return b""
