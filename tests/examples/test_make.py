"""The make targets that run the tests of one marker."""

import re
import subprocess
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())
MARKERS = [line.partition(":")[0] for line in SETTINGS["tool"]["pytest"]["ini_options"]["markers"]]
NAMES = [name for name in MARKERS if name not in {"slow", "long", "chaos"}]  # those say how long a test takes


def made(*arguments):
    done = subprocess.run(["make", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout


def test_every_marker_has_a_target():
    """`make help` lists each, and each runs the tests of its marker."""
    targets = [f"test-{name.replace('_', '-')}" for name in NAMES]
    listed = re.findall(r"test-[a-z-]+", made("help"))
    assert set(targets) <= set(listed)
    commands = made("--dry-run", *targets).splitlines()
    assert [line for line in commands if "-m pytest" in line] == [
        f".venv/bin/python -m pytest -v -m {name}" for name in NAMES
    ]


def test_every_marker_has_tests():
    """A target without a test would fail."""
    sources = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    assert [name for name in NAMES if f"pytest.mark.{name}" not in sources] == []
