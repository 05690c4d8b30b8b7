"""Whatever enhanced does on the live path, the caller gets legacy's answer: in time, unharmed, and it is counted."""

import asyncio
import contextvars
import os
import subprocess
import sys
import threading
import time
from typing import Any

import msgspec
import pytest

from gnomon import call
from gnomon.breaker import IN_A_ROW, OPEN_S, Breaker, BreakerState
from gnomon.flags import Reason
from gnomon.keys import Keys
from gnomon.switchboard import store_flags
from gnomon.wire import Phase

pytestmark = [pytest.mark.slow, pytest.mark.fallback]

MEMORY = "enhanced_memory_enabled"
LONG_S = 30.0
VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("fallback", default="unset")


def reasons(operation):
    return operation.metrics()["fallbacks_by_reason"]


# --- errors


@pytest.mark.parametrize("kind", ["read", "generate"])
@pytest.mark.parametrize("error", [RuntimeError("x"), TimeoutError(), OSError(111, "refused"), RecursionError()])
def test_any_exception_of_enhanced_is_answered_by_legacy(phased, pair, raising, kind, error):
    """Also those that look like our own time limit: what enhanced raised is an error, counted by its class."""
    operation = pair(phased("served"), kind, timeout_s=5)
    operation.enhanced = raising(error)
    assert operation("ann") == "old"
    assert reasons(operation) == {"error": 1}
    assert operation.metrics()["errors_by_kind"] == {type(error).__name__: 1}


def test_an_exception_that_cannot_say_what_it_is(phased, pair, raising, captures):
    """Not even its message can hurt the call, or its capture."""

    class UnspeakableError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no words")

    client = phased("served")
    operation = pair(client, "read")
    operation.enhanced = raising(UnspeakableError())
    assert operation("ann") == "old"
    assert client.flush(5)
    assert [(c.enhanced.raised.type, c.enhanced.raised.message) for c in captures()] == [("UnspeakableError", "")]


def test_legacy_fails_too_with_a_cause_of_its_own(phased, pair, raising):
    """The caller gets legacy's exception with its own cause, and enhanced's at the end of that chain."""
    operation = pair(phased("served"), "read")
    enhanced = RuntimeError("enhanced is not well")

    def legacy(**_: Any) -> Any:
        try:
            raising(OSError("no connection"))()
        except OSError as error:
            raise LookupError("no such flat") from error

    operation.legacy, operation.enhanced = legacy, raising(enhanced)
    with pytest.raises(LookupError) as caught:
        operation("ann")
    cause = caught.value.__cause__
    assert isinstance(cause, OSError)
    assert caught.value.__context__ is cause
    assert cause.__context__ is enhanced


def test_both_sides_raising_one_object_makes_no_circle(phased, pair, raising):
    """A shared exception is not chained to itself."""
    operation, error = pair(phased("served"), "read"), ValueError("full")
    operation.legacy = operation.enhanced = raising(error)
    with pytest.raises(ValueError, match="full") as caught:
        operation("ann")
    assert caught.value is error
    assert error.__context__ is None


# --- time limits, sync


def test_a_late_answer_is_not_waited_for(phased, sync_pair, release):
    """The caller is answered by legacy while enhanced still hangs on its thread."""
    operation = sync_pair(phased("served"), "read", timeout_s=0.02)
    ended = threading.Event()

    def enhanced(**_: Any) -> str:
        release.wait(LONG_S)
        ended.set()
        return "late"

    operation.enhanced = enhanced
    assert operation("ann") == "old"
    assert not ended.is_set()
    assert reasons(operation) == {"timeout": 1}
    assert operation.metrics()["errors_by_kind"] == {"timeout": 1}
    release.set()
    assert ended.wait(5)
    assert operation.metrics()["fallbacks"] == 1  # what came late is thrown away


def test_the_callers_context_is_seen_in_the_pool(phased, sync_pair):
    """With a time limit enhanced runs on another thread, with the caller's contextvars and its own `gnomon.call()`."""
    operation = sync_pair(phased("served"), "read", timeout_s=5)
    seen: list[Any] = []

    def enhanced(**_: Any) -> str:
        seen.extend([VARIABLE.get(), call().shadow, threading.current_thread().name])
        VARIABLE.set("by enhanced")
        return "new"

    operation.enhanced = enhanced
    around = {"before": lambda: VARIABLE.set("by the caller"), "after": lambda: seen.append(VARIABLE.get())}
    assert operation("ann", **around) == "new"
    assert seen == ["by the caller", False, "gnomon-enhanced", "by the caller"]


def test_without_a_time_limit_enhanced_runs_on_the_callers_thread(phased, sync_pair):
    """Then its contextvars are the caller's."""
    operation = sync_pair(phased("served"), "read")
    seen: list[Any] = []
    operation.enhanced = lambda **_: seen.append(threading.current_thread()) or "new"
    assert operation("ann") == "new"
    assert seen == [threading.current_thread()]


def test_a_full_pool_asks_no_further(phased, sync_pair, release, eventually):
    """So many hanging calls take all places; the next goes to legacy at once, counted; released places serve again."""
    operation = sync_pair(phased("served", GNOMON_ENHANCED_THREADS="2"), "read", timeout_s=0.02)
    operation.enhanced = lambda **_: release.wait(LONG_S) and "new"
    assert [operation("ann") for _ in range(3)] == ["old"] * 3
    assert operation.calls.count("enhanced") == 2
    assert reasons(operation) == {"timeout": 2, "pool_full": 1}
    assert operation.metrics()["enhanced_calls"] == 2
    release.set()
    assert eventually(lambda: operation("ann") == "new")


def test_one_place_serves_one_call_after_the_other(phased, sync_pair):
    """A place is free again before its caller goes on: whoever calls in turn never finds the pool full."""
    operation = sync_pair(phased("served", GNOMON_ENHANCED_THREADS="1"), "read", timeout_s=LONG_S)
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        assert {operation("ann") for _ in range(2_000)} == {"new"}
    finally:
        sys.setswitchinterval(usual)
    assert reasons(operation) == {}


# --- time limits, async


def test_a_late_task_is_cancelled(phased, async_pair):
    """Enhanced is told to stop, and legacy answers."""
    operation = async_pair(phased("served"), "read", timeout_s=0.02)
    ended: list[str] = []

    async def hang() -> str:
        try:
            await asyncio.sleep(LONG_S)
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise
        return "late"

    operation.enhanced = lambda **_: hang()

    async def scenario() -> Any:
        answer = await operation.operation("ann")
        await asyncio.sleep(0)
        return answer

    assert asyncio.run(scenario()) == "old"
    assert ended == ["cancelled"]
    assert reasons(operation) == {"timeout": 1}


@pytest.mark.parametrize("afterwards", ["returns", "raises"])
def test_a_task_that_will_not_be_cancelled_is_left(phased, async_pair, afterwards):
    """It runs on, nobody waits for it, and how it ends nobody is told."""
    operation = async_pair(phased("served"), "read", timeout_s=0.02)
    told: list[Any] = []

    async def scenario() -> tuple[Any, bool]:
        let_go, ended = asyncio.Event(), asyncio.Event()
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))

        async def stubborn() -> str:
            try:
                await asyncio.sleep(LONG_S)
            except asyncio.CancelledError:
                await let_go.wait()
            ended.set()
            if afterwards == "raises":
                raise RuntimeError("late and wrong")
            return "late"

        operation.enhanced = lambda **_: stubborn()
        answer, was_running = await operation.operation("ann"), not ended.is_set()
        let_go.set()
        await ended.wait()
        await asyncio.sleep(0)
        return answer, was_running

    assert asyncio.run(scenario()) == ("old", True)
    assert (reasons(operation), told) == ({"timeout": 1}, [])


def test_async_enhanced_sees_the_callers_context(phased, async_pair):
    """With a time limit it is a task of its own, with a copy of the caller's contextvars."""
    operation = async_pair(phased("served"), "read", timeout_s=5)
    seen: list[Any] = []
    operation.enhanced = lambda **_: seen.extend([VARIABLE.get(), call() is not None]) or "new"
    assert operation("ann", before=lambda: VARIABLE.set("by the caller")) == "new"
    assert seen == ["by the caller", True]


# --- invalid results


@pytest.mark.parametrize(
    ("declared", "valid", "invalid"),
    [
        (str, ["new"], [42, None, b"new", ["new"]]),
        (int, [42], ["42", True, 4.2, None]),
        (str | None, ["new", None], [42]),
        (list[dict[str, Any]], [[], [{"id": 1}]], [{}, [1], ({},), None]),
        (None, [None], ["new", 0]),
        (Any, ["new", 42, None, {"a": [1]}], [object(), {"a": object()}]),
    ],
    ids=["str", "int", "str | None", "list", "None", "Any"],
)
def test_an_answer_of_another_type_than_legacy_declares_is_none(phased, pair, declared, valid, invalid):
    """The declared type decides; where none is declared, whether it has a JSON form."""
    operation = pair(phased("served"), "read", returns=declared)
    for value in valid:
        operation.enhanced = lambda value=value, **_: value
        assert operation("ann") == value
    assert reasons(operation) == {}
    client = operation.client
    for value in invalid:
        client.invoker._breakers.clear()
        operation.enhanced = lambda value=value, **_: value
        assert operation("ann") == "old"
    assert reasons(operation) == {"invalid": len(invalid)}


def test_a_coroutine_by_mistake_is_closed(phased, sync_pair):
    """A sync operation whose enhanced side forgot to await: legacy answers, and nobody is warned."""

    async def forgotten() -> str:
        return "new"

    operation = sync_pair(phased("served"), "read", returns=Any)
    operation.enhanced = lambda **_: forgotten()
    assert operation("ann") == "old"
    assert reasons(operation) == {"invalid": 1}


def test_arguments_without_a_copy_are_legacys_alone(phased, pair):
    """Enhanced never gets the caller's own objects, so what has no JSON form it does not get at all."""
    operation = pair(phased("served"), "read")
    assert operation("ann", item=object()) == "old"
    assert operation.calls == ["legacy"]
    assert reasons(operation) == {"no_copy": 1}
    assert operation.metrics()["enhanced_calls"] == 0


@pytest.mark.parametrize("kind", ["read", "generate"])
def test_a_dual_user_with_such_arguments_is_served_as_ever(phased, pair, kind):
    """What legacy alone answers needs no copy; nothing of ours goes wrong over it."""
    client = phased("dual")
    operation = pair(client, kind)
    assert operation("ann", item=object()) == "old"
    assert client.metrics()["capture_errors"] == {"arguments:TypeError": 1}
    assert (client.metrics()["legacy_calls"], client.metrics()["unserialisable"]) == (1, 1)


def test_a_dual_write_whose_origin_has_no_copy(phased, pair, eventually, server):
    """Legacy's answer stands, enhanced is not asked, and legacy serves the user until the write was replayed."""
    operation = pair(phased("served"), "write")
    answer = object()
    operation.legacy = lambda **_: answer
    assert operation("ann") is answer
    assert operation.calls == ["legacy"]
    assert operation.phase() is Phase.DUAL
    assert eventually(lambda: server.hlen(Keys("default").unready) > 1)


# --- the breaker


@pytest.fixture
def clock():
    """A clock that is set by hand."""

    class Clock:
        now = 1_000.0

        def __call__(self) -> float:
            return self.now

    return Clock()


def broken(operation, clock):
    """Give an operation a breaker with a clock of the test's, and let enhanced fail until it opens."""
    breaker = operation.client.invoker._breakers[operation.name] = Breaker(clock)
    healthy, operation.enhanced = operation.enhanced, _failing
    for _ in range(IN_A_ROW):
        assert operation("ann") == "old"
    assert breaker.state is BreakerState.OPEN
    operation.enhanced = healthy
    operation.calls.clear()
    return breaker


def _failing(**_: Any) -> Any:
    raise ConnectionError("enhanced is away")


def test_an_outage_opens_the_breaker_and_recovery_closes_it(phased, pair, clock):
    """Open: enhanced is not asked, at no cost; after a while one call tries; where that succeeds, all are asked."""
    operation = pair(phased("served"), "read")
    breaker = broken(operation, clock)
    assert [operation("ann") for _ in range(20)] == ["old"] * 20
    assert operation.calls == ["legacy"] * 20
    assert reasons(operation) == {"error": IN_A_ROW, "breaker": 20}
    assert operation.client.health().details["breakers"] == {"memory.x": "open"}
    assert operation.client.health().status == "degraded"
    clock.now += OPEN_S
    assert breaker.state is BreakerState.TRYING
    assert operation("ann") == "new"
    assert breaker.state is BreakerState.CLOSED
    assert operation("ann") == "new"
    assert operation.client.health().status == "healthy"


def test_a_trial_that_fails_keeps_it_open(phased, pair, clock):
    """One failure, and nobody else is sent there for as long again."""
    operation = pair(phased("served"), "read")
    breaker = broken(operation, clock)
    operation.enhanced = _failing
    clock.now += OPEN_S
    assert [operation("ann") for _ in range(5)] == ["old"] * 5
    assert operation.calls.count("enhanced") == 1
    assert breaker.state is BreakerState.OPEN


def test_a_late_answer_counts_against_enhanced(phased, pair, release, clock):
    """An enhanced that hangs is an outage too: after a few, nobody waits any more."""
    operation = pair(phased("served"), "read", timeout_s=0.01)
    operation.client.invoker._breakers["memory.x"] = Breaker(clock)
    operation.enhanced = lambda **_: operation.style.hang(release)
    assert [operation("ann") for _ in range(IN_A_ROW + 3)] == ["old"] * (IN_A_ROW + 3)
    assert reasons(operation) == {"timeout": IN_A_ROW, "breaker": 3}


def test_each_operation_has_a_breaker_of_its_own(phased, pair, clock):
    """Chat goes on while memory is away."""
    client = phased("served")
    broken(pair(client, "read"), clock)
    assert pair(client, "read", "memory.y")("ann") == "new"


def test_refusing_what_legacy_refuses_is_no_outage(phased, pair, raising, clock):
    """Both raise the same class: enhanced is well."""
    operation = pair(phased("served"), "read")
    breaker = operation.client.invoker._breakers["memory.x"] = Breaker(clock)
    operation.legacy, operation.enhanced = raising(KeyError("no flat")), raising(KeyError("no flat"))
    for _ in range(3 * IN_A_ROW):
        with pytest.raises(KeyError):
            operation("ann")
    assert breaker.state is BreakerState.CLOSED


@pytest.mark.parametrize("interruption", [SystemExit, asyncio.CancelledError])
def test_an_interruption_is_no_outage(phased, pair, raising, clock, interruption):
    """A process that ends tells nothing of enhanced."""
    operation = pair(phased("served"), "read")
    breaker = operation.client.invoker._breakers["memory.x"] = Breaker(clock)
    operation.enhanced = raising(interruption())
    for _ in range(2 * IN_A_ROW):
        with pytest.raises(interruption):
            operation("ann")
    assert breaker.state is BreakerState.CLOSED


def test_writes_while_the_breaker_is_open_leave_their_user_to_legacy(phased, pair, clock, captures):
    """Legacy has them, enhanced is not asked, the worker will replay them; until then legacy answers that user."""
    client = phased("served")
    operation, read = pair(client, "write"), pair(client, "read", "memory.y")
    broken(operation, clock)
    assert (operation("ben"), operation.calls) == ("old", ["legacy"])
    assert (operation.phase("ben"), read("ben")) == (Phase.DUAL, "old")
    assert client.flush(5)
    [capture] = [capture for capture in captures() if capture.user == "ben" and capture.kind == "write"]
    assert capture.enhanced is msgspec.UNSET


# --- cancellation of the caller


def cancelled(operation, *, entered: asyncio.Event, timeout_s: float | None = None) -> Any:
    """Cancel the task that calls, once the side that it waits for was entered."""

    async def scenario() -> None:
        task = asyncio.ensure_future(operation.operation("ann"))
        await entered.wait()
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(scenario())


async def _hang_in(entered: asyncio.Event) -> None:
    entered.set()
    await asyncio.sleep(LONG_S)


@pytest.mark.parametrize("timeout_s", [None, LONG_S])
@pytest.mark.parametrize("phase", ["dual", "served"])
def test_a_cancelled_dual_write_is_cancelled_and_captured(
    phased, async_pair, captures, server, eventually, phase, timeout_s
):
    """Legacy has stored it: the cancellation goes on to the caller, the write lies in its lane to be replayed."""
    client, entered = phased(phase), asyncio.Event()
    operation = async_pair(client, "write", timeout_s=timeout_s)
    operation.enhanced = lambda **_: _hang_in(entered)
    cancelled(operation, entered=entered)
    assert client.flush(5)
    [capture] = captures()
    assert msgspec.json.decode(capture.legacy.returned) == "old"
    assert capture.enhanced.raised.interrupted
    assert operation.phase() is Phase.DUAL  # enhanced may lack it
    assert eventually(lambda: server.hlen(Keys("default").unready) > 1)


@pytest.mark.parametrize("phase", ["shadow", "dual", "served"])
def test_a_write_cancelled_in_legacy_asks_no_further(phased, async_pair, captures, phase):
    """Whether legacy has stored it nobody knows: that is captured."""
    client, entered = phased(phase), asyncio.Event()
    operation = async_pair(client, "write")
    operation.legacy = lambda **_: _hang_in(entered)
    cancelled(operation, entered=entered)
    assert operation.calls == ["legacy"]
    assert client.flush(5)
    [capture] = captures()
    assert capture.legacy.raised.interrupted


@pytest.mark.parametrize("timeout_s", [None, LONG_S])
def test_a_cancelled_read_is_no_fallback(phased, async_pair, timeout_s):
    """Nobody waits for an answer any more, so legacy is not asked for one."""
    client, entered = phased("served"), asyncio.Event()
    operation = async_pair(client, "read", timeout_s=timeout_s)
    operation.enhanced = lambda **_: _hang_in(entered)
    cancelled(operation, entered=entered)
    assert operation.calls == ["enhanced"]
    assert reasons(operation) == {}


def test_the_callers_own_time_limit_is_kept(phased, async_pair):
    """`asyncio.timeout` around a dual write ends it as around any other call."""
    operation = async_pair(phased("dual"), "write")
    operation.enhanced = lambda **_: asyncio.sleep(LONG_S)

    async def scenario() -> None:
        async with asyncio.timeout(0.02):
            await operation.operation("ann")

    with pytest.raises(TimeoutError):
        asyncio.run(scenario())


# --- what enhanced does to what it was given


@pytest.mark.parametrize("timeout_s", [None, 5])
def test_arguments_that_enhanced_changes_are_its_own(phased, pair, captures, timeout_s):
    """Neither the caller, nor legacy after a fallback, nor the capture sees it."""
    client = phased("served")
    operation = pair(client, "read", timeout_s=timeout_s)
    seen: list[Any] = []

    def enhanced(item: Any, **_: Any) -> Any:
        item["tags"].append("mine")
        raise RuntimeError("and failed")

    operation.enhanced = enhanced
    operation.legacy = lambda item, **_: seen.append(item) or "old"
    given = {"tags": ["a"]}
    assert operation("ann", given) == "old"
    assert given == {"tags": ["a"]}
    assert seen[0] is given
    assert client.flush(5)
    assert msgspec.json.decode(captures()[0].args)["item"] == {"tags": ["a"]}


def test_the_origin_that_enhanced_changes_is_its_own(phased, pair, captures):
    """What legacy returned goes to the caller and into the capture as it was."""
    client = phased("dual")
    operation = pair(client, "write")
    stored = {"id": 7, "tags": ["a"]}
    operation.legacy = lambda **_: stored
    operation.enhanced = lambda **_: call().origin["tags"].append("mine")
    returned = operation("ann")
    assert returned is stored
    assert returned == {"id": 7, "tags": ["a"]}
    assert operation.seen[0].origin == {"id": 7, "tags": ["a", "mine"]}
    assert client.flush(5)
    assert msgspec.json.decode(captures()[0].legacy.returned) == {"id": 7, "tags": ["a"]}


def test_enhanced_learns_which_call_it_serves(phased, pair, captures):
    """`gnomon.call()`: the capture's id, whether the answer goes to a user, and what legacy returned."""
    client = phased("served")
    write, read = pair(client, "write"), pair(client, "read", "memory.y")
    write("ann"), read("ann")
    assert client.flush(5)
    ids = {capture.op: capture.id for capture in captures()}
    assert [(c.capture_id, c.shadow, c.origin) for c in write.seen] == [(ids["memory.x"], True, "old")]
    assert [(c.capture_id, c.shadow, c.origin) for c in read.seen] == [(ids["memory.y"], False, None)]
    assert call() is None


# --- a rollback, and a process that ends


def test_after_a_rollback_writes_wait_but_shortly_for_enhanced(phased, pair, server, eventually, release):
    """Reads are legacy's at once; a write of who was dual still goes to both, within its own short time limit."""
    client = phased("served", GNOMON_DUAL_TIMEOUT_S="0.02")
    write, read = pair(client, "write"), pair(client, "read", "memory.y")
    assert (read("ann"), write("ann")) == ("new", "old")
    store_flags(server, Keys("default"), {MEMORY: False})
    assert eventually(lambda: client.flags.for_user("ann")[MEMORY].reason is Reason.DISABLED)
    assert write.phase() is Phase.DUAL
    write.calls.clear()
    write.enhanced = lambda **_: write.style.hang(release)
    assert (read("ann"), write("ann")) == ("old", "old")
    assert write.calls == ["legacy", "enhanced"]
    assert client.metrics()["errors_by_kind"] == {"timeout": 1}


PROGRAM = """
import asyncio, sys, threading
from gnomon import Gnomon
client = Gnomon.from_env()
never = threading.Event()
mode = sys.argv[1]

@client.operation("memory.x", kind="read", user="user", flag="enhanced_memory_enabled", timeout_s=0.05)
def get(user: str) -> str:
    return "old"

@get.enhanced
def get_enhanced(user):
    never.wait()

@client.operation("memory.y", kind="read", user="user", flag="enhanced_memory_enabled", timeout_s=0.05)
async def get_async(user: str) -> str:
    return "old"

@get_async.enhanced
async def get_async_enhanced(user):
    try:
        await asyncio.sleep(3600)
    except asyncio.CancelledError:
        await asyncio.sleep(3600)

while client.flags.for_user("ann")["enhanced_memory_enabled"].phase != "served":
    threading.Event().wait(0.01)
answers = [asyncio.run(get_async("ann")) if mode == "async" else get("ann") for _ in range(3)]
print(answers, client.metrics()["fallbacks_by_reason"], flush=True)
"""


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_a_hanging_enhanced_hangs_no_process(phased, valkey_url, mode):
    """The caller goes on, and the process ends by itself, with its threads still hanging."""
    phased("served")  # stores the flags
    environ = {**os.environ, "GNOMON_REDIS_URL": valkey_url}
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, mode], env=environ, capture_output=True, text=True, timeout=LONG_S, check=False
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "['old', 'old', 'old'] {'timeout': 3}\n", "")


def test_a_late_answer_costs_its_time_limit_and_no_more(phased, pair, release):
    """The caller waits `timeout_s`, not for as long as enhanced takes."""
    operation = pair(phased("served"), "read", timeout_s=0.05)
    operation.enhanced = lambda **_: operation.style.hang(release)
    began = time.monotonic()
    assert operation("ann") == "old"
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("phase", ["shadow", "dual", "served"])
def test_an_exception_keeps_its_context_where_the_caller_handles_another(phased, pair, raising, phase):
    """A call made inside an `except` block: legacy's exception shows what it would show without us."""
    operation = pair(phased(phase), "read" if phase == "served" else "write")
    enhanced, outer = RuntimeError(), KeyError()

    def legacy(**_: Any) -> Any:
        try:
            raising(OSError("no connection"))()
        except OSError:
            raise LookupError("no such flat")  # noqa: B904

    operation.legacy, operation.enhanced = legacy, raising(enhanced)

    def handling() -> LookupError:
        try:
            raise outer
        except KeyError:
            with pytest.raises(LookupError) as caught:
                operation.operation("ann")
            return caught.value

    async def handling_async() -> LookupError:
        try:
            raise outer
        except KeyError:
            with pytest.raises(LookupError) as caught:
                await operation.operation("ann")
            return caught.value

    raised = asyncio.run(handling_async()) if operation.style.asynchronous else handling()
    chain, link = [], raised.__context__
    while link is not None:
        chain.append(link)
        link = link.__context__
    assert isinstance(chain[0], OSError)
    assert (enhanced in chain) == (phase == "served")
    assert outer.__context__ is None  # the caller's own is left as it was
