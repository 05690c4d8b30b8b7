"""Processes that are killed or stand still."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from tests.chaos.books import PAUSE
from tests.chaos.naming import fault
from tests.chaos.processes import Worker
from tests.chaos.rig import eventually, holder
from tests.chaos.trial import Trial, killed, slowing

MORE_TRIES = 10  # a worker frozen between two batches has nothing to be fenced at


@fault("nothing", "nothing is broken: what the others are compared with")
def _nothing(trial: Trial) -> Iterator[None]:
    trial.hold()
    yield


@fault("pool child killed", "kill -9 of the processes that replay, one after another")
def _children(trial: Trial) -> Iterator[None]:
    worker, replaying = trial.rig.workers[0], trial.rig.folder / "replaying"
    for _ in range(trial.size.times):
        gone = set(worker.children(replaying))
        trial.brings(lambda: worker.kill_child(replaying), within_s=90)
        trial.brings(lambda known=gone: set(worker.children(replaying)) - known, within_s=90)
    yield


@fault("worker killed", "kill -9 of the whole worker, again and again, each time in the midst of replaying")
def _tree(trial: Trial) -> Iterator[None]:
    worker, replaying = trial.rig.workers[0], trial.rig.folder / "replaying"
    for _ in range(trial.size.times):
        known = {file.name for file in replaying.iterdir()}
        worker.kill()
        worker.again()
        trial.brings(lambda seen=known: {file.name for file in replaying.iterdir()} - seen, within_s=180)
    # who was at work at three deaths running is parked, as a capture that kills its worker would be
    trial.allow(parked=2 * trial.size.times, excluded=float("inf"), reasons="causal")
    yield


@fault("live process killed", "kill -9 of a live process in the midst of its calls")
def _live(trial: Trial) -> Iterator[None]:
    trial.hold(0.5)
    killed(trial, trial.rig.alive[0])
    trial.allow(excluded=float("inf"), reasons="causal late")
    yield


@fault(
    "worker frozen past its lease",
    "SIGSTOP of a worker that holds lanes until another has taken them over, then SIGCONT",
    workers=2,
    settings={PAUSE: "0.02"},  # so that the worker always holds lanes
)
def _late(trial: Trial) -> Iterator[None]:
    frozen, rig = trial.rig.workers[0], trial.rig
    for tried in range(trial.size.times + MORE_TRIES):
        with _frozen(frozen, trial) as held:
            trial.brings(lambda kept=held: not kept.items() & _leases(trial).items(), within_s=90)
            moment = rig.now_us()
            trial.brings(slowing(rig, lambda at=moment: rig.drained_us() >= at), within_s=180)
        fenced = eventually(lambda: len(frozen.events("drain.fenced")), within_s=1)
        if (fenced and tried + 1 >= trial.size.times) or not rig.calling:
            break
    yield
    fenced = len(frozen.events("drain.fenced"))
    trial.note(f"{fenced} times fenced")
    trial.insist(fenced > 0, "the late worker was never fenced")


def _leases(trial: Trial) -> dict[int, str]:
    if trial.size.hurried:
        trial.rig.hurry()
    return trial.rig.leases()


@contextlib.contextmanager
def _frozen(worker: Worker, trial: Trial) -> Iterator[dict[int, str]]:
    """Hold a worker still while it holds lanes."""
    for _ in range(100):
        if not trial.rig.calling:  # it will hold none any more
            yield {}
            return
        with worker.frozen():
            held = _held_by(worker, trial)
            if held and _can_be_written(trial.rig.ledger_file):
                yield held
                return
        trial.hold(0.1)
    raise AssertionError("the worker never held a lane")


def _held_by(worker: Worker, trial: Trial) -> dict[int, str]:
    """Return the leases of a frozen worker's processes."""
    own = worker.processes()
    return {lane: token for lane, token in trial.rig.leases().items() if holder(token.encode()) in own}


def _can_be_written(ledger: Path) -> bool:
    """Tell whether a worker was frozen elsewhere than in a commit: SQLite has one writer, and all wait for it."""
    with contextlib.closing(sqlite3.connect(ledger, isolation_level=None, timeout=0.5)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return False
        connection.execute("ROLLBACK")
        return True
