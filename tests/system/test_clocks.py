"""Hosts whose clocks are a second off, or are set while they run: captures go by Redis's clock, from the first on."""

import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench.course import Course, Field, course
from bench.heats import Mode, operations_of, spelled, user_of
from bench.helper import Helper
from bench.races import Line, Meeting, raced
from tests.chaos.processes import clock_off_by, clock_set_by

SPACINGS_US = (1_000, 5_000, 20_000, 50_000, 500_000)
FAR_US = 50_000  # and further: no clock aligned with Redis's is in doubt about these
USERS, PAIRS = 200, 40
MEETING = Meeting(
    stores="notes",
    modes=(Mode.SHADOW, Mode.SERVED),
    users=USERS,
    pairs=PAIRS,
    period_us=5_000,
    spacings_us=SPACINGS_US,
)
FAST, SLOW, TRUE = clock_off_by("+1s"), clock_off_by("-1s"), {}
OFF_S = {"+1s": 1, "-1s": -1, None: 0}
CLOCKS = {"all off": ((FAST, SLOW), (FAST, SLOW))}
if "GNOMON_TEST_FULL" in os.environ:
    CLOCKS |= {"all true": ((TRUE, TRUE), (TRUE,)), "live processes off": ((FAST, SLOW), (TRUE,))}

pytestmark = [pytest.mark.slow, pytest.mark.long]


@pytest.fixture
def field(valkey_url, tmp_path, monkeypatch) -> Callable[..., "contextmanager[Course]"]:
    """Bring up live processes and workers with such clocks, away from the settings of whoever runs the tests."""
    for name in [name for name in os.environ if name.startswith("GNOMON_")]:
        monkeypatch.delenv(name)

    def up(racers, workers):
        made = Field(users=USERS, spacings_us=SPACINGS_US, racers=racers, workers=workers, children=2)
        return course(tmp_path, valkey_url, made)

    return up


@pytest.mark.parametrize("clocks", CLOCKS.values(), ids=CLOCKS)
def test_clocks_a_second_off_make_no_difference(field, clocks):
    """Live processes from their first call on, and workers: 0 diverged, and no more excluded than with true clocks."""
    racers, workers = clocks
    with field(racers, workers) as on:
        assert [_off_s(racer) for racer in on.racers] == [OFF_S[own.get("FAKETIME")] for own in racers]
        outcome = raced(MEETING, on)
    _check_far_ones(outcome.lines)


def test_a_clock_that_is_set_meanwhile_makes_no_difference(field, tmp_path):
    """Two seconds forth and back, again and again, under the hands of two live processes and a worker."""
    files = [tmp_path / f"clock-{number}" for number in range(3)]
    _set(files, "+1s", "-1s")
    one, other, worker = map(clock_set_by, files)
    with field((one, other), (worker,)) as on, _set_again_and_again(files):
        for seconds in (1, -1):
            on.wait(lambda wanted=seconds: _off_s(on.racers[0]) == wanted, "the clock stands still")
        outcome = raced(MEETING, on)
    _check_far_ones(outcome.lines)


def test_the_first_calls_of_a_process_whose_clock_is_wrong_are_in_their_place(field):
    """It reads what another has just written, before it ever heard of Redis, and is written behind again."""
    save, listed = operations_of(Mode.SHADOW, FAR_US)
    with field((TRUE,), (TRUE,)) as on:
        [host] = on.racers
        for number, clock in enumerate((FAST, SLOW) * 3):
            newcomer = on.join(clock)
            newcomer.ask()  # it is up, and has called nothing
            for racer, written in ((host, 1), (newcomer, 0), (host, 2), (newcomer, 3), (host, 0)):
                racer.ask(call=[Mode.SHADOW, FAR_US, user_of(number), written])
                assert racer.ask(flush=30.0)["flushed"]  # whoever is not heard of yet, on a busy machine, writes late
                time.sleep(0.1)  # further apart than any clock is off that has heard of Redis
        found = on.found(30)
    assert found[save].outcomes == Counter(match=18)
    assert found[listed].outcomes.keys() <= {"match", "excluded"}, found[listed]
    assert found[listed].outcomes["match"] > 0, found[listed]
    assert found[listed].outcomes.total() == 12


def _off_s(racer: Helper) -> int:
    return round(racer.ask()["clock_s"] - time.time())


def _check_far_ones(lines: Sequence[Line]) -> None:
    for line in lines:
        print(line.mode, spelled(line.spacing_us), line.pairs, dict(line.found.outcomes), dict(line.found.excluded))
    assert all(line.found.outcomes.keys() <= {"match", "excluded"} for line in lines)
    far = [line for line in lines if line.mode is Mode.SHADOW and line.spacing_us >= FAR_US]
    assert all(line.excluded <= 0.1 for line in far)


@contextmanager
def _set_again_and_again(files: list[Path]) -> Iterator[None]:
    stop = threading.Event()

    def turn() -> None:
        offsets = ["+1s", "-1s"]
        while not stop.wait(0.4):
            offsets.reverse()
            _set(files, *offsets)

    turning = threading.Thread(target=turn)
    turning.start()
    try:
        yield
    finally:
        stop.set()
        turning.join()


def _set(files: list[Path], *offsets: str) -> None:
    for number, file in enumerate(files):
        file.write_text(offsets[number % 2])
