"""A batch's users side by side, each in order; a replay that hangs costs one capture; reads are kept before writes."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, wait

import msgspec
import pytest

from comparators import Call, Difference, Observation, registry
from gnomon.wire import Capture, Kind, Side
from ledger import FencedError, Finding, Outcome
from worker.entries import LaneItem
from worker.fanout import Fanout
from worker.findings import Replayed
from worker.jobs import UserJob
from worker.judging import judged
from worker.mending import Mender
from worker.pool import ReplayPool
from worker.selection import Due

PATIENCE_S = 5.0


def due(name: str, user: str = "ann") -> Due:
    """Make a capture: `w…` is a write, anything else a read."""
    kind = Kind.WRITE if name.startswith("w") else Kind.READ
    raw = msgspec.Raw(b"1")
    capture = Capture(1, name, "note.op", kind, user, 1, 2, raw, 1, legacy=Side(1, returned=raw))
    return Due(LaneItem(capture.order, b"", capture), late=False)


def dues(*names: str, user: str = "ann") -> list[Due]:
    return [due(name, user) for name in names]


def users(*of_users: list[Due]) -> dict[str, list[Due]]:
    return {of_user[0].item.capture.user: of_user for of_user in of_users}


def found(name: str, outcome: Outcome = Outcome.MATCH) -> Finding:
    return Finding(capture_id=name, operation="note.op", epoch=1, user="ann", called_at_us=1, outcome=outcome)


class MemoryJournal:
    """A journal that remembers what it was asked, beside what was replayed."""

    def __init__(self, events: list[str]) -> None:
        self.kept: dict[str, Finding] = {}
        self.events = events
        self.held = True

    def known(self, capture_id: str) -> Finding | None:
        return self.kept.get(capture_id)

    def is_ambiguous(self, capture_id: str) -> bool:
        return False

    def keep(self, findings, openings=()) -> None:
        if not self.held:
            raise FencedError(0, 1)
        self.events.append("keep " + " ".join(one.capture_id for one in findings))
        self.kept.update({one.capture_id: one for one in findings})


class Replays:
    """Replays by name: each is an event, and does first what it was told to."""

    timeout_s = 0.05

    def __init__(self, events: list[str]) -> None:
        self.events = events
        self.first: dict[str, Callable[[], object]] = {}

    def replay(self, replayed: Due, **_) -> Replayed:
        name = replayed.item.capture.id
        self.events.append(name)
        self.first.get(name, lambda: None)()
        return Replayed(finding=found(name))

    def is_single(self, capture: Capture) -> bool:
        return False

    def given_up(self, capture: Capture, *, judging: bool) -> Replayed:
        return Replayed(finding=found(capture.id, Outcome.INCONCLUSIVE if judging else Outcome.FAILED))


@pytest.fixture
def events() -> list[str]:
    return []


@pytest.fixture
def journal(events) -> MemoryJournal:
    return MemoryJournal(events)


@pytest.fixture
def replays(events) -> Replays:
    return Replays(events)


@pytest.fixture
def stuck(replays) -> Iterator[Callable[..., None]]:
    """Make the replays of some captures hang until the test is over."""
    over = threading.Event()

    def hang(*names: str) -> None:
        replays.first.update(dict.fromkeys(names, lambda: over.wait(30)))

    yield hang
    over.set()


@pytest.fixture
def fanout(replays, journal) -> Iterator[Callable[[int], Fanout]]:
    pools: list[ReplayPool] = []

    def make(threads: int = 4) -> Fanout:
        pools.append(ReplayPool(threads))
        return Fanout(pools[-1], replays, journal, Mender(None, int))

    yield make
    for pool in pools:
        pool.close()


def collected(fanout: Fanout, patience_s: float = PATIENCE_S) -> list[tuple[str, Outcome]] | None:
    """Wait for a batch as a drain does; None where it does not come to an end."""
    until = time.monotonic() + patience_s
    while time.monotonic() < until:
        findings = fanout.collect()
        if findings is not None:
            return [(one.capture_id, one.outcome) for one in findings]
        wait(fanout.futures, timeout=0.02, return_when=FIRST_COMPLETED)
    return None


def matches(*names: str) -> list[tuple[str, Outcome]]:
    return [(name, Outcome.MATCH) for name in names]


def test_a_users_captures_are_replayed_one_after_another(fanout, events):
    """In the order given, in one thread."""
    batch = fanout()
    batch.start(users(dues("r1", "r2", "r3", "r4")))
    assert collected(batch) == matches("r1", "r2", "r3", "r4")
    assert events == ["r1", "r2", "r3", "r4"]


def test_users_are_replayed_side_by_side(fanout, replays):
    """One user's slow call keeps nobody else waiting."""
    together = threading.Barrier(3)
    replays.first.update(dict.fromkeys(("a1", "b1", "c1"), lambda: together.wait(PATIENCE_S)))
    replays.timeout_s = PATIENCE_S
    batch = fanout(3)
    batch.start(users(*(dues(f"{user}1", f"{user}2", user=user) for user in "abc")))
    assert sorted(collected(batch)) == matches("a1", "a2", "b1", "b2", "c1", "c2")


def test_more_users_than_threads_are_all_replayed(fanout):
    """They queue for the pool."""
    batch = fanout(2)
    batch.start(users(*(dues(f"{n}", user=f"u{n}") for n in range(20))))
    assert sorted(collected(batch)) == sorted(matches(*map(str, range(20))))


def test_a_batch_without_users_is_through_at_once(fanout):
    """Nothing but unreadable lines: nobody to wait for."""
    batch = fanout()
    batch.start(users())
    assert batch.collect() == []


def test_the_end_of_a_batch_is_news_while_others_are_queued(replays, journal, stuck):
    """Its last user's; those before it, while enough are queued, are found through at the next look."""
    pool = ReplayPool(1)
    batch, other = (Fanout(pool, replays, journal, Mender(None, int)) for _ in range(2))
    began, second = threading.Event(), threading.Event()
    replays.first["b1"] = lambda: (began.set(), second.wait(PATIENCE_S))
    stuck("c1")
    batch.start(users(dues("a1", user="a"), dues("b1", user="b")))
    other.start(users(dues("c1", user="c"), dues("d1", user="d")))
    assert began.wait(PATIENCE_S)
    assert batch.has_news
    assert not batch.is_through
    pool.await_news(0.0)  # what was told while few were queued
    second.set()
    asked = time.monotonic()
    pool.await_news(PATIENCE_S)
    assert time.monotonic() - asked < PATIENCE_S
    assert batch.is_through
    pool.close()


def test_each_batch_has_its_own_findings(fanout):
    """A second batch begins empty."""
    batch = fanout()
    for name in ("r1", "r2"):
        batch.start(users(dues(name)))
        assert collected(batch) == matches(name)


def test_a_replay_that_hangs_costs_one_capture(fanout, stuck, events):
    """It has failed, the rest of its user is replayed in order, others are not touched."""
    stuck("r2")
    batch = fanout()
    batch.start(users(dues("r1", "r2", "r3", "r4"), dues("b1", user="ben")))
    outcomes = collected(batch)
    assert sorted(outcomes) == sorted([*matches("r1", "r3", "r4", "b1"), ("r2", Outcome.FAILED)])
    assert [name for name, _ in outcomes if name.startswith("r")] == ["r1", "r2", "r3", "r4"]
    assert batch.abandoned == 1


def test_a_judge_that_hangs_is_inconclusive(fanout, replays, events, monkeypatch):
    """Enhanced has answered: it is not said to have failed, and its user's further calls are replayed."""
    over = threading.Event()

    def endless(_) -> Iterator[Difference]:
        over.wait(30)
        yield from ()

    monkeypatch.setitem(registry._entries, "note.op", registry.Entry(endless, registry._DEFAULT.schema))
    sides = Observation.returned(1), Observation.returned(2)
    replays.first["r2"] = lambda: judged("note.op", *sides, Call(user="ann", args={}))
    batch = fanout()
    batch.start(users(dues("r1", "r2", "r3")))
    assert sorted(collected(batch)) == sorted([*matches("r1", "r3"), ("r2", Outcome.INCONCLUSIVE)])
    over.set()


def test_each_replay_that_hangs_is_given_up(fanout, stuck):
    """Also in the thread that took over from the first."""
    stuck("r1", "r2", "r4")
    batch = fanout()
    batch.start(users(dues("r1", "r2", "r3", "r4")))
    failed = [(name, Outcome.FAILED) for name in ("r1", "r2", "r4")]
    assert sorted(collected(batch)) == sorted([*failed, *matches("r3")])
    assert batch.abandoned == 3


def test_what_comes_back_after_it_was_given_up_is_thrown_away(fanout, replays, events):
    """The thread ends; nothing is counted twice and nothing more is replayed in it."""
    over, ended = threading.Event(), threading.Event()
    replays.first["r1"] = lambda: over.wait(PATIENCE_S)
    replays.first["r2"] = ended.set
    batch = fanout(1)
    batch.start(users(dues("r1", "r2")))
    assert collected(batch) == [("r1", Outcome.FAILED), ("r2", Outcome.MATCH)]
    over.set()
    batch.start(users(dues("r3")))  # the pool's only thread is free again
    assert collected(batch) == matches("r3")
    assert events == ["r1", "r2", "r3"]


def test_replays_that_hang_in_every_thread_still_end(fanout, stuck):
    """More users than threads, and an enhanced system that answers nobody: each capture fails, the batch ends."""
    stuck("1", "2", "3", "4")
    batch = fanout(2)
    batch.start(users(*(dues(str(n), user=f"u{n}") for n in range(1, 6))))
    outcomes = collected(batch, patience_s=1.0)
    assert outcomes is not None
    assert sorted(outcomes) == [*((str(n), Outcome.FAILED) for n in range(1, 5)), ("5", Outcome.MATCH)]


def test_another_lanes_replays_do_not_wait_behind_one_that_hangs(fanout, replays, journal, stuck):
    """All lanes of a process share its threads: a lane whose users are queued behind a hanging one still ends."""
    stuck("a1")
    first = fanout(1)
    second = Fanout(first._pool, replays, journal, Mender(None, int))
    first.start(users(dues("a1")))
    second.start(users(dues("b1", user="ben")))
    assert collected(first) == [("a1", Outcome.FAILED)]
    assert collected(second, patience_s=1.0) == matches("b1")


def test_one_that_hangs_does_not_let_all_others_loose(fanout, replays, stuck):
    """No more replays run side by side than there are threads: an enhanced system in trouble gets no flood on top."""
    stuck("0")
    lock, now, most = threading.Lock(), [0], [0]

    def busy() -> None:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        threading.Event().wait(0.01)
        with lock:
            now[0] -= 1

    replays.timeout_s = 1.0  # on a busy machine one that does not hang must not be taken for one that does
    replays.first.update({str(n): busy for n in range(1, 200)})
    batch = fanout(2)
    batch.start(users(*(dues(str(n), user=f"u{n}") for n in range(200))))
    assert len(collected(batch)) == 200
    assert most[0] <= 2


def test_an_error_in_a_replay_reaches_the_drain(fanout, replays):
    """What a replayer may not raise is not swallowed with its user's findings."""

    def broken() -> None:
        raise RuntimeError("of ours")

    replays.first["r2"] = broken
    batch = fanout()
    batch.start(users(dues("r1", "r2")))
    with pytest.raises(RuntimeError, match="of ours"):
        collected(batch)


# --- giving up


@pytest.fixture
def running(replays, journal):
    """Run a job of its own up to the middle of a replay; `go` lets it come back and waits for the job's end."""
    entered, leave = threading.Event(), threading.Event()
    replays.first["r2"] = lambda: (entered.set(), leave.wait(PATIENCE_S))

    def start(*names: str):
        job = UserJob(dues(*names), replays, journal, Mender(None, int))
        thread = threading.Thread(target=job)
        thread.start()
        assert entered.wait(PATIENCE_S)

        def go() -> None:
            leave.set()
            thread.join(PATIENCE_S)

        return job, go

    yield start
    leave.set()


def test_only_the_running_replay_can_be_overdue(running):
    """Between replays, and after the last, a job is not late."""
    job, go = running("r1", "r2")
    assert job.overdue(0.0)
    assert not job.overdue(60.0)
    go()
    assert not job.overdue(0.0)


def test_giving_up_hands_on_what_was_not_replayed(running):
    """What was found, the stuck one as failed, and a job for the rest."""
    job, go = running("r1", "r2", "r3")
    findings, rest = job.give_up()
    go()
    assert [(one.capture_id, one.outcome) for one in findings] == [*matches("r1"), ("r2", Outcome.FAILED)]
    assert [one.capture_id for one in rest()] == ["r3"]


@pytest.mark.parametrize("names", [("r1", "r2"), ("r1", "r2", "r3")], ids=["the last", "not the last"])
def test_a_replay_that_comes_back_just_before_it_is_given_up_counts_as_it_is(running, names):
    """Overdue when looked at, through when given up: no capture that answered is called stuck."""
    job, go = running(*names)
    assert job.overdue(0.0)
    go()
    findings, rest = job.give_up()
    findings = [*findings, *(rest() if rest else [])]
    assert [(one.capture_id, one.outcome) for one in findings] == matches(*names)


# --- the journal


def test_what_was_found_before_is_not_replayed_again(fanout, journal, events):
    """A finding that an earlier holder of the lane kept is taken as it is."""
    journal.kept["r1"] = found("r1", Outcome.DIVERGED)
    batch = fanout()
    batch.start(users(dues("r1", "r2")))
    assert collected(batch) == [("r1", Outcome.DIVERGED), ("r2", Outcome.MATCH)]
    assert events == ["r2"]


def test_reads_are_kept_before_the_next_write(fanout, events):
    """All reads since the last write of that user, in one go; none after the last write."""
    batch = fanout()
    batch.start(users(dues("r1", "r2", "w1", "w2", "r3", "w3", "r4")))
    assert len(collected(batch)) == 7
    assert events == ["r1", "r2", "keep r1 r2", "w1", "w2", "r3", "keep r3", "w3", "r4"]


def test_another_users_reads_are_their_own_business(fanout, events):
    """A write changes only what its own user sees."""
    batch = fanout(1)
    batch.start(users(dues("r1"), dues("w1", user="ben")))
    assert len(collected(batch)) == 2
    assert events == ["r1", "w1"]


def test_reads_known_from_the_journal_are_not_kept_again(fanout, journal, events):
    """They are there."""
    journal.kept["r1"] = found("r1")
    batch = fanout()
    batch.start(users(dues("r1", "w1")))
    assert len(collected(batch)) == 2
    assert events == ["w1"]


def test_a_read_that_was_given_up_is_kept_too(fanout, stuck, events):
    """A second worker would otherwise wait for it again, and find another state."""
    stuck("r2")
    batch = fanout()
    batch.start(users(dues("r1", "r2", "w1")))
    assert len(collected(batch)) == 3
    assert events == ["r1", "r2", "keep r1 r2", "w1"]


def test_who_has_lost_the_lane_does_not_go_on_to_write(fanout, journal, events):
    """The journal is refused, the write is not replayed, and the drain learns of it."""
    journal.held = False
    batch = fanout()
    batch.start(users(dues("r1", "w1", "r2")))
    with pytest.raises(FencedError):
        collected(batch)
    assert events == ["r1"]
