"""Users who call from several threads and processes at once, in every phase: no race is taken for a divergence."""

import random
import threading
import time
from collections import Counter

import msgspec
import pytest

from gnomon.flags import StoredFlags
from gnomon.hashing import BUCKETS
from gnomon.readiness import Readiness
from gnomon.scripts import STORE

pytestmark = pytest.mark.slow

USERS = [f"u{n}" for n in range(4)]
FLAG = "enhanced_chat_client_enabled"
SECONDS = 2.0


@pytest.fixture
def phase(server, keys):
    """Let everybody be in a phase, by the documents that live processes act upon."""

    def store(name: str) -> None:
        if name == "shadow":
            return
        flags = StoredFlags(version=1, flags={FLAG: True, "rollout_percentage": 100})
        ready = BUCKETS if name == "served" else 0
        readiness = Readiness(version=1, dual_below=BUCKETS, ready_below=ready, acknowledged_us=1)
        for key, document in ((keys.flags, flags), (keys.readiness, readiness)):
            server.eval(STORE, 1, key, 0, 1, msgspec.json.encode(document), keys.changes)

    return store


def calling(notes, stop: threading.Event, app: int, seed: int, made: list[int]) -> None:
    dice, calls = random.Random(seed), 0
    while not stop.is_set():
        user = dice.choice(USERS)
        if dice.random() < 0.4:
            notes.save(user, f"{app} {calls}", app=app)
        else:
            notes.read(user, app=app)
        calls += 1
        time.sleep(dice.random() * 0.01)
    made.append(calls)


@pytest.mark.parametrize("name", ["shadow", "dual", "served"])
def test_no_race_is_taken_for_a_divergence(
    make_client, application, make_drain, sums, ledger, phase, short_turns, name
):
    """Drains run beside; what a race makes unfair is excluded with its reason, the rest is equal."""
    phase(name)
    clients = [make_client() for _ in range(2)]
    notes = application(*clients, flag=FLAG)
    notes.introduce()
    time.sleep(0.6)  # two beats: each process knows flags and clock
    notes.serving = lambda operation, **_: time.sleep(0.002)
    notes.before = lambda operation, **_: time.sleep(0.002)
    stop, made = threading.Event(), []
    threads = [threading.Thread(target=calling, args=(notes, stop, n % 2, n, made)) for n in range(6)]
    for thread in threads:
        thread.start()
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        make_drain(client=clients[0]).run(0)
    stop.set()
    for thread in threads:
        thread.join()
    notes.end()
    for lane in range(4):
        make_drain(client=clients[0]).run(lane)
    found = sums()
    assert found.outcomes.total() == sum(made) + 2
    assert set(found.outcomes) <= {"match", "excluded"}, (found.outcomes, found.reasons)
    assert found.outcomes["match"] > found.outcomes.total() / 5
    assert {reason for _, reason in found.reasons} <= {"concurrent", "superseded"}
    assert found.gaps == {}
    with ledger.reading() as reading:
        exposures = {row.exposure for row in reading.clusters(1)["note.list"]}
    assert ("served" in exposures) is (name == "served")
    assert Counter(found.reasons)["excluded", "concurrent"] > 0


def test_a_write_that_is_done_and_gone_still_overlapped_a_call(make_drain, notes, sums, tape, listed, server, keys):
    """The next holder knows its end; a call that began after it is judged."""
    tape.append(tape.save(5, 10, 1))
    make_drain().run(tape.lane)
    assert server.xlen(keys.lane(tape.lane).stream) == 0
    tape.append(tape.read(8, 20, legacy=listed(1)), tape.read(11, 21, legacy=listed(1)))
    make_drain().run(tape.lane)
    found = sums()
    assert (found.outcomes, found.reasons) == (Counter(match=2, excluded=1), {("excluded", "concurrent"): 1})


def test_only_the_last_minutes_writes_are_remembered(make_drain, notes, tape, make_tape, server, keys):
    """A call that ran for longer is excluded by itself."""
    old = tape.save(-70_000, -69_999, 1)
    tape.append(old)
    make_drain().run(tape.lane)
    writes = keys.lane(tape.lane).writes
    assert server.zrange(writes, 0, -1, withscores=True) == [(f"{tape.digest}:p".encode(), tape.at(-69_999))]
    other = make_tape("ann", "q")
    other.began_us = tape.began_us
    other.append(other.save(5, 10, 2))
    make_drain().run(tape.lane)
    assert server.zrange(writes, 0, -1) == [f"{tape.digest}:q".encode()]
