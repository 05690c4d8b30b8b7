"""How `make chaos` runs: the long form of each fault only where it is asked for, and one table at the end."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.chaos.rig import Rig, Spec, own_settings
from tests.chaos.table import Row, as_markdown, as_text

ROWS = pytest.StashKey[list[Row]]()
SOAKED = pytest.StashKey[list[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--markdown", type=Path, default=None, help="write the table of faults to this file")
    parser.addoption("--soak", type=int, default=300_000, help="captures of the long soak")
    parser.addoption("--seed", type=int, default=None, help="what the long soak draws its traffic and faults from")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[ROWS], config.stash[SOAKED] = [], []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if rows := config.stash[ROWS]:
        terminalreporter.section("what was broken, and what came of it")
        for line in as_text(rows):
            terminalreporter.write_line(line)
        if file := config.getoption("markdown", None):
            file.write_text("\n".join(as_markdown(rows)) + "\n")
    if lines := config.stash[SOAKED]:
        terminalreporter.section("the soak")
        for line in lines:
            terminalreporter.write_line(line)


@pytest.fixture
def table(request: pytest.FixtureRequest) -> list[Row]:
    """Give the rows that are printed at the end."""
    return request.config.stash[ROWS]


@pytest.fixture
def soaked(request: pytest.FixtureRequest) -> list[str]:
    """Give the lines on the soak that are printed at the end."""
    return request.config.stash[SOAKED]


@pytest.fixture
def make_rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Rig]]:
    """Make rigs, which end with the block they are used in; no setting of this machine reaches them."""
    for name in own_settings():
        monkeypatch.delenv(name)
    made = 0

    def factory(spec: Spec, *, users: int) -> Rig:
        nonlocal made
        made += 1
        folder = tmp_path / f"rig-{made}"
        folder.mkdir()
        return Rig(folder, spec, users=users)

    return factory
