"""`gnomon groups`: what differs, how it develops, what is new or back; of one, a few divergences as a whole."""

import contextlib
import io
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from comparators import Difference, Kind, Severity
from console.groups import Groups, show_samples
from ledger import Finding, Group, KeptDifference, KeptSample, LaneCommit, Ledger, Outcome, Position, Sample, Trend

slow = pytest.mark.slow
NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
GROUP = Group(
    id="1:0123456789ab",
    operation="memory.recent",
    kind="changed",
    path="$[*].score",
    severity="major",
    explanation="both have it, with another value",
    count=1_234,
    users=56,
    first_seen=NOON - timedelta(days=3),
    last_seen=NOON,
    example="c-1",
    first_epoch=1,
    last_epoch=4,
    regressed_epoch=4,
)
RISING = Trend(last_hour=20, compared=100, before=10, compared_before=1_000)


def listed(*groups: Group, epoch: int = 4) -> Groups:
    now = NOON + timedelta(minutes=5)
    return Groups(shown=groups, trends={GROUP.id: RISING}, epoch=epoch, now=now)


def printed(what, width: int = 100) -> str:
    console = Console(width=width, file=io.StringIO())
    console.print(what)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [60, 80, 140])
def test_a_table_fits(width):
    """And what others wrote is printed as text, never as markup or control."""
    hostile = replace(GROUP, id="1:ffffffffffff", path="$['\x1b[2J[bold]x[/nope]']" * 3, operation="[red]o" * 9)
    text = printed(listed(GROUP, hostile), width)
    assert max(map(len, text.splitlines())) <= width
    assert "\x1b" not in text
    assert "1,234" in text
    assert GROUP.id in text


def test_what_is_new_or_back_says_so():
    """Beside the open epoch; a group that is neither says nothing."""
    assert "(back)" in printed(listed(GROUP))
    assert "rising" in printed(listed(GROUP))
    assert "(new)" in printed(listed(replace(GROUP, first_epoch=4, regressed_epoch=0)))
    text = printed(listed(GROUP, epoch=5))
    assert "(back)" not in text
    assert "(new)" not in text
    assert printed(listed()) == "Nothing: no divergence was recorded.\n"


def test_as_json_it_is_what_reports_tell_and_more():
    """The same names as in `report --json`, with times, epochs and figures of the trend."""
    [found] = listed(GROUP).as_json()
    assert (found["id"], found["count"], found["users"], found["new"], found["regressed"]) == (
        GROUP.id,
        1_234,
        56,
        False,
        True,
    )
    assert found["trend"] == {
        "tendency": "rising",
        "last_hour": 20,
        "compared": 100,
        "before": 10,
        "compared_before": 1_000,
    }


def test_samples_stand_side_by_side():
    """Whatever they hold."""
    kept = KeptSample(
        capture_id="c-1",
        epoch=4,
        called_at=NOON,
        user_digest="ab" * 8,
        sample={"args": {"limit": 3}, "legacy": ["[bold]\x1b[2J" * 40], "enhanced": None},
    )
    console = Console(width=80, file=io.StringIO())
    show_samples([kept], console)
    text = console.file.getvalue()
    assert max(map(len, text.splitlines())) <= 80
    assert "\x1b" not in text
    assert "legacy" in text
    assert "[bold]" in text


# --- the command


@pytest.fixture
def found(deployment):
    """Two groups, of one of them a whole divergence."""
    severe = Difference("$[0]", Kind.LOST, Severity.CRITICAL, 1)
    lost = KeptDifference.of("memory.recent", severe)
    changed = KeptDifference.of("memory.recent", Difference("$[0].score", Kind.CHANGED, Severity.MINOR, 1, 2))
    findings = tuple(
        Finding(
            capture_id=f"c-{n}",
            operation="memory.recent",
            epoch=1,
            user=f"u{n}",
            called_at_us=1_790_000_000_000_000 + n,
            outcome=Outcome.DIVERGED,
            differences=(changed, lost) if n == 3 else (changed,),
            sample=Sample(slot=0, args={"limit": 3}, legacy=[1], enhanced=[2]) if n == 3 else None,
        )
        for n in range(6)
    )
    with contextlib.closing(Ledger(deployment.environ["GNOMON_DATABASE_URL"])) as ledger:
        hold = ledger.take(1)
        after = Position((1, 0), (1, ""))
        ledger.commit(LaneCommit(lane=1, fence=hold.fence, before=hold.position, after=after, findings=findings))
    return deployment


@slow
def test_groups_are_listed_and_one_is_shown(found):
    """The gravest first; of one, the divergences that are kept as a whole."""
    shown = found("groups", "--live", "--json").json
    assert [(one["path"], one["severity"], one["count"], one["users"], one["new"]) for one in shown] == [
        ("$[*]", "critical", 1, 1, True),
        ("$[*].score", "minor", 6, 6, True),
    ]
    assert shown[1]["trend"]["last_hour"] == 6
    text = found("groups", "--live").out
    assert "lost at $[*] of memory.recent" in text
    ran = found("groups", shown[0]["id"], "--live", "--json")
    [sample] = ran.json["samples"]
    assert (sample["capture_id"], sample["sample"]) == ("c-3", {"args": {"limit": 3}, "legacy": [1], "enhanced": [2]})
    assert "c-3, user " in found("groups", shown[0]["id"], "--live").out
    report = found("report", "--live", "--json").json["groups"]
    assert [set(one) < set(shown[0]) for one in report] == [True, True]
    assert json.dumps(report)


@slow
def test_a_group_that_is_not_there_is_named(found):
    """One line, exit code 2."""
    for name in ("1:000000000000", "x" * 500, "'; --"):
        ran = found("groups", name, "--live")
        assert (ran.code, len(ran.err.splitlines())) == (2, 1)
        assert "is not the id of a group" in ran.err
