"""Changing flags: what makes no sense is refused before Redis is asked, the rest is in force everywhere at once."""

import socket
import subprocess
import sys
import threading
import time

import msgspec
import pytest

from gnomon import FlagError, Gnomon
from gnomon.flags import LONGEST_USER, MOST_USERS, Reason, StoredFlags
from gnomon.keys import Keys
from gnomon.switchboard import change_flags, read_flags, store_flags
from gnomon.wire import Phase

pytestmark = [pytest.mark.slow, pytest.mark.feature_flags]

MEMORY = "enhanced_memory_enabled"
ON = {"enhanced_memory_enabled": True, "rental_memory_architecture_enabled": True, "rollout_percentage": 100}
KEYS = Keys("default")


@pytest.fixture
def refusing():
    """A client whose Redis refuses every connection: whoever asks it gets another error than the one expected."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield Gnomon.from_env({"GNOMON_REDIS_URL": f"redis://127.0.0.1:{taken.getsockname()[1]}/0"})


# --- refused before anybody is asked


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"enhanced_memory": True}, "unknown flag 'enhanced_memory'"),
        ({"rollout_percentage": 101}, "cannot use 101; expected a number from 0 to 100"),
        ({"rollout_percentage": -1}, "cannot use -1;"),
        ({"rollout_percentage": float("nan")}, "cannot use nan;"),
        ({"rollout_percentage": float("inf")}, "cannot use inf;"),
        ({"rollout_percentage": "ten"}, "cannot use a str;"),
        ({"rollout_percentage": True}, "cannot use True;"),
        ({"rollout_percentage": None}, "cannot use a NoneType;"),
        ({"enhanced_memory_enabled": 1}, "cannot use a int; expected True or False"),
        ({"enhanced_memory_enabled": "true"}, "cannot use a str; expected True or False"),
        ({"enhanced_chat_client_enabled": None}, "cannot use a NoneType; expected True or False"),
    ],
)
def test_a_change_that_makes_no_sense_is_refused_at_once(refusing, changes, problem):
    """The error names the flag and what it takes; Redis is not asked."""
    with pytest.raises(FlagError, match=problem):
        refusing.flags.update_flags(**changes)


@pytest.mark.parametrize("user", ["", "x" * 10_240, None, 42, b"ann", ["ann"], "\ud800"])
@pytest.mark.parametrize("change", ["enable_user", "disable_user", "reset_user"])
def test_what_is_no_user_is_refused_at_once(refusing, change, user):
    """A user id is text of a sensible length that can be written down; an id is never told in the error."""
    with pytest.raises(FlagError, match=r"a user id (is text of 1 to 1024 |has no lone )") as caught:
        getattr(refusing.flags, change)(user)
    assert "xxx" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "users", "problem"),
    [
        ("", ["ann"], "a segment's name is text"),
        (None, ["ann"], "a segment's name is text"),
        ("x" * (LONGEST_USER + 1), ["ann"], "a segment's name is text"),
        ("\udc00", ["ann"], "a segment's name is text"),
        ("staff", "ann", "takes a list of user ids, not a single str"),
        ("staff", None, "takes a list of user ids"),
        ("staff", 42, "takes a list of user ids"),
        ("staff", ["ann", 42], "a user id is text"),
        ("staff", ["ann", ["ben"]], "a user id is text"),
        ("staff", ["ann", ""], "a user id is text"),
        ("staff", [f"user-{n}" for n in range(MOST_USERS + 1)], "10,001 users one by one are more than 10,000"),
    ],
)
def test_a_segment_that_is_none_is_refused_at_once(refusing, name, users, problem):
    """A name, and a list of user ids that every live process can keep in memory."""
    with pytest.raises(FlagError, match=problem):
        refusing.flags.define_segment(name, users)


def test_an_unreachable_redis_is_told(refusing):
    """The change makes sense, and nobody could store it: said in words, with the class of the cause."""
    with pytest.raises(FlagError, match=r"Redis does not answer \(ConnectionError\)"):
        refusing.flags.update_flags(enhanced_memory_enabled=False)
    with pytest.raises(FlagError, match="GNOMON_REDIS_URL is not set"):
        Gnomon.from_env({}).flags.enable_user("ann")


# --- stored


def test_the_share_may_be_lowered_and_not_raised(make, server):
    """Raising is a promotion: it takes evidence. A refused change changes nothing else either."""
    flags = make().flags
    with pytest.raises(FlagError, match="may only be lowered here; raising it is 'gnomon promote'"):
        flags.update_flags(rollout_percentage=1)
    store_flags(server, KEYS, {"rollout_percentage": 25}, may_raise=True)
    with pytest.raises(FlagError, match="may only be lowered"):
        flags.update_flags(rollout_percentage=25.5, enhanced_memory_enabled=True)
    assert read_flags(server, KEYS).flags == {"rollout_percentage": 25}
    assert flags.update_flags(rollout_percentage=25).version == 2
    stored = flags.update_flags(rollout_percentage=10)
    assert (stored.flags, stored.version, stored.lowered) == ({"rollout_percentage": 10}, 3, 3)


def test_a_share_of_the_environment_may_be_lowered_too(make, server):
    """Where none is stored the environment's is in force: below it is lower, above it is raised."""
    flags = make(ENHANCED_ROLLOUT_PERCENTAGE="50").flags
    with pytest.raises(FlagError, match="may only be lowered"):
        flags.update_flags(rollout_percentage=51)
    stored = flags.update_flags(rollout_percentage=10)
    assert (stored.flags, stored.lowered) == ({"rollout_percentage": 10}, 1)


@pytest.mark.parametrize("share", ["ten", None, True, -5, 1e9, []])
def test_a_share_that_cannot_be_read_can_be_taken_back(make, server, share):
    """Somebody stored nonsense by hand: nobody is inside, so it can only go to 0; a promotion may do more."""
    document = msgspec.json.encode({"version": 3, "flags": {**ON, "rollout_percentage": share}})
    server.hset(KEYS.flags, mapping={"version": 3, "document": document})
    flags = make().flags
    with pytest.raises(FlagError, match="may only be lowered"):
        flags.update_flags(rollout_percentage=1)
    stored = flags.update_flags(rollout_percentage=0)
    assert (stored.flags["rollout_percentage"], stored.lowered) == (0, 4)
    assert store_flags(server, KEYS, {"rollout_percentage": 5}, may_raise=True).flags["rollout_percentage"] == 5


def test_users_are_enabled_disabled_and_reset(phased, server, eventually):
    """One by one, above the share and below the global flags; disabled wins, and the last word holds."""
    client = phased("shadow")
    store_flags(server, KEYS, {**ON, "rollout_percentage": 0}, may_raise=True)

    def reason(user="ann"):
        return client.flags.for_user(user)[MEMORY].reason

    assert eventually(lambda: reason() is Reason.SPLIT)
    client.flags.enable_user("ann")
    assert eventually(lambda: reason() is Reason.USER_ENABLED)
    assert reason("ben") is Reason.SPLIT
    client.flags.disable_user("ann")
    assert eventually(lambda: reason() is Reason.USER_DISABLED)
    assert read_flags(server, KEYS).enabled == frozenset()
    client.flags.reset_user("ann")
    assert eventually(lambda: reason() is Reason.SPLIT)
    client.flags.enable_user("ann")
    client.flags.update_flags(enhanced_memory_enabled=False)
    assert eventually(lambda: reason() is Reason.DISABLED)


@pytest.mark.parametrize("user", [None, "", "x" * (LONGEST_USER + 1)])
def test_who_is_nobody_on_the_live_path_is_nobody_here(phased, user):
    """Whatever the flags say: `for_user` tells where calls go, and these go to legacy."""
    client = phased("served")
    assert {str(found.reason) for found in client.flags.for_user(user).values()} == {"no_user"}


def test_a_user_may_be_named_by_anything(phased):
    """A number is the user of its digits, as in a live call; nothing raises."""
    client = phased("served")
    assert client.flags.for_user(17) == client.flags.for_user("17")
    assert client.flags.for_user(["ann"]) == client.flags.for_user("['ann']")
    assert client.flags.for_user("ann")["enhanced_memory_enabled"].enabled


def test_segments_are_enabled_together(phased, eventually):
    """A list of users is inside while it is there; one of them can still be taken out."""
    client = phased("shadow")
    client.flags.update_flags(enhanced_memory_enabled=True, rental_memory_architecture_enabled=True)
    client.flags.define_segment("staff", ["ann", "ben", "ann"])
    assert eventually(lambda: client.flags.for_user("ben")[MEMORY].reason is Reason.SEGMENT)
    client.flags.disable_user("ben")
    assert eventually(lambda: client.flags.for_user("ben")[MEMORY].reason is Reason.USER_DISABLED)
    stored = client.flags.define_segment("staff", iter(["cy"]))
    assert stored.segments == {"staff": frozenset({"cy"})}
    assert client.flags.define_segment("staff", []).segments == {}
    assert eventually(lambda: client.flags.for_user("cy")[MEMORY].reason is Reason.SPLIT)


def test_changes_side_by_side_are_all_kept(make, server):
    """Compare and set, again until it succeeds."""
    client = make()
    threads = [threading.Thread(target=client.flags.enable_user, args=(f"user-{n}",)) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    stored = read_flags(server, KEYS)
    assert (stored.version, stored.enabled) == (12, frozenset(f"user-{n}" for n in range(12)))


@pytest.mark.parametrize(
    "stored",
    [
        {"version": 1, "document": b"not JSON"},
        {"version": 1, "document": b"[]"},
        {"version": 1, "document": b"\xff"},
        {"version": 7, "document": b'{"version":5}'},
        {"document": b'{"version":5}'},
        {"version": "nine", "document": b'{"version":9}'},
    ],
)
def test_what_is_no_flags_is_not_overwritten(make, server, stored):
    """A person has to look; the change is refused, and does not go round for ever."""
    server.hset(KEYS.flags, mapping=stored)
    with pytest.raises(FlagError, match="are no flags"):
        make().flags.update_flags(enhanced_memory_enabled=False)
    assert {name.decode(): value for name, value in server.hgetall(KEYS.flags).items()} == {
        name: value if isinstance(value, bytes) else str(value).encode() for name, value in stored.items()
    }


def test_flags_are_read_as_they_were_stored(server):
    """Every field comes back; nothing stored is the first version."""
    assert read_flags(server, KEYS) == StoredFlags()
    whole = StoredFlags(
        1, 3, {MEMORY: True}, frozenset({"a"}), frozenset({"b"}), {"staff": frozenset({"c"})}, lowered=1, retired=True
    )
    assert change_flags(server, KEYS, lambda _: whole) == whole == read_flags(server, KEYS)


# --- in force

WATCHER = """
import sys
from gnomon import Gnomon
client = Gnomon.from_env()
print(client.flags.for_user("ann")["enhanced_memory_enabled"].phase, flush=True)
for line in sys.stdin:
    wanted = line.strip()
    while client.flags.for_user("ann")["enhanced_memory_enabled"].phase != wanted: pass
    print("seen", flush=True)
client.close()
"""


@pytest.fixture
def watcher(valkey_url):
    """Another live process, which says when it sees a phase."""
    process = subprocess.Popen(
        [sys.executable, "-c", WATCHER],
        env={"GNOMON_REDIS_URL": valkey_url, "PATH": ""},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout.readline() == "shadow\n"
    yield process
    process.stdin.close()
    assert process.wait(10) == 0
    process.stdout.close()


def seen(process, phase):
    """Wait until the other process sees `phase`."""
    process.stdin.write(f"{phase}\n")
    process.stdin.flush()
    return process.stdout.readline() == "seen\n"


def listeners(server):
    """The connections that listen for changes."""
    return {client["id"] for client in server.client_list(_type="pubsub")}


@pytest.mark.parametrize("killing", [False, True], ids=["heard", "listeners cut off"])
def test_a_change_is_in_force_in_another_process_at_once(watcher, server, killing, eventually):
    """Heard over the channel; where that connection is cut, seen by the next heartbeat: 2 s are promised."""
    assert eventually(lambda: listeners(server))
    store_flags(server, KEYS, {**ON, "rollout_percentage": 0}, may_raise=True)
    for share in (100, 0, 100, 0):
        if killing:
            server.client_kill_filter(_type="pubsub")
        began = time.monotonic()
        store_flags(server, KEYS, {"rollout_percentage": share}, may_raise=True)
        assert seen(watcher, Phase.DUAL if share else Phase.SHADOW)
        assert time.monotonic() - began < 2


def test_the_listener_comes_back(phased, server, eventually):
    """A connection that was cut is made anew."""
    before = listeners(server)
    phased("shadow")
    [first] = eventually(lambda: listeners(server) - before)
    server.client_kill_filter(_id=first)
    assert eventually(lambda: listeners(server) - before - {first})


def test_readiness_and_exceptions_are_heard_too(phased, sync_pair, server, store_readiness, make, eventually):
    """One process's failed write takes its user from enhanced in every other."""
    one = phased("served")
    other = phased("served", client=make(), user="ben")
    write, read = sync_pair(one, "write"), sync_pair(other, "read", "memory.y")
    assert read("ann") == "new"
    write.enhanced = lambda **_: 1 / 0
    write("ann")
    assert eventually(lambda: read("ann") == "old")
    assert read("ben") == "new"
