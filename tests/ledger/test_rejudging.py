"""Re-judging: all is as if the rules had been in force from the start, whoever is killed in the midst of it."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from comparators import Difference, Kind, Severity
from ledger import Draft, KeptDifference, Outcome, Sample, apply, rejudging

NOON_US = 1_790_000_040_000_000
MINUTE_US = 60_000_000
COUNTED = ("tallies", "minutes", "reasons", "rule_hits", "groups", "group_members", "group_users")
ALLOWED = "$[*].score"
KILLED = """
import os, signal, sys
from ledger import Ledger, rejudging
rejudging.CHUNK = 7
ledger, after, most = Ledger(sys.argv[1]), None, int(sys.argv[2])
if most % 2:
    # in the midst of a transaction, just before its end
    write = rejudging._Recount.write
    def written(self):
        write(self)
        written.times += 1
        if written.times > most // 2:
            os.kill(os.getpid(), signal.SIGKILL)
    written.times = 0
    rejudging._Recount.write = written
for _ in range(10_000):
    after = ledger.rejudge(after).after
    most -= 2
    if after is None or most < 0:
        break
os.kill(os.getpid(), signal.SIGKILL)
"""


def kept(path="$[0].score", kind=Kind.CHANGED, severity=Severity.MINOR):
    return KeptDifference.of("memory.recent", Difference(path, kind, severity, 1, 2))


def draft(path=ALLOWED, **more) -> Draft:
    made = {"operation": "memory.recent", "path": path, "kind": "changed", "author": "ann", "reason": "rounded"}
    return Draft(**{**made, **more})


DIFFERENCES = (
    (kept(),),
    (kept(), kept("$[7].score", severity=Severity.MAJOR)),
    (kept(), kept("$[1].tag", Kind.LOST, Severity.MAJOR)),
    (kept("$[1].tag", Kind.LOST),),
    (kept(), kept("$[2].hint", Kind.ADDED)),
    (kept("$[2].paid_score"),),
)


@pytest.fixture
def traffic(finding):
    """Make a day's findings: divergences of several kinds, failures, matches, by users, minutes and exposures."""

    def made(count: int, *, epoch: int = 1) -> list:
        found = []
        for n in range(count):
            more = {"user": f"u{n % 11}", "called_at_us": NOON_US + n % 5 * MINUTE_US + n, "epoch": epoch}
            more["exposure"] = "served" if n % 3 else "shadow"
            found.append(finding(Outcome.DIVERGED, differences=DIFFERENCES[n % 6], **more))
            found += [finding(**more)] if n % 4 == 0 else []
        found.append(finding(Outcome.FAILED, differences=(kept("$", Kind.FAILURE, Severity.MAJOR),), epoch=epoch))
        return found

    return made


@pytest.fixture
def figures(dump):
    """Give every figure that is derived from findings, without what stands at zero."""

    def all_of() -> dict[str, list]:
        tables, found = dump(), {}
        for name in COUNTED:
            rows = [{key: value for key, value in row.items() if value not in (0, "")} for row in tables[name]]
            found[name] = sorted(map(repr, map(sorted, map(dict.items, filter(_counts, rows)))))
        return found

    return all_of


def _counts(row: dict) -> bool:
    """Tell whether a row counts anything."""
    keys = ("epoch", "cluster", "minute", "rule_id")
    return "group_id" in row or any(isinstance(value, int) for key, value in row.items() if key not in keys)


def rejudge(ledger, after=None) -> Counter[str]:
    done = Counter()
    while True:
        step = ledger.rejudge(after)
        done.update(ignored=step.ignored, in_part=step.in_part, kept=step.kept, looked_at=step.looked_at)
        if (after := step.after) is None:
            return +done


@pytest.fixture
def agreed(dump):
    """Check that both sums are exact and groups hold what they say."""

    def check() -> None:
        tables = dump()
        outcomes = Counter({o: sum(row[o] for row in tables["tallies"]) for o in map(str, Outcome) if o != "pending"})
        minutes = Counter({o: sum(row[o] for row in tables["minutes"]) for o in map(str, Outcome) if o != "pending"})
        assert outcomes == minutes
        assert all(row[o] >= 0 for name in ("tallies", "minutes") for row in tables[name] for o in outcomes)
        assert outcomes.total() == sum(row["done"] for row in tables["lanes"])
        kept_as = Counter(row["verdict"] for row in tables["divergences"])
        assert kept_as["diverged"] == outcomes["diverged"]
        members = Counter(row["group_id"] for row in tables["group_members"])
        assert members == +Counter({row["id"]: row["count"] for row in tables["groups"]})
        of = {row["capture_id"]: row["user_digest"] for row in tables["divergences"]}
        users = {(row["group_id"], of[row["capture_id"]]) for row in tables["group_members"]}
        assert users == {(row["group_id"], row["user_digest"]) for row in tables["group_users"]}
        captures = {row["capture_id"]: row for row in tables["divergences"]}
        by_group: dict[str, set[str]] = {}
        for row in tables["group_members"]:
            by_group.setdefault(row["group_id"], set()).add(row["capture_id"])
        for row in tables["groups"]:
            if row["count"]:
                assert row["example"] in by_group[row["id"]]
                assert row["last_seen"] == max(captures[one]["called_at"] for one in by_group[row["id"]])

    return check


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        ([(ALLOWED, "changed")], {"looked_at": 80, "ignored": 60, "in_part": 20}),
        ([("$[*].tag", "lost")], {"looked_at": 40, "ignored": 20, "in_part": 20}),
        ([("$[*].hint", "added")], {"looked_at": 20, "in_part": 20}),
        ([(ALLOWED, "changed"), ("$[*].tag", "lost"), ("$[*].paid_score", "changed")], {"ignored": 120}),
        ([("$[*].nothing", "lost")], {}),
    ],
)
def test_all_is_as_if_the_rules_had_been_in_force_from_the_start(
    ledger, hold, traffic, figures, agreed, places, expected
):
    """Tallies by cluster, minutes, reasons, hits, members and users: row by row."""
    found = traffic(120)
    hold(ledger).commit(*found)
    agreed()
    for path, kind in places:
        ledger.add_rule(draft(path, kind=kind))
    done = rejudge(ledger)
    agreed()
    assert {name: done[name] for name in expected} == expected
    anew = figures()
    _empty(ledger)
    hold(ledger, 1).commit(*(apply(ledger.rules(), each) for each in found))
    from_the_start = figures()
    for name in ("tallies", "minutes", "reasons", "rule_hits", "group_members", "group_users"):
        assert anew[name] == from_the_start[name], name


def _empty(ledger) -> None:
    """Forget what was counted, but no rule."""
    with ledger._engine.begin() as connection:
        for name in (*reversed(COUNTED), "divergences", "lanes", "epoch_users", "funnel"):
            connection.execute(sa.text(f"DELETE FROM {name}"))


def test_again_changes_nothing(ledger, hold, traffic, dump):
    """A row says itself what it is counted as."""
    hold(ledger).commit(*traffic(30))
    ledger.add_rule(draft())
    rejudge(ledger)
    before = dump()
    assert not +(rejudge(ledger) - Counter(looked_at=999))
    after = dump()
    for rows in (*before.values(), *after.values()):
        for row in rows:
            row.pop("rejudged_at", None)
    assert after == before


def test_a_group_that_is_allowed_whole_is_listed_no_more(ledger, read, hold, traffic):
    """Others keep what is theirs; a capture allowed in part stays in the group of what is left."""
    hold(ledger).commit(*traffic(60))
    before = {group.path: group.count for group in read(ledger, "groups")}
    ledger.add_rule(draft())
    rejudge(ledger)
    after = {group.path: group.count for group in read(ledger, "groups")}
    assert before[ALLOWED] == 40
    # with what the rule allows gone, what merely adds is ignored too
    gone = {path: count for path, count in before.items() if path not in (ALLOWED, "$[*].hint")}
    assert after == gone


def test_a_divergence_says_which_rule_decided(ledger, hold, finding, dump):
    """In its row: the reason, and the rule of each difference."""
    hold(ledger).commit(
        finding(Outcome.DIVERGED, differences=DIFFERENCES[1], capture_id="whole", reason="2 changed"),
        finding(Outcome.DIVERGED, differences=DIFFERENCES[2], capture_id="part", reason="1 changed, 1 lost"),
    )
    ledger.add_rule(draft())
    rejudge(ledger)
    rows = {row["capture_id"]: row for row in dump()["divergences"]}
    whole, part = rows["whole"], rows["part"]
    assert (whole["verdict"], whole["reason"], [one.get("rule") for one in whole["differences"]]) == (
        "ignored",
        "rule 1",
        [1, 1],
    )
    assert (part["verdict"], part["reason"], part["severity"]) == ("diverged", "1 changed, 1 lost", "major")
    assert [one.get("rule") for one in part["differences"]] == [1, None]


def test_what_is_critical_stays(ledger, hold, finding, agreed, read):
    """Also where it comes only after the rule was made."""
    ledger.add_rule(draft())
    critical = (kept(severity=Severity.CRITICAL), kept("$[1].score"))
    hold(ledger).commit(finding(Outcome.DIVERGED, differences=critical))
    rejudge(ledger)
    agreed()
    sums = read(ledger, "sums")["memory.recent"]
    assert (sums.outcomes["diverged"], sums.diverged_critical, sums.outcomes["ignored"]) == (1, 1, 0)
    [group] = read(ledger, "groups")
    assert (group.severity, group.count) == ("critical", 1)


def test_an_epoch_that_is_closed_stays_as_it_was_judged(ledger, hold, traffic, read, agreed):
    """Loosening counts the open one anew, and no other."""
    hold(ledger).commit(*traffic(30))
    ledger.add_rule(draft("$[*].tag", kind="lost"))
    ledger.retire_rule(1, by="ben", why="a mistake")
    hold(ledger, 1).commit(*traffic(30, epoch=2))
    before = read(ledger, "sums", 1)["memory.recent"].outcomes
    ledger.add_rule(draft())
    assert rejudge(ledger)["ignored"] == 15
    agreed()
    assert read(ledger, "sums", 1)["memory.recent"].outcomes == before
    assert read(ledger, "sums", 2)["memory.recent"].outcomes["ignored"] == 15


def test_several_rules_are_told_in_the_reason(ledger, hold, traffic, read):
    """And each has its hits."""
    hold(ledger).commit(*traffic(60))
    ledger.add_rule(draft())
    ledger.add_rule(draft("$[*].tag", kind="lost"))
    rejudge(ledger)
    reasons = {reason: count for _, outcome, reason, count in read(ledger, "reasons") if outcome == "ignored"}
    assert reasons == {"rule 1": 30, "rules 1, 2": 10, "rule 2": 10}
    assert {rule.id: rule.hits for rule in read(ledger, "rules")} == {1: 40, 2: 20}


def test_one_rule_after_another_comes_to_the_same(ledger, hold, traffic, read, agreed):
    """What was allowed in part before is ignored once the rest is allowed too."""
    hold(ledger).commit(*traffic(60))
    for path, kind in ((ALLOWED, "changed"), ("$[*].tag", "lost")):
        ledger.add_rule(draft(path, kind=kind))
        rejudge(ledger)
        agreed()
    assert read(ledger, "sums")["memory.recent"].outcomes["ignored"] == 50
    assert {rule.id: rule.hits for rule in read(ledger, "rules")} == {1: 40, 2: 20}


def test_rows_of_an_older_version_stay_as_they_are(ledger, hold, traffic, agreed):
    """It is not known under which cluster they are counted."""
    hold(ledger).commit(*traffic(12))
    with ledger._engine.begin() as connection:
        connection.execute(sa.text("UPDATE divergences SET cluster = NULL"))
    ledger.add_rule(draft())
    assert rejudge(ledger) == Counter(looked_at=8, kept=8)
    agreed()


def test_commits_go_on_meanwhile(open_ledger, hold, traffic, agreed, read, monkeypatch):
    """Neither waits for the other in a circle, and what is committed by old rules is found by another pass."""
    monkeypatch.setattr(rejudging, "CHUNK", 5)
    ledger, other = open_ledger(), open_ledger()
    hold(ledger).commit(*traffic(60))
    ledger.add_rule(draft())
    batches, problems = [traffic(24) for _ in range(6)], []

    def commit() -> None:
        try:
            holder = hold(other, 1)
            for batch in batches:
                holder.commit(*batch)
        except Exception as error:
            problems.append(error)

    thread = threading.Thread(target=commit)
    thread.start()
    rejudge(ledger)
    thread.join()
    assert problems == []
    agreed()
    rejudge(ledger)
    agreed()
    assert read(ledger, "sums")["memory.recent"].outcomes["ignored"] == (60 + 6 * 24) // 2


def test_two_at_once_count_each_once(open_ledger, hold, traffic, agreed, read, monkeypatch):
    """Two people ask for it at the same moment."""
    monkeypatch.setattr(rejudging, "CHUNK", 5)
    ledgers = [open_ledger() for _ in range(2)]
    hold(ledgers[0]).commit(*traffic(60))
    ledgers[0].add_rule(draft())
    done: list[Counter[str]] = []
    threads = [threading.Thread(target=lambda at=at: done.append(rejudge(at))) for at in ledgers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(each["ignored"] for each in done) == 30
    agreed()
    assert {rule.id: rule.hits for rule in read(ledgers[0], "rules")} == {1: 40}


@pytest.mark.slow
def test_killed_at_any_point_it_is_taken_up_again(url, ledger, hold, traffic, agreed, read):
    """Between two transactions or in the midst of one; each divergence is taken over once."""
    hold(ledger).commit(*traffic(60))
    ledger.add_rule(draft())
    for most in range(5):
        killed = subprocess.run([sys.executable, "-c", KILLED, url, str(most)], env=os.environ, check=False)
        assert killed.returncode == -signal.SIGKILL
        _settle(ledger, agreed)
    rejudge(ledger)
    agreed()
    assert read(ledger, "sums")["memory.recent"].outcomes["ignored"] == 30
    assert {rule.id: rule.hits for rule in read(ledger, "rules")} == {1: 40}
    assert not read(ledger, "not_rejudged")


def _settle(ledger, agreed) -> None:
    """Wait until the database has noticed that somebody is dead."""
    until = time.monotonic() + 10
    while True:
        try:
            return agreed()
        except AssertionError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)


def test_the_version_is_marked_once_it_is_through(ledger, hold, traffic, read):
    """And another rule asks for it anew."""
    hold(ledger).commit(*traffic(6))
    ledger.add_rule(draft())
    assert read(ledger, "not_rejudged")
    step = ledger.rejudge()
    assert read(ledger, "not_rejudged")
    rejudge(ledger, step.after)
    assert not read(ledger, "not_rejudged")
    ledger.add_rule(draft("$[*].tag", kind="lost"))
    assert read(ledger, "not_rejudged")


def test_nothing_is_read_that_no_rule_names(ledger, hold, traffic):
    """A rule on one group costs what that group holds."""
    hold(ledger).commit(*traffic(60))
    ledger.add_rule(draft("$[*].paid_score"))
    assert rejudge(ledger) == Counter(looked_at=10, ignored=10)


def test_users_who_differ_elsewhere_in_a_group_stay_in_it(ledger, hold, finding, read, agreed):
    """A user counts for a group as long as one of their divergences is in it, of another epoch say."""
    hold(ledger).commit(
        finding(Outcome.DIVERGED, differences=(kept(),), user="ann", epoch=0),
        finding(Outcome.DIVERGED, differences=(kept(),), user="ann", called_at_us=NOON_US + MINUTE_US),
        finding(Outcome.DIVERGED, differences=(kept(),), user="ben"),
    )
    ledger.add_rule(draft())
    assert rejudge(ledger)["ignored"] == 2
    agreed()
    [group] = read(ledger, "groups")
    assert (group.count, group.users) == (1, 1)
    assert group.last_seen < datetime.fromtimestamp(NOON_US / 1e6, UTC)


def test_what_is_allowed_is_no_sample_any_more(ledger, hold, finding, read):
    """Of the groups that it leaves; in those that it stays in it is one still."""
    both, whole = (kept(), kept("$[1].tag")), Sample(slot=0, legacy=1, enhanced=2)
    hold(ledger).commit(finding(Outcome.DIVERGED, differences=both, sample=whole))
    ids = {group.path: group.id for group in read(ledger, "groups")}
    ledger.add_rule(draft())
    rejudge(ledger)
    assert [len(read(ledger, "samples", ids[path])) for path in (ALLOWED, "$[*].tag")] == [0, 1]


def test_a_group_that_was_emptied_and_is_seen_again_names_what_is_in_it(ledger, hold, finding, agreed):
    """A worker that has not taken the rule in yet may fill it anew; its example is then one of those."""
    hold(ledger).commit(finding(Outcome.DIVERGED, differences=(kept(),)))
    ledger.add_rule(draft())
    rejudge(ledger)
    hold(ledger, 1).commit(finding(Outcome.DIVERGED, differences=(kept(),)))
    agreed()
