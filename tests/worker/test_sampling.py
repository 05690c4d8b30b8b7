"""Samples: a few divergences as a whole, of different users, masked, and never at the cost of a verdict."""

import threading
from collections import Counter

import msgspec
import pytest

from comparators import Difference, Kind, Observation, Severity
from ledger import Finding, KeptDifference
from tests.worker.test_replay import captured, due, raising, returned
from worker import findings, sampling
from worker.replay import Replayer
from worker.sampling import SLOTS, Sampler

KEPT = KeptDifference.of("note.list", Difference("$[0]", Kind.CHANGED, Severity.MAJOR, 1, 2))
OTHER = KeptDifference.of("note.list", Difference("$[0]", Kind.LOST, Severity.MAJOR, 1))


@pytest.fixture
def offer():
    """Offer a divergence to a sampler."""
    made = Sampler()

    def offered(user="ann", kept=(KEPT,), reason="1 changed", legacy=(1,), enhanced=(2,), **more):
        capture = captured(returned([1]), user=user, args={"user": user}, **more)
        sides = {"legacy": Observation.returned(list(legacy)), "enhanced": Observation.returned(list(enhanced))}
        return made.of(capture, kept, reason=reason, args={"user": user, "limit": 3}, **sides)

    offered.sampler = made
    return offered


def test_of_one_group_and_epoch_there_are_three_at_most(offer):
    """Of different users; another epoch, or another group, begins anew."""
    found = [one for n in range(200) if (one := offer(f"u{n}"))]
    assert sorted(one.slot for one in found) == list(range(SLOTS))
    assert sum(offer(f"u{n}", epoch=4) is not None for n in range(200)) == SLOTS
    assert sum(offer(f"u{n}", kept=(KEPT, OTHER)) is not None for n in range(200)) == SLOTS


def test_one_user_may_give_several_that_differ_otherwise(offer):
    """What differs is part of what makes them vary."""
    found = [offer("ann", reason=f"{n} changed") for n in range(50)]
    assert sum(one is not None for one in found) == SLOTS


def test_the_slot_is_the_same_in_every_process():
    """So that two processes do not fill one group with the like."""
    slots = {Sampler().of(captured(returned([1])), (KEPT,), reason="r", args={}, **sides()).slot for _ in range(3)}
    assert len(slots) == 1


def sides() -> dict[str, Observation]:
    return {"legacy": Observation.returned([1]), "enhanced": Observation.returned([2])}


def test_a_sample_holds_everything_masked(offer):
    """Arguments and both answers; nobody is named."""
    found = offer("ann@example.com", legacy=("call +44 20 7946 0958", 2**70), enhanced=("ann@example.com",))
    assert found.args == {"user": "‹email›", "limit": 3}  # noqa: RUF001
    assert (found.legacy, found.enhanced) == (["call ‹phone›", str(2**70)], ["‹email›"])  # noqa: RUF001
    assert offer("ben77", epoch=9).args["user"] == "‹user›"  # noqa: RUF001
    assert msgspec.json.decode(msgspec.json.encode(found), type=type(found)) == found


def test_what_was_raised_is_told(client):
    """In the place of an answer."""
    made = Observation.raised("KeyError", "'x@example.com'")
    found = Sampler().of(captured(returned([1])), (KEPT,), reason="r", args={}, legacy=sides()["legacy"], enhanced=made)
    assert found.enhanced == {"raised": "KeyError", "message": "'‹email›'"}  # noqa: RUF001


def test_an_error_of_ours_changes_no_verdict(offer, monkeypatch):
    """There is no sample, then."""
    monkeypatch.setattr(sampling, "mask", lambda _: 1 / 0)
    assert offer() is None


def test_what_is_remembered_has_an_end(offer, monkeypatch):
    """Then all are offered anew, and the ledger has them."""
    monkeypatch.setattr(sampling, "MOST", 10)
    for n in range(100):
        offer(kept=(KeptDifference.of("op", Difference(f"$.f{n}x", Kind.LOST, Severity.MINOR, 1)),))
    assert len(offer.sampler._offered) <= 12


def test_threads_offer_each_once_or_a_little_more(offer):
    """Two at the same moment may both do so: the ledger keeps one."""
    found: list[object] = []
    work = [threading.Thread(target=lambda: found.extend(offer(f"u{n}") for n in range(100))) for _ in range(4)]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join()
    assert SLOTS <= sum(one is not None for one in found) <= 4 * SLOTS


def test_a_replay_gives_samples_of_divergences_and_failures_alone(client, monkeypatch):
    """Of nothing that matches; and what is thrown out of comparison later is recorded nowhere."""
    made = Sampler()
    monkeypatch.setattr(findings, "sampler", lambda: made)
    counts: Counter[str] = Counter()
    answers = {"match": lambda user: [1], "diverged": lambda user: [2], "failed": raising(KeyError("x"))}
    for name, answer in answers.items():
        operation = client.operation(f"note.{name}", kind="read", user="user")(lambda user: [1])
        operation.enhanced(answer)
        capture = captured(returned([1]), op=f"note.{name}", args={"user": "ann"})
        found: Finding = Replayer(client.operations, 1.0).replay(due(capture)).finding
        assert found.outcome == name
        counts[name] += found.sample is not None
    assert counts == Counter(match=0, diverged=1, failed=1)
