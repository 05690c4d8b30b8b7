"""`gnomon status` on a deployment: what Redis and the ledger say, each on its own, once or again and again."""

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time

import pytest

from gnomon.flags import SHARE, SWITCHES, with_segment, with_user
from gnomon.keys import Keys
from gnomon.switchboard import change_flags, store_flags
from worker.targets.board import Board
from worker.targets.breaker import IN_A_ROW
from worker.targets.guard import Guard, Guards

pytestmark = pytest.mark.slow

KEYS = Keys("default")
NOWHERE = "redis://127.0.0.1:1/0"
OLD_KEYS = "eligible funnel outcomes operations imbalance redis waiting_entries producers lanes".split()  # noqa: SIM905


@pytest.fixture
def promoted(deployment, server, live_client):
    """Two live processes, a tenth of the users inside, some one by one."""
    store_flags(server, KEYS, {**dict.fromkeys(SWITCHES, True), SHARE: 10}, may_raise=True)
    change_flags(server, KEYS, lambda stored: with_user(stored, "secret-ann", enabled=True))
    change_flags(server, KEYS, lambda stored: with_segment(stored, "staff", ["secret-bob", "secret-eve"]))
    clients = [live_client(build="b7"), live_client(build="b7")]
    clients[0].complain("secret-zoë", "it forgot me")
    until(lambda: all(server.hget(KEYS.producer(name.decode()), "flags") == b"4" for name in producers(server)))
    return deployment


def producers(server):
    return server.zrange(KEYS.producers, 0, -1)


def until(condition, within_s=10.0):
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.02)


def die(server, *, buffered=3):
    """Let a process have ended without saying goodbye, as the next heartbeat notices it."""
    server.hset(KEYS.producer("gone"), mapping={"host": "web-9", "pid": 77, "buffered": buffered, "flags": 1})
    server.zadd(KEYS.watermarks, {"gone": 1})
    server.zadd(KEYS.producers, {"gone": 1})
    until(lambda: server.hexists(KEYS.dead, "gone"))


def test_everything_is_in_the_json(promoted, server, live_client):
    """The keys there were, and flags, readiness, metrics, backlog, live processes, possible loss."""
    die(server)
    ran = promoted("status", "--live", "--json")
    assert ran.code == 0, ran.err
    found = ran.json
    assert set(OLD_KEYS) <= set(found)
    assert (found["redis"], found["ledger"]) == ("ok", "ok")
    assert (found["eligible"], found["outcomes"]["pending"]) == (2, 2)
    assert found["flags"] == {
        "version": 4,
        "epoch": 1,
        "share": 10,
        "switches": dict.fromkeys(SWITCHES, True),
        "enabled_users": 1,
        "disabled_users": 1,
        "segments": {"staff": 2},
        "lowered": 0,
        "retired": False,
    }
    assert found["readiness"]["ready_below"] == 0
    assert {"dual_below", "dual_users", "ready_users", "exceptions", "held", "waiting"} <= set(found["readiness"])
    assert (found["metrics"]["captured"], found["metrics"]["operations"]["note.list"]["legacy"]["calls"]) == (2, 2)
    assert found["complaints"] == 1
    assert (found["backlog"]["captures"], found["backlog"]["entries"], found["waiting_entries"]) == (2, 2, 2)
    assert 0 <= found["backlog"]["oldest_s"] < 60
    lanes = found["backlog"]["lanes"]
    assert found["backlog"]["bytes"] == sum(lane["bytes"] for lane in lanes.values()) > 0
    assert 0 < found["backlog"]["lag_s"] == max(lane["lag_s"] for lane in lanes.values()) < 60
    assert (found["backlog"]["shed_share"], found["backlog"]["cap_bytes"]) == (0, 512 << 20)
    assert [(one["pid"], one["build"], one["acknowledged"], one["killed"]) for one in found["live"]] == [
        (os.getpid(), "b7", True, False)
    ] * 2
    assert len(found["producers"]) == 2
    assert found["unacknowledged"] == []
    assert found["possible_loss"] == {"processes": 1, "captures": 3}
    assert [(one["id"], one["host"], one["pid"]) for one in found["ended"]] == [("gone", "web-9", "77")]
    assert "secret" not in ran.out


def test_one_screen(promoted, server):
    """In words, within 80 columns, nobody named."""
    die(server)
    ran = promoted("status", "--live", COLUMNS="80")
    assert ran.code == 0
    assert max(map(len, ran.out.splitlines())) <= 80
    assert len(ran.out.splitlines()) <= 24
    for said in (
        "namespace default at 20",
        "10 % of users · epoch 1 · memory on · rental on · chat on",
        "version 4, acknowledged by 2 of 2 live processes",
        "one by one 1 enabled, 1 disabled · 1 segment: staff 2",
        "2 of 2 eligible",
        "possible loss: 1 live process ended without goodbye; up to 3 captures",
        "complaints 1",
    ):
        assert said in ran.out
    assert "secret" not in ran.out


def test_who_has_not_acknowledged(promoted, server):
    """A process that does not know the flags in force is named."""
    seconds, _ = server.time()
    server.hset(KEYS.producer("slow"), mapping={"host": "web-8", "pid": 88, "buffered": 0, "flags": 3})
    server.zadd(KEYS.producers, {"slow": seconds * 1_000 + 8_000})
    assert promoted("status", "--live", "--json").json["unacknowledged"] == ["slow"]
    ran = promoted("status", "--live")
    assert "acknowledged by 2 of 3 live processes" in ran.out
    assert re.search(r"web-8 +88 .* behind", ran.out)


def test_with_the_ledger_down(promoted):
    """What Redis knows is shown; the ledger is named without its password; the exit code says that it is not all."""
    url = "postgresql://ann:hush@127.0.0.1:1/ledger"
    ran = promoted("status", "--live", GNOMON_DATABASE_URL=url)
    assert ran.code == 2
    assert "acknowledged by 2 of 2 live processes" in ran.out
    assert "hush" not in ran.out + ran.err
    found = promoted("status", "--live", "--json", GNOMON_DATABASE_URL=url)
    assert (found.code, found.json["eligible"], found.json["outcomes"]) == (2, None, None)
    assert len(found.json["live"]) == 2


def test_with_redis_down(promoted):
    """What the ledger knows is shown."""
    ran = promoted("status", "--live", "--json", GNOMON_REDIS_URL=NOWHERE)
    assert (ran.code, ran.json["redis"]) == (0, "does not answer (ConnectionError)")
    assert (ran.json["eligible"], ran.json["flags"], ran.json["live"]) == (0, None, None)
    assert "does not answer" in promoted("status", "--live", GNOMON_REDIS_URL=NOWHERE).out


def test_flags_that_cannot_be_read(promoted, server):
    """Told, not stumbled over."""
    server.hset(KEYS.flags, mapping={"version": 9, "document": "{"})
    server.hset(KEYS.readiness, mapping={"version": 9, "document": "{"})
    ran = promoted("status", "--live", "--json")
    assert (ran.code, ran.json["flags"], ran.json["readiness"]) == (0, None, None)
    assert "what is stored cannot be read" in promoted("status", "--live").out


def test_a_run_that_has_ended(calm):
    """Its ledger is there; of the rest it says why not."""
    found = calm.gnomon("status", "--json")
    assert (found.code, found.json["redis"], found.json["ledger"]) == (0, "gone, the run has ended", "ok")
    assert found.json["live"] is None
    assert "gone, the run has ended" in calm.gnomon("status").out


# --- again and again


@pytest.mark.parametrize(("rows", "columns"), [(24, 80), (40, 120), (10, 60)])
def test_watching_in_a_terminal_never_scrolls(promoted, rows, columns):
    """A screen of its own, redrawn in place every 2 s; Ctrl-C leaves the last picture behind, exit code 0."""
    code, out = watched(promoted, rows, columns, seconds=5.5)
    assert code == 0
    before, _, rest = out.partition("\x1b[?1049h")
    screens, _, after = rest.partition("\x1b[?1049l")
    assert plain(before).strip() == ""
    pictures = [picture for picture in screens.split("\x1b[H")[1:] if "gnomon" in picture]
    assert len({re.search(r"\d\d:\d\d:\d\d", plain(picture)).group() for picture in pictures}) >= 2
    for picture in pictures:
        lines = plain(picture).split("\n")
        assert len(lines) <= rows
        assert max(len(line.rstrip("\r")) for line in lines) <= columns
    assert "namespace default at" in plain(after)


def watched(command, rows: int, columns: int, *, seconds: float) -> tuple[int, str]:
    """Run `gnomon status --watch` in a terminal of that size, and press Ctrl-C."""
    environ = {**command.environ, "TERM": "xterm-256color"}
    for name in ("COLUMNS", "LINES"):
        environ.pop(name, None)
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    arguments = [sys.executable, "-m", "console", "status", "--live", "--watch"]
    process = subprocess.Popen(arguments, cwd=command.folder, env=environ, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    out, began, asked = b"", None, False
    while chunk := read(ours):
        out += chunk
        began = began or (b"\x1b[?1049h" in out and time.monotonic()) or None
        if began and time.monotonic() - began > seconds and not asked:
            process.send_signal(signal.SIGINT)
            asked = True
    os.close(ours)
    return process.wait(20), out.decode()


def read(terminal: int) -> bytes:
    """What was written next; nothing once the other end is closed."""
    while not select.select([terminal], [], [], 30)[0]:
        pytest.fail("nothing was written for 30 s")
    try:
        return os.read(terminal, 65_536)
    except OSError:
        return b""


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text)


def test_watching_as_json(promoted):
    """One document a line, for whoever reads a pipe; it goes on while Redis does not answer."""
    process = promoted.start("status", "--live", "--watch", "--json")
    lines = [json.loads(process.stdout.readline()) for _ in range(2)]
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert process.returncode == 0
    assert [line["flags"]["version"] for line in lines] == [4, 4]


def test_watching_in_a_pipe(promoted):
    """Without a terminal one page after another."""
    process = promoted.start("status", "--live", "--watch")
    seen = 0
    while seen < 2:
        seen += "namespace default at" in process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=20)
    assert (process.returncode, said) == (0, "")


def test_the_sums_are_held_against_what_lies_in_the_lanes(promoted):
    """Exact: nothing is to be said, and what waits was counted."""
    found = promoted("status", "--live", "--json").json
    assert (found["alerts"], found["losses"]) == ([], 0)
    assert found["reconciliation"] == {"missing": {}, "unchecked": [], "checked": 64, "waiting": 2, "unsent": {}}


def test_a_capture_that_is_nowhere_is_an_alarm_with_its_size(promoted, server):
    """In words and as JSON, with the lane it is missing from."""
    lane = next(lane for lane in range(64) if server.xlen(KEYS.lane(lane).stream))
    server.delete(KEYS.lane(lane).stream)
    found = promoted("status", "--live", "--json").json
    [missing] = found["reconciliation"]["missing"].values()
    assert found["alerts"] == [f"{missing} captures are neither done nor in a lane (lanes {lane})"]
    said = promoted("status", "--live").out
    assert f"not exact: {missing} captures are neither done nor in a lane (lanes {lane})" in said


def test_calls_that_were_never_sent_are_an_alarm(promoted, server):
    """A live process has counted them, nothing waits in it, and nothing of them ever came."""
    seconds, _ = server.time()
    said = {"host": "web-8", "pid": 88, "buffered": 0, "flags": 4, "funnel": '{"eligible":7,"captured":7}'}
    server.hset(KEYS.producer("mute"), mapping=said)
    server.zadd(KEYS.producers, {"mute": seconds * 1_000 + 8_000})
    found = promoted("status", "--live", "--json").json
    assert (found["reconciliation"]["unsent"], found["alerts"]) == (
        {"mute": 7},
        ["7 calls of live process mute were counted and not sent"],
    )


def test_a_target_that_is_down_has_a_line_and_its_figures(promoted, server):
    """So that nobody wonders why captures stay pending."""
    guards = Guards({"note.list": Guard("notes", 8)})
    for _ in range(IN_A_ROW):
        guards.named("notes").unanswered("Http500", 0.01, tried=False)
    Board(server, KEYS).exchange(guards)
    assert "notes is down for 0 s: Http500" in promoted("status").out
    found = promoted("status", "--json").json["targets"]["notes"]
    assert (found["state"], found["reason"], found["calls"], found["failures"]) == ("open", "Http500", 4, 4)
    assert (found["processes"], found["open_in"], found["opened"], found["cap"]) == (1, 1, 1, 8)
