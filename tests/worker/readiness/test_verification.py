"""Users are verified before they are ready: side by side, tick by tick, whatever becomes of the databases meanwhile."""

import threading

import pytest
from structlog.testing import capture_logs

from gnomon.flags import SWITCHES, with_segment
from gnomon.hashing import BUCKETS, user_digest
from gnomon.readiness import EVERYBODY
from gnomon.switchboard import change_flags, store_flags
from worker import arbiter as arbiters
from worker import verification
from worker.steps import Step
from worker.verification import Together

FAR_US = 2**52  # behind every time in these tests


def test_what_enhanced_lacks_is_repaired(arbiter, share, shelves, stored, unready, settle):
    """What was there before the first capture."""
    shelves.put("legacy", *shelves.people, note="from long ago")
    share(100)
    with capture_logs() as logs:
        settle(arbiter)
    told = [event for event in logs if event["event"] == "ready.verified"]
    assert sum(event["repaired"] for event in told) == sum(event["verified"] for event in told) == len(shelves.people)
    assert (stored().ready_below, unready()) == (BUCKETS, {})
    assert all(shelves.verify(user) for user in shelves.people)


def test_who_stays_different_is_excepted(arbiter, share, shelves, stored, unready):
    """Everybody else is ready; tried again three times before."""
    shelves.put("legacy", "user005", note="cannot be stored")
    shelves.unrepairable.add("user005")
    share(100)
    arbiter.tick()
    assert stored().ready_below == BUCKETS
    assert list(unready()) == [user_digest("user005")]
    assert shelves.verified.count("user005") == 4


def test_a_mismatch_that_passes_is_none(arbiter, share, shelves, unready):
    """A live write had reached one side alone."""
    shelves.put("legacy", "user005", note="under way")
    shelves.unrepairable.add("user005")

    def arrive(user: str) -> None:
        if shelves.verified.count("user005") == 3 and user == "user005":
            shelves.put("enhanced", "user005", note="under way")

    shelves.before = arrive
    share(100)
    arbiter.tick()
    assert unready() == {}


def test_an_exception_of_one_who_verifies_is_lifted(arbiter, share, shelves, unready, mark):
    """If it is older than the verification: a write may have failed meanwhile."""
    old, young = user_digest("user001"), user_digest("user002")
    mark(old, 1)
    mark(young, 1)
    shelves.before = lambda user: mark(young, FAR_US) if user == "user002" else None
    share(100)
    arbiter.tick()
    assert unready() == {young: FAR_US}


def test_users_enabled_one_by_one_are_verified_without_a_walk_through_all(
    arbiter, enable, shelves, server, keys, stored
):
    """Those of segments too; and nobody who is disabled."""
    shelves.users = lambda **_: pytest.fail("a walk through all users")
    store_flags(server, keys, dict.fromkeys(SWITCHES, True))
    enable("user001")
    change_flags(server, keys, lambda flags: with_segment(flags, "staff", ["user002", "user003"]))
    enable("user003", False)
    assert arbiter.tick() is Step.VERIFICATION
    assert sorted(shelves.verified) == ["user001", "user002"]
    assert stored().ready == stored().dual == {user_digest("user001"), user_digest("user002")}


def test_users_are_verified_side_by_side(make_arbiter, share, shelves):
    """As many as there are threads: it is the databases that take time."""
    together = threading.Barrier(4, timeout=10)
    first = shelves.below(100)[:4]
    shelves.before = lambda user: together.wait() if user in first else None
    arbiter = make_arbiter(threads=4)
    share(100)
    assert arbiter.tick() is Step.VERIFICATION
    assert not together.broken


def test_many_users_take_many_ticks(arbiter, make_arbiter, share, shelves, stored, monkeypatch):
    """Each goes on where the last one ended, whoever made it; nobody is ready before the end."""
    monkeypatch.setattr(arbiters, "VERIFY_S", 0.0)
    share(100)
    cursors = []
    while arbiter.tick() is Step.VERIFICATION and not stored().ready_below:
        cursors.append(stored().cursor)
        arbiter = make_arbiter()
    assert cursors == [*(shelves.people[n - 1] for n in (64, 128, 192, 256, 300))]
    assert sorted(shelves.verified) == shelves.people
    assert (stored().ready_below, stored().cursor) == (BUCKETS, "")


def test_a_larger_share_begins_the_walk_anew(arbiter, share, shelves, stored, monkeypatch, settle):
    """Users it has passed may be in the new buckets; one user more changes nothing for the others."""
    monkeypatch.setattr(arbiters, "VERIFY_S", 0.0)
    share(50)
    arbiter.tick()
    passed = stored().cursor
    assert passed == shelves.below(50)[63]
    share(100)
    monkeypatch.setattr(arbiters, "VERIFY_S", 60.0)
    settle(arbiter)
    assert set(shelves.verified) == set(shelves.people)
    assert stored().ready_below == BUCKETS


def test_one_user_more_does_not_begin_the_walk_anew(arbiter, share, enable, shelves, stored, monkeypatch, settle):
    """Or a long walk would never end."""
    monkeypatch.setattr(arbiters, "VERIFY_S", 0.0)
    share(100)
    arbiter.tick()
    enable("somebody new")
    monkeypatch.setattr(arbiters, "VERIFY_S", 60.0)
    settle(arbiter)
    assert sorted(shelves.verified) == sorted([*shelves.people, "somebody new"])
    assert stored().ready_below == BUCKETS


def test_a_database_that_is_down_interrupts_the_walk(arbiter, share, shelves, stored):
    """What was verified before stands; the next tick tries the rest; no user's name is told."""

    def fall(user: str) -> None:
        if user == "user200":
            raise ConnectionError(user)

    shelves.before = fall
    share(100)
    with capture_logs() as logs:
        assert arbiter.tick() is Step.VERIFICATION
        assert arbiter.tick() is Step.VERIFICATION
    assert [event["error"] for event in logs if event["event"] == "ready.interrupted"] == ["ConnectionError"] * 2
    assert "user200" not in str(logs)
    assert (stored().cursor, stored().ready_below) == (shelves.people[191], 0)
    shelves.before = lambda _user: None
    arbiter.tick()
    assert stored().ready_below == BUCKETS
    assert shelves.verified.count(shelves.people[191]) == 1


def test_an_answer_that_never_comes_ends_the_tick_and_takes_no_further_threads(
    arbiter, share, shelves, monkeypatch, settle
):
    """One thread hangs; nothing more is asked until it is back."""
    monkeypatch.setattr(verification, "PATIENCE_S", 0.2)
    over = threading.Event()
    shelves.before = lambda _user: over.wait(10)
    share(100)
    with capture_logs() as logs:
        assert arbiter.tick() is Step.VERIFICATION
        asked = len(shelves.verified)
        assert arbiter.tick() is Step.VERIFICATION
    events = [event["event"] for event in logs if event["log_level"] != "info"]
    assert events == ["ready.interrupted", "ready.stuck"]
    assert len(shelves.verified) == asked == 8
    over.set()
    settle(arbiter)


def test_more_exceptions_than_can_be_kept_except_everybody(arbiter, share, shelves, unready, stored, monkeypatch):
    """Something is wrong with enhanced as a whole; a rollback, and the whole way again, is what lifts it."""
    monkeypatch.setattr(verification, "MOST_EXCEPTIONS", 4)
    shelves.put("legacy", *shelves.people[:4], note="cannot be stored")
    shelves.unrepairable.update(shelves.people[:4])
    share(100)
    arbiter.tick()
    assert list(unready()) == [EVERYBODY]
    shelves.unrepairable.clear()
    arbiter.tick()
    assert list(unready()) == [EVERYBODY]
    share(0)
    arbiter.tick()
    assert (unready(), stored().ready_below) == ({}, 0)


def test_without_user_data_there_is_nothing_to_verify(make_arbiter, share, stored, enable):
    """Ready at once after the lanes; told once, by operation."""
    arbiter = make_arbiter(user_data=None, unverified=["note.save", "note.list"])
    share(100)
    enable("ann")
    with capture_logs() as logs:
        arbiter.tick()
        share(0)
        arbiter.tick()
        share(100)
        arbiter.tick()
    told = [event for event in logs if event["event"] == "ready.unverified"]
    assert told == [{"event": "ready.unverified", "operations": ["note.list", "note.save"], "log_level": "warning"}]
    assert (stored().ready_below, stored().ready) == (BUCKETS, {user_digest("ann")})


def test_the_user_data_of_several_clients_is_one(tmp_path, make_shelves):
    """A user is verified where all say so; users come in one order, once."""
    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
    one, other = make_shelves(tmp_path / "a"), make_shelves(tmp_path / "b")
    both = Together([one, other])
    one.put("legacy", "ann", "cid")
    other.put("legacy", "bob", "cid")
    assert both.users() == ["ann", "bob", "cid"]
    assert both.users(after="ann", limit=1) == ["bob"]
    assert not both.verify("bob")
    assert both.repair("cid") == 2
    assert both.verify("cid")
