"""The health probe of beat and Flower: it looks at progress, and what stands still is unhealthy."""

import os
import time

import pytest

from deploy import probe
from deploy.probe import BEAT_S


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
