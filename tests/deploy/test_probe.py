"""The health probe: it looks at progress, and what stands still is unhealthy."""

import os
import time

import pytest

from deploy import probe
from deploy.probe import BEAT_S, STALL_S, Look, progress
from ledger import Ledger


@pytest.fixture(autouse=True)
def memory(tmp_path, monkeypatch):
    monkeypatch.setattr(probe, "MEMORY", tmp_path / "memory.json")


@pytest.fixture
def backlog(monkeypatch):
    seen = {"waiting": 0, "done": 0}
    monkeypatch.setattr(probe, "_backlog", lambda: (seen["waiting"], seen["done"]))
    return seen


@pytest.mark.parametrize(
    ("before", "waiting", "done", "expected"),
    [
        (None, 5, 10, Look(10, 100.0)),
        (Look(10, 40.0), 5, 10, Look(10, 40.0)),
        (Look(10, 40.0), 0, 10, Look(10, 100.0)),
        (Look(10, 40.0), 5, 11, Look(11, 100.0)),
        (Look(10, 900.0), 5, 10, Look(10, 100.0)),
    ],
    ids=["first look", "nothing moved", "nothing waits", "something was done", "remembered from before a restart"],
)
def test_standing_still_is_counted_from_the_last_progress(before, waiting, done, expected):
    """Entries that wait while nothing is done start the clock, and nothing else."""
    assert progress(before, waiting=waiting, done=done, now=100.0) == expected


def test_a_worker_that_stands_still_is_unhealthy(backlog, monkeypatch, capsys):
    """Once entries have waited for two minutes with nothing judged, and not before."""
    clock = [1_000.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    backlog.update(waiting=3, done=7)
    codes = []
    for clock[0] in (1_000.0, 1_000.0 + STALL_S, 1_001.0 + STALL_S):
        codes.append(probe.main(["worker"]))
    backlog.update(done=8)
    codes.append(probe.main(["worker"]))
    assert codes == [0, 0, 1, 0]
    assert "3 entries wait and nothing was judged for 121 s" in capsys.readouterr().out


def test_a_part_that_does_not_answer_is_unhealthy(monkeypatch, capsys):
    """Whatever goes wrong, the probe ends with a line and exit code 1."""

    def refused():
        raise ConnectionError("refused")

    monkeypatch.setattr(probe, "_backlog", refused)
    assert probe.main(["worker"]) == 1
    assert capsys.readouterr().out == "ConnectionError: refused\n"


@pytest.mark.slow
def test_a_worker_is_looked_at_in_redis_and_ledger(valkey_url, tmp_path, monkeypatch, capsys):
    """The probe reads the same settings as the worker beside it, and leaves nothing open."""
    ledger = Ledger(f"sqlite:///{tmp_path / 'ledger.sqlite3'}")
    ledger.migrate()
    ledger.close()
    monkeypatch.setenv("GNOMON_REDIS_URL", valkey_url)
    monkeypatch.setenv("GNOMON_DATABASE_URL", f"sqlite:///{tmp_path / 'ledger.sqlite3'}")
    assert probe.main(["worker"]) == 0
    assert capsys.readouterr().out == "0 entries wait, 0 captures done\n"


@pytest.mark.parametrize("ending", ["", ".dat"])
def test_beat_is_healthy_while_it_saves_its_schedule(tmp_path, ending):
    """Under whatever name its database keeps it; a schedule saved long ago is that of a beat that stopped."""
    saved = tmp_path / f"beat{ending}"
    assert probe.main(["beat", str(tmp_path / "beat")]) == 1
    saved.touch()
    assert probe.main(["beat", str(tmp_path / "beat")]) == 0
    long_ago = time.time() - BEAT_S - 5
    os.utime(saved, (long_ago, long_ago))
    assert probe.main(["beat", str(tmp_path / "beat")]) == 1
