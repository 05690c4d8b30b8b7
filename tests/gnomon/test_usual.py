"""The usual way comes to the same as the long one, in Python and in C: captured, counted, returned and raised."""

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gnomon import Gnomon
from gnomon.calling import Call, calling
from gnomon.flags import LONGEST_USER, StoredFlags
from gnomon.hashing import BUCKETS, bucket_of, user_digest
from gnomon.live_call import buffered_of
from gnomon.readiness import Readiness
from gnomon.usual import PLAIN, make_of
from gnomon.wire import Phase, encode
from tests.gnomon.conftest import MAKES, MEMORY, ON, Async
from tests.gnomon.test_forking import child_ended_well, end_where_it_hangs

# --- the same as the long way


class Text(str):
    """Not quite text."""

    __slots__ = ()


class RejectedError(ValueError):
    """Said on purpose."""


def circular() -> list[Any]:
    found: list[Any] = []
    found.append(found)
    return found


#: what a call is given: positional, by name
CALLS: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "in order": (("ann", {"b": [1, 2.5, None]}, 3), {}),
    "defaults": (("ann",), {}),
    "one default": (("ann", "y"), {}),
    "by name": ((), {"count": 2, "user": "ann", "item": [True]}),
    "user by name": ((), {"user": "ann"}),
    "some by name": (("ann",), {"count": 4}),
    "unknown name": (("ann",), {"colour": 4}),
    "twice": (("ann", "y"), {"user": "bob"}),
    "too many": (("ann", "x", 1, 2), {}),
    "too few": ((), {}),
    "too few by name": ((), {"item": "x", "count": 1}),
    "no user": ((None,), {}),
    "empty user": (("",), {}),
    "longest user": (("u" * LONGEST_USER,), {}),
    "too long a user": (("u" * (LONGEST_USER + 1),), {}),
    "a number for a user": ((7,), {}),
    "text of its own for a user": ((Text("ann"),), {}),
    "half a character for a user": (("\ud800",), {}),
    "no JSON form": (("ann", object()), {}),
    "circular": (("ann", circular()), {}),
    "sets, times and bytes": (("ann", [{1}, datetime(2026, 1, 1, tzinfo=UTC), b"x"]), {}),
    "oversize": (("ann", "x" * 2_000), {}),
}
ANSWERS: dict[str, Callable[..., Any]] = {
    "text": lambda **_: "old",
    "nothing": lambda **_: None,
    "memories": lambda **_: [{"id": 1, "metadata": {"a": [1.5]}}],
    "set": lambda **_: {"b", "a"},
    "not a number": lambda **_: float("nan"),
    "no JSON form": lambda **_: object(),
    "circular": lambda **_: circular(),
    "oversize": lambda **_: "x" * 2_000,
    "half a character": lambda **_: "\ud800",
    "raises": lambda **_: 1 / 0,
    "rejects": lambda **_: _reject(),
    "is interrupted": lambda **_: _interrupt(),
}


def _reject() -> None:
    raise RejectedError("no")


def _interrupt() -> None:
    raise KeyboardInterrupt


@pytest.fixture
def usual(make, pair, eventually, made_by) -> Callable[..., Any]:
    """Make a pair whose calls may take the usual way from the first one on, and say which took the long one."""

    def bring(kind: str, **options: Any) -> Any:
        environ = {"GNOMON_COMPILED": "off" if made_by is PLAIN else "on", "GNOMON_CAPTURE_BYTES": "2000"}
        client = make(**environ, **options)
        found = pair(client, kind, rejects=() if kind == "read" else RejectedError)
        client._publisher.start()
        assert eventually(lambda: client._state.known)
        client.tap._see_whole(client._bindings["memory.x"])
        found.long, begin = [], client.tap.begin
        client.tap.begin = lambda *given: found.long.append(given) or begin(*given)
        return found

    return bring


def outcome_of(operation: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What the caller saw of it."""
    try:
        return repr(type(operation(*args, **kwargs)))
    except BaseException as error:
        return type(error)


def told(client: Gnomon, captures: Callable[..., Any], funnel: Callable[..., Any], namespace: str) -> Any:
    """All that is kept of a call, without its name and its times."""
    assert client.flush(5)
    found = captures(namespace)
    assert all(capture.start <= capture.end for capture in found)
    timeless = [
        (
            {**msgspec.json.decode(encode(capture)), "id": "", "start": 0, "end": 0},
            msgspec.structs.replace(capture.legacy, duration_us=0, returned=msgspec.UNSET),
        )
        for capture in found
    ]
    for document, _ in timeless:
        document["legacy"].pop("duration_us")
    counted = {name: count for name, count in client.metrics().items() if isinstance(count, int)}
    return timeless, funnel(namespace), counted


@pytest.fixture
def both_ways(usual, captures, funnel):
    """Make a call by both ways, and return what came of it by each."""

    def call(kind: str, answer: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        found = []
        for namespace in ("usual", "long"):
            operation = usual(kind, GNOMON_NAMESPACE=namespace)
            operation.legacy = answer
            if namespace == "long":
                operation.client._bindings["memory.x"].way = None
            outcome = outcome_of(operation, args, kwargs)
            found.append((outcome, operation.given, *told(operation.client, captures, funnel, namespace)))
            if namespace == "usual":
                took_long = bool(operation.long)
        return (*found, took_long)

    return call


UNUSUAL = {name for name in CALLS if name.startswith(("unknown", "tw", "too", "no", "empty", "a number", "text of"))}
UNUSUAL |= {"half a character for a user", "circular"}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["read", "write"])
@pytest.mark.parametrize("given", CALLS)
def test_whatever_a_call_is_given(both_ways, kind, given):
    """The same is captured, counted and handed to legacy, and the same comes back; what is odd goes the long way."""
    usual, long, took_long = both_ways(kind, ANSWERS["text"], *CALLS[given])
    assert (usual, took_long) == (long, given in UNUSUAL)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["read", "write"])
@pytest.mark.parametrize("answer", ANSWERS)
def test_whatever_legacy_does(both_ways, kind, answer):
    """Values of every kind, what has no JSON form or is too large, and exceptions."""
    usual, long, took_long = both_ways(kind, ANSWERS[answer], ("ann",), {})
    assert (usual, took_long) == (long, False)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["read", "write"])
def test_what_is_not_usual_goes_the_long_way(usual, phased, store_readiness, eventually, kind):
    """A call of enhanced's own, shed users, flags that are on, a client that is closed: in this order, each undone."""
    operation = usual(kind)
    client, board = operation.client, operation.client._buffer.board

    def goes_long(user: str = "ann") -> bool:
        operation.long.clear()
        assert operation(user) in {"old", "new"}
        return bool(operation.long)

    assert not goes_long()
    with calling(Call(capture_id="x", shadow=True)):
        assert goes_long()
    client._buffer.shedding.close(3)
    assert goes_long()
    client._buffer.shedding._closed.clear()
    client._buffer.shedding.reopen()
    client._buffer.shedding.take(0)
    assert not goes_long()
    phased("dual", client=client, share=50)  # ann is dual, which is found out once; her writes go to both sides
    assert (goes_long(), goes_long()) == (True, kind == "write")
    outside = next(user for user in map(str, range(100)) if bucket_of(user) >= BUCKETS / 2)
    assert (goes_long(outside), goes_long(outside), goes_long()) == (True, False, kind == "write")
    phased("dual", outside, client=client, share=100)
    assert (goes_long(outside), goes_long(outside)) == (True, kind == "write")
    store_readiness(dual_below=BUCKETS, ready_below=BUCKETS)
    assert eventually(lambda: client.flags.for_user("ann")[MEMORY].phase is Phase.SERVED)
    assert (goes_long(), goes_long()) == (True, True)
    client._state.standing.except_for("ann", 1)  # dual for a moment: nobody remembers it
    assert (goes_long(), goes_long()) == (True, True)
    client._state.standing.own.clear()
    client._state._put_up()
    assert (goes_long(), goes_long()) == (True, True)
    client._state.quiet = True
    client._state._put_up()
    assert not goes_long()
    client.close()
    assert (goes_long(), board.open) == (True, False)


@pytest.mark.slow
def test_a_buffer_that_is_full_refuses_and_counts(usual, server, eventually):
    """Drop-newest, by count: what the usual way finds full is counted as what the long way does."""
    operation = usual("read", GNOMON_BUFFER_CAPTURES="3")
    buffer = operation.client._buffer
    with buffer.board.lock:
        buffer.board.captures += 3
    for _ in range(4):
        assert operation("ann") == "old"
    assert operation.client.metrics()["publish_failed"] == 4
    buffer.acknowledge(3, 0)
    assert operation("ann") == "old"
    assert operation.client.flush(5)
    assert operation.client.metrics()["captured"] == 1


@pytest.mark.slow
def test_a_call_under_way_while_forking_is_the_parents(usual, captures):
    """By the usual way as by the long one: the child, whose parent's lock is held for ever, gets its answer."""
    operation = usual("write")
    lock, children = operation.client._buffer.board.lock, []

    def legacy(**_: Any) -> str:
        lock.acquire()  # as if another thread held it
        children.append(os.fork())
        if children == [0]:
            end_where_it_hangs()
        else:
            lock.release()
        return "old"

    operation.legacy = legacy
    try:
        returned = operation("ann")
    finally:
        if children == [0]:
            os._exit(0 if returned == "old" else 1)
    assert child_ended_well(children[0])
    assert operation.client.flush(5)
    assert (len(captures()), operation.long) == (1, [])


@pytest.mark.slow
def test_what_stood_in_between_is_gone_afterwards(usual):
    """Another tap captures for a while, as a test of the application's does: not a call goes past it."""
    operation = usual("read")
    client, seen = operation.client, []
    before, between = client.tap, type("Between", (), {"begin": lambda _, *given: seen.append(given)})()
    client.tap = between
    assert (operation("ann"), len(seen)) == ("old", 1)
    client.tap = before
    for _ in range(2):
        operation("ann")
    assert (len(seen), len(operation.long)) == (1, 1)  # the first finds the way again


@pytest.mark.slow
@pytest.mark.parametrize("style", [Async])
def test_an_async_call_is_cancelled_as_ever(usual, captures):
    """A caller who goes away: the capture says that legacy was interrupted."""
    operation = usual("read")
    operation.legacy = lambda **_: asyncio.sleep(60)

    async def cancelled() -> None:
        task = asyncio.ensure_future(operation.operation("ann"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    assert operation.client.flush(5)
    [capture] = captures()
    assert (capture.legacy.raised.type, capture.legacy.raised.interrupted) == ("CancelledError", True)


@pytest.mark.slow
def test_enhanced_may_come_late(phased, made_by, captures):
    """An operation without one is everybody's shadow; from the moment that it has one the flags decide."""
    client = phased("dual", GNOMON_COMPILED="off" if made_by is PLAIN else "on")
    operation = client.operation("memory.x", kind="read", user="user", flag=MEMORY)(recent)
    for _ in range(3):
        operation("ann")
    operation.enhanced(recent)
    for _ in range(3):
        operation("ann")
    assert client.flush(5)
    assert [capture.phase for capture in captures()] == [Phase.SHADOW] * 3 + [Phase.DUAL] * 3


def test_compiled_code_can_be_done_without(made_by):
    """`GNOMON_COMPILED=off` takes the one in Python; else what there is."""
    assert make_of(compiled=made_by is not PLAIN) is made_by


# --- whatever the flags become


def recent(user: str, item: object = "x") -> object:
    """Answer with what it is asked for."""
    return item


USERS = ("ann", "bob", "cy", "dora")
SOME = st.frozensets(st.sampled_from(USERS), max_size=2)
BELOW = st.sampled_from([0, BUCKETS // 2, BUCKETS])
OFTEN = st.sampled_from([True, True, True, False])
FLAGS = st.builds(
    lambda on, share, enabled, disabled, lowers: {
        "flags": {**dict.fromkeys(ON, on), "rollout_percentage": share},
        "enabled": enabled, "disabled": disabled - enabled, "lowers": lowers,
    },
    OFTEN, st.sampled_from([0.0, 25.0, 60.0, 100.0]), SOME, SOME, st.booleans(),
)  # fmt: skip
#: what a beat may bring, and an exception that is found before the next one
BEATS = st.fixed_dictionaries(
    {"exceptions": SOME, "alive": OFTEN},
    optional={
        "flags": FLAGS,
        "readiness": st.fixed_dictionaries({"dual_below": BELOW, "ready_below": BELOW}),
        "found": st.sampled_from(USERS),
    },
)
#: to begin with everybody is served, or a few are dual and the others in shadow
BEGINNINGS: list[dict[str, Any]] = [
    {
        "exceptions": frozenset(),
        "alive": True,
        "flags": {"flags": {**ON, "rollout_percentage": share}, "lowers": False},
        "readiness": {"dual_below": ready, "ready_below": ready},
    }
    for share, ready in ((100.0, BUCKETS), (25.0, 0))
]


def beat(client: Gnomon, number: int, brought: dict[str, Any], lowered: int) -> int:
    """Have a client take in what a beat brings; returns the version at which flags were last lowered."""
    state, version = client._state, str(number).encode()
    documents: list[Any] = [str(state.stored.version).encode(), b"", b"%d" % state.standing.shared.version, b""]
    if "flags" in brought:
        told = dict(brought["flags"])
        lowered = number if told.pop("lowers") else lowered
        documents[:2] = [version, msgspec.json.encode(StoredFlags(version=number, lowered=lowered, **told))]
    if "readiness" in brought:
        ready = Readiness(version=number, lowered=lowered, **brought["readiness"])
        documents[2:] = [version, msgspec.json.encode(ready)]
    state.killed = not brought["alive"]
    client._publisher._marked = {user: (number, since) for user, since in state.standing.own.items()}  # come back now
    excepted = [part for user in sorted(brought["exceptions"]) for part in (user_digest(user).encode(), b"1")]
    client._publisher._take([*documents, version, excepted])
    return lowered


@settings(max_examples=300)
@given(
    st.sampled_from(BEGINNINGS),
    st.lists(BEATS, min_size=1, max_size=8),
    st.sampled_from([name for name, make in MAKES.items() if make]),
)
def test_a_call_is_made_in_the_phase_that_is_in_force(beginning, beats, made_by):
    """However flags, readiness and exceptions change: by the usual way as by the long one, from the first call on."""
    compiled = "off" if MAKES[made_by] is PLAIN else "on"
    client = Gnomon.from_env({"GNOMON_REDIS_URL": "redis://127.0.0.1:1/0", "GNOMON_COMPILED": compiled})
    client._publisher.start = lambda: None
    board, lowered = client._buffer.board, 0
    board.open = True
    operations = [client.operation(kind, kind=kind, user="user", flag=MEMORY)(recent) for kind in ("read", "write")]
    for operation in operations:
        operation.enhanced(recent)
    for number, brought in enumerate([beginning, *beats], start=1):
        lowered = beat(client, number, brought, lowered)
        for user in (*USERS, *USERS):
            if user == brought.get("found"):
                client._state.standing.except_for(user, number)
            for operation in operations:
                operation(user)
                expected = client._state.decide(MEMORY, user)
                call = buffered_of(board.items[-1]).live
                assert (call.phase, call.flags) == (expected.phase, client._state.stored.version)
        board.items.clear()
