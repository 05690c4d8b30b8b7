"""How tests start commands: forked, they are what they would be afresh."""

import os

import pytest

from tests import forking

pytestmark = pytest.mark.slow


@pytest.fixture
def forked(monkeypatch):
    """Count the commands that are forked."""
    pids, fork = [], forking._forked

    def counted(question, streams):
        pids.append(fork(question, streams))
        return pids[-1]

    monkeypatch.setattr(forking, "_forked", counted)
    return pids


def test_a_command_has_its_own_folder_environment_and_streams(gnomon, forked):
    """And ends with its own exit code."""
    gnomon.environ |= {"GNOMON_REDIS_URL": "redis://127.0.0.1:1/0", "GNOMON_LANES": "4"}
    gnomon.environ["GNOMON_DATABASE_URL"] = "sqlite:///nowhere.sqlite3"
    shown = gnomon("config", "show", "--json")
    assert (shown.code, shown.json["GNOMON_LANES"], shown.err) == (0, 4, "")
    (gnomon.folder / "traffic.jsonl").write_text("no line of JSON\n")
    refused = gnomon("drill", "traffic.jsonl")
    assert (refused.code, refused.out) == (2, "")
    assert "traffic.jsonl" in refused.err
    assert len(forked) == 2
    assert os.getpid() not in forked


@pytest.mark.parametrize("change", [{"TZ": "Asia/Tokyo"}, {"COLUMNS": "60"}, {"PYTHONHASHSEED": "1"}])
def test_what_is_read_before_the_first_line_starts_afresh(gnomon, forked, change):
    """A clock, a locale, the terminal's width."""
    assert gnomon("worker", "--help", **change).code == 0
    assert forked == []
