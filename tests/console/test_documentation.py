"""What the documentation shows is what happens."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from console.settings_page import PAGE, page

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
COMMANDS = re.findall(r"^```sh\n(.*?)^```", README, flags=re.DOTALL | re.MULTILINE)
SAMPLES = re.findall(r"^```python\n(.*?)^```", README, flags=re.DOTALL | re.MULTILINE)


def test_settings_are_documented_as_they_are():
    """docs/settings.md is what the code says."""
    assert page() == PAGE.read_text()


def test_every_link_of_the_readme_leads_somewhere():
    """No link to a page that is not there."""
    links = re.findall(r"\]\(([^)#]+)\)", README)
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_decorator_of_the_readme_works():
    """The sample wraps, answers as before, and has the enhanced callable registered."""

    class Old:
        def recent(self, user_id, limit):
            return [{"user": user_id, "limit": limit}]

    names = {"old_memory": Old(), "new_memory": Old()}
    [sample] = SAMPLES
    exec(sample, names)
    assert names["get_recent_memories"]("ann", limit=3) == [{"user": "ann", "limit": 3}]
    assert names["gnomon"].operations["memory.recent"].enhanced is names["recent_from_enhanced"]
    code = [line for line in sample.splitlines() if line.strip()]
    assert len(code) <= 15


@pytest.mark.slow
@pytest.mark.long
def test_every_command_of_the_readme_runs(tmp_path):
    """In a folder that looks like the checkout, one block after another, each with exit code 0."""
    subprocess.run(["make", "setup"], cwd=ROOT, check=True, capture_output=True)  # nothing to do under make test
    for name in ("Makefile", ".venv", "pyproject.toml", "requirements-dev.lock", "live"):
        (tmp_path / name).symlink_to(ROOT / name)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GNOMON_")}
    for block in COMMANDS:
        commands = block.replace("make test", "make --dry-run test")  # this is make test
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", commands],
            cwd=tmp_path,
            env=kept,
            capture_output=True,
            text=True,
            timeout=150,
            check=False,
        )
        assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
    assert (tmp_path / "report.json").stat().st_size > 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    "demo run worker status report groups drill gate rollback health migrate config".split(),  # noqa: SIM905
)
def test_every_command_has_help_with_an_example(gnomon, command):
    """`--help` says what it does and shows how."""
    ran = gnomon(command, *(["show"] if command == "config" else []), "--help")
    assert ran.code == 0
    assert "Example: gnomon" in ran.out
