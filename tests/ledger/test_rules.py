"""The rule set: every change is a version with its author, tightening opens an epoch, what is wrong changes nothing."""

import threading
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from comparators import Difference, Kind, Rule, RuleSet, Severity
from ledger import (
    CriticalRuleError,
    Draft,
    DuplicateRuleError,
    KeptDifference,
    LedgerError,
    Outcome,
    RuleError,
    UnknownRuleError,
    apply,
)

HOUR = timedelta(hours=1)
SET = ("rules", "rule_sets", "rule_hits", "epochs")


def kept(path="$[0].score", kind=Kind.CHANGED, severity=Severity.MINOR):
    return KeptDifference.of("memory.recent", Difference(path, kind, severity, 1, 2))


def draft(path="$[*].score", **more) -> Draft:
    made = {"operation": "memory.recent", "path": path, "kind": "changed", "author": "ann", "reason": "rounded"}
    return Draft(**{**made, **more})


@pytest.fixture
def rows(dump):
    """Give the rows of everything that a change of rules may change."""
    return lambda: {name: found for name, found in dump().items() if name in SET}


@pytest.fixture
def end_time(url):
    """Let a rule's time be over."""

    def end(rule: int) -> None:
        engine, past = sa.create_engine(url), datetime.now(UTC) - HOUR
        rules = sa.Table("rules", sa.MetaData(), autoload_with=engine)
        with engine.begin() as connection:
            connection.execute(rules.update().where(rules.c.id == rule).values(expires_at=past))
        engine.dispose()

    return end


def test_without_rules_the_set_is_empty(ledger, read):
    """At version 0."""
    found = ledger.rules()
    assert (found.version, found.rules) == (0, ())
    assert (read(ledger, "rules"), read(ledger, "rules_version"), read(ledger, "not_rejudged")) == ([], 0, False)


def test_a_rule_is_in_force_with_its_author_and_reason(ledger, read, rows):
    """It makes a version, in the epoch that is open."""
    changed = ledger.add_rule(draft())
    assert (changed.version, changed.epoch, changed.rules) == (1, 1, (1,))
    found = ledger.rules()
    assert (found.version, found.rules) == (
        1,
        (Rule(id=1, operation="memory.recent", path="$[*].score", kind="changed"),),
    )
    [one] = read(ledger, "rules")
    assert (one.author, one.reason, one.since, one.until, one.hits) == ("ann", "rounded", 1, None, 0)
    assert abs(datetime.now(UTC) - one.made_at) < HOUR
    [epoch] = rows()["epochs"]
    assert (epoch["epoch"], epoch["rules_version"], epoch["closed_at"]) == (1, 1, None)
    [version] = rows()["rule_sets"]
    assert (version["version"], version["change"], version["author"], version["epoch"]) == (1, "added", "ann", 1)
    assert read(ledger, "not_rejudged")


def test_retiring_makes_a_version_and_opens_an_epoch(ledger, read, rows):
    """What was ignored is not kept, so nobody could count it anew: the next epoch begins with nothing."""
    ledger.add_rule(draft())
    changed = ledger.retire_rule(1, by="ben", why="it was a bug")
    assert (changed.version, changed.epoch, changed.rules) == (2, 2, (1,))
    assert (ledger.rules().version, ledger.rules().rules, read(ledger, "rules")) == (2, (), [])
    [one] = read(ledger, "rules") or _with_ended(ledger)
    assert (one.until, one.ended_by, one.ended_why) == (2, "ben", "it was a bug")
    before, now = sorted(rows()["epochs"], key=lambda row: row["epoch"])
    assert before["closed_at"] is not None
    assert (now["epoch"], now["rules_version"], now["closed_at"]) == (2, 2, None)
    assert (now["share"], now["build"]) == (before["share"], before["build"])
    assert read(ledger, "epoch").epoch == 2
    assert not read(ledger, "not_rejudged")


def _with_ended(ledger):
    with ledger.reading() as reading:
        return reading.rules(ended=True)


def test_a_rule_whose_time_is_over_allows_nothing(ledger, end_time):
    """Whether or not anybody has noted it."""
    ledger.add_rule(draft(expires_at=datetime.now(UTC) + HOUR))
    assert ledger.rules()
    end_time(1)
    assert not ledger.rules()


def test_the_end_of_its_time_is_noted_once(ledger, read, end_time, rows):
    """As a version of its own, with another epoch: it is tightening like any other."""
    ledger.add_rule(draft(expires_at=datetime.now(UTC) + HOUR))
    ledger.add_rule(draft("$[*].tag"))
    assert ledger.expire_rules() is None
    end_time(1)
    changed = ledger.expire_rules()
    assert (changed.version, changed.epoch, changed.rules) == (3, 2, (1,))
    assert ledger.expire_rules() is None
    assert [rule.id for rule in ledger.rules().rules] == [2]
    assert [row["change"] for row in rows()["rule_sets"]] == ["added", "added", "expired"]
    assert len(rows()["epochs"]) == 2


def test_what_has_ended_may_be_allowed_again(ledger, end_time):
    """As another rule: the old one keeps its history."""
    ledger.add_rule(draft())
    ledger.retire_rule(1, by="ben", why="why not")
    assert ledger.add_rule(draft(expires_at=datetime.now(UTC) + HOUR)).rules == (2,)
    end_time(2)
    assert ledger.add_rule(draft()).rules == (3,)


def test_the_same_twice_is_refused(ledger, rows):
    """Whoever asks for it, for whatever reason."""
    ledger.add_rule(draft())
    before = rows()
    with pytest.raises(DuplicateRuleError, match="rule 1 allows the same already; nothing was changed"):
        ledger.add_rule(draft(author="ben", reason="another"))
    assert rows() == before


@pytest.mark.parametrize(("rule", "said"), [(7, "is not there"), (1, "has ended already"), (-1, "is not there")])
def test_a_rule_that_is_not_in_force_cannot_be_retired(ledger, rows, rule, said):
    """Neither one that never was nor one that has ended."""
    ledger.add_rule(draft())
    ledger.retire_rule(1, by="ben", why="why not")
    before = rows()
    with pytest.raises(UnknownRuleError, match=said):
        ledger.retire_rule(rule, by="ann", why="again")
    assert rows() == before
    assert issubclass(UnknownRuleError, RuleError)
    assert issubclass(RuleError, LedgerError)


def test_a_rule_that_names_what_was_critical_is_refused(ledger, hold, finding, rows):
    """Also where most of what it names is harmless."""
    hold(ledger).commit(
        finding(Outcome.DIVERGED, differences=(kept(),)),
        finding(Outcome.DIVERGED, differences=(kept(severity=Severity.CRITICAL),)),
    )
    before = rows()
    with pytest.raises(CriticalRuleError, match="no rule may hide"):
        ledger.add_rule(draft())
    assert rows() == before


def test_a_preview_tells_what_would_be_hidden(ledger, hold, finding, dump):
    """Whole divergences, parts of others, critical ones; it changes nothing."""
    both = (kept(), kept("$[3].content", severity=Severity.MAJOR))
    hold(ledger).commit(
        finding(Outcome.DIVERGED, differences=(kept(), kept("$[5].score"))),
        finding(Outcome.DIVERGED, differences=(kept(),)),
        finding(Outcome.DIVERGED, differences=both),
        finding(Outcome.FAILED, differences=(kept("$", Kind.FAILURE, Severity.MAJOR),)),
    )
    before = dump()
    found = ledger.preview("memory.recent", "$[*].score", "changed")
    assert (len(found.groups), found.hides, found.in_part, found.critical) == (1, 2, 1, 0)
    assert ledger.preview("memory.recent", "$[*].paid_score", "changed").groups == ()
    hold(ledger, 1).commit(finding(Outcome.DIVERGED, differences=(kept("$[1].score", severity=Severity.CRITICAL),)))
    assert ledger.preview("memory.recent", "$[*].score", "changed").critical == 1
    after = dump()
    assert {name: after[name] for name in SET} == {name: before[name] for name in SET}


def test_a_preview_counts_beside_the_rules_in_force(ledger, hold, finding):
    """What an earlier rule allows of a divergence need not be allowed again."""
    both = (kept(), kept("$[3].tag", Kind.LOST))
    hold(ledger).commit(finding(Outcome.DIVERGED, differences=both))
    found = ledger.preview("memory.recent", "$[*].score", "changed")
    assert (found.hides, found.in_part) == (0, 1)
    ledger.add_rule(draft("$[*].tag", kind="lost"))
    found = ledger.preview("memory.recent", "$[*].score", "changed")
    assert (found.hides, found.in_part) == (1, 0)


def test_two_people_at_once_make_two_versions(open_ledger, rows):
    """One after another: each version has one change, and nobody's is lost."""
    ledgers = [open_ledger() for _ in range(4)]
    together, problems = threading.Barrier(4), []

    def add(number: int) -> None:
        together.wait(10)
        try:
            ledgers[number].add_rule(draft(f"$[*].field_{number % 3}"))
        except DuplicateRuleError:
            problems.append(number)

    threads = [threading.Thread(target=add, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(problems) == 1
    assert sorted(row["version"] for row in rows()["rule_sets"]) == [1, 2, 3]
    assert sorted(row["since"] for row in rows()["rules"]) == [1, 2, 3]


# --- findings


RULES = RuleSet(1, [Rule(id=4, operation="memory.recent", path="$[*].score", kind="changed")])


def test_a_divergence_that_rules_allow_is_ignored_and_says_by_whom(finding):
    """Its differences stay with it, each with its rule."""
    found = apply(RULES, finding(Outcome.DIVERGED, differences=(kept(), kept("$[9].score")), reason="2 changed"))
    assert (found.outcome, found.reason, [each.rule for each in found.differences]) == ("ignored", "rule 4", [4, 4])


def test_what_is_allowed_in_part_stays_a_divergence(finding):
    """What is allowed is marked, and neither grouped nor weighed."""
    whole = finding(Outcome.DIVERGED, differences=(kept(severity=Severity.MAJOR), kept("$[0].tag")), reason="2 changed")
    found = apply(RULES, whole)
    assert (found.outcome, found.reason, [each.rule for each in found.differences]) == ("diverged", "2 changed", [4, 0])
    assert (whole.severity, found.severity) == (Severity.MAJOR, Severity.MINOR)
    assert [each.path for each in found.counted] == ["$[0].tag"]


@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if outcome is not Outcome.DIVERGED])
def test_nothing_but_a_divergence_is_ever_allowed(finding, outcome):
    """A failure is none."""
    found = finding(outcome, differences=(kept(),))
    assert apply(RULES, found) is found


def test_critical_ones_stay(finding):
    """Whatever a rule names."""
    found = finding(Outcome.DIVERGED, differences=(kept(severity=Severity.CRITICAL),))
    assert apply(RULES, found) is found


def test_a_commit_counts_hits(ledger, read, hold, finding, dump):
    """Once a comparison, whole or in part, by epoch; in the transaction that counts the outcome."""
    ledger.add_rule(draft())
    rules = ledger.rules()
    found = [
        finding(Outcome.DIVERGED, differences=(kept(), kept("$[1].score"))),
        finding(Outcome.DIVERGED, differences=(kept(), kept("$[1].tag"))),
        finding(Outcome.DIVERGED, differences=(kept("$[1].tag"),)),
        finding(Outcome.DIVERGED, differences=(kept(),), epoch=2),
        finding(),
    ]
    hold(ledger).commit(*(apply(rules, each) for each in found))
    [one] = read(ledger, "rules")
    assert (one.hits, one.hits_in_epoch) == (3, 2)
    assert read(ledger, "sums")["memory.recent"].outcomes["ignored"] == 2
    assert {(outcome, reason, count) for _, outcome, reason, count in read(ledger, "reasons")} == {
        ("ignored", "rule 1", 2)
    }
    tables = dump()
    assert [(group["path"], group["count"]) for group in tables["groups"]] == [("$[*].tag", 2)]
    assert len(tables["divergences"]) == len(tables["group_members"]) == 2
