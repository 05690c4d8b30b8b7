"""`gnomon rollback`: legacy serves everybody, or one user, and the command says where that is in force."""

import os
import signal
import socket

import pytest

from gnomon.flags import SHARE, SWITCHES, with_user
from gnomon.keys import Keys
from gnomon.switchboard import change_flags, read_flags, store_flags

pytestmark = pytest.mark.slow

KEYS = Keys("default")
OFF = {**dict.fromkeys(SWITCHES, False), SHARE: 0}
MEMORY = "enhanced_memory_enabled"


@pytest.fixture
def promoted(gnomon, server, valkey_url):
    """A deployment with half of the users inside; its ledger is of no account here."""
    gnomon.environ["GNOMON_REDIS_URL"] = valkey_url
    store_flags(server, KEYS, {**dict.fromkeys(SWITCHES, True), SHARE: 50}, may_raise=True)
    return gnomon


def refused_url() -> str:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"redis://127.0.0.1:{taken.getsockname()[1]}/0"


def test_everybody_at_once(promoted, server, live_client):
    """All flags off, the share 0, and every live process has it when the command ends."""
    clients = [live_client(), live_client()]
    ran = promoted("rollback", "--json")
    assert ran.code == 0, ran.err
    stored = read_flags(server, KEYS)
    assert stored.flags == OFF
    assert ran.json == {
        "version": stored.version,
        "flags": OFF,
        "user": None,
        "in_force": True,
        "live": 2,
        "seconds": ran.json["seconds"],
        "unacknowledged": [],
    }
    assert ran.json["seconds"] < 2
    assert [str(client.flags.for_user("ann")[MEMORY].reason) for client in clients] == ["disabled", "disabled"]
    assert ran.err == ""


def test_it_says_where_it_is_in_force(promoted, live_client):
    """In words, with the time it took; repeating it does no harm."""
    live_client()
    for version in (2, 3):
        ran = promoted("rollback")
        assert (ran.code, ran.out) == (0, "")
        first, second = ran.err.splitlines()
        assert (
            first == f"Rolled back: every flag is off, the share 0, since version {version}; legacy serves everybody."
        )
        assert second.startswith("In force in 1 live process after 0.")


def test_one_user(promoted, server, live_client):
    """That user is out, whatever else says otherwise; everybody else stays where they were."""
    change_flags(server, KEYS, lambda stored: with_user(stored, "zoë", enabled=True))
    client = live_client()
    ran = promoted("rollback", "--user", "zoë", "--json")
    assert (ran.code, ran.json["user"], ran.json["in_force"]) == (0, "zoë", True)
    stored = read_flags(server, KEYS)
    assert (stored.enabled, stored.disabled) == (frozenset(), {"zoë"})
    assert stored.flags == {**dict.fromkeys(SWITCHES, True), SHARE: 50}
    assert str(client.flags.for_user("zoë")[MEMORY].reason) == "user_disabled"
    assert "Taken out: legacy serves user 'bob' since version 4" in promoted("rollback", "--user", "bob").err
    assert read_flags(server, KEYS).disabled == {"zoë", "bob"}


@pytest.mark.parametrize("user", ["", "u" * 1_025, b"\xff".decode(errors="surrogateescape")])
def test_a_bad_user_is_refused(promoted, server, user):
    """One clear line, exit code 2, nothing stored."""
    ran = promoted("rollback", "--user", user)
    assert ran.code == 2
    [line] = ran.err.splitlines()
    assert line.startswith("gnomon: a user id ")
    assert read_flags(server, KEYS).version == 1


def while_frozen(process, gnomon, *options):
    """Roll back while a live process stands still: for no longer than that, or it counts as ended."""
    process.send_signal(signal.SIGSTOP)
    try:
        return gnomon("rollback", *options)
    finally:
        process.send_signal(signal.SIGCONT)


def test_it_names_who_has_not_acknowledged(promoted, live_client, live_process):
    """A frozen process: exit code 1 after no more than 3 s, with its host and number; thawed, it takes it in."""
    live_client()
    frozen = live_process()
    ran = while_frozen(frozen, promoted)
    again = promoted("rollback", "--json")
    assert (again.code, again.json["live"]) == (0, 2)
    told = while_frozen(frozen, promoted, "--json")
    assert (ran.code, told.code) == (1, 1)
    assert "In force in 1 of 2 live processes after" in ran.err
    assert f"{socket.gethostname()} process {frozen.pid}, unheard of for " in ran.err
    assert "kill file" in ran.err
    assert told.json["in_force"] is False
    assert 2.5 < told.json["seconds"] <= 3.0
    assert [one["pid"] for one in told.json["unacknowledged"]] == [frozen.pid]


def test_with_the_database_down(promoted, server):
    """It needs none, whatever its setting says."""
    for url in ("postgresql://ann:secret@127.0.0.1:1/ledger", "nonsense"):
        ran = promoted("rollback", GNOMON_DATABASE_URL=url)
        assert ran.code == 0
        assert "No live process is up" in ran.err
    assert read_flags(server, KEYS).version == 3


def test_where_redis_does_not_answer_it_names_the_kill_file(promoted):
    """Exit code 2, one line: what helps now, with the path where it is known."""
    for environ, said in (
        ({}, "the one that GNOMON_KILL_FILE names"),
        ({"GNOMON_KILL_FILE": "/run/kill"}, "touch /run/kill"),
    ):
        ran = promoted("rollback", GNOMON_REDIS_URL=refused_url(), **environ)
        assert ran.code == 2
        [line] = ran.err.splitlines()
        assert line.startswith("gnomon: GNOMON_REDIS_URL: Redis does not answer (ConnectionError)")
        assert said in line
        assert "after 30 s by itself" in line


def test_where_redis_refuses(promoted, server):
    """A Redis that takes no writes is told from one that is down."""
    server.config_set("maxmemory", 1)
    try:
        ran = promoted("rollback")
    finally:
        server.config_set("maxmemory", 0)
    assert ran.code == 2
    assert "Redis does not take it" in ran.err
    assert "kill file" in ran.err


def test_in_a_namespace(promoted, server):
    """Another migration on the same Redis stays as it is."""
    assert promoted("rollback", GNOMON_NAMESPACE="other").code == 0
    assert read_flags(server, KEYS).version == 1
    assert read_flags(server, Keys("other")).flags == OFF


def test_a_process_that_died_is_waited_for_no_longer_than_its_heartbeat(promoted, live_process):
    """kill -9: for up to ten seconds nobody can know; it is named, and so is the silence."""
    process = live_process()
    os.kill(process.pid, signal.SIGKILL)
    ran = promoted("rollback")
    assert ran.code == 1
    assert f"process {process.pid}, unheard of for" in ran.err
