"""Rules in a worker: taken in without a restart, asked only of what diverged; their end opens an epoch for captures."""

import sys
import time
from collections import Counter
from types import ModuleType

import msgspec
import pytest
import sqlalchemy as sa

from comparators import NO_RULES, Rule, RuleSet
from gnomon.flags import StoredFlags
from gnomon.switchboard import change_flags, read_flags, store_flags
from ledger import Draft, LedgerError, Outcome
from tests.worker.processes import eventually
from tests.worker.test_replay import captured, due, returned
from worker import engine as engines
from worker import epochs, rulebook
from worker.engine import Engine
from worker.replay import Replayer
from worker.rulebook import Rulebook
from worker.settings import load

MODULE = "notes_for_the_rules"
WRONG = Rule(id=1, operation="note.list", path="$[*]", kind="changed")


def draft(**more) -> Draft:
    made = {"operation": "note.list", "path": "$[*]", "kind": "changed", "author": "ann", "reason": "known"}
    return Draft(**{**made, **more})


@pytest.fixture
def wrong(notes):
    """Have enhanced answer one read of every two otherwise."""
    asked = Counter()

    def answer(operation, user, **_):
        asked[operation] += 1
        wrong = operation == "note.list" and asked[operation] % 2
        return [f"{text}!" for text in notes.enhanced[user].values()] if wrong else None

    notes.before = answer
    return notes


@pytest.fixture
def make_engine(valkey_url, ledger_url, client, monkeypatch, hints):
    """Make engines as worker processes have them."""
    module = ModuleType(MODULE)
    module.gnomon = client
    monkeypatch.setitem(sys.modules, MODULE, module)
    monkeypatch.setattr(engines, "hint", hints)
    made: list[Engine] = []

    def factory() -> Engine:
        used = {"redis_url": valkey_url, "database_url": ledger_url, "operations": MODULE, "lanes": 4, "concurrency": 1}
        made.append(Engine(load(**used)))
        return made[-1]

    yield factory
    for engine in made:
        engine.close()


def outcomes(ledger) -> Counter[str]:
    with ledger.reading() as reading:
        return +sum((sums.outcomes for sums in reading.sums().values()), Counter())


# --- looking


def test_rules_are_looked_up_every_two_seconds(monkeypatch):
    """However often a drain turns."""
    now, asked = [100.0], []
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    book = Rulebook(lambda: asked.append(now[0]) or RuleSet(len(asked), [WRONG]))
    assert book.rules is NO_RULES
    for _ in range(50):
        book.look()
        now[0] += 0.125
    assert [*asked] == [100.0, 102.0, 104.0, 106.0]
    assert book.rules.version == 4


def test_a_look_that_fails_is_made_again():
    """The rules known so far stay; it is the drain that gives up, as whenever the ledger is gone."""
    answers = [RuleSet(1, [WRONG]), LedgerError("gone"), RuleSet(2, [])]

    def read() -> RuleSet:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    book = Rulebook(read)
    book.look()
    book._looked = float("-inf")
    with pytest.raises(LedgerError):
        book.look()
    assert book.rules.version == 1
    book.look()
    assert book.rules.version == 2


# --- drains


@pytest.fixture
def make_ruled_drain(make_drain, client, ledger):
    """Make drains with the ledger's rules; they share a process's rulebook."""
    book = Rulebook(ledger.rules)
    return lambda: make_drain(replayer=Replayer(client.operations, 5.0, rulebook=book))


@pytest.mark.slow
def test_a_rule_is_in_force_without_a_restart(wrong, client, make_ruled_drain, ledger, monkeypatch, lane_of):
    """What diverged before is ignored from then on, and the ledger says by which rule, and how often."""
    monkeypatch.setattr(rulebook, "LOOK_S", 0.0)
    wrong.save("ann", "hello")
    for _ in range(4):
        wrong.read("ann")
    assert client.flush(10)
    make_ruled_drain().run(lane_of())
    assert outcomes(ledger) == Counter(match=3, diverged=2)
    ledger.add_rule(draft())
    for _ in range(4):
        wrong.read("ann")
    client.close()
    make_ruled_drain().run(lane_of())
    assert outcomes(ledger) == Counter(match=5, diverged=2, ignored=2)
    with ledger.reading() as reading:
        [rule] = reading.rules()
        assert ("note.list", "ignored", "rule 1", 2) in reading.reasons()
    assert rule.hits == 2


@pytest.mark.slow
def test_what_was_found_before_a_rule_is_committed_by_it(wrong, client, make_drain, ledger, lane_of):
    """A finding that waited, in a journal or for a watermark, is counted by the rules in force at its commit."""
    wrong.save("ann", "hello")
    wrong.read("ann")
    client.close()
    rules = Rulebook()
    replayer = Replayer(client.operations, 5.0, rulebook=rules)
    drain = make_drain(replayer=replayer)
    settle = drain._settle

    def later() -> None:
        rules.rules = RuleSet(1, [WRONG])
        settle()

    drain._settle = later
    drain.run(lane_of())
    assert outcomes(ledger) == Counter(match=1, ignored=1)


def test_a_failure_is_no_divergence(client, monkeypatch):
    """No rule is asked of it, nor of a match."""
    asked = []
    monkeypatch.setattr(Rulebook, "on", lambda _, finding: asked.append(finding.outcome) or finding)
    for answer, outcome in (([1], Outcome.MATCH), ([2], Outcome.DIVERGED)):
        operation = client.operation(f"note.{outcome}", kind="read", user="user")(lambda user: [1])
        operation.enhanced(lambda user, answer=answer: answer)
        capture = captured(returned([1]), op=f"note.{outcome}", args={"user": "ann"})
        assert Replayer(client.operations, 1.0).replay(due(capture)).finding.outcome is outcome
    assert asked == [Outcome.DIVERGED]


# --- epochs


def let_time_pass(ledger_url: str, rule: int = 0) -> None:
    """Let epochs have been open, and the time of a rule be over, for long."""
    engine, past = sa.create_engine(ledger_url), {"past": "2026-01-01 00:00:00.000000"}
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE epochs SET opened_at = :past"), past)
        connection.execute(sa.text("UPDATE rules SET expires_at = :past WHERE id = :rule"), {**past, "rule": rule})
    engine.dispose()


@pytest.mark.slow
def test_captures_carry_the_epoch_of_a_retirement(
    notes, client, make_ruled_drain, ledger, ledger_url, server, keys, lane_of
):
    """Once workers have taken the rules in; whoever is served by what stays as it is."""
    ledger.add_rule(draft())
    ledger.retire_rule(1, by="ann", why="a bug after all")
    assert not epochs.stamp(server, keys, ledger)
    assert read_flags(server, keys).epoch == 1  # too soon
    let_time_pass(ledger_url)
    assert epochs.stamp(server, keys, ledger)
    stored = read_flags(server, keys)
    assert (stored.epoch, stored.flags, stored.lowered) == (2, {}, 0)
    assert not epochs.stamp(server, keys, ledger)
    assert read_flags(server, keys) == stored
    until = time.monotonic() + 10
    while client.flags.for_user("ann") and client._state.stored.epoch < 2:
        assert time.monotonic() < until
        time.sleep(0.05)
    notes.save("ann", "hello")
    client.close()
    make_ruled_drain().run(lane_of())
    with ledger.reading() as reading:
        assert reading.sums(2)["note.save"].outcomes["match"] == 1


@pytest.mark.slow
def test_a_rule_whose_time_is_over_is_ended_by_the_sweep(make_engine, ledger, ledger_url, server, keys):
    """With another epoch, which captures carry once it is time."""
    ledger.add_rule(draft())
    let_time_pass(ledger_url, rule=1)
    engine = make_engine()
    engine.sweep()
    with ledger.reading() as reading:
        assert (reading.rules(), reading.rules_version(), reading.epoch().epoch) == ([], 2, 2)
    let_time_pass(ledger_url)
    engine.sweep()
    assert read_flags(server, keys).epoch == 2


@pytest.mark.slow
def test_flags_that_redis_has_lost_are_not_made_anew(ledger, ledger_url, server, keys):
    """Live processes that know them serve legacy until people have stored them again."""
    ledger.add_rule(draft())
    ledger.retire_rule(1, by="ann", why="a bug after all")
    let_time_pass(ledger_url)
    server.zadd(keys.producers, {"p": 1})
    server.hset(keys.producer("p"), "flags", 57)
    assert not epochs.stamp(server, keys, ledger)
    assert read_flags(server, keys) == StoredFlags()
    server.hset(keys.producer("p"), "flags", 0)
    assert epochs.stamp(server, keys, ledger)
    assert read_flags(server, keys).epoch == 2


@pytest.mark.slow
def test_stored_flags_keep_everything_but_the_epoch(ledger, ledger_url, server, keys):
    """And flags that nobody can read are left to people."""
    store_flags(server, keys, {"enhanced_memory_enabled": True})
    before = change_flags(server, keys, lambda stored: msgspec.structs.replace(stored, version=stored.version + 1))
    ledger.add_rule(draft())
    ledger.retire_rule(1, by="ann", why="a bug after all")
    let_time_pass(ledger_url)
    assert epochs.stamp(server, keys, ledger)
    after = read_flags(server, keys)
    assert after == msgspec.structs.replace(before, version=before.version + 1, epoch=2)
    server.hset(keys.flags, "document", b"nonsense")
    assert not epochs.stamp(server, keys, ledger)


# --- a real worker

APPLICATION = """
from gnomon import Gnomon

gnomon = Gnomon.from_env()

@gnomon.operation("note.list", kind="read", user="user")
def listed(user: str) -> list[str]:
    return [user]

@listed.enhanced
def listed_enhanced(user):
    return [f"{user}!"]
"""


@pytest.fixture
def application(make_application):
    """Import an application whose enhanced side is always wrong, as a live process does."""
    return make_application("notes_for_rules", APPLICATION)


@pytest.mark.slow
def test_a_worker_takes_a_rule_in_and_lets_go_of_it(application, start_worker, ledger, server, keys):
    """Without a restart: diverged, ignored, counted anew, and after the retirement diverged in another epoch."""
    worker = start_worker()

    def ends_as(outcome: str, epoch: int) -> bool:
        application.listed("ann")
        assert application.gnomon.flush(5)
        with ledger.reading() as reading:
            found = reading.sums(epoch).get("note.list")
        return found is not None and found.outcomes[outcome] > 0

    assert eventually(lambda: ends_as("diverged", 1)), worker.said
    ledger.add_rule(draft())
    assert eventually(lambda: ends_as("ignored", 1)), worker.said
    time.sleep(rulebook.LOOK_S * 2)
    after = None
    while (after := ledger.rejudge(after).after) is not None:
        pass
    with ledger.reading() as reading:
        [rule] = reading.rules()
        counted = reading.sums(1)["note.list"].outcomes
    assert (counted["diverged"], rule.hits) == (0, counted["ignored"])
    ledger.retire_rule(1, by="ann", why="it was a bug after all")
    assert eventually(lambda: read_flags(server, keys).epoch == 2), worker.said
    assert eventually(lambda: ends_as("diverged", 2)), worker.said
    with ledger.reading() as reading:
        assert +reading.sums(2)["note.list"].outcomes == Counter(
            diverged=reading.sums(2)["note.list"].outcomes["diverged"]
        )
