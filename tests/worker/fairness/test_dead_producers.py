"""Live processes that die without saying goodbye: whom they captured lately is in a gap, and that is told.

One of them is real and really killed.
"""

import os
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest

from worker import looking

pytestmark = pytest.mark.slow

PATIENCE_S = 10.0
APPLICATION = """
import sys
from gnomon import Gnomon, publisher
publisher.BEAT_LIFETIME_MS = 400
gnomon = Gnomon.from_env()

@gnomon.operation("note.save", kind="write", user="user")
def save(user: str, text: str) -> int:
    return int(text)

for number in (1, 2, 3):
    save("ann", str(number))
assert gnomon.flush(5)
publisher.BEAT_S = 60
save("ann", "4")
print("ready", flush=True)
sys.stdin.read()
"""


def eventually(condition) -> bool:
    until = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.05)  # another process's heartbeat cannot be awaited
    return True


@pytest.fixture
def killed(valkey_url):
    """Let a real live process capture for Ann and be killed; returns its process id once its heartbeat is over."""
    environ = {**os.environ, "GNOMON_REDIS_URL": valkey_url, "GNOMON_LANES": "4"}
    with subprocess.Popen(
        [sys.executable, "-c", APPLICATION], env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGKILL)
        process.wait(PATIENCE_S)
    return process.pid


def test_who_was_captured_by_a_killed_process_is_in_a_gap(
    notes, make_drain, sums, tape, make_tape, listed, killed, store, server, keys
):
    """From what it had promised last; what it had appended is judged, and others are too."""
    ben = make_tape("u1", "q")
    assert eventually(lambda: store.lookout.look().dead)
    [dead] = store.dead()
    assert (dead.pid, bool(dead.host)) == (str(killed), True)
    assert dead.died_ms // 1_000 == pytest.approx(time.time(), abs=10)
    now = (tape.now_us() - tape.began_us) / 1_000
    tape.append(tape.read(now, now + 1, legacy=listed(1, 2, 3, 4)))
    ben.append(ben.save(now, now + 1, 7), ben.read(now + 2, now + 3, legacy=listed(7)))
    for lane in range(4):
        make_drain().run(lane)
    found = sums()
    assert found.outcomes["match"] >= 5
    assert (found.reasons, found.gaps) == ({("excluded", "causal"): 1}, {"producer_died": 1})
    assert not server.exists(keys.lane(tape.lane).users(dead.producer))


def test_a_death_is_dealt_with_once(notes, make_drain, sums, tape, listed, user_data, server, keys):
    """A gap that was made good after it stays closed, though the death is remembered for two hours."""
    notes.legacy["ann"] = {1: "note 1"}
    tape.producer.beat(tape.at(10), lifetime_ms=-5_000)
    tape.append(tape.save(5, 6, 1), tape.read(15, 16, legacy=listed(1)))
    make_drain().run(tape.lane)
    assert sums().reasons == {("excluded", "causal"): 1}
    assert sums().gaps == {}
    now = (tape.now_us() - tape.began_us) / 1_000
    tape.append(tape.read(now, now + 1, legacy=listed(1)))
    for _ in range(2):
        make_drain().run(tape.lane)
    assert sums().outcomes == Counter(match=2, excluded=1)
    assert [dead.producer for dead in looking.Lookout(server, keys).dead()] == ["p"]


def test_a_death_noticed_while_a_lane_is_held_takes_effect_at_once(
    notes, make_drain, running, sums, tape, make_producer, listed
):
    """No batch is read past a watermark that no longer waits for a dead process without knowing who that was."""
    other = make_producer("q")
    other.beat(tape.at(12), lifetime_ms=600, clock_error_us=100)
    other.append(tape.lane, (tape.digest, 0, b""))
    tape.append(tape.save(5, 6, 1), tape.read(15, 16, legacy=listed(1)))
    drain = running(make_drain(), tape.lane)
    counts = drain.ended()
    assert (counts["match"], counts["excluded"]) == (1, 1)
    assert sums().gaps == {"producer_died": 1}


def test_the_last_hour_counts_from_its_last_append(store, tape, make_producer, server, keys, listed):
    """Not from when its death was noticed; who was captured longer ago than an hour before that is left alone."""
    tape.append(tape.read(5, 6, legacy=listed()))
    users = keys.lane(tape.lane).users("p")
    [(_, last)] = server.zrange(users, 0, -1, withscores=True)
    server.zadd(users, {"0123456789abcdef": last - 3_500_000, "fedcba9876543210": last - 3_700_000})
    tape.producer.beat(tape.at(10), lifetime_ms=-5_000)
    look = store.lookout.look()
    assert store.captured_by(tape.lane, look.dead) == [["0123456789abcdef", tape.digest]]


# --- what a look tells


def test_a_process_that_comes_back_is_alive(store, make_producer):
    """And has lost nothing: its watermark counts again, nobody is put into a gap any more."""
    producer = make_producer("p")
    producer.beat(1_790_000_000_000_003, lifetime_ms=-5_000)
    assert not store.lookout.look().alive
    producer.beat(1_790_000_000_000_009)
    look = store.lookout.look()
    assert (look.alive, look.watermark, look.dead) == (True, 1_790_000_000_000_009, ())


def test_a_dead_process_is_told_with_what_it_said_last(store, make_producer):
    """Host, process id, and how many captures it held: what may be lost."""
    make_producer("p").beat(1_790_000_000_000_003, lifetime_ms=50, host="h", pid=17, buffered=41)
    assert eventually(lambda: store.lookout.look().dead)
    [dead] = store.dead()
    assert (dead.host, dead.pid, dead.buffered) == ("h", "17", 41)
    assert 0 <= 1_790_000_000_000_003 - dead.watermark <= 200


def test_who_died_long_ago_is_forgotten(store, make_producer, server, keys):
    """After two hours; what is no word of a process is never counted as one."""
    for name in ("old", "new"):
        make_producer(name).beat(7, lifetime_ms=-5_000)
    store.lookout.look()
    seconds, _ = server.time()
    old = b'{"watermark":1,"died_ms":%d,"host":"h","pid":"1","buffered":0}' % ((seconds - 7_300) * 1_000)
    server.hset(keys.dead, mapping={"old": old, "odd": b"\xff"})
    assert store.lookout.forget_dead() == 1
    assert [dead.producer for dead in store.dead()] == ["new"]


@pytest.mark.parametrize(
    ("errors", "expected"),
    [((), 1_000), ((120, 300), 600), ((1_000_000_000,), 2_000_000)],
    ids=["nobody says", "two clocks", "one that does not know"],
)
def test_two_clocks_may_be_apart_by_both_their_errors(store, make_producer, errors, expected):
    """Twice the largest; and where nothing is said, a millisecond."""
    make_producer("silent").beat(1_790_000_000_000_003)
    for number, error in enumerate(errors):
        make_producer(f"p{number}").beat(1_790_000_000_000_003, clock_error_us=error)
    look = store.lookout.look()
    assert (look.error_us, look.cut_us) == (expected, look.watermark - expected)


def test_without_processes_the_cut_is_now(store):
    """Nothing is coming that a clock error could hide."""
    look = store.lookout.look()
    assert (look.alive, look.cut_us) == (False, look.now_us)


def test_a_moment_is_told_without_asking(store, server):
    """Never earlier than it is: what it is compared with must not be missed."""
    store.lookout.look()
    for _ in range(100):
        told = store.lookout.now_us()
        seconds, micros = server.time()
        assert told - 1_000_000 < seconds * 1_000_000 + micros
    assert store.lookout.now_us() >= told


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (b"{}", False),
        (b'{"flags":{"enhanced_memory_enabled":false}}', False),
        (b'{"flags":{"enhanced_memory_enabled":true}}', True),
        (b'{"flags":{"rollout_percentage":10}}', True),
        (b'{"enabled":["ann"]}', True),
        (b'{"disabled":["ann"]}', True),
        (b'{"segments":{"staff":["ann"]}}', True),
        (b'{"lowered":3}', True),
        (b"no flags at all", True),
    ],
    ids=["none", "off", "on", "share", "user", "taken out", "segment", "lowered", "malformed"],
)
def test_flags_tell_whether_anybody_may_be_dual(store, server, keys, document, expected):
    """Whoever was inside once may be dual still."""
    server.hset(keys.flags, mapping={"version": 1, "document": document})
    assert store.lookout.look().may_be_dual is expected
    server.delete(keys.flags)
    assert store.lookout.look().may_be_dual is expected


def test_a_look_outlives_a_redis_that_forgot_its_scripts(store, server):
    """As after a restart."""
    store.lookout.look()
    server.script_flush()
    assert not store.lookout.look().alive
