"""While a target is down its captures wait in their lanes: nothing is lost, misjudged or out of order afterwards."""

import threading
import time
from collections import Counter

import pytest

from worker import drain as draining
from worker.targets import breaker as breaking
from worker.targets import guard as guarding
from worker.targets.board import Board, tellings
from worker.targets.breaker import BreakerState
from worker.targets.guard import Guards, python_guards

pytestmark = pytest.mark.slow

PATIENCE_S = 20.0
OPERATIONS = ("note.save", "note.list")


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    """Try again soon."""
    monkeypatch.setattr(breaking, "FIRST_WAIT_S", 0.05)
    monkeypatch.setattr(breaking, "LONGEST_WAIT_S", 0.2)


class Outage:
    """An enhanced system that is there or not; counts the calls that found it away."""

    def __init__(self) -> None:
        self.over = threading.Event()
        self.met = Counter()

    def __call__(self, operation: str, **_) -> None:
        if not self.over.is_set():
            self.met[operation] += 1
            raise ConnectionRefusedError


@pytest.fixture
def outage(notes) -> Outage:
    notes.before = made = Outage()
    return made


@pytest.fixture
def guards() -> Guards:
    return Guards(python_guards(OPERATIONS, 4))


def eventually(condition) -> bool:
    until = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.01)  # what another thread's guard has come to
    return True


def test_what_waits_is_pending_and_then_judged_as_if_nothing_had_been(
    notes, outage, guards, make_drain, running, sums, clean
):
    """Failed are only calls that were made as usual and failed; no write is lost, so no read is excluded."""
    calls = notes.converse(turns=2)
    notes.end()
    first = running(make_drain(guards=guards, threads=8), 0)
    assert eventually(lambda: not guards.named("note.save").is_closed and outage.met["note.save"] > 6)
    outage.over.set()
    first.ended()
    for lane in range(4):
        make_drain(guards=guards).run(lane)
    found = sums()
    assert found.outcomes["diverged"] == found.outcomes["inconclusive"] == found.outcomes["excluded"] == 0
    assert found.outcomes["failed"] <= outage.met.total()
    assert found.outcomes.total() == calls
    assert notes.enhanced == notes.legacy
    clean()


def test_a_turn_that_ends_in_an_outage_hands_its_lanes_back(
    notes, outage, guards, make_drain, hints, sums, clean, short_turns
):
    """With what was found before; the next holder goes on where this one stopped, and replays nothing again."""
    notes.save("ann", "before")
    notes.read("ann")
    outage.over.set()
    notes.client = notes.clients[0]
    assert notes.client.flush(5)
    for user in ("ben", "ann", "cy"):
        notes.save(user, "then")
        notes.read(user)
    notes.end()

    def from_then_on(operation: str, user: str, **given) -> None:
        if operation == "note.save" and given["text"] == "then" and not back.is_set():
            raise ConnectionRefusedError

    back = threading.Event()
    notes.before = from_then_on
    began = time.monotonic()
    counts = make_drain(guards=guards).run(0)
    assert time.monotonic() - began < draining.TURN_S + draining.SETTLE_S + 3
    assert hints
    assert counts["failed"] == counts["diverged"] == 0
    assert sums().pending > 0
    back.set()
    for lane in range(4):
        make_drain(guards=guards).run(lane)
    found = sums()
    assert (found.pending, found.outcomes["diverged"], found.outcomes["excluded"]) == (0, 0, 0)
    assert notes.enhanced == notes.legacy
    assert notes.replays.count(("note.list", "ann")) == 2
    clean()


def test_a_drain_that_is_to_stop_does_not_wait_for_a_target(notes, outage, guards, make_drain, running):
    """A deployment takes seconds, outage or not."""
    stop = threading.Event()
    notes.converse(turns=1)
    notes.end()
    drain = running(make_drain(guards=guards, stopping=stop.is_set), 0)
    assert eventually(lambda: not guards.named("note.save").is_closed)
    stop.set()
    began = time.monotonic()
    drain.ended()
    assert time.monotonic() - began < draining.STOP_S + 2


def test_one_target_that_is_down_holds_no_other_up(notes, guards, make_drain, running, sums, monkeypatch):
    """Users whose calls it does not concern are replayed meanwhile."""
    monkeypatch.setattr(draining, "TURN_S", 1.0)
    for user in ("ann", "ben", "cy", "dan"):
        notes.read(user)
    notes.save("eve", "hello")
    notes.end()

    def before(operation: str, **_) -> None:
        if operation == "note.save":
            raise ConnectionRefusedError

    notes.before = before
    make_drain(guards=guards).run(0)
    assert sorted(user for operation, user in notes.replays if operation == "note.list") == ["ann", "ben", "cy", "dan"]


def test_a_capture_that_is_to_blame_itself_is_counted_and_let_go(notes, guards, make_drain, sums, monkeypatch):
    """Whose every replay breaks the connection, with nobody else there to show that the target is well."""
    monkeypatch.setattr(guarding, "MOST_TRIES", 3)
    notes.save("ann", "poison")
    notes.save("ann", "fine")
    notes.end()

    def before(operation: str, text: str = "", **_) -> None:
        if text == "poison":
            raise ConnectionResetError

    notes.before = before
    for lane in range(4):
        make_drain(guards=guards).run(lane)
    found = sums()
    assert (found.outcomes, found.pending) == (Counter(failed=1, match=1), 0)


def test_an_enhanced_that_hangs_costs_a_few_timeouts_and_the_next_process_knows(
    notes, make_drain, guards, server, keys, sums, running
):
    """Not one a capture: what waits is pending, and whoever takes the process's place learns it from Redis."""
    over = threading.Event()
    notes.before = lambda op, **_: over.wait(PATIENCE_S) and None
    calls = notes.converse(turns=4)
    notes.end()
    first = make_drain(guards=guards, board=Board(server, keys), timeout_s=0.2, threads=8)
    first.run(0)
    if guards.named("note.save").is_closed:  # four at once were under way: one more round
        make_drain(guards=guards, board=Board(server, keys), timeout_s=0.2, threads=8).run(0)
    board = Board(server, keys)
    board.exchange(guards)
    [told] = [each for each in tellings(server, keys) if each.facts.target == "note.save"]
    assert told.facts.state in (BreakerState.OPEN, BreakerState.HALF_OPEN)  # a try may be under way by now
    assert told.facts.reason == "no answer in time"
    fresh = Guards(python_guards(OPERATIONS, 4))
    next_one = Board(server, keys)
    next_one._pid += 1  # another process of this host
    next_one.exchange(fresh)
    assert not fresh.named("note.save").is_closed
    assert sums().outcomes["failed"] < calls / 4
    over.set()
    for lane in range(4):
        make_drain(guards=fresh).run(lane)
    found = sums()
    assert (found.pending, found.outcomes["diverged"]) == (0, 0)
    assert notes.enhanced == notes.legacy
