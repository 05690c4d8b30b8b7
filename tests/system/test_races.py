"""Writes and reads of one user, close together, by several live processes: no race is taken for a divergence."""

import os
from collections import defaultdict

import pytest
from rich.console import Console

from bench.course import Field, course
from bench.heats import Mode, plan, spelled
from bench.printing import show
from bench.races import BENCHMARK, FULL, Meeting, raced, result_of

FAR_US = 500_000
SHORT = (Meeting(stores="notes", modes=(Mode.SHADOW, Mode.SERVED, Mode.DUAL), users=280, pairs=40, period_us=5_000),)
MEETINGS = FULL if "GNOMON_TEST_FULL" in os.environ else SHORT


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("meeting", MEETINGS, ids=lambda meeting: meeting.stores)
def test_no_race_is_taken_for_a_divergence(meeting, valkey_url, tmp_path, monkeypatch):
    """4 live processes, 2 workers of several children: 0 diverged, sums exact, reads far enough apart are judged."""
    for name in [name for name in os.environ if name.startswith("GNOMON_")]:
        monkeypatch.delenv(name)
    field = Field(stores=meeting.stores, users=meeting.users, spacings_us=meeting.spacings_us)
    with course(tmp_path, valkey_url, field) as on:
        outcome = raced(meeting, on)
    show(BENCHMARK, result_of([outcome]), Console())
    for line in outcome.lines:
        named = f"{line.mode}, {spelled(line.spacing_us)}"
        for found in (line.found, line.writes):
            assert found.outcomes.keys() <= {"match", "excluded"}, named
            assert (found.eligible, found.captured, found.outcomes.total()) == (line.pairs,) * 3, named
            assert found.excluded.total() == found.outcomes["excluded"], named
    shadow = {line.spacing_us: line.found for line in outcome.lines if line.mode is Mode.SHADOW}
    assert shadow[FAR_US].outcomes["match"] > meeting.pairs / 2
    assert all(found.excluded["superseded"] == 0 for found in shadow.values())  # nobody else writes to enhanced


def test_everybody_works_out_the_same_race():
    """Wherever a plan is made, it is the same: each pair a write and a read of one user, by two processes."""
    [heat] = Meeting(stores="notes", modes=(Mode.SHADOW,), users=70, pairs=30, period_us=1_000).heats(4)
    calls = plan(heat)
    assert plan(heat) == calls
    pairs = defaultdict(list)
    for call in calls:
        pairs[call.pair].append(call)
    assert len(pairs) == 30 * len(heat.spacings_us)
    for first, second in pairs.values():
        assert (first.user, first.writes) == (second.user, not second.writes)
        assert first.process != second.process
        assert second.at_us - first.at_us == first.spacing_us == second.spacing_us
