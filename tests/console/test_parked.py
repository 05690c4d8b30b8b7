"""`gnomon parked`: captures that could not be replayed, seen, replayed again or thrown away by people."""

# ruff: noqa: RUF001 -- these quotation marks tell a mask from what people write

import contextlib
import io
import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime

import msgspec
import pytest
from rich.console import Console

from console.parked import Held, Listing
from gnomon.hashing import user_digest
from gnomon.keys import Keys
from ledger import Choice, Finding, LaneCommit, Ledger, Outcome, Parked, ParkedState, Position

PRIVATE = "ann.lee@example.com"
PATIENCE_S = 60.0
KEYS = Keys("default")
PARKED = Parked(
    capture_id="p-1",
    lane=3,
    operation="memory.save",
    reason="unknown_operation",
    state="parked",
    retries=0,
    epoch=1,
    exposure="shadow",
    user_digest=user_digest("ann"),
    parked_at=datetime(2026, 1, 2, tzinfo=UTC),
    decided_by="",
    decided_at=None,
    why="",
    size_bytes=7,
)


def payload(**more) -> bytes:
    args = {"user_id": "ann", "content": f"write to {PRIVATE}", "nested": [{"of": "ann"}]}
    return msgspec.json.encode({"v": 1, "op": "memory.save", "user": "ann", "args": args, **more})


# --- what it holds


def test_what_is_held_is_masked():
    """Neither an e-mail address nor the user's id is in it; everything else is."""
    held = Held.of(PARKED, payload())
    assert held.problem == ""
    assert held.masked == {
        "v": 1,
        "op": "memory.save",
        "user": "‹user›",
        "args": {"user_id": "‹user›", "content": "write to ‹email›", "nested": [{"of": "‹user›"}]},
    }


@pytest.mark.parametrize(
    "hostile",
    [b"", b"\x80\x04K*.", b"\xff" * 9, b"[" * 100_000, b'{"a":' * 100_000, b'"\\ud800"', b"NaN", b"1e999"],
    ids=["empty", "pickle", "bytes", "deep list", "deep object", "surrogate", "NaN", "endless"],
)
def test_what_cannot_be_decoded_is_told_by_its_size(hostile):
    """Never raw, never an error: whoever wrote it."""
    held = Held.of(PARKED, hostile)
    assert held.masked is None
    assert held.problem.startswith(f"cannot be decoded: {len(hostile):,} byte")
    assert held.problem.endswith("unknown_operation")


@pytest.mark.parametrize(
    "strange",
    [
        b"7",
        b"[]",
        b'{"user":7}',
        b'{"user":""}',
        b'{"n":%d}' % 2**200,
        b'{"n":-1%s}' % (b"0" * 5_000),
        b'{"a":[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]}',
    ],
)
def test_whatever_decodes_can_be_printed(strange):
    """As JSON, however large its numbers and deep its lists."""
    assert msgspec.json.encode(Held.of(PARKED, strange).masked)


def test_what_was_discarded_holds_nothing():
    """And says so."""
    gone = Held.of(replace(PARKED, state="discarded"), b"")
    assert (gone.masked, gone.problem) == (None, "discarded: what it held is gone")


@pytest.mark.parametrize("width", [60, 80, 140])
def test_a_table_fits_and_cuts_no_id(width):
    """An id is there to be copied; what others wrote into a lane is printed as text, never as markup or control."""
    hostile = replace(PARKED, operation="\x1b[2J[bold]x[/nope]" * 3, reason="r" * 40)
    console = Console(width=width, file=io.StringIO())
    listing = Listing(shown=[hostile, PARKED], totals={("r", "parked"): 9}, now=datetime(2026, 1, 2, 1, tzinfo=UTC))
    console.print(listing)
    text = console.file.getvalue()
    assert max(map(len, text.splitlines())) <= width
    assert "\x1b" not in text
    assert "p-1" in text
    assert "9 parked: r 9" in text
    assert "7 more are not shown" in text


# --- the command

slow = pytest.mark.slow


@pytest.fixture
def ledger(deployment):
    with contextlib.closing(Ledger(deployment.environ["GNOMON_DATABASE_URL"])) as opened:
        yield opened


@pytest.fixture
def parked(deployment, ledger):
    """Three captures in two lanes; ids p-1, p-2 (chat.send) and a line that nobody can read."""
    commit(ledger, 1, finding("p-1"), finding("p-2", operation="chat.send", user="ben"))
    commit(ledger, 2, finding("17-0/0", operation="unknown", user="", reason="malformed", payload=b"\x80\x04K*."))
    return deployment


def finding(name: str, **more) -> Finding:
    made = {
        "operation": "memory.save",
        "epoch": 1,
        "user": "ann",
        "called_at_us": 1_790_000_000_000_000,
        "reason": "unknown_operation",
        "payload": payload(),
    }
    return Finding(capture_id=name, outcome=Outcome.PARKED, **{**made, **more})


def commit(ledger: Ledger, lane: int, *findings: Finding) -> None:
    hold = ledger.take(lane)
    (ms, _), (cut, _) = hold.position
    after = Position((ms + 1, 0), (cut + 1, ""))
    ledger.commit(LaneCommit(lane=lane, fence=hold.fence, before=hold.position, after=after, findings=findings))


def states(ledger: Ledger) -> dict[str, str]:
    with ledger.reading() as reading:
        return {one.capture_id: one.state for one in reading.parked(Choice(), ParkedState)}


def outcomes(ledger: Ledger) -> Counter[str]:
    with ledger.reading() as reading:
        return +sum((found.outcomes for found in reading.sums().values()), Counter())


def one_line(ran) -> str:
    assert ran.code == 2, ran
    [line] = ran.err.splitlines()
    return line


@slow
def test_they_are_listed(parked):
    """In words and as JSON: why each is parked and where, and how many by reason; nobody named, nothing they hold."""
    ran = parked("parked", "list", "--live")
    assert (ran.code, ran.err) == (0, "")
    assert "3 parked: unknown_operation 2, malformed 1" in ran.out
    assert "2/17-0/0" in ran.out
    found = parked("parked", "list", "--live", "--json").json
    assert {(one["id"], one["operation"], one["reason"], one["lane"], one["state"]) for one in found["parked"]} == {
        ("p-1", "memory.save", "unknown_operation", 1, "parked"),
        ("p-2", "chat.send", "unknown_operation", 1, "parked"),
        ("2/17-0/0", "unknown", "malformed", 2, "parked"),
    }
    assert found["totals"] == [
        {"reason": "unknown_operation", "state": "parked", "captures": 2},
        {"reason": "malformed", "state": "parked", "captures": 1},
    ]
    assert PRIVATE not in json.dumps(found) + ran.out
    ids = [one["id"] for one in parked("parked", "list", "--operation", "chat.send", "--live", "--json").json["parked"]]
    assert ids == ["p-2"]
    assert "2 more are not shown" in parked("parked", "list", "--limit", "1", "--live").out


@slow
def test_status_tells_how_many_there_are_and_why(parked):
    """On the one screen, and as JSON; where nothing is parked, nothing is said."""
    parked("parked", "retry", "p-1", "--live")
    assert "3 (unknown_operation 2, malformed 1) · 1 to be replayed again" in parked("status", "--live").out
    found = parked("status", "--live", "--json").json["parked"]
    assert found == {"reasons": {"unknown_operation": 2, "malformed": 1}, "retrying": 1}
    parked("parked", "discard", "p-2", "2/17-0/0", "--why", "-", "--live")
    assert parked("status", "--live", "--json").json["parked"] == {"reasons": {"unknown_operation": 1}, "retrying": 1}


@slow
def test_one_is_shown(parked):
    """All that is known of it, masked."""
    ran = parked("parked", "show", "p-1", "--live", "--json")
    assert (ran.json["id"], ran.json["user_digest"], ran.json["problem"]) == ("p-1", user_digest("ann"), None)
    assert ran.json["capture"]["args"]["content"] == "write to ‹email›"
    assert PRIVATE not in parked("parked", "show", "p-1", "--live").out + ran.out
    unreadable = parked("parked", "show", "2/17-0/0", "--live")
    assert "cannot be decoded: 5 bytes, malformed" in unreadable.out
    assert one_line(parked("parked", "show", "p-9", "--live")) == "gnomon: 'p-9' is not the id of a parked capture"


@slow
def test_a_retry_is_asked_for_and_hinted(parked, ledger, server):
    """In somebody's name, for the lanes concerned; a worker is told at once."""
    ran = parked("parked", "retry", "p-1", "2/17-0/0", "--by", "zoë", "--live", "--json")
    assert (ran.code, ran.json) == (0, {"retrying": 2, "lanes": [1, 2], "hinted": True})
    assert states(ledger) == {"p-1": "retrying", "p-2": "parked", "2/17-0/0": "retrying"}
    hints = [json.loads(hint) for hint in server.lrange(KEYS.queue, 0, -1)]
    assert {hint["headers"]["argsrepr"] for hint in hints} == {"(1,)", "(2,)"}
    ran = parked("parked", "retry", "--all", "--live")
    assert (ran.code, ran.err) == (0, "1 capture in 1 lane to be replayed again.\n")
    assert parked("parked", "retry", "--all", "--live").err == "Nothing of that is parked.\n"
    shown = parked("parked", "list", "--live")
    assert "3 retrying: unknown_operation 2, malformed 1" in shown.out
    assert parked("parked", "show", "p-1", "--live", "--json").json["decided_by"] == "zoë"


@slow
def test_a_retry_without_redis_is_asked_for_all_the_same(parked, ledger):
    """The sweep finds it; it is said."""
    ran = parked("parked", "retry", "p-1", "--live", GNOMON_REDIS_URL="redis://127.0.0.1:1/0")
    assert ran.code == 0
    assert ran.err.splitlines()[1] == "Redis does not answer: workers will find them once it does."
    assert ledger.retrying() == [1]


@slow
def test_what_is_discarded_is_gone(parked, ledger):
    """Counted as that, with who and why; what it held is deleted."""
    ran = parked("parked", "discard", "p-1", "--why", "sent by a test", "--by", "zoë", "--live")
    assert (ran.code, ran.err) == (0, "1 capture discarded.\n")
    assert outcomes(ledger) == Counter(parked=2, discarded=1)
    found = parked("parked", "show", "p-1", "--live", "--json").json
    assert (found["state"], found["decided_by"], found["why"], found["size_bytes"], found["capture"]) == (
        "discarded",
        "zoë",
        "sent by a test",
        0,
        None,
    )
    ran = parked("parked", "discard", "--all", "--operation", "chat.send", "--why", "-", "--yes", "--live", "--json")
    assert ran.json == {"discarded": 1}
    assert outcomes(ledger) == Counter(parked=1, discarded=2)
    assert [one["id"] for one in parked("parked", "list", "--live", "--json").json["parked"]] == ["2/17-0/0"]
    listed = parked("parked", "list", "--state", "discarded", "--live", "--json").json["parked"]
    assert {one["id"] for one in listed} == {"p-1", "p-2"}


@slow
def test_who_decides_is_the_login_name_by_default(parked, ledger):
    """As the machine knows it."""
    assert parked("parked", "retry", "p-1", "--live", LOGNAME="somebody").code == 0
    assert parked("parked", "show", "p-1", "--live", "--json").json["decided_by"] == "somebody"


@slow
def test_what_is_not_parked_is_named(parked, ledger):
    """One of those named is being retried, discarded or unknown: nothing is changed."""
    parked("parked", "retry", "p-1", "--live")
    for command in (("retry",), ("discard", "--why", "-")):
        line = one_line(parked("parked", *command, "p-2", "p-1", "p-9", "--live"))
        assert line == "gnomon: not parked, so nothing was changed: p-1 (retrying), p-9 (unknown)"
    assert states(ledger)["p-2"] == "parked"


@slow
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("retry",), "name the captures that are meant, or say --all"),
        (("retry", "p-1", "--all"), "name the captures that are meant, or say --all"),
        (("retry", "p-1", "--reason", "malformed"), "--reason and --operation go with --all"),
        (("retry", "p-1", "--by", " "), "--by: a name is needed"),
        (("discard", "--why", "-"), "name the captures that are meant, or say --all"),
        (("discard", "p-1", "--why", " "), "--why: a reason in words is needed"),
        (("discard", "p-1"), "Missing option '--why'"),
        (("discard", "--all", "--why", "-"), "without a terminal say --yes"),
        (("list", "--state", "gone"), "Invalid value for '--state'"),
        (("list", "--limit", "0"), "Invalid value for '--limit'"),
        (("show",), "Missing argument 'ID'"),
        (("show", os.fsdecode(b"\xff'; --")), "is not the id of a parked capture"),
    ],
)
def test_what_makes_no_sense_is_refused(parked, ledger, arguments, said):
    """One clear message, exit code 2, nothing changed."""
    ran = parked("parked", *arguments, "--live")
    assert ran.code == 2
    assert said in ran.err
    assert set(states(ledger).values()) == {"parked"}


@slow
@pytest.mark.parametrize("command", [("list",), ("show", "p-1"), ("retry", "--all"), ("discard", "p-1", "--why", "-")])
def test_a_ledger_that_cannot_be_used_is_named(parked, command):
    """Down, without tables, or another migration's: exit code 2, one line, no password."""
    empty = f"sqlite:///{parked.folder}/none.sqlite3"
    assert "gnomon migrate" in one_line(parked("parked", *command, "--live", GNOMON_DATABASE_URL=empty))
    down = "postgresql://ann:hush@127.0.0.1:1/ledger"
    assert "hush" not in one_line(parked("parked", *command, "--live", GNOMON_DATABASE_URL=down))
    assert "belongs to namespace 'default'" in one_line(parked("parked", *command, "--live", GNOMON_NAMESPACE="other"))


@slow
def test_nothing_to_look_at(gnomon):
    """Neither run nor deployment: the variable is named."""
    assert "GNOMON_REDIS_URL: is not set" in one_line(gnomon("parked", "list"))


@slow
@pytest.mark.parametrize("command", ["list", "show", "retry", "discard"])
def test_each_has_help_with_an_example(gnomon, command):
    """`--help` says what it does and shows how."""
    ran = gnomon("parked", command, "--help")
    assert ran.code == 0
    assert f"Example: gnomon parked {command}" in ran.out


@slow
def test_in_a_run_that_has_ended_nothing_is_replayed(calm):
    """Its ledger can be looked at; nobody is there to replay."""
    assert "Nothing of that is parked." in calm.gnomon("parked", "list").out
    assert "has ended: nobody would replay anything" in one_line(calm.gnomon("parked", "retry", "--all"))


def interrupt(process) -> None:
    """Press Ctrl-C, and again where nothing comes of it: Python misses one in the moment before it begins to read."""
    for _ in range(10):
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(2)
            return


@slow
@pytest.mark.parametrize(
    ("answer", "code", "left"),
    [(b"y\n", 0, Counter(discarded=3)), (b"n\n", 1, Counter(parked=3)), (None, 130, Counter(parked=3))],
)
def test_in_a_terminal_it_asks_first(parked, ledger, answer, code, left):
    """How many of what, and only a yes discards."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "console", "parked", "discard", "--all", "--why", "-", "--live"],
        cwd=parked.folder,
        env=parked.environ,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    said = b""
    try:
        while b"?" not in said:
            said += os.read(ours, 4_096)
        interrupt(process) if answer is None else os.write(ours, answer)
        with contextlib.suppress(OSError):  # the other end is closed
            while chunk := os.read(ours, 4_096):
                said += chunk
    finally:
        os.close(ours)
    assert process.wait(PATIENCE_S) == code, said.decode()
    assert b"Discard 3 parked captures of namespace default for good?" in said
    assert outcomes(ledger) == left


# --- with real workers

APPLICATION = """
import os, redis
from gnomon import Gnomon, call

gnomon = Gnomon.from_env()
kept = redis.Redis.from_url(os.environ["GNOMON_REDIS_URL"], decode_responses=True)

@gnomon.operation("note.list", kind="read", user="user")
def listed(user: str) -> list[str]:
    return kept.lrange(f"legacy:{user}", 0, -1)

@listed.enhanced
def listed_enhanced(user):
    found = kept.hgetall(f"enhanced:{user}")
    return [found[number] for number in sorted(found, key=int)]
"""
SAVE = """
@gnomon.operation("note.save", kind="write", user="user")
def save(user: str, text: str) -> int:
    return kept.rpush(f"legacy:{user}", text)

@save.enhanced
def save_enhanced(user, text):
    kept.hsetnx(f"enhanced:{user}", call().origin, text)
    return call().origin
"""
TRAFFIC = """
from notes_of_today import gnomon, listed, save
for turn in range(5):
    for user in ("ann", "ben", "eve"):
        save(user, f"{user} says {turn}")
        listed(user)
assert gnomon.flush(10)
gnomon.close()
"""
USERS = ("ann", "ben", "eve")


@contextlib.contextmanager
def working(gnomon, operations: str):
    """A real worker; whatever is left of its process group is killed."""
    log = (gnomon.folder / "worker.log").open("ab")
    command = [sys.executable, "-m", "console", "worker", "--beat", "--concurrency", "1"]
    environ = {**gnomon.environ, "GNOMON_OPERATIONS": operations, "TMPDIR": str(gnomon.folder)}
    process = subprocess.Popen(
        command,
        cwd=gnomon.folder,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,
    )
    try:
        yield
        process.terminate()
        process.wait(PATIENCE_S)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(PATIENCE_S)
        log.close()


def eventually(condition) -> bool:
    until = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.05)  # another process's ledger cannot be awaited
    return True


@slow
@pytest.mark.parametrize("worker_is_up", [True, False], ids=["hinted", "swept"])
def test_what_an_old_worker_parked_a_new_one_replays(deployment, ledger, server, worker_is_up):
    """Deployed before the application, with its operation missing: nothing is lost, and every sum is exact."""
    gnomon = deployment
    gnomon.environ |= {"GNOMON_LANES": "4", "PYTHONPATH": str(gnomon.folder)}
    (gnomon.folder / "notes_of_old.py").write_text(APPLICATION)
    (gnomon.folder / "notes_of_today.py").write_text(APPLICATION + SAVE)
    log = gnomon.folder / "worker.log"
    with working(gnomon, "notes_of_old"):
        done = subprocess.run(
            [sys.executable, "-c", TRAFFIC], cwd=gnomon.folder, env=gnomon.environ, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert eventually(lambda: outcomes(ledger).total() == 30), log.read_text()[-4_000:]
    assert outcomes(ledger)["parked"] == 15
    assert server.keys("enhanced:*") == []
    asked = ("parked", "retry", "--all", "--reason", "unknown_operation", "--live", "--json")
    with contextlib.ExitStack() as stack:
        if worker_is_up:
            stack.enter_context(working(gnomon, "notes_of_today"))
        ran = gnomon(*asked, **({} if worker_is_up else {"GNOMON_REDIS_URL": "redis://127.0.0.1:1/0"}))
        assert (ran.code, ran.json["retrying"], ran.json["hinted"]) == (0, 15, worker_is_up)
        if not worker_is_up:
            stack.enter_context(working(gnomon, "notes_of_today"))
        assert eventually(lambda: not outcomes(ledger)["parked"]), log.read_text()[-4_000:]
    for user in USERS:
        legacy, enhanced = server.lrange(f"legacy:{user}", 0, -1), server.hgetall(f"enhanced:{user}")
        assert legacy == [enhanced[number] for number in sorted(enhanced, key=int)]
    assert (states(ledger), ledger.retrying(), outcomes(ledger).total()) == ({}, [], 30)
    found = gnomon("status", "--live", "--json", GNOMON_OPERATIONS="notes_of_today").json
    assert (found["imbalance"], found["outcomes"]["parked"], found["outcomes"]["pending"]) == ([], 0, 0)
