"""Captures of another version, captures that nobody can read, captures that kill."""

from collections.abc import Iterator

from tests.chaos.naming import fault
from tests.chaos.traffic import ADD, LOOK, Wish
from tests.chaos.trial import Trial

FEW = 5


@fault(
    "two wire versions", "captures of the next minor version, with fields that nobody knows, and of an unknown major"
)
def _versions(trial: Trial) -> Iterator[None]:
    live = trial.rig.alive[0]
    users = live.users[:FEW]
    for _ in range(trial.size.times):
        for operation in (ADD, LOOK):
            live.each(operation, live.users, Wish.MINOR)
    live.each(LOOK, users, Wish.MAJOR)
    live.each(ADD, users, Wish.MAJOR)  # a write that waits for a newer worker: its user is in a gap
    trial.allow(exactly={"parked": 2 * FEW}, excluded=float("inf"), reasons="causal")
    trial.hold()
    yield


@fault(
    "poison",
    "a capture whose replay ends the process, a read and a write; the third attempt parks it",
    patience_s=180.0,  # three deaths, after each of which a lease runs out
)
def _poison(trial: Trial) -> Iterator[None]:
    live = trial.rig.alive[0]
    live.each(LOOK, live.users[:1], Wish.EXIT)
    live.each(ADD, live.users[1:2], Wish.EXIT)
    trial.allow(exactly={"parked": 2}, excluded=float("inf"), reasons="causal")
    trial.hold()
    yield


@fault("unreadable and deep", "bytes that are no capture, and values 10,000 deep: captured, in a capture, answered")
def _unreadable(trial: Trial) -> Iterator[None]:
    live = trial.rig.alive[0]
    unread, unanswered, nested = (live.users[place : place + FEW] for place in (0, FEW, 2 * FEW))
    for operation in (ADD, LOOK):
        live.each(operation, unread, Wish.RUBBISH)
    live.each(LOOK, unanswered, Wish.DEEP)
    live.each(LOOK, unanswered, Wish.DEEP_LEGACY)
    live.each(LOOK, nested, Wish.DEEP_CAPTURE)
    trial.allow(exactly={"parked": 2 * FEW, "unserialisable": FEW}, inconclusive=FEW, parked=FEW)
    trial.allow(excluded=float("inf"), reasons="causal", more_failed=FEW)
    trial.hold()
    yield
