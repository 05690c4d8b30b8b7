"""Clocks that are an hour off, and are set right while everything runs."""

from collections.abc import Iterator

from tests.chaos.naming import fault
from tests.chaos.rig import Clock
from tests.chaos.traffic import ADD, LOOK, users_of
from tests.chaos.trial import Trial

OFFSETS = ("+1h", "-1h", "+0")
TURNED = {
    "clocks": True,
    "patience_s": 180.0,
}  # calls come faster than they are replayed where every look at the clock is turned
APART_S = 0.15  # between two calls of a user in different processes: more than their clocks may be apart


@fault("live process's clock ± 1 h", "one live process an hour ahead, an hour behind, and right again", **TURNED)
def _live(trial: Trial) -> Iterator[None]:
    """Users go from one live process to another meanwhile: their calls are put in order all the same."""
    _turn(trial, Clock.LIVE)
    trial.allow(excluded=float("inf"), reasons="concurrent")
    yield


@fault("worker's clock ± 1 h", "a worker an hour ahead, an hour behind, and right again", **TURNED)
def _worker(trial: Trial) -> Iterator[None]:
    _turn(trial, Clock.WORKER)
    trial.allow(excluded=float("inf"), reasons="concurrent")
    yield


@fault("Valkey's clock ± 1 h", "Valkey an hour ahead, an hour behind, and right again", **TURNED)
def _valkey(trial: Trial) -> Iterator[None]:
    _turn(trial, Clock.VALKEY)
    trial.allow(excluded=float("inf"), reasons="concurrent causal late")
    yield


def _turn(trial: Trial, whose: Clock) -> None:
    trial.rig.roamers = users_of("roamer", 10)
    for offset in OFFSETS:
        trial.rig.turn_clock(whose, offset)
        _roam(trial)
        trial.hold()


def _roam(trial: Trial) -> None:
    """Each user writes in one process and reads in the next, in turns."""
    for number in range(trial.size.times):
        for live in trial.rig.alive:
            live.each(ADD, trial.rig.roamers)
            trial.hold(APART_S)
            other = trial.rig.alive[number % len(trial.rig.alive)]
            other.each(LOOK, trial.rig.roamers)
            trial.hold(APART_S)
