"""A capture that kills its process does so three times at most, and no innocent one is parked in its place."""

import threading
from collections import Counter

import pytest

from gnomon import OperationError
from ledger import FencedError, Position
from worker.attempts import Attempts, Company
from worker.lane_facts import After

pytestmark = pytest.mark.slow

AT = Position((5, 0), (7, "x"))


@pytest.fixture
def held(store):
    """Hold lane 0; each call is another holder, after the one before has died."""

    def take(server, keys):
        server.delete(keys.lane(0).lease)
        token = store.lease(0)
        return Attempts(store, 0, token, 1, store.left(0).attempts), token

    return take


def test_the_first_attempt_at_a_batch_counts_no_captures(held, server, keys):
    """Nothing is asked before a replay while nothing has gone wrong."""
    attempts, _ = held(server, keys)
    attempts.begin(AT)
    assert not attempts.careful


def test_after_a_death_captures_are_counted_and_the_third_attempt_is_none(held, server, keys):
    """Two are made; with the third it is parked."""
    held(server, keys)[0].begin(AT)
    for exhausted in (False, False, True):
        attempts, _ = held(server, keys)
        attempts.begin(AT)
        assert attempts.careful
        assert attempts.exhausted("poison") is exhausted
        if not exhausted:
            attempts.count("poison")


def test_who_was_at_work_at_a_death_is_replayed_alone(held, server, keys):
    """Who was through before is not suspected, nor is who comes first."""
    held(server, keys)[0].begin(AT)
    dying, _ = held(server, keys)
    dying.begin(AT)
    for capture in ("through", "at work"):
        dying.count(capture)
    dying.through("through")
    attempts, _ = held(server, keys)
    attempts.begin(AT)
    assert [name for name in ("through", "at work", "new") if attempts.suspected(name)] == ["at work"]


def test_another_batch_begins_anew(held, server, keys, store):
    """Where the lane has moved on, and where it was given back in good order."""
    held(server, keys)[0].begin(AT)
    attempts, token = held(server, keys)
    attempts.begin(Position((6, 0), (8, "y")))
    assert not attempts.careful
    store.release(0, token)
    attempts, _ = held(server, keys)
    attempts.begin(Position((6, 0), (8, "y")))
    assert not attempts.careful


def test_a_commit_forgets_what_was_counted(held, server, keys, store):
    """Of the captures that it holds, and of the batch."""
    held(server, keys)[0].begin(AT)
    attempts, token = held(server, keys)
    attempts.begin(AT)
    attempts.count("one")
    store.after_commit({0: After(token, 8, attempts.counted, None)})
    assert server.hgetall(keys.lane(0).attempts) == {}


def test_who_has_lost_the_lane_counts_nothing(held, server, keys):
    """And replays nothing."""
    attempts, _ = held(server, keys)
    server.delete(keys.lane(0).lease)
    with pytest.raises(FencedError):
        attempts.begin(AT)
    with pytest.raises(FencedError):
        attempts.count("one")


def test_one_alone_waits_for_the_others_and_they_for_it():
    """Whoever is alone is alone in the process."""
    company, seen = Company(5.0), []
    inside, leave, alone = threading.Event(), threading.Event(), threading.Event()

    def beside() -> None:
        with company.together():
            inside.set()
            leave.wait(5)
            seen.append("beside")

    def apart() -> None:
        with company.alone():
            seen.append("alone")
            alone.set()

    first = threading.Thread(target=beside)
    first.start()
    assert inside.wait(5)
    second = threading.Thread(target=apart)
    second.start()
    assert not alone.wait(0.1)
    leave.set()
    first.join(5)
    second.join(5)
    with company.together():
        seen.append("after")
    assert seen == ["beside", "alone", "after"]


def test_one_that_hangs_does_not_keep_others_waiting_for_ever():
    """Its thread never comes back: after as long as a replay may take it is no company."""
    company = Company(0.05)
    with company.together(), company.alone():
        pass


def test_a_write_that_cannot_be_repeated_is_made_once(make_client, make_drain, make_store, server, keys, sums, ledger):
    """Its maker died between intent and done: it is parked for people, and what comes after is not compared."""
    client = make_client(GNOMON_LANES="1")
    made = []

    @client.operation("note.send", kind="write", user="user", idempotent=False)
    def send(user: str, text: str) -> str:
        return text

    @client.operation("note.sent", kind="read", user="user")
    def sent(user: str) -> list[str]:
        return ["once"]

    send.enhanced(lambda user, text: made.append(text) or text)
    sent.enhanced(lambda user: list(made))
    send("ann", "once")
    sent("ann")
    assert client.flush(5)
    client.close()
    dying = make_store()
    keep = dying.write_journal

    def die_when_done(lane, token, findings, openings=None, intent=None):
        if findings and not intent:
            raise KeyboardInterrupt
        return keep(lane, token, findings, openings, intent)

    dying.write_journal = die_when_done
    drain = make_drain(client=client, lanes=dying)
    drain._hand_back = lambda: None
    with pytest.raises(KeyboardInterrupt):
        drain.run(0)
    assert made == ["once"]
    server.delete(keys.lane(0).lease)
    make_drain(client=client).run(0)
    found = sums()
    assert (made, found.outcomes) == (["once"], Counter(parked=1, excluded=1))
    assert (found.reasons["parked", "ambiguous"], found.reasons["excluded", "causal"]) == (1, 1)


def test_only_a_write_can_be_without_repetition(make_client):
    """Nothing else is ever made twice."""
    with pytest.raises(OperationError, match="idempotent=False is for writes"):
        make_client().operation("x", kind="read", user="user", idempotent=False)(lambda user: user)
