"""Calls are let through or held back; what they report moves limiter and breaker, and nobody waits in vain."""

import threading

import msgspec
import pytest

from gnomon.wire import Capture, Kind, Raised, Side
from worker.targets.breaker import IN_A_ROW, BreakerState
from worker.targets.errors import status_error
from worker.targets.guard import MOST_TRIES, Guard, Guards, admit, current

PATIENCE_S = 5.0


def capture(name: str = "r1", kind: Kind = Kind.READ, **more) -> Capture:
    raw = msgspec.Raw(b"1")
    return Capture(1, name, "note.op", kind, "ann", 1, 2, raw, 1, **{"legacy": Side(1, returned=raw), **more})


def never() -> bool:
    return False


class Heard(list):
    def __call__(self, event: str, guard: Guard) -> None:
        self.append(event)


@pytest.fixture
def clock():
    class Clock:
        now = 100.0

        def __call__(self) -> float:
            return self.now

    return Clock()


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def guard(clock, heard) -> Guard:
    return Guard("notes", 4, clock=clock, listener=heard)


def fail(guard: Guard, times: int = IN_A_ROW) -> None:
    for _ in range(times):
        with admit(guard, capture(), never) as admission:
            admission.raised(ConnectionError())


def test_no_more_calls_are_under_way_than_the_limit(guard):
    """The next one begins when one has ended."""
    guard.limiter.limit = 1.0
    first = admit(guard, capture(), never)
    entered = threading.Event()

    def second() -> None:
        with admit(guard, capture(), never):
            entered.set()

    waiting = threading.Thread(target=second)
    with first:
        waiting.start()
        assert not entered.wait(0.1)
        assert guard.is_tight
    waiting.join(PATIENCE_S)
    assert entered.is_set()
    assert guard.limiter.in_flight == 0


def test_who_is_not_wanted_any_more_stops_waiting(guard):
    """The worker stops, say."""
    unwanted = threading.Event()
    guard.limiter.limit = 1.0
    with admit(guard, capture(), never):
        found = []
        waiting = threading.Thread(target=lambda: found.append(admit(guard, capture(), unwanted.is_set)))
        waiting.start()
        unwanted.set()
        waiting.join(PATIENCE_S)
    assert found == [None]


def test_outages_open_the_breaker_and_answers_of_any_kind_do_not(guard, heard):
    """An exception of enhanced's own code is for people to see, however often it comes."""
    for error in (KeyError("x"), ValueError("y"), status_error(404), status_error(422)):
        for _ in range(3 * IN_A_ROW):
            with admit(guard, capture(), never) as admission:
                admission.raised(error)
    assert (guard.is_closed, heard) == (True, [])
    for error in (TimeoutError(), ConnectionResetError(), status_error(503), OSError()):
        with admit(guard, capture(), never) as admission:
            admission.raised(error)
    assert guard.is_closed  # an OSError alone may be anything
    fail(guard)
    assert (guard.breaker.state, heard) == (BreakerState.OPEN, ["target.opened"])
    assert admit(guard, capture(), never) is None


def test_those_who_wait_for_a_free_place_are_told_of_the_outage(guard):
    """Their captures stay where they are."""
    found = []
    guard.limiter.limit = 1.0
    fail(guard, IN_A_ROW - 1)
    with admit(guard, capture(), never) as admission:
        waiting = threading.Thread(target=lambda: found.append(admit(guard, capture(), never)))
        waiting.start()
        admission.raised(ConnectionError())
        waiting.join(PATIENCE_S)
    assert found == [None]


def test_a_try_that_is_answered_lets_all_through_one_at_a_time(guard, clock, heard):
    """The limit begins with one."""
    fail(guard)
    clock.now += 1
    with admit(guard, capture(), never) as admission:
        assert admit(guard, capture(), never) is None
        admission.answered()
    assert (guard.is_closed, int(guard.limiter.limit), heard) == (True, 1, ["target.opened", "target.closed"])


def test_a_try_that_fails_counts_for_nothing_a_few_times(guard, clock):
    """After that it may be the capture's own fault: it has failed, and others go on."""
    fail(guard)
    held = []
    for _ in range(MOST_TRIES):
        clock.now = guard.breaker.retry_at
        with admit(guard, capture("poison"), never) as admission:
            admission.raised(status_error(500))
            held.append(admission.withholds(write=False))
    assert held == [True] * (MOST_TRIES - 1) + [False]


def test_what_failed_as_usual_has_failed_and_a_write_waits_where_the_breaker_is_open(guard):
    """Nothing later of its user is replayed before it got through."""
    asked = [admit(guard, capture(), never)]
    guard.limiter.limit = 4.0
    fail(guard)
    with asked[0] as admission:
        assert not admission.withholds(write=True)  # nothing is wrong with it
        admission.raised(ConnectionError())
        assert not admission.withholds(write=False)
        assert admission.withholds(write=True)


def test_a_try_that_asked_nobody_leaves_the_next_one_to_others(guard, clock):
    """It was excluded, say."""
    fail(guard)
    clock.now += 1
    with admit(guard, capture(), never):
        pass
    assert admit(guard, capture(), never) is not None


def test_a_call_that_was_given_up_frees_its_place_and_says_no_more(guard):
    """Its thread may come back at any time."""
    admission = admit(guard, capture(), never)
    with admission:
        admission.give_up(asking=True)
        assert (guard.limiter.in_flight, guard.failures) == (0, 1)
        admission.answered()
    assert (guard.limiter.in_flight, guard.calls) == (0, 1)


def test_a_target_that_says_it_is_not_well_is_not_tried(clock):
    """It has a path for that, so no capture need be."""
    well = []
    guard = Guard("notes", 2, clock=clock, health=lambda: bool(well))
    fail(guard)
    clock.now += 1
    assert admit(guard, capture(), never) is None
    assert guard.breaker.retry_at == clock.now + 2
    clock.now += 2
    well.append(True)
    with admit(guard, capture(), never) as admission:
        admission.answered()
    assert guard.is_closed


def test_only_what_asks_enhanced_is_guarded():
    """What was invoked live is judged by that, and a write that legacy refused is not replayed."""
    guards = Guards({"note.op": Guard("notes", 2)})
    side, raised = Side(1, returned=msgspec.Raw(b"1")), Side(1, raised=Raised("E", ""))
    asked = [
        capture(),
        capture(kind=Kind.WRITE),
        capture(kind=Kind.WRITE, enhanced=side),
        capture(kind=Kind.WRITE, legacy=Side(1, raised=Raised("E", "", rejected=True))),
    ]
    unasked = [capture(enhanced=side), capture(kind=Kind.WRITE, legacy=raised)]
    assert all(map(guards.of, asked))
    assert not any(map(guards.of, unasked))


def test_outside_of_an_admission_there_is_none(guard):
    """Each thread has its own."""
    assert current() is None
    with admit(guard, capture(), never) as admission:
        assert current() is admission
    assert current() is None


# --- beside other processes


def test_a_sibling_that_found_the_target_down_is_believed(guard, clock, heard):
    """Unless it has answered here since."""
    guard.learn(opened_at=99.0, retry_at=104.0, wait_s=8.0, reason="Http500")
    assert (guard.is_closed, guard.may_ask(), heard) == (False, False, ["target.learned"])
    clock.now = 104.0
    with admit(guard, capture(), never) as admission:
        admission.answered()
    guard.learn(opened_at=99.0, retry_at=104.0, wait_s=8.0, reason="Http500")
    assert guard.is_closed


def test_a_sibling_that_was_answered_makes_for_a_try_at_once(guard, clock):
    """Only an answer here closes it: the first call may still find it down."""
    fail(guard)
    guard.hurry(closed_at=99.0)
    assert not guard.may_ask()
    guard.hurry(closed_at=100.5)
    assert guard.may_ask()
    assert not guard.is_closed
