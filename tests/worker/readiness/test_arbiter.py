"""Users become ready step by step, each step proven in a real Redis; whoever dies or hangs on the way does no harm."""

import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from types import ModuleType, SimpleNamespace

import msgspec
import pytest
from structlog.testing import capture_logs

from gnomon.connecting import connect
from gnomon.errors import FlagError
from gnomon.flags import SHARE, EnvironmentFlags
from gnomon.hashing import BUCKETS, user_digest
from gnomon.readiness import EVERYBODY
from gnomon.switchboard import store_flags
from gnomon.wire import Phase
from worker import arbiter as arbiters
from worker.arbiter import Arbiter, status
from worker.settings import load
from worker.steps import HELD, Step
from worker.verification import Unready

NOBODY = EnvironmentFlags()
FAR_US = 2**52  # behind every time in these tests


# --- the whole way


def test_users_become_ready_step_by_step(arbiter, process, share, stored, server, keys, waiting, shelves):
    """Dual, acknowledged, drained, verified: what each step waits for is told."""
    live, lane = process(), keys.lane(1)
    server.xadd(lane.stream, {"p": "an entry"})
    assert arbiter.tick() is Step.NONE
    assert waiting() == "none"
    share(50)
    assert waiting() == "acknowledgement by 1 process"
    assert arbiter.tick() is Step.ACKNOWLEDGEMENT
    assert (stored().dual_below, stored().ready_below) == (50_000, 0)
    live.watermark = 1
    live.know()
    assert waiting() == "lanes"
    assert arbiter.tick() is Step.LANES
    live.watermark = FAR_US
    live.beat()
    assert arbiter.tick() is Step.LANES
    server.hset(lane.state, "done_us", FAR_US)
    assert waiting() == "verification"
    assert shelves.verified == []
    assert arbiter.tick() is Step.VERIFICATION
    assert sorted(shelves.verified) == shelves.below(50)
    assert (stored().dual_below, stored().ready_below, stored().cursor) == (50_000, 50_000, "")
    assert waiting() == "none"
    assert arbiter.tick() is Step.NONE


def test_a_live_process_serves_whom_the_arbiter_made_ready(arbiter, client, notes, share, server, keys, shelves):
    """Not a moment before: dual meanwhile, as it finds out by itself."""
    user = shelves.below(50)[0]
    notes.read("somebody")
    assert client.flush(10)
    share(50)
    for lane in range(4):
        server.hset(keys.lane(lane).state, "done_us", FAR_US)
    seen, until = [], time.monotonic() + 30
    while Phase.SERVED not in seen[-1:]:
        assert time.monotonic() < until, (seen[-1:], arbiter.tick(), server.hgetall(keys.readiness))
        arbiter.tick()
        seen.append(client.flags.for_user(user)["enhanced_memory_enabled"].phase)
    assert Phase.DUAL in seen
    assert set(shelves.verified) == set(shelves.below(50))


def test_steps_are_told_with_counts_and_without_users(arbiter, process, share, enable, shelves, settle):
    """One event a step."""
    live = process()
    enable("user001")
    share(50)
    with capture_logs() as logs:
        arbiter.tick()
        live.know()
        settle(arbiter)
    told = [event for event in logs if event.pop("log_level") == "info"]
    assert told == [
        {"event": "ready.dual", "dual_below": 50_000, "users": 1},
        {"event": "ready.acknowledged", "processes": 1},
        {"event": "ready.drained", "lanes": 2},
        {"event": "ready.verified", "complete": True, "ready_below": 50_000, "verified": len(shelves.below(50)) + 1,
         "repaired": 0, "lifted": 0},
    ]  # fmt: skip
    assert "user0" not in str(logs)


def test_without_live_processes_nobody_is_waited_for(arbiter, share, stored):
    """There is nobody who could write to one side alone."""
    share(10)
    assert arbiter.tick() is Step.VERIFICATION
    assert stored().ready_below == 10_000


def test_the_environment_of_the_worker_counts_where_nothing_is_stored(make_arbiter, stored, server, keys):
    """As for a live process: a switch and a share of its own, until flags are stored; a switch that is off, always."""
    environ = {"ENHANCED_MEMORY": "1", "RENTAL_MEMORY_ARCH": "1", "ENHANCED_ROLLOUT_PERCENTAGE": "5"}
    make_arbiter(environment=EnvironmentFlags.from_env(environ)).tick()
    assert stored().ready_below == 5_000
    store_flags(server, keys, {SHARE: 50}, may_raise=True)
    make_arbiter(environment=EnvironmentFlags.from_env({"ENHANCED_MEMORY": "0"})).tick()
    assert stored().dual_below == 5_000


# --- acknowledged


def test_a_late_process_holds_everybody_back(arbiter, process, share, stored, waiting):
    """Until it writes all dual users to both sides, too."""
    early, late = process("early"), process("late")
    share(10)
    arbiter.tick()
    early.know()
    assert arbiter.tick() is Step.ACKNOWLEDGEMENT
    assert waiting() == "acknowledgement by 1 process"
    late.beat()  # it has taken in what it has not said yet
    assert arbiter.tick() is Step.ACKNOWLEDGEMENT
    assert stored().acknowledged_us == 0
    late.beat()
    assert arbiter.tick() is Step.VERIFICATION
    assert stored().ready_below == 10_000


def test_a_process_that_dies_is_not_waited_for(arbiter, process, share, stored, waiting):
    """Its heartbeat has run out, whether or not anybody has noticed."""
    process("one"), process("two")
    share(10)
    arbiter.tick()
    assert waiting() == "acknowledgement by 2 processes"
    for name in ("one", "two"):
        process(name).beat(lifetime_ms=1)
    threading.Event().wait(0.01)
    assert arbiter.tick() is Step.VERIFICATION
    assert stored().ready_below == 10_000


def test_a_process_that_joins_later_knows_at_once(arbiter, process, share, stored):
    """It has taken in what is stored before it writes for the first time; it says so with its second beat."""
    share(10)
    arbiter.tick()
    process("new").beat()
    share(20)
    arbiter.tick()
    new = process("newer")
    assert arbiter.tick() is Step.ACKNOWLEDGEMENT
    new.beat()
    process("new").know()
    assert arbiter.tick() is Step.VERIFICATION
    assert stored().ready_below == 20_000


def test_those_who_are_ready_stay_so_while_others_become_dual(arbiter, process, share, stored, enable, shelves):
    """A promotion takes nothing from anybody, and verifies nobody twice."""
    live = process()
    share(10)
    arbiter.tick()
    live.know()
    arbiter.tick()
    share(20)
    enable("user007")
    assert arbiter.tick() is Step.ACKNOWLEDGEMENT
    assert (stored().ready_below, stored().dual_below) == (10_000, 20_000)
    live.know()
    arbiter.tick()
    assert stored().ready_below == 20_000
    assert stored().ready == {user_digest("user007")}
    assert sorted(shelves.verified) == sorted([*shelves.below(20), "user007"])


# --- drained


def test_a_write_under_way_holds_everybody_back(arbiter, process, share, stored):
    """It may have begun before its user was dual."""
    live = process()
    live.watermark = 5
    share(10)
    arbiter.tick()
    live.know()
    assert arbiter.tick() is Step.LANES
    first = stored().acknowledged_us
    live.watermark = first
    live.beat()
    assert arbiter.tick() is Step.VERIFICATION
    assert stored().acknowledged_us > first  # by then it has ended, and what ended by then must be replayed


@pytest.mark.parametrize("done_us", [None, 5, "x"])
def test_a_lane_that_holds_what_may_be_older_is_waited_for(arbiter, share, server, keys, done_us):
    """Whatever it says, or if it says nothing; not once it is empty."""
    entry = server.xadd(keys.lane(0).stream, {"p": ""})
    if done_us is not None:
        server.hset(keys.lane(0).state, "done_us", done_us)
    share(10)
    assert arbiter.tick() is Step.LANES
    server.xdel(keys.lane(0).stream, entry)
    assert arbiter.tick() is Step.VERIFICATION


# --- rollback, and users taken out


def test_a_rollback_leaves_nobody_ready_and_everybody_dual(arbiter, process, share, shelves, stored, waiting):
    """A promotion after it goes the whole way again."""
    share(50)
    arbiter.tick()
    assert stored().ready_below == 50_000
    live = process()
    share(0)
    assert arbiter.tick() is Step.NONE
    assert (stored().ready_below, stored().dual_below) == (0, 50_000)
    shelves.verified.clear()
    share(10)
    assert waiting() == "acknowledgement by 1 process"
    assert arbiter.tick() is Step.ACKNOWLEDGEMENT
    live.know()
    assert arbiter.tick() is Step.VERIFICATION
    assert sorted(shelves.verified) == shelves.below(50)  # all of them are dual
    assert stored().ready_below == 50_000


def test_a_rollback_is_seen_before_anything_is_finished(arbiter, share, shelves, stored, monkeypatch):
    """Rolled back and promoted between two ticks: what was verified before counts no more."""
    monkeypatch.setattr(arbiters, "VERIFY_S", 0.0)
    share(100)
    arbiter.tick()
    share(0)
    share(100)
    arbiter.tick()
    assert shelves.verified.count(shelves.people[0]) == 2
    assert stored().ready_below == 0


def test_a_disabled_user_leaves_those_who_are_ready(arbiter, enable, share, stored, unready):
    """One who was enabled alone; enabled again, they are verified again."""
    share(0)
    enable("user001")
    arbiter.tick()
    assert stored().ready == {user_digest("user001")}
    enable("user001", False)
    arbiter.tick()
    assert (stored().ready, stored().dual) == (frozenset(), {user_digest("user001")})
    assert unready() == {}
    enable("user001")
    assert arbiter.tick() is Step.VERIFICATION
    assert stored().ready == {user_digest("user001")}


def test_a_user_disabled_in_a_ready_bucket_is_held_until_enabled_and_verified(
    arbiter, enable, share, shelves, server, keys, unready, mark, settle
):
    """No drain lifts that exception, however often the user comes back."""
    digest = user_digest("user001")
    share(100)
    arbiter.tick()
    enable("user001", False)
    arbiter.tick()
    assert unready() == {digest: HELD}
    mark(digest, 5)
    Unready(server, keys).clear([digest], FAR_US)
    version = server.hget(keys.unready, "version")
    arbiter.tick()
    assert unready() == {digest: HELD}
    assert server.hget(keys.unready, "version") == version  # once is enough
    shelves.verified.clear()
    enable("user001")
    settle(arbiter)
    assert shelves.verified == ["user001"]
    assert unready() == {}


def test_a_user_who_is_no_longer_disabled_comes_back_as_others_do(arbiter, enable, share, stored, unready):
    """Neither enabled nor disabled: an exception that a drain lifts once it has caught up with them."""
    share(100)
    arbiter.tick()
    enable("user001", False)
    arbiter.tick()
    enable("user001", None)
    arbiter.tick()
    assert 0 < unready()[user_digest("user001")] < FAR_US
    assert arbiter.tick() is Step.NONE


# --- whoever else is there


def test_only_one_works_at_a_time(arbiter, share, server, keys):
    """The lease of one that died runs out."""
    lease = f"{keys.readiness}:lease"
    share(10)
    server.set(lease, "another", px=arbiters.LEASE_MS)
    assert arbiter.tick() is None
    assert server.get(lease) == b"another"
    assert not server.exists(keys.readiness)
    server.pexpire(lease, 1)
    threading.Event().wait(0.01)
    assert arbiter.tick() is Step.VERIFICATION
    assert not server.exists(lease)


def test_the_slower_of_two_stores_nothing(arbiter, make_arbiter, share, shelves, server, keys, stored, waiting):
    """It was frozen past its lease in the middle of a walk, and rolled back meanwhile: nobody becomes ready."""
    other = make_arbiter()

    def overtake(user: str) -> None:
        if user == shelves.people[0]:
            shelves.before = lambda _user: None
            server.delete(f"{keys.readiness}:lease")
            share(0)
            other.tick()

    shelves.before = overtake
    share(100)
    arbiter.tick()
    assert (stored().ready_below, stored().cursor) == (0, "")
    assert waiting() == "none"


def test_two_at_once_do_no_harm(make_arbiter, share, server, keys, stored, shelves, monkeypatch):
    """Without any lease: each version is stored once, and all end up ready."""
    monkeypatch.setattr(arbiters, "token_hex", lambda _: str(threading.get_ident()))
    monkeypatch.setattr(arbiters, "VERIFY_S", 0.0)
    shelves.before = lambda _user: server.delete(f"{keys.readiness}:lease")
    share(100)
    versions = []

    def work(arbiter: Arbiter) -> None:
        store = arbiter._store
        arbiter._store = lambda before, after: store(before, after) and not versions.append(after.version)
        for _ in range(40):
            arbiter.tick()

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(work, [make_arbiter() for _ in range(3)]))
    assert sorted(versions) == list(range(1, stored().version + 1))
    assert stored().ready_below == BUCKETS


def test_a_redis_that_is_gone_is_told_and_no_more(keys):
    """No exception reaches Celery."""
    with closing(Arbiter(connect("redis://127.0.0.1:1/0"), keys, lanes=range(2))) as arbiter, capture_logs() as logs:
        assert arbiter.tick() is None
    assert [event["event"] for event in logs] == ["ready.interrupted"]


@pytest.mark.parametrize("name", ["readiness", "flags"])
def test_a_document_that_cannot_be_read_is_left_alone(arbiter, share, server, keys, name):
    """Nothing is written over it: a person must look."""
    share(10)
    server.hset(getattr(keys, name), mapping={"version": 9, "document": b'{"version": "nine"'})
    with capture_logs() as logs:
        assert arbiter.tick() is None
    assert [event["event"] for event in logs] == ["ready.failed"]
    with pytest.raises((FlagError, msgspec.MsgspecError)):
        status(server, keys, environment=NOBODY)


def test_what_a_process_says_badly_stops_nobody_else(arbiter, process, share, server, keys):
    """It counts as not said: the process is waited for, not the end of everything."""
    process().know()
    server.hset(keys.producer("p1"), mapping={"flags": "?", "readiness": "1.5"})
    share(10)
    assert arbiter.tick() is Step.ACKNOWLEDGEMENT


# --- status


def test_status_tells_how_far_everybody_is(arbiter, share, enable, mark, server, keys):
    """Numbers and no names."""
    share(10)
    enable("ann")
    arbiter.tick()
    mark(EVERYBODY, 5)
    assert status(server, keys, environment=NOBODY) == {
        "dual_below": 10_000,
        "ready_below": 10_000,
        "dual_users": 1,
        "ready_users": 1,
        "exceptions": 1,
        "everybody_excepted": True,
        "waiting": "none",
    }


def test_status_knows_the_environment(server, keys, monkeypatch):
    """This process's own, unless told otherwise."""
    for name in ("ENHANCED_MEMORY", "RENTAL_MEMORY_ARCH"):
        monkeypatch.setenv(name, "true")
    monkeypatch.setenv("ENHANCED_ROLLOUT_PERCENTAGE", "10")
    assert status(server, keys)["waiting"] == "verification"
    assert status(server, keys, environment=NOBODY)["waiting"] == "none"


# --- as a worker process has it


def test_a_worker_process_has_one_arbiter_of_its_own(valkey_url, client, make_client, shelves, monkeypatch):
    """Made from the settings alone, of all clients that the modules hold."""
    other = make_client()
    client.verification(shelves)
    other.operation("other.read", kind="read", user="user")(lambda user: user)
    module = ModuleType("clients_for_the_arbiter")
    module.one, module.other = client, other
    monkeypatch.setitem(sys.modules, module.__name__, module)
    used = load(redis_url=valkey_url, database_url="sqlite:///unused", operations=module.__name__)
    monkeypatch.setattr(arbiters, "settings", lambda: used)
    monkeypatch.setattr(arbiters, "_arbiters", {})
    with closing(arbiters.arbiter()) as made:
        assert arbiters.arbiter() is made
        assert made._user_data is shelves
        assert made._unverified == ["other.read"]


def test_the_task_is_asked_for_every_second(valkey_url, monkeypatch):
    """By beat; one that nobody has taken in time is dropped."""
    monkeypatch.setenv("GNOMON_REDIS_URL", valkey_url)
    monkeypatch.setenv("GNOMON_DATABASE_URL", "sqlite:///unused")
    from tasks import ready
    from worker import celeryconfig

    entry = celeryconfig.beat_schedule["ready"]
    assert entry["task"] == ready.name == "gnomon.ready"
    assert entry["schedule"].seconds == 1.0
    assert entry["options"]["expires"] <= 60
    monkeypatch.setattr(sys.modules["tasks.ready"], "arbiter", lambda: SimpleNamespace(tick=lambda: Step.LANES))
    assert ready() == "lanes"
