"""`gnomon worker --check`: a worker that does not get on is told from one that waits for somebody else."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest

from worker.probe import CannotTellError, Look, check, decide, remembered
from worker.progress import Away, ChildFacts, ChildLine, Doing, Memory, Progress, WorkerFacts, found
from worker.settings import WorkerSettings

NOW_S = 10_000.0
LONG_AGO_S = NOW_S - 500
FREE = ChildFacts(pid=11, alive=True, doing=Doing.NOTHING, since_s=LONG_AGO_S, turned_s=LONG_AGO_S)
BUSY = ChildFacts(pid=12, alive=True, doing=Doing.DRAIN, since_s=LONG_AGO_S, turned_s=NOW_S - 1)
WELL = WorkerFacts(
    pid=10,
    alive=True,
    started_s=LONG_AGO_S,
    ticked_s=NOW_S - 1,
    received_s=NOW_S - 2,
    messages=7,
    stopping_s=0.0,
    children=(FREE, BUSY),
    memory=Memory(answering_s=LONG_AGO_S),
)
STUCK = replace(BUSY, turned_s=LONG_AGO_S)
DEAF = {"received_s": LONG_AGO_S, "memory": Memory(answering_s=1.0, hinted_s=LONG_AGO_S, messages=7)}


def look(hints: int | None = 0, *, ledger_answers: bool = True, **facts) -> Look:
    return Look(worker=replace(WELL, **facts), now_s=NOW_S, hints=hints, ledger_answers=ledger_answers)


@pytest.mark.parametrize(
    ("seen", "why"),
    [
        (look(alive=False), "worker 10 is gone"),
        (look(stopping_s=LONG_AGO_S), "was asked to stop 500 s ago"),
        (look(ticked_s=LONG_AGO_S), "event loop has not turned for 500 s"),
        (look(ticked_s=0.0), "has been starting for 500 s"),
        (look(children=(), memory=Memory(answering_s=1.0, childless_s=LONG_AGO_S)), "had no child for 500 s"),
        (look(children=(FREE, STUCK)), "child 12 has not moved for 500 s"),
        (look(3, **DEAF), "3 hints have waited for 500 s, a child is free"),
    ],
    ids=["gone", "never ends", "loop stands still", "never starts", "no children", "stuck", "deaf"],
)
def test_what_stands_still_is_unhealthy(seen, why):
    """And is named."""
    health = decide(seen)
    assert not health.healthy
    assert why in health.why


@pytest.mark.parametrize(
    ("seen", "note"),
    [
        (look(), ""),
        (look(3, **DEAF, children=(BUSY,)), ""),
        (look(0, **DEAF), ""),
        (look(None, ticked_s=LONG_AGO_S, children=(STUCK,)), "Redis does not answer"),
        (look(children=(FREE, STUCK), ledger_answers=False), "the ledger's database does not answer"),
        (look(stopping_s=NOW_S - 5), "it is stopping"),
        (look(children=(FREE, replace(BUSY, interrupted_s=NOW_S - 9, away=Away.REDIS))), "Redis did not answer"),
    ],
    ids=["at work", "nobody free", "nothing to do", "no Redis", "no ledger", "stopping", "interrupted"],
)
def test_what_waits_for_others_is_healthy(seen, note):
    """To replace it would only add to the trouble; what is amiss elsewhere is a note."""
    health = decide(seen)
    assert health.healthy, health.why
    assert note in " ".join(health.notes)
    assert bool(health.notes) is bool(note)


def test_probes_remember_what_they_saw():
    """Hints count from when they first waited and no message was taken since; without Redis all begins anew."""
    first = remembered(WELL, 3, NOW_S)
    assert (first.hinted_s, first.messages, first.answering_s) == (NOW_S, 7, LONG_AGO_S)
    assert remembered(replace(WELL, memory=first), 2, NOW_S + 30).hinted_s == NOW_S
    assert remembered(replace(WELL, memory=first, messages=8), 2, NOW_S + 30).hinted_s == NOW_S + 30
    assert remembered(replace(WELL, memory=first), 0, NOW_S + 30).hinted_s == 0.0
    assert remembered(replace(WELL, memory=first), None, NOW_S + 30) == Memory()


def test_without_children_time_is_counted():
    """From the first look that saw none alive."""
    bare = replace(WELL, children=(replace(FREE, alive=False),))
    assert remembered(bare, 0, NOW_S).childless_s == NOW_S
    assert remembered(WELL, 0, NOW_S).childless_s == 0.0


# --- the file


def test_a_worker_is_seen_from_outside(tmp_path):
    """By another process: that it lives, its turns, its children, and that it is stopping."""
    made = Progress.create(tmp_path, "ns")
    made.tick()
    made.receive()
    line = made.line(0)
    assert isinstance(line, ChildLine)
    line.begin(Doing.DRAIN)
    line.interrupted(Away.LEDGER)
    made.stop()
    facts = Progress.open(found(tmp_path, "ns")[os.getpid()]).facts()
    assert (facts.pid, facts.messages, bool(facts.ticked_s), bool(facts.stopping_s)) == (os.getpid(), 1, True, True)
    assert [(child.pid, child.doing, child.away) for child in facts.children] == [
        (os.getpid(), Doing.DRAIN, Away.LEDGER)
    ]
    assert made.stopping
    made.remove()
    assert found(tmp_path, "ns") == {}


def test_files_of_the_dead_are_removed(tmp_path):
    """Of the same namespace, once nobody holds their lock; a namespace whose name goes on is another."""
    script = (
        "import sys, pathlib; from worker.progress import Progress; Progress.create(pathlib.Path(sys.argv[1]), 'ns')"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True)
    [dead] = found(tmp_path, "ns").values()
    assert not Progress.open(dead).locked
    assert found(tmp_path, "n") == {}
    made = Progress.create(tmp_path, "ns")
    assert list(found(tmp_path, "ns")) == [os.getpid()]
    made.remove()


@pytest.mark.parametrize("content", [b"", b"x" * 100, bytes(1 << 20)], ids=["empty", "short", "of another version"])
def test_a_file_that_is_none_is_refused(tmp_path, content):
    """It says so, and is no worker."""
    path = tmp_path / "ns.1.state"
    path.write_bytes(content)
    with pytest.raises((ValueError, OSError)):
        Progress.open(path)


def test_nobody_to_be_checked_is_no_health(tmp_path):
    """Neither is a worker that is named and is not there."""
    used = WorkerSettings(
        redis_url="redis://127.0.0.1:1/0", database_url="sqlite:///none", worker_state=tmp_path, namespace="ns"
    )
    for pid, named in ((None, "no worker of namespace 'ns'"), (5, "no worker 5 of")):
        with pytest.raises(CannotTellError, match=named):
            check(used, pid=pid)
