"""Processes that are killed or stand still."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from tests.chaos.books import PAUSE
from tests.chaos.naming import fault
from tests.chaos.processes import Worker
from tests.chaos.rig import eventually
from tests.chaos.trial import Trial, killed


@fault("nothing", "nothing is broken: what the others are compared with")
def _nothing(trial: Trial) -> Iterator[None]:
    trial.hold()
    yield


@fault("pool child killed", "kill -9 of the processes that replay, one after another")
def _children(trial: Trial) -> Iterator[None]:
    worker, replaying = trial.rig.workers[0], trial.rig.folder / "replaying"
    for _ in range(trial.size.times):
        gone = set(worker.children(replaying))
        assert eventually(lambda: worker.kill_child(replaying), within_s=30)
        assert eventually(lambda known=gone: set(worker.children(replaying)) - known, within_s=30)
    yield


@fault("worker killed", "kill -9 of the whole worker, again and again, each time in the midst of replaying")
def _tree(trial: Trial) -> Iterator[None]:
    worker, replaying = trial.rig.workers[0], trial.rig.folder / "replaying"
    for _ in range(trial.size.times):
        known = {file.name for file in replaying.iterdir()}
        worker.kill()
        worker.again()
        assert eventually(lambda seen=known: {file.name for file in replaying.iterdir()} - seen, within_s=60)
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
    for _ in range(trial.size.times):
        with _frozen(frozen, trial) as held:
            assert eventually(lambda kept=held: not kept.items() & _leases(trial).items(), within_s=30)
            moment = rig.now_us()
            assert eventually(lambda at=moment: rig.drained_us() >= at, within_s=60)
        trial.hold(1)
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
    for _ in range(30):
        with worker.frozen():
            if held := _still_held(trial):
                yield held
                return
        trial.hold(0.1)
    raise AssertionError("the worker never held a lane")


def _still_held(trial: Trial) -> dict[int, str]:
    """Return the lanes that a frozen worker holds: those whose holder does not change in a second.

    None where it was frozen in the midst of a commit: SQLite has one writer at a time, and waits for it.
    """
    first = trial.rig.leases()
    trial.hold(1)
    return dict(first.items() & trial.rig.leases().items()) if _can_be_written(trial.rig.ledger_file) else {}


def _can_be_written(ledger: Path) -> bool:
    with contextlib.closing(sqlite3.connect(ledger, isolation_level=None, timeout=0.5)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return False
        connection.execute("ROLLBACK")
        return True
