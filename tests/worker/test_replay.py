"""One capture replayed: whatever enhanced does, exactly one finding comes of it, and it is the fair one."""

import asyncio
import contextvars
import threading
from collections.abc import Iterator

import msgspec
import pytest

from comparators import Call as JudgedCall
from comparators import Difference, Kind, Severity, mask, registry
from gnomon import Gnomon, call
from gnomon.wire import Capture, Raised, Side, encode, encode_value
from gnomon.wire import Kind as CallKind
from ledger import Outcome
from worker import judging
from worker.entries import LaneItem
from worker.findings import timed_out
from worker.replay import Replayer
from worker.selection import Due
from worker.unreadable import unreadable

START_US = 1_790_000_000_000_000
MASKED = mask("ann@example.com")


class RefusedError(Exception):
    pass


@pytest.fixture
def client():
    return Gnomon.from_env({})


@pytest.fixture
def replayed(client):
    """Register an enhanced callable for `op` and replay one capture of it; returns the finding."""

    def run(enhanced, *, legacy, kind="read", op="note.list", args=None, late=False, **more):
        def wrapped(user: str, text: str = "", tags: tuple[str, ...] = ()) -> None: ...

        operation = client.operation(op, kind=kind, user="user", rejects=(RefusedError,))(wrapped)
        if enhanced is not None:
            operation.enhanced(enhanced)
        capture = captured(legacy, op=op, kind=kind, args=args or {"user": "ann"}, **more)
        return Replayer(client.operations, timeout_s=5.0).replay(due(capture, late=late)).finding

    return run


def captured(legacy: Side, *, op="note.list", kind="read", args=None, **more) -> Capture:
    made = {"v": 1, "id": "p-1", "user": "ann", "start": START_US, "end": START_US + 5, "epoch": 3, "legacy": legacy}
    return Capture(op=op, kind=CallKind(kind), args=msgspec.Raw(encode_value(args or {})), **{**made, **more})


def due(capture: Capture, *, late=False) -> Due:
    return Due(LaneItem(capture.order, encode(capture), capture), late)


def returned(value) -> Side:
    return Side(7, returned=msgspec.Raw(encode_value(value)))


def raised(kind="ValueError", message="no", **more) -> Side:
    return Side(7, raised=Raised(kind, message, **more))


def raising(error: BaseException):
    def enhanced(**_):
        raise error

    return enhanced


def never(*_, **__):
    raise AssertionError("enhanced was invoked")


# --- judged


def test_equal_answers_match(replayed):
    """The finding says whose call it was, when, and of which epoch."""
    found = replayed(lambda user: [user, 1], legacy=returned(["ann", 1]))
    assert (found.outcome, found.differences, found.enhanced_returned) == (Outcome.MATCH, (), True)
    assert (found.capture_id, found.operation, found.epoch, found.user) == ("p-1", "note.list", 3, "ann")
    assert (found.called_at_us, found.exposure) == (START_US, "shadow")


def test_a_difference_is_told_masked(replayed):
    """Diverged, with path, kind and values in which nobody is named."""
    found = replayed(lambda user: {"to": "ben@example.com"}, legacy=returned({"to": "ann@example.com"}))
    [kept] = found.differences
    assert (found.outcome, kept.path, kept.kind) == (Outcome.DIVERGED, "$.to", "changed")
    assert (kept.legacy, kept.enhanced) == (MASKED, MASKED)


def test_where_enhanced_alone_raises_it_failed(replayed):
    """With the exception as its difference, so that it is grouped; its message is masked."""
    found = replayed(raising(KeyError("ann@example.com")), legacy=returned([]))
    [kept] = found.differences
    assert (found.outcome, kept.kind, found.enhanced_returned) == (Outcome.FAILED, "failure", False)
    assert kept.enhanced == {"type": "KeyError", "message": f"'{MASKED}'"}


@pytest.mark.parametrize("error", [ConnectionRefusedError(), TimeoutError()])
def test_where_legacy_raises_and_enhanced_does_not_answer_nothing_can_be_said(replayed, error):
    """An outage is no difference."""
    found = replayed(raising(error), legacy=raised("ValueError", "no"))
    assert (found.outcome, found.differences) == (Outcome.INCONCLUSIVE, ())
    assert found.reason in {"enhanced: refused", "enhanced: timeout"}


def test_where_both_raise_alike_they_match(replayed):
    """Class and message: the caller would have seen the same."""
    found = replayed(raising(ValueError("no")), legacy=raised("ValueError", "no"))
    assert (found.outcome, found.enhanced_returned) == (Outcome.MATCH, False)


@pytest.mark.parametrize(
    "enhanced",
    [raising(TypeError("no")), raising(ValueError("never")), lambda user: []],
    ids=["type", "message", "none"],
)
def test_where_only_legacy_raises_or_both_differently_they_diverge(replayed, enhanced):
    """An answer, another class, another message."""
    assert replayed(enhanced, legacy=raised("ValueError", "no")).outcome == Outcome.DIVERGED


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), asyncio.CancelledError()])
def test_an_enhanced_that_tries_to_end_the_process_has_failed(replayed, error):
    """Nothing that enhanced raises ends a worker."""
    found = replayed(raising(error), legacy=returned(1))
    assert (found.outcome, found.differences[0].enhanced["type"]) == (Outcome.FAILED, type(error).__name__)


def _recursive() -> list:
    value: list = []
    value.append(value)
    return value


@pytest.mark.parametrize(
    "value",
    [object(), lambda: 1, (n for n in ()), "\ud800", {1: 2, (1, 2): 3}, _recursive(), 10**5000],
    ids=["object", "function", "generator", "surrogate", "keys", "recursive", "integer"],
)
def test_an_answer_without_a_json_form_has_failed(replayed, value):
    """It is garbage: no caller could have got it over the wire."""
    found = replayed(lambda user: value, legacy=returned([]))
    assert (found.outcome, found.differences[0].enhanced["type"]) == (Outcome.FAILED, "Garbage")


def test_answers_are_compared_in_the_form_of_the_wire(replayed):
    """A tuple, a set or a dataclass on both sides is what JSON makes of it."""
    assert replayed(lambda user: ("a", {2, 1}), legacy=returned(("a", {1, 2}))).outcome == Outcome.MATCH


def test_a_comparator_that_breaks_is_inconclusive(replayed, monkeypatch):
    """An error of ours costs one verdict, counts against the gate, and names its class alone."""

    def broken(pair) -> Iterator[Difference]:
        yield Difference("$", Kind.CHANGED, Severity.MAJOR)
        raise ZeroDivisionError("ann@example.com")

    entry = registry.Entry(broken, registry._DEFAULT.schema)
    monkeypatch.setitem(registry._entries, "note.list", entry)
    found = replayed(lambda user: 2, legacy=returned(1))
    assert (found.outcome, found.reason) == (Outcome.INCONCLUSIVE, "comparator raised ZeroDivisionError")


def test_a_judge_that_breaks_is_inconclusive(replayed, monkeypatch):
    """Whatever of ours raises around the comparison, the lane goes on."""
    monkeypatch.setattr(judging, "judge", never)
    found = replayed(lambda user: 2, legacy=returned(1))
    assert (found.outcome, found.reason) == (Outcome.INCONCLUSIVE, "engine:AssertionError")


def test_a_capture_without_a_legacy_side_is_inconclusive(replayed):
    """There is nothing to compare with."""
    assert replayed(lambda user: 2, legacy=msgspec.UNSET).outcome == Outcome.INCONCLUSIVE


@pytest.mark.parametrize("args", [{"user": "ann", "colour": 1}, {}, [1], "ann"], ids=str)
def test_arguments_that_enhanced_does_not_take_end_in_one_finding(client, args):
    """An enhanced callable of another signature, or a line of another client: no exception leaves the replay."""
    client.operation("note.list", kind="read", user="user")(lambda user: user).enhanced(lambda user: user)
    capture = captured(returned(1), args=None)
    capture = msgspec.structs.replace(capture, args=msgspec.Raw(msgspec.json.encode(args)))
    found = Replayer(client.operations, 1.0).replay(due(capture)).finding
    assert found.outcome in (Outcome.FAILED, Outcome.INCONCLUSIVE)


# --- excluded before any look


def test_a_write_that_legacy_raised_on_is_not_replayed(replayed):
    """Nothing was written that could be repeated."""
    found = replayed(never, legacy=raised(), kind="write", op="note.save")
    assert (found.outcome, found.reason) == (Outcome.EXCLUDED, "legacy_raised")


def test_a_write_that_was_cut_off_is_not_replayed(replayed):
    """A cancelled write may or may not have happened."""
    found = replayed(never, legacy=raised("CancelledError", "", interrupted=True), kind="write", op="note.save")
    assert (found.outcome, found.reason) == (Outcome.EXCLUDED, "legacy_raised")


@pytest.mark.parametrize("kind", ["read", "generate"])
def test_a_read_that_was_cut_off_is_not_compared(replayed, kind):
    """The caller went away: legacy's outcome is none."""
    found = replayed(never, legacy=raised("CancelledError", "", interrupted=True), kind=kind)
    assert (found.outcome, found.reason) == (Outcome.EXCLUDED, "interrupted")


def test_a_read_that_legacy_raised_on_is_compared(replayed):
    """An exception is an outcome like another."""
    assert replayed(raising(ValueError("no")), legacy=raised()).outcome == Outcome.MATCH


@pytest.mark.parametrize("kind", ["read", "generate"])
def test_a_late_read_is_not_replayed(replayed, kind):
    """It could not be replayed in its place any more."""
    found = replayed(never, legacy=returned(1), kind=kind, late=True)
    assert (found.outcome, found.reason, found.enhanced_returned) == (Outcome.EXCLUDED, "late", False)


def test_a_late_write_is_replayed_and_not_compared(replayed):
    """What it stored is needed by later reads."""
    stored = []

    def enhanced(user):
        stored.append(user)

    found = replayed(enhanced, legacy=returned(1), kind="write", op="note.save", late=True)
    assert (found.outcome, found.reason, found.enhanced_returned) == (Outcome.EXCLUDED, "late", True)
    assert stored == ["ann"]


def test_a_late_write_that_enhanced_raises_on_has_failed(replayed):
    """Exclusion removes a call from comparison only."""
    found = replayed(raising(OSError("disk")), legacy=returned(1), kind="write", op="note.save", late=True)
    assert found.outcome == Outcome.FAILED


@pytest.mark.parametrize("message", ["no", "not again"])
def test_a_late_write_that_both_sides_refuse_is_not_compared(replayed, message):
    """Behind its place in the order the reasons for refusing may be others: no verdict is fair."""
    side = raised("RefusedError", "no", rejected=True)
    found = replayed(raising(RefusedError(message)), legacy=side, kind="write", op="note.save", late=True)
    assert (found.outcome, found.reason) == (Outcome.EXCLUDED, "late")


@pytest.mark.parametrize(
    ("enhanced", "outcome"),
    [
        (raising(RefusedError("no")), Outcome.MATCH),
        (raising(RefusedError("not like this")), Outcome.DIVERGED),
        (lambda user: 1, Outcome.DIVERGED),
    ],
    ids=["both refuse", "in other words", "enhanced takes it"],
)
def test_a_write_refused_on_purpose_is_compared(replayed, enhanced, outcome):
    """Both sides must refuse."""
    side = raised("RefusedError", "no", rejected=True)
    assert replayed(enhanced, legacy=side, kind="write", op="note.save").outcome == outcome


# --- parked


def test_an_unknown_operation_is_parked_with_its_line(client):
    """Nobody here can replay it; a person, or a newer worker, can."""
    capture = captured(returned(1), op="other.call")
    found = Replayer(client.operations, 1.0).replay(due(capture)).finding
    assert (found.outcome, found.reason, found.operation) == (Outcome.PARKED, "unknown_operation", "other.call")
    assert found.payload == encode(capture)


def test_an_operation_without_an_enhanced_side_is_parked(replayed):
    """There is nothing to compare with."""
    found = replayed(None, legacy=returned(1))
    assert (found.outcome, found.reason) == (Outcome.PARKED, "no_enhanced_callable")


def test_a_line_that_is_no_capture_is_parked():
    """Under its place in the lane, without a user."""
    found = unreadable(Due(LaneItem((17, "9-0/0"), b"\xff\x00", reason="malformed"), late=False))
    assert (found.outcome, found.reason, found.payload) == (Outcome.PARKED, "malformed", b"\xff\x00")
    assert (found.capture_id, found.called_at_us, found.user) == ("9-0/0", 17, "")


def test_a_replay_that_was_given_up_has_failed():
    """The reason says how long it was waited for."""
    found = timed_out(captured(returned(1)), 2.5)
    assert (found.outcome, found.reason) == (Outcome.FAILED, "timeout: no answer within 2.5 s")


@pytest.mark.parametrize("kind", ["read", "write"])
def test_a_judgement_that_was_given_up_is_inconclusive(client, kind):
    """Enhanced has not failed; whether it has the write is not known, and is looked after."""
    capture = captured(returned(1), kind=kind)
    client.operation("note.list", kind=kind, user="user")(lambda user: None)
    given_up = Replayer(client.operations, timeout_s=5.0).given_up(capture, judging=True)
    finding = given_up.finding
    assert (finding.outcome, finding.reason) == (Outcome.INCONCLUSIVE, "comparator: no verdict in time")
    assert (given_up.opening is not None) == (kind == "write")


def test_a_replay_that_was_given_up_is_in_a_group():
    """As any other failure: `gnomon groups` must not be silent about an enhanced system that hangs."""
    assert [kept.kind for kept in timed_out(captured(returned(1)), 2.5).differences] == ["failure"]


# --- what the enhanced callable is given


def test_the_call_is_visible_to_enhanced(replayed):
    """Capture id as the idempotency key, shadow, and what legacy returned; gone afterwards."""
    seen = []

    def enhanced(user):
        current = call()
        seen.append((current.capture_id, current.shadow, current.origin))
        return {"id": 8}

    assert replayed(enhanced, legacy=returned({"id": 8}), kind="write", op="note.save").outcome == Outcome.MATCH
    assert seen == [("p-1", True, {"id": 8})]
    assert call() is None


def test_there_is_no_origin_where_legacy_raised(replayed):
    """A refused write has nothing to copy."""
    seen = []

    def enhanced(user):
        seen.append(call().origin)
        raise RefusedError("no")

    side = raised("RefusedError", "no", rejected=True)
    assert replayed(enhanced, legacy=side, kind="write", op="note.save").outcome == Outcome.MATCH
    assert seen == [None]


def test_what_enhanced_does_to_the_origin_changes_no_verdict(replayed):
    """An enhanced callable that edits what legacy returned and gives it back has not answered like legacy."""

    def enhanced(user):
        stored = call().origin
        stored["text"] = "edited"
        return stored

    found = replayed(enhanced, legacy=returned({"id": 8, "text": "hello"}), kind="write", op="note.save")
    assert found.outcome == Outcome.DIVERGED


def test_what_enhanced_does_to_its_arguments_is_not_told_to_the_judge(replayed, monkeypatch):
    """Comparators decide by the call as it was made."""
    judged, original = [], judging.judge
    monkeypatch.setattr(judging, "judge", lambda *args, call: judged.append(call) or original(*args, call=call))

    def enhanced(user, tags):
        tags.clear()

    replayed(enhanced, legacy=returned([]), args={"user": "ann", "tags": {"a": 1}})
    assert judged[0].args == {"user": "ann", "tags": {"a": 1}}


def test_arguments_come_in_the_types_that_legacy_declares(replayed):
    """JSON has no tuples: enhanced gets what a live caller would have passed."""
    seen = []
    replayed(lambda user, tags: seen.append(tags), legacy=returned(None), args={"user": "ann", "tags": ["a", "b"]})
    assert seen == [("a", "b")]


def test_the_judge_is_told_the_call_and_the_context(replayed, monkeypatch):
    """User, arguments and time of the live call; the texts that enhanced drew on; both durations."""
    told = []

    def judge(operation, legacy, enhanced, *, call):
        told.append((operation, legacy, enhanced, call))
        return original(operation, legacy, enhanced, call=call)

    original = judging.judge
    monkeypatch.setattr(judging, "judge", judge)

    def enhanced(user):
        call().add_context("she likes tea", "her flat has two rooms")
        call().add_context("it is May")
        return "hello again"

    assert replayed(enhanced, legacy=returned("hello"), kind="generate", op="say.hello").outcome == Outcome.DIVERGED
    [(operation, legacy, observed, made)] = told
    assert operation == "say.hello"
    assert observed.context == ("she likes tea", "her flat has two rooms", "it is May")
    assert isinstance(made, JudgedCall)
    assert (made.user, made.args, made.at.timestamp()) == ("ann", {"user": "ann"}, START_US / 1e6)
    assert legacy.duration_ms == 0.007
    assert observed.duration_ms >= 0


# --- the same to the byte


def test_answers_that_are_the_same_to_the_byte_are_not_read(replayed, monkeypatch):
    """Nobody is asked to judge them."""
    monkeypatch.setattr(judging, "judge", never)
    memories = [{"id": n, "text": "hello", "tags": {"b": 1, "a": 2}} for n in range(10)]
    found = replayed(lambda user: memories, legacy=returned(memories))
    assert (found.outcome, found.enhanced_returned, found.reason) == (Outcome.MATCH, True, "")


@pytest.mark.parametrize("kind", ["read", "write", "generate"])
def test_the_same_to_the_byte_and_beyond_a_fence_is_judged_as_ever(replayed, kind):
    """Too deep: equal or not, nobody can tell in time."""
    deep: list = []
    for _ in range(80):
        deep = [deep]
    assert replayed(lambda user: deep, legacy=returned(deep), kind=kind).outcome == Outcome.INCONCLUSIVE


def test_what_legacy_returned_is_the_same_each_time_that_it_is_asked_for(replayed):
    """Enhanced may look at it twice."""
    seen = []
    replayed(lambda user: seen.extend([call().origin, call().origin]), legacy=returned({"id": 1}))
    assert seen[0] == {"id": 1}
    assert seen[0] is seen[1]


@pytest.mark.parametrize(
    "legacy", [raised("RefusedError", "no", rejected=True), returned(None)], ids=["raised", "None"]
)
def test_where_legacy_returned_nothing_there_is_no_origin(replayed, legacy):
    """None stands for both."""
    seen = []
    replayed(lambda user: seen.append(call().origin), legacy=legacy, kind="write", op="note.save")
    assert seen == [None]


# --- async


def test_an_async_enhanced_is_awaited(replayed):
    """With the call visible across awaits."""

    async def enhanced(user):
        before = call().capture_id
        await asyncio.sleep(0)
        return [before, call().capture_id]

    assert replayed(enhanced, legacy=returned(["p-1", "p-1"])).outcome == Outcome.MATCH


def test_an_async_enhanced_may_be_a_plain_function_that_returns_a_coroutine(replayed):
    """A lambda around a coroutine function, or functools.partial."""

    async def answer(user, number):
        return [user, number]

    assert replayed(lambda user: answer(user, 1), legacy=returned(["ann", 1])).outcome == Outcome.MATCH


def test_an_async_enhanced_that_takes_too_long_has_failed(client):
    """It is cancelled where it stands."""
    ended = threading.Event()

    async def enhanced(user):
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    client.operation("note.list", kind="read", user="user")(lambda user: user).enhanced(enhanced)
    found = Replayer(client.operations, timeout_s=0.05).replay(due(captured(returned(1), args={"user": "ann"}))).finding
    assert (found.outcome, found.differences[0].enhanced["type"]) == (Outcome.FAILED, "TimeoutError")
    assert ended.is_set()


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), ValueError("x"), asyncio.CancelledError()])
def test_an_async_enhanced_that_raises_has_failed(replayed, error):
    """Whatever it raises, the thread lives."""

    async def enhanced(user):
        raise error

    assert replayed(enhanced, legacy=returned(1)).outcome == Outcome.FAILED


def test_what_an_async_enhanced_keeps_lives_from_call_to_call(replayed):
    """A client with connections belongs to one event loop: a thread has one for all its replays."""
    loops = []

    async def enhanced(user):
        loops.append(asyncio.get_running_loop())
        return 1

    for _ in range(2):
        assert replayed(enhanced, legacy=returned(1), op=f"note.{len(loops)}").outcome == Outcome.MATCH
    assert loops[0] is loops[1]


def test_what_an_async_enhanced_leaves_running_ends_with_it(replayed):
    """The next replay has the loop to itself."""
    ended, tasks = threading.Event(), []

    async def background():
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    async def enhanced(user):
        tasks.append(asyncio.create_task(background()))
        await asyncio.sleep(0)
        return 1

    assert replayed(enhanced, legacy=returned(1)).outcome == Outcome.MATCH
    assert ended.is_set()


def test_replays_side_by_side_see_their_own_call(client):
    """The contextvar is each thread's own."""
    together = threading.Barrier(4)

    def enhanced(user):
        together.wait(5)
        return call().capture_id

    client.operation("note.list", kind="read", user="user")(lambda user: user).enhanced(enhanced)
    replayer, found = Replayer(client.operations, 5.0), []

    def replay_one(name: str) -> None:
        capture = captured(returned(name), id=name, args={"user": "ann"})
        found.append(replayer.replay(due(capture)).finding)

    threads = [threading.Thread(target=replay_one, args=(f"c{n}",)) for n in range(4)]
    for thread in threads:
        contextvars.Context().run(thread.start)
    for thread in threads:
        thread.join()
    assert [one.outcome for one in found] == [Outcome.MATCH] * 4
