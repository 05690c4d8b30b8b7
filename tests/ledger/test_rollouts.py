"""Where the rollout stands in the ledger: each change once, under its audit row, on both databases."""

import threading
import time
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from comparators import Difference, Kind, Severity
from gnomon.hashing import bucket_of
from ledger import (
    Evaluation,
    Filed,
    Finding,
    Group,
    KeptDifference,
    LaneCommit,
    Ledger,
    MovedOnError,
    Outcome,
    PausedError,
    Position,
    ReviewChoice,
    ReviewError,
    Sent,
    undecided,
)
from ledger.complaints import ComplaintError, ComplaintState, DecidedError, OwnComplaintError, UnknownComplaintError

NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def rollout(ledger):
    """Give what changes a rollout."""
    return ledger.rollout


@pytest.fixture
def seen(ledger):
    """Give what a snapshot says of the rollout."""

    def ask(name, *arguments):
        with ledger.reading() as reading:
            return getattr(reading.rollout, name)(*arguments)

    return ask


def promote(rollout, epoch: int, share: int) -> int:
    return rollout.promote(epoch=epoch, share=share, policy="p", flags=7, by="ann", why="", body={})


def commit(ledger: Ledger, *, epoch: int = 1, lane: int = 0, severity: Severity = Severity.CRITICAL) -> str:
    """Commit one divergence; returns its group."""
    kept = KeptDifference.of("memory.recent", Difference("$[0].content", Kind.CHANGED, severity, "a", "b"))
    finding = Finding(
        capture_id=f"c-{epoch}-{lane}",
        operation="memory.recent",
        epoch=epoch,
        user="ann",
        called_at_us=int(time.time() * 1_000_000),
        outcome=Outcome.DIVERGED,
        differences=(kept,),
    )
    fence, before, *_ = ledger.take(lane)
    sent = {"p": Sent(0, {f"memory.recent|{epoch}|{name}": 1 for name in ("eligible", "captured", "missed_served")})}
    after = Position((before.read[0] + 1, 0), (before.cut[0] + 1, ""))
    ledger.commit(LaneCommit(lane=lane, fence=fence, before=before, after=after, findings=(finding,), sent=sent))
    return kept.group


def test_a_stage_is_opened_once(rollout, seen):
    """Whoever means an epoch that is not open any more is told, and changes nothing."""
    assert promote(rollout, 1, 1) == 2
    with pytest.raises(MovedOnError, match="epoch 1 is not open any more, epoch 2 is"):
        promote(rollout, 1, 1)
    opened = seen("opened")
    assert (opened.epoch, opened.share, opened.by, opened.flags, opened.policy) == (2, 1, "ann", 7, "p")
    assert [entry.action for entry in rollout.audited()] == ["promote"]


def test_of_many_at_once_one_opens_it(open_ledger):
    """From as many terminals: one promotes, the others are told."""
    ledgers, told = [open_ledger() for _ in range(4)], []
    together = threading.Barrier(4)

    def try_it(ledger: Ledger) -> None:
        together.wait(10)
        try:
            told.append(promote(ledger.rollout, 1, 1))
        except MovedOnError:
            told.append(0)

    threads = [threading.Thread(target=try_it, args=(ledger,)) for ledger in ledgers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(told) == [0, 0, 0, 2]
    checked = ledgers[0].rollout.check_audit()
    assert (checked.rows, checked.problem) == (1, "")


def test_another_policy_is_another_epoch(rollout, seen):
    """The first is noted where none was; the same again changes nothing."""
    assert [rollout.put_under(policy, {}) for policy in ("a", "a", "b", "b")] == [1, 1, 2, 2]
    assert (seen("opened").policy, seen("opened").why) == ("b", "another policy")
    assert [entry.body["digest"] for entry in rollout.audited()] == ["a", "b"]


def test_another_build_is_another_epoch_of_the_same_stage(rollout, seen):
    """What was proven of one says nothing of the other."""
    promote(rollout, 1, 10)
    assert [rollout.put_build(build) for build in ("b1", "b1", "b2")] == [3, None, 4]
    opened = seen("opened")
    assert (opened.build, opened.share, opened.policy, opened.why) == ("b2", 10, "p", "another build")


def test_a_rollback_ends_the_stage_and_waits_for_a_person(rollout, seen):
    """It says of which build harm was proven, and which flags were on."""
    promote(rollout, 1, 10)
    rollout.rolled_back(epoch=2, by="gate", why="harm", barred="b1", switched_off=("x", "y"), body={})
    stand = seen("standing")
    assert (stand.rolled_back, stand.barred, stand.switched_off) == (True, "b1", ("x", "y"))
    assert (seen("opened").share, seen("opened").why) == (0, "harm")
    rollout.put_under("another", {})
    assert seen("standing").taken_back == "harm"
    assert rollout.begin_again(epoch=seen("opened").epoch, build="b2", by="ann", why="mended") == 5
    assert (seen("standing").rolled_back, seen("opened").build) == (False, "b2")


def test_a_pause_is_measured_by_the_database(rollout, seen):
    """It begins and ends once, and belongs to its epoch."""
    with pytest.raises(PausedError, match="not paused"):
        rollout.resume(by="ann", why="")
    rollout.pause(by="ann", why="lunch")
    with pytest.raises(PausedError, match="paused already"):
        rollout.pause(by="tom", why="too")
    paused = seen("paused", 1)
    assert (paused.by, paused.why, paused.since is not None) == ("ann", "lunch", True)
    rollout.resume(by="ann", why="eaten")
    assert seen("paused", 1).since is None


def test_a_pause_outlives_its_epoch(rollout, seen):
    """Another policy or build is no reason to go on; beginning again is."""
    rollout.put_under("a", {})
    rollout.pause(by="ann", why="lunch")
    rollout.put_under("b", {})
    rollout.put_build("b7")
    assert (seen("paused", 3).by, seen("paused", 3).since is not None) == ("ann", True)
    with pytest.raises(PausedError, match="paused already"):
        rollout.pause(by="tom", why="too")
    rollout.begin_again(epoch=3, build="b8", by="ann", why="mended")
    assert (seen("paused", 4).since, seen("paused", 4).seconds) == (None, 0)


def test_evaluations_are_kept(rollout, seen):
    """The last one as where it stands, all as history, those that changed something in the audit."""
    rollout.evaluated(Evaluation(epoch=1, share=0, state="hold", clean=0, digest="d", summary="hold: lag"))
    rollout.evaluated(Evaluation(epoch=1, share=0, state="hold", clean=1, digest="e"), {"decision": {"state": "hold"}})
    assert (seen("standing").state, seen("standing").clean) == ("hold", 1)
    assert [(one.state, one.digest, one.summary) for one in seen("history", 5)] == [
        ("hold", "e", ""),
        ("hold", "d", "hold: lag"),
    ]
    assert [(entry.action, entry.actor) for entry in rollout.audited()] == [("evaluate", "gate")]


def test_an_attempt_counts_where_anybody_was_seen(ledger, rollout, seen):
    """Epochs that nobody has called in have looked at nothing."""
    assert seen("attempts", 0, 1) == 1
    rollout.put_under("a", {})
    commit(ledger)
    rollout.put_under("b", {})
    rollout.put_under("c", {})
    assert seen("attempts", 0, 3) == 2
    assert seen("attempts", 1, 3) == 1


def test_an_approval_is_of_its_epoch(rollout, seen):
    """The last one holds; another epoch has none."""
    for review in ("r1", "r2"):
        rollout.approve(epoch=1, evidence="e", review=review, by="ann", why="", body={})
    found = seen("approval", 1)
    assert (found.review, found.by, 0 <= found.age_s < 60) == ("r2", "ann", True)
    assert seen("approval", 2) is None
    with pytest.raises(MovedOnError):
        rollout.approve(epoch=2, evidence="e", review="r", by="ann", why="", body={})


def test_groups_are_decided_by_people(ledger, rollout):
    """The latest decision holds; a critical one is never noise; what is there is asked for."""
    group = commit(ledger)
    with pytest.raises(ReviewError, match="never noise"):
        rollout.review(group, ReviewChoice.NOISE, by="ann", why="")
    with pytest.raises(ReviewError, match="is not the id of a group"):
        rollout.review("none", ReviewChoice.BUG, by="ann", why="")
    rollout.review(group, ReviewChoice.BUG, by="ann", why="it is")
    rollout.review(group, ReviewChoice.ACCEPT, by="tom", why="it is not")
    with ledger.reading() as reading:
        assert {one.decision for one in reading.reviews().values()} == {ReviewChoice.ACCEPT}
        assert undecided(reading.groups(), reading.reviews(), 1) == []


def group(**changes) -> Group:
    facts = {"id": "g", "operation": "o", "kind": "changed", "path": "$", "severity": "minor", "explanation": ""}
    facts |= {"count": 1, "users": 1, "first_seen": NOW, "last_seen": NOW, "example": "c", "last_epoch": 5}
    return Group(**(facts | {"first_epoch": 1} | changes))


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({}, []),
        ({"first_epoch": 5}, ["new, and nobody has decided"]),
        ({"severity": "critical"}, ["critical, and nobody has decided"]),
        ({"regressed_epoch": 5, "severity": "critical"}, ["critical and back, and nobody has decided"]),
        ({"severity": "critical", "last_epoch": 4}, []),
    ],
)
def test_what_stands_in_the_way_of_an_approval(changes, why):
    """New, back or critical in the open epoch; what was there all along and is harmless does not."""
    assert [said for _, said in undecided([group(**changes)], {}, 5)] == why


def test_complaints_are_taken_in_once_and_decided_once(ledger, rollout):
    """By another person than the one who filed it; masked, with the stage it was made at."""
    promote(rollout, 1, 10)
    filed = Filed(id="k", user="ann", text="mail a@b.example", at=NOW, epoch=2, conversation="c", filed_by="tom")
    for _ in range(2):
        rollout.take_complaints([filed])
    with ledger.reading() as reading:
        [one], count = reading.complaints(), reading.open_complaints()
        read_at = reading.rollout.standing().complaints_read_at
    assert (one.share, one.conversation, count, "@" in one.text, read_at is not None) == (10, "c", 1, False, True)
    for wrong, by, error in (("x", "eve", UnknownComplaintError), ("k", "TOM", OwnComplaintError)):
        with pytest.raises(error):
            rollout.decide_complaint(wrong, ComplaintState.DISMISSED, by=by, why="")
    assert rollout.decide_complaint("k", ComplaintState.CONFIRMED, by="eve", why="so it is").decided_by == "eve"
    with pytest.raises(DecidedError, match="was confirmed by eve already"):
        rollout.decide_complaint("k", ComplaintState.DISMISSED, by="tom", why="")
    assert issubclass(DecidedError, ComplaintError)
    with ledger.reading() as reading:
        assert (reading.complaints(), len(reading.complaints(decided=True)), reading.open_complaints()) == ([], 1, 0)


def test_the_audit_holds_only_as_it_was_written(rollout, ledger):
    """Each way of tampering is named by the row; a key signs it."""
    for name in ("a", "b", "c"):
        rollout.put_under(name, {"name": name})
    assert (rollout.check_audit().rows, rollout.check_audit().problem) == (3, "")
    rollout.sign_with(b"key")
    assert rollout.check_audit().problem.startswith("row 1 was edited")
    rollout.sign_with(b"")
    with ledger._engine.begin() as connection:
        connection.execute(sa.text("UPDATE audit SET number = 4 WHERE number = 3"))
    assert rollout.check_audit().problem == "row 3 was deleted: after row 2 comes row 4"


def test_users_have_a_bucket_and_what_enhanced_was_to_answer_is_counted(ledger):
    """So that the gate can tell whether anybody went missing."""
    commit(ledger)
    with ledger.reading() as reading:
        assert reading.users_below(1, bucket_of("ann") + 1) == 1
        assert (reading.users_below(1, bucket_of("ann")), reading.unplaced_users(1)) == (0, 0)
        assert reading.funnels(1)["memory.recent"]["missed_served"] == 1
        assert reading.sums(1)["memory.recent"].missed_served == 1
