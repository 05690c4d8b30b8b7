"""Pairs: which reads are taken, in which order, under which limits, and what comes of each."""

import random
import threading
from collections import Counter

import msgspec
import pytest

from comparators import Observation
from gnomon.hashing import SAMPLES, sampled, stable_hash
from gnomon.serving import System
from gnomon.wire import Capture, Kind, Raised, Side, encode_value
from ledger import Comparison, Finding, Opening, Outcome, PairedRuns, Standing, Unpaired
from worker.entries import LaneItem
from worker.pairs import NOTHING_AROUND, Allowance, Around, Course, Pairs, paired, settled
from worker.resting import Resting
from worker.selection import Due

NOW = 1_790_000_000_000_000
MS = 1_000
E, L = System.ENHANCED, System.LEGACY


def captured(name: str = "p-1", *, user: str = "ann", end: int = NOW - 500 * MS, **more) -> Capture:
    sides = {"legacy": Side(7, returned=msgspec.Raw(b"[1]")), **more}
    args = msgspec.Raw(encode_value({"user": user}))
    facts = {"v": 1, "op": "note.list", "kind": Kind.READ, "epoch": 1, "args": args, "start": end - MS, "end": end}
    return Capture(**{**facts, "id": name, "user": user, **sides})


def due(capture: Capture, **more) -> Due:
    return Due(LaneItem(capture.order, b"", capture), **{"late": False, **more})


def found(capture: Capture, outcome: Outcome = Outcome.MATCH) -> Finding:
    facts = {"operation": capture.op, "epoch": capture.epoch, "user": capture.user}
    return Finding(capture_id=capture.id, called_at_us=capture.start, outcome=outcome, **facts)


class Runs:
    """Answers as it is told, and remembers who was asked."""

    def __init__(self, **answers: object) -> None:
        self.asked: list[System] = []
        self._answers = answers

    def run(self, system: System, capture: Capture) -> Observation:
        self.asked.append(system)
        answer = self._answers[system]
        made = answer(self.asked.count(system)) if callable(answer) else answer
        assert isinstance(made, Observation)
        return made


def returned(value: object = (1,), ms: float = 1.0) -> Observation:
    return Observation.returned(list(value) if isinstance(value, tuple) else value, duration_ms=ms)


def raised() -> Observation:
    return Observation.raised("OSError", "away", duration_ms=0.1)


def pairs(**more) -> Pairs:
    facts = {"share": 1.0, "allowance": Allowance(1_000.0), "now_us": lambda: NOW, "chance": random.Random(7)}
    return Pairs(**{**facts, **more})


def take(*captures: Capture, runs: Runs, against: Unpaired | None = None, of: Pairs | None = None) -> list[PairedRuns]:
    course = Course(
        of or pairs(), runs, [due(one) for one in captures], [found(one) for one in captures], against=against
    )
    course.run(lambda: None, lambda: True)
    return course.made


# --- which reads


def test_the_sample_has_a_hash_of_its_own():
    """By user, stable, growing with the share, and told apart from the sample of captures."""
    users = [f"user-{n}" for n in range(4_000)]
    chosen = {user for user in users if paired(user, 0.1)}
    assert 0.08 < len(chosen) / len(users) < 0.12
    assert chosen < {user for user in users if paired(user, 0.2)}
    assert all(paired(user, 1) for user in users)
    assert not any(paired(user, 0) for user in users)
    assert paired("ann", 0.5) is (stable_hash("gnomon.pairs", "ann", SAMPLES) < SAMPLES / 2)
    both = sum(sampled(user, 0.1) for user in chosen)
    assert both < 0.25 * len(chosen)


@pytest.mark.parametrize(
    ("capture", "outcome", "marks"),
    [
        (captured(kind=Kind.WRITE), Outcome.MATCH, {}),
        (captured(kind=Kind.GENERATE), Outcome.MATCH, {}),
        (captured(recorded=True), Outcome.MATCH, {}),
        (captured(), Outcome.EXCLUDED, {}),
        (captured(), Outcome.PARKED, {}),
        (captured(), Outcome.FAILED, {"late": True}),
        (captured(), Outcome.FAILED, {"unfair": "concurrent"}),
    ],
)
def test_nothing_else_is_asked_again(capture, outcome, marks):
    """Writes, chats, recorded calls, and what was not fair to compare."""
    assert not pairs().wants(due(capture, **marks), found(capture, outcome))
    assert pairs().wants(due(captured()), found(captured()))
    assert not pairs(share=0.0).wants(due(captured()), found(captured()))


def test_generate_calls_are_taken_where_that_is_asked_for():
    """They are paid for three times."""
    capture = captured(kind=Kind.GENERATE)
    assert pairs(generate=True).wants(due(capture), found(capture))


def test_a_lane_that_was_not_read_to_its_end_has_none():
    """A write may wait there that legacy has and enhanced has not."""
    gap = Standing(digest="d").opened(Opening(digest="d", since_us=1, until_us=2, reason="lost"))
    assert Around(behind=True).reason_against("ann", None) is Unpaired.BEHIND
    assert Around({"ann"}).reason_against("ann", None) is Unpaired.SUPERSEDED
    assert NOTHING_AROUND.reason_against("ann", gap) is Unpaired.SUPERSEDED
    assert Around({"bob"}).reason_against("ann", None) is None


# --- how they are run


def test_who_comes_first_is_a_fair_coin():
    """In the first round, which warms both, and in the second, which counts."""
    orders: Counter[tuple[System, ...]] = Counter()
    made = pairs(allowance=Allowance(10_000.0))
    for _ in range(2_000):
        runs = Runs(legacy=returned(), enhanced=returned())
        take(captured(), runs=runs, of=made)
        orders[tuple(runs.asked)] += 1
    assert set(orders) == {(L, E, L, E), (L, E, E, L), (E, L, L, E), (E, L, E, L)}
    assert all(0.21 < count / 2_000 < 0.29 for count in orders.values())


def test_generate_calls_ask_enhanced_once():
    """Legacy twice, in any order: they are paid for, and their times are not compared."""
    asked = set()
    for seed in range(100):
        runs = Runs(legacy=returned(), enhanced=returned())
        (pair,) = take(captured(kind=Kind.GENERATE), runs=runs, of=pairs(generate=True, chance=random.Random(seed)))
        asked.add(tuple(runs.asked))
        assert (pair.counts(), pair.bins()) == ({"repeated": 1, "noisy": 0, "compared": 1, "differing": 0}, {})
    assert asked == {(E, L, L), (L, E, L), (L, L, E)}


@pytest.mark.parametrize(("enhanced_ms", "count"), [(0.5, "wins"), (4.0, "losses"), (2.0004, "ties")])
def test_second_runs_are_held_against_each_other(enhanced_ms, count):
    """The first ones have opened what was closed."""
    runs = Runs(
        legacy=lambda nth: returned(ms=900.0 if nth == 1 else 2.0),
        enhanced=lambda nth: returned(ms=700.0 if nth == 1 else enhanced_ms),
    )
    (pair,) = take(captured(), runs=runs)
    assert pair.counts() == pair.counts() | {count: 1, "repeated": 1, "noisy": 0, "compared": 1, "differing": 0}
    assert (pair.first_ns, pair.legacy_ns, pair.enhanced_ns) == (900_000_000, 2_000_000, round(enhanced_ms * 1e6))
    assert pair.wait_us == 500 * MS


def test_runs_are_compared_with_each_other_alone():
    """What legacy answered live is another state; each field in which two runs differ is named once."""
    live = Side(7, returned=msgspec.Raw(b"[7,8,9]"))
    answers = {1: [{"name": "a", "n": 1}], 2: [{"name": "a", "n": 2}]}
    runs = Runs(legacy=lambda nth: returned(answers[nth]), enhanced=returned([{"name": "a", "n": 2}]))
    (pair,) = take(captured(legacy=live), runs=runs)
    assert pair.repeated is not None
    assert pair.repeated.diverged
    assert [field.path for field in pair.repeated.fields] == ["$[*].n"]
    assert pair.compared == Comparison(diverged=False)


def test_a_failure_of_enhanced_is_a_loss():
    """However fast it failed."""
    (pair,) = take(captured(), runs=Runs(legacy=returned(), enhanced=raised()))
    assert pair.counts() == {"losses": 1, "failed": 1, "repeated": 1, "noisy": 0}
    assert pair.log_ratio is None


def test_where_legacy_raised_there_is_nothing_to_compare_with():
    """Live, and it is not asked again; or now, and it is asked no more."""
    runs = Runs(legacy=raised(), enhanced=returned())
    refused = captured(legacy=Side(7, raised=Raised("ValueError", "no")))
    assert [pair.unpaired for pair in take(refused, runs=runs)] == [Unpaired.LEGACY_FAILED]
    assert runs.asked == []
    assert [pair.unpaired for pair in take(captured(), runs=runs)] == [Unpaired.LEGACY_FAILED]
    assert runs.asked.count(L) == 1


def test_an_error_of_ours_costs_a_sample_and_nothing_else(caplog):
    """No exception reaches the job, and no payload a log."""
    (pair,) = take(captured(), runs=Runs())
    assert pair.unpaired is Unpaired.GIVEN_UP


# --- what legacy is spared


def test_legacy_is_asked_so_often_a_second_and_no_more():
    """One second's worth at once, then as time goes by; what is over is counted."""
    time = [0.0]
    made = pairs(allowance=Allowance(3.0, lambda: time[0]))
    many = [captured(f"p-{n}") for n in range(10)]

    def taken() -> int:
        return sum(
            pair.unpaired is None for pair in take(*many, runs=Runs(legacy=returned(), enhanced=returned()), of=made)
        )

    assert taken() == 3
    time[0] = 0.7
    assert taken() == 2
    time[0] = 60.0
    assert taken() == 3
    capped = take(*many, runs=Runs(legacy=returned(), enhanced=returned()), of=made)
    assert {pair.unpaired for pair in capped} == {Unpaired.CAPPED}


def test_less_than_one_a_second_is_one_now_and_then():
    """The allowance fills up."""
    time = [0.0]
    allowance = Allowance(0.1, lambda: time[0])
    assert [allowance.take() for _ in range(2)] == [True, False]
    time[0] = 10.0
    assert allowance.take()


def test_a_legacy_side_that_raises_again_and_again_is_left_alone():
    """It may be out of reach from where workers run; one answer in between, and counting starts anew."""
    resting = Resting()
    for _ in range(2):
        take(captured(), runs=Runs(legacy=raised(), enhanced=returned()), of=pairs(resting=resting))
    take(captured(), runs=Runs(legacy=returned(), enhanced=returned()), of=pairs(resting=resting))
    assert not resting.is_resting("note.list")
    for _ in range(3):
        take(captured(), runs=Runs(legacy=raised(), enhanced=returned()), of=pairs(resting=resting))
    assert resting.is_resting("note.list")
    assert not resting.is_resting("note.other")
    (pair,) = take(captured(), runs=Runs(), of=pairs(resting=resting))
    assert pair.unpaired is Unpaired.CAPPED


@pytest.mark.parametrize(("hangs", "counts"), [(L, {"given_up": 2}), (E, {"losses": 1, "failed": 1, "given_up": 1})])
def test_a_run_that_never_comes_back_is_left_to_itself(hangs, counts):
    """Legacy is given a rest; an enhanced system that hangs where legacy returned live is slower."""
    entered, leave = threading.Event(), threading.Event()

    def hang(_: int) -> Observation:
        entered.set()
        assert leave.wait(10)
        return returned()

    runs = Runs(**{"legacy": returned(), "enhanced": returned(), str(hangs): hang})
    captures = [captured("p-1"), captured("p-2")]
    resting = Resting()
    made = pairs(resting=resting)
    course = Course(made, runs, [due(one) for one in captures], [found(one) for one in captures], against=None)
    thread = threading.Thread(target=course.run, args=(lambda: None, lambda: True))
    thread.start()
    assert entered.wait(10)
    course.give_up()
    leave.set()
    thread.join(10)
    total: Counter[str] = Counter()
    for pair in course.made:
        total.update(pair.counts())
    assert total == counts
    assert resting.is_resting("note.list") is (hangs is L)


def test_a_batch_that_is_cut_short_takes_no_more():
    """What was taken counts."""
    captures = [captured(f"p-{n}") for n in range(5)]
    course = Course(
        pairs(),
        Runs(legacy=returned(), enhanced=returned()),
        [due(one) for one in captures],
        [found(one) for one in captures],
        against=None,
    )
    course.run(lambda: None, lambda: len(course.made) < 2)
    assert len(course.made) == 2


# --- whether both sides held the same


def pair(**more) -> PairedRuns:
    facts = {"capture_id": "p-1", "operation": "note.list", "epoch": 1, "exposure": "shadow", "user": "ann"}
    return PairedRuns(**{**facts, "ended_us": NOW, "legacy_ns": 5, "enhanced_ns": 4, **more})


@pytest.mark.parametrize(
    ("start", "done", "lost", "fair"),
    [
        (NOW - MS, set(), float("inf"), False),  # in legacy, not in enhanced
        (NOW - MS, {"w-1"}, float("inf"), True),
        (NOW + MS, set(), float("inf"), True),  # began after all runs
        (NOW + 50, set(), float("inf"), False),  # within the error of the clocks
        (NOW + MS, set(), NOW - MS, False),  # a write that nobody knows
    ],
)
def test_a_write_that_not_all_runs_saw_sets_a_pair_apart(start, done, lost, fair):
    """Counted, and nothing of it judged; decided without a look at what the runs did."""
    write = captured("w-1", kind=Kind.WRITE, end=start + MS)
    (after,) = settled([pair()], {"ann": [write]}, done, lambda _: lost, error_us=100)
    assert after == (
        pair()
        if fair
        else msgspec.structs.replace(pair(unpaired=Unpaired.SUPERSEDED), ended_us=0, legacy_ns=0, enhanced_ns=0)
    )


def test_writes_of_others_change_nothing():
    """A user's data is theirs."""
    write = captured("w-1", kind=Kind.WRITE, user="bob")
    assert settled([pair()], {"bob": [write]}, set(), lambda _: float("inf"), 100) == [pair()]
