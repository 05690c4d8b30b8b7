"""`gnomon rules` and `gnomon rejudge`: what people allow, shown before it is done, refused where it makes no sense."""

import contextlib
import io
import os
import pty
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from comparators import Difference, Kind, Severity
from console.rules import Rules, in_words
from gnomon.flags import StoredFlags
from gnomon.keys import Keys
from gnomon.switchboard import read_flags
from ledger import Draft, Finding, KeptDifference, LaneCommit, Ledger, Listed, Outcome, Position, Preview, Sent

slow = pytest.mark.slow
PLACE = ("memory.recent", "$[*].score", "changed")
WHO = ("--by", "zoë", "--why", "rounded differently")
RULE = Listed(
    id=3,
    operation="memory.recent",
    path="$[*].score",
    kind="changed",
    author="ann",
    reason="why not",
    made_at=datetime(2026, 1, 2, tzinfo=UTC),
    since=1,
    expires_at=None,
    until=None,
    ended_at=None,
    ended_by="",
    ended_why="",
    hits=1_234,
    hits_in_epoch=7,
)


def kept(path="$[0].score", kind=Kind.CHANGED, severity=Severity.MINOR):
    return KeptDifference.of("memory.recent", Difference(path, kind, severity, 1, 2))


def finding(number: int, *differences: KeptDifference) -> Finding:
    return Finding(
        capture_id=f"c-{number}",
        operation="memory.recent",
        epoch=1,
        user=f"u{number}",
        called_at_us=1_790_000_000_000_000 + number,
        outcome=Outcome.DIVERGED,
        differences=differences,
    )


@pytest.fixture
def ledger(deployment):
    with contextlib.closing(Ledger(deployment.environ["GNOMON_DATABASE_URL"])) as opened:
        yield opened


@pytest.fixture
def judged(deployment, ledger):
    """Three divergences that a rule on the score hides, one that it allows in part, one critical elsewhere."""
    hold = ledger.take(1)
    found = [finding(n, kept()) for n in range(3)]
    found.append(finding(4, kept(), kept("$[1].content", severity=Severity.MAJOR)))
    found.append(finding(5, kept("$[1]", Kind.LOST, Severity.CRITICAL)))
    after = Position((1, 0), (1, ""))
    ledger.commit(LaneCommit(lane=1, fence=hold.fence, before=hold.position, after=after, findings=tuple(found)))
    return deployment


def one_line(ran) -> str:
    assert ran.code == 2, ran
    lines = [line for line in ran.err.splitlines() if line.startswith("gnomon: ")]
    assert len(lines) == 1, ran.err
    return lines[0]


def version(ledger) -> int:
    with ledger.reading() as reading:
        return reading.rules_version()


# --- in words


@pytest.mark.parametrize("width", [60, 80, 140])
def test_a_table_fits(width):
    """And what others wrote is printed as text, never as markup or control."""
    hostile = Listed(**{**{n: getattr(RULE, n) for n in Listed.__dataclass_fields__}, "reason": "\x1b[2J[bold]x" * 9})
    console = Console(width=width, file=io.StringIO())
    console.print(Rules(shown=[RULE, hostile], version=2, not_rejudged=True, now=datetime(2026, 1, 2, tzinfo=UTC)))
    text = console.file.getvalue()
    assert max(map(len, text.splitlines())) <= width
    assert "\x1b" not in text
    assert "1,234" in text
    assert "gnomon rejudge" in text


def test_a_preview_in_words():
    """How many it hides, how many of them critical, what else it touches."""
    assert list(in_words(Preview(groups=("1:a",), hides=1_200, in_part=3))) == [
        "It hides 1,200 divergences of the open epoch, none critical.",
        "Of 3 more it allows a part; they stay divergences.",
        "Groups: 1:a",
    ]
    [first, _] = in_words(Preview(groups=("1:a",), hides=1, critical=2))
    assert first == "It hides 1 divergence of the open epoch, 2 critical: refused."
    assert list(in_words(Preview(groups=()))) == ["It names nothing that was seen so far."]


# --- the commands


@slow
def test_a_rule_from_preview_to_retirement(judged, ledger, server):
    """Shown, allowed, counted anew, listed, ended: each step tells version and epoch."""
    ran = judged("rules", "preview", *PLACE, "--live", "--json")
    assert (ran.code, ran.json["hides"], ran.json["in_part"], ran.json["critical"], ran.json["refused"]) == (
        0,
        3,
        1,
        0,
        False,
    )
    ran = judged("rules", "add", *PLACE, *WHO, "--yes", "--live", "--json")
    assert (ran.code, ran.json["rule"], ran.json["version"], ran.json["epoch"]) == (0, 1, 1, 1)
    assert "hides 3 divergences of the open epoch, none critical" in ran.err
    assert judged("rules", "list", "--live", "--json").json["not_rejudged"]
    ran = judged("rejudge", "--live", "--json")
    assert ran.json == {"version": 1, "epoch": 1, "looked_at": 4, "ignored": 3, "in_part": 1, "kept": 0}
    found = judged("rules", "list", "--live", "--json").json
    [rule] = found["rules"]
    assert (found["version"], found["not_rejudged"], rule["hits"], rule["author"]) == (1, False, 4, "zoë")
    assert "changed at $[*].score of memory.recent" in judged("rules", "list", "--live").out
    ran = judged("rules", "retire", "1", "--by", "ben", "--why", "a bug", "--live", "--json")
    assert (ran.code, ran.json) == (0, {"rule": 1, "version": 2, "epoch": 2})
    assert judged("rules", "list", "--live", "--json").json["rules"] == []
    [rule] = judged("rules", "list", "--ended", "--live", "--json").json["rules"]
    assert (rule["until"], rule["ended_by"], rule["ended_why"]) == (2, "ben", "a bug")
    assert read_flags(server, Keys("default")) == StoredFlags()  # that is the sweep's


@slow
def test_the_report_tells_it_like_any_other_outcome(judged):
    """Ignored, by which rule; its group is gone, what else differs is there."""
    judged("rules", "add", *PLACE, *WHO, "--yes", "--live")
    judged("rejudge", "--live")
    found = judged("report", "--live", "--json").json
    assert (found["outcomes"]["ignored"], found["outcomes"]["diverged"]) == (3, 2)
    assert [group["path"] for group in found["groups"]] == ["$[*]", "$[*].content"]
    assert "rule 1" in judged("report", "--live").out


@slow
def test_a_rule_that_would_hide_what_is_critical_is_refused(judged, ledger):
    """The preview says how many, and nothing is changed."""
    ran = judged("rules", "preview", "memory.recent", "$[*]", "lost", "--live")
    assert (ran.code, "1 critical: refused" in ran.out) == (1, True)
    ran = judged("rules", "add", "memory.recent", "$[*]", "lost", *WHO, "--yes", "--live")
    assert "1 critical: refused" in ran.err
    assert "holds critical differences, which no rule may hide; nothing was changed" in one_line(ran)
    assert version(ledger) == 0


@slow
def test_the_end_of_a_rule_is_kept(judged, ledger):
    """In minutes, hours, days, or as a time in UTC."""
    at = datetime.now(UTC).replace(microsecond=0) + timedelta(days=9)
    for path, expires, expected in (
        ("$.a", "30m", timedelta(minutes=30)),
        ("$.b", "12h", timedelta(hours=12)),
        ("$.c", "30d", timedelta(days=30)),
        ("$.d", f"{at:%Y-%m-%dT%H:%M:%S}", timedelta(days=9)),
        ("$.e", f"{at + timedelta(hours=1):%Y-%m-%dT%H:%M:%S}+01:00", timedelta(days=9)),
    ):
        ran = judged("rules", "add", "memory.recent", path, "lost", *WHO, "--expires", expires, "--yes", "--live")
        assert ran.code == 0, ran
        with ledger.reading() as reading:
            rule = reading.rules()[0]
        assert abs(rule.expires_at - datetime.now(UTC) - expected) < timedelta(minutes=2)


@slow
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("add", "memory.recnt", "$", "lost", *WHO), "'memory.recnt' is not known; there are chat.send, memory.recent"),
        (("add", "memory.recent", "$", "lots", *WHO), "'lots': no such kind; there are lost, added, changed"),
        (("add", "memory.recent", "$", "failure", *WHO), "'failure': no rule may allow it"),
        (("add", "memory.recent", "$", "leak", *WHO), "'leak': no rule may allow it"),
        (("add", "memory.recent", "score", "lost", *WHO), "'score' is no path"),
        (("add", "memory.recent", ".*", "lost", *WHO), "'.*' is no path"),
        (("add", "memory.recent", "$[3].score", "lost", *WHO), "did you mean $[*].score?"),
        (("add", "memory.recent", "$" + ".a" * 200, "lost", *WHO), "longer than 200 characters"),
        (("add", *PLACE, "--by", " ", "--why", "x"), "--by: a name is needed"),
        (("add", *PLACE, "--by", "ann", "--why", " "), "--why: a reason in words is needed"),
        (("add", *PLACE, "--by", "ann"), "Missing option '--why'"),
        (("add", *PLACE, "--why", "x"), "Missing option '--by'"),
        (("add", *PLACE, *WHO, "--expires", "2020-01-01"), "--expires: 2020-01-01 00:00 UTC is past"),
        (("add", *PLACE, *WHO, "--expires", "0d"), "is past"),
        (("add", *PLACE, *WHO, "--expires", "soon"), "'soon' is no time; expected 30d"),
        (("add", *PLACE, *WHO, "--expires", "9999-12-31T23:59-10:00"), "is no time"),
        (("add", *PLACE, *WHO), "without a terminal say --yes"),
        (("add", os.fsdecode(b"\xff"), "$", "lost", *WHO), "is not known"),
        (("retire", "7", *WHO), "rule 7 is not there; nothing was changed"),
        (("retire", "x", *WHO), "Invalid value for 'ID'"),
        (("retire", "0", *WHO), "Invalid value for 'ID'"),
        (("retire", str(10**30), *WHO), "Invalid value for 'ID'"),
        (("retire", "1", "--by", "", "--why", "x"), "--by: a name is needed"),
        (("preview", "memory.recent", "$[", "lost"), "is no path"),
    ],
)
def test_what_makes_no_sense_is_refused(judged, ledger, arguments, said):
    """One clear message, exit code 2, nothing changed."""
    ran = judged("rules", *arguments, *(() if said.startswith("without") else _yes(arguments)), "--live")
    assert ran.code == 2, ran
    assert said in ran.err
    assert version(ledger) == 0


def _yes(arguments: tuple[str, ...]) -> tuple[str, ...]:
    return ("--yes",) if arguments[0] == "add" else ()


@slow
def test_the_same_twice_is_refused(judged, ledger):
    """With the number of the one that is there."""
    assert judged("rules", "add", *PLACE, *WHO, "--yes", "--live").code == 0
    line = one_line(judged("rules", "add", *PLACE, "--by", "ben", "--why", "me too", "--yes", "--live"))
    assert line == "gnomon: rule 1 allows the same already; nothing was changed"
    assert version(ledger) == 1


@slow
@pytest.mark.parametrize(("answer", "expected"), [("y", 1), ("n", 0)])
def test_in_a_terminal_it_asks_after_the_preview(judged, ledger, answer, expected):
    """And does nothing without a yes."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "console", "rules", "add", *PLACE, *WHO, "--live"]
    process = subprocess.Popen(
        command, cwd=judged.folder, env=judged.environ, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    os.write(ours, f"{answer}\n".encode())
    _, said = process.communicate(timeout=60)
    os.close(ours)
    os.close(theirs)
    assert b"hides 3 divergences" in said
    assert (process.returncode, version(ledger)) == (1 - expected, expected)


@slow
def test_an_operation_that_only_the_ledger_knows_can_be_named(judged, ledger):
    """The console need not have the application's code."""
    hold = ledger.take(2)
    found = Finding(capture_id="x", operation="note.list", epoch=1, user="u", called_at_us=1, outcome=Outcome.MATCH)

    sent = {"p": Sent(0, {"note.list|1|eligible": 1, "note.list|1|captured": 1})}
    after = Position((1, 0), (1, ""))
    ledger.commit(LaneCommit(lane=2, fence=hold.fence, before=hold.position, after=after, findings=(found,), sent=sent))
    ran = judged("rules", "preview", "note.list", "$", "lost", "--live", GNOMON_OPERATIONS="no.such.module")
    assert (ran.code, ran.out) == (0, "It names nothing that was seen so far.\n")


@slow
@pytest.mark.parametrize(
    "command",
    [
        ("rules", "list"),
        ("rules", "preview", *PLACE),
        ("rules", "add", *PLACE, *WHO, "--yes"),
        ("rules", "retire", "1", *WHO),
        ("rejudge",),
    ],
    ids=["list", "preview", "add", "retire", "rejudge"],
)
def test_a_ledger_that_cannot_be_used_is_named(judged, command):
    """Down or without tables: exit code 2, one line, no password."""
    empty = f"sqlite:///{judged.folder}/none.sqlite3"
    assert "gnomon migrate" in one_line(judged(*command, "--live", GNOMON_DATABASE_URL=empty))
    down = "postgresql://ann:hush@127.0.0.1:1/ledger"
    assert "hush" not in one_line(judged(*command, "--live", GNOMON_DATABASE_URL=down))


@slow
@pytest.mark.parametrize(
    "command", [("rules", "list"), ("rules", "preview"), ("rules", "add"), ("rules", "retire"), ("rejudge",)]
)
def test_each_has_help_with_an_example(gnomon, command):
    """`--help` says what it does and shows how."""
    ran = gnomon(*command, "--help")
    assert ran.code == 0
    assert f"Example: gnomon {' '.join(command)}" in ran.out


@slow
def test_a_rejudging_waits_until_workers_have_taken_the_rules_in(judged, ledger):
    """What they found by older rules in the meantime is counted anew too."""
    ledger.add_rule(Draft(operation=PLACE[0], path=PLACE[1], kind=PLACE[2], author="ann", reason="x"))
    ran = judged("rejudge", "--live")
    assert ran.code == 0
    assert "Workers are taking the rules in: once more in" in ran.err
    assert "Epoch 1 by version 1 of the rule set: 3 divergences now ignored, 1 allowed in part." in ran.err
