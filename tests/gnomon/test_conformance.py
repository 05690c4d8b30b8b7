"""The cases that the best migration libraries pass or break on (`docs/live-path.md`), each sync and async.

LaunchDarkly's table of stages, then cases 1 to 20 of the reference and what it asks of buckets. Cases about judging
judge observations made of real captures.
"""

import asyncio
import contextvars
import inspect
import os
import subprocess
import sys
import threading
import time
import typing
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from comparators import Observation, Verdict, judge, register
from comparators.canonical import MAX_ITEMS
from gnomon import Gnomon, OperationError
from gnomon.flags import EnvironmentFlags, FlagDecision, FlagState, Reason, StoredFlags
from gnomon.hashing import BUCKET_SALT, BUCKETS, SAMPLE_SALT, bucket_of, sampled
from gnomon.health import Health
from gnomon.keys import Keys
from gnomon.readiness import Readiness
from gnomon.settings import ClientSettings
from gnomon.wire import Capture, Phase, Raised, Side

pytestmark = [pytest.mark.slow, pytest.mark.feature_flags]

MEMORY = "enhanced_memory_enabled"
ALL_ON = {"enhanced_memory_enabled": True, "rental_memory_architecture_enabled": True, "rollout_percentage": 100}
L, E = "legacy", "enhanced"

#: phase, share, kind → the sides called, in order; what the caller gets; the sides captured (None: nothing is)
STAGES = [
    ("off", 0, "read", [L], "old", None),
    ("off", 0, "write", [L], "old", None),
    ("off", 0, "generate", [L], "old", None),
    ("shadow", 0, "read", [L], "old", {L}),
    ("shadow", 0, "write", [L], "old", {L}),
    ("shadow", 0, "generate", [L], "old", {L}),
    ("dual", 50, "read", [L], "old", {L}),
    ("dual", 50, "write", [L, E], "old", {L, E}),
    ("dual", 50, "generate", [L], "old", {L}),
    ("served", 50, "read", [E], "new", {E}),
    ("served", 50, "write", [L, E], "old", {L, E}),
    ("served", 50, "generate", [E], "new", {E}),
    ("served", 100, "read", [E], "new", {E}),
    ("served", 100, "write", [L, E], "old", {L, E}),
    ("served", 100, "generate", [E], "new", {E}),
    ("retired", 100, "read", [E], "new", None),
    ("retired", 100, "write", [E], "new", None),
    ("retired", 100, "generate", [E], "new", None),
]


def sides_of(capture: Capture) -> dict[str, Side]:
    """The sides that a capture holds, by name."""
    both = {L: capture.legacy, E: capture.enhanced}
    return {name: side for name, side in both.items() if side is not msgspec.UNSET}


def observed(side: Side) -> Observation:
    """What a side did live, as it is judged."""
    if side.raised is not msgspec.UNSET:
        return Observation.raised(side.raised.type, side.raised.message, duration_ms=side.duration_us / 1_000)
    return Observation.returned(msgspec.json.decode(side.returned), duration_ms=side.duration_us / 1_000)


# --- the table of stages; case 1


@pytest.mark.parametrize(("phase", "share", "kind", "called", "returned", "captured"), STAGES)
def test_stage(phased, pair, captures, phase, share, kind, called, returned, captured):
    """Case 1: exactly those sides are called, in that order, and exactly that value is returned."""
    client = phased(phase, share=share)
    operation = pair(client, kind)
    assert operation("ann") == returned
    assert operation.calls == called
    assert client.flush(5)
    found = captures()
    assert [set(sides_of(capture)) for capture in found] == ([] if captured is None else [captured])
    assert [capture.serving for capture in found] == ([] if captured is None else [E if returned == "new" else L])
    assert [capture.phase for capture in found] == ([] if captured is None else [phase])


# --- cases 2 to 8: what is called, what is answered, what is counted

PAYLOADS = [
    {"text": "ground floor, please", "floor": 0, "height": 2.5, "old": None, "pets": ["Čapek", "犬"], "ok": True},
    [],
    "",
    2**63 - 1,
]


@pytest.mark.parametrize(("phase", "kind", "called"), [(p, k, c) for p, _, k, c, _, _ in STAGES if k != "generate"])
def test_case_02_the_payload_reaches_the_invoked_sides_unchanged(phased, pair, phase, kind, called):
    """Every invoked side gets what the caller gave, positional or by name, defaults filled in; no other side any."""
    operation = pair(phased(phase), kind)
    for item in PAYLOADS:
        operation("ann", item=item)
    expected = [{"user": "ann", "item": item, "count": 1} for item in PAYLOADS]
    for side in (L, E):
        assert operation.given[side] == (expected if side in called else [])


@pytest.mark.parametrize("phase", ["off", "shadow"])
@pytest.mark.parametrize("kind", ["read", "write", "generate"])
def test_case_03_what_the_serving_side_raises_reaches_the_caller(phased, pair, raising, captures, phase, kind):
    """That very exception, unwrapped; in `shadow` it is captured."""
    client = phased(phase)
    operation, error = pair(client, kind), ValueError("no such flat")
    operation.legacy = raising(error)
    with pytest.raises(ValueError, match="no such flat") as caught:
        operation("ann")
    assert caught.value is error
    assert (error.__cause__, error.__context__) == (None, None)
    assert client.flush(5)
    raised = [capture.legacy.raised for capture in captures()]
    assert raised == ([] if phase == "off" else [Raised("ValueError", "no such flat")])


def test_case_04_a_failing_shadow_side_is_recorded_and_harmless(phased, pair, raising, captures):
    """The caller's result is untouched, the error is recorded for the shadow side, and no comparison is counted."""
    client = phased("dual")
    operation = pair(client, "write")
    operation.enhanced = raising(RuntimeError("not yet"))
    assert operation("ann") == "old"
    assert client.flush(5)
    [capture] = captures()
    assert capture.serving == L
    assert capture.enhanced.raised == Raised("RuntimeError", "not yet")
    metrics = client.metrics()
    assert (metrics["errors"], metrics["errors_by_kind"], metrics["fallbacks"]) == (1, {"RuntimeError": 1}, 0)
    judgement = judge("memory.x", observed(capture.legacy), observed(capture.enhanced))
    assert judgement.verdict is Verdict.FAILED


def failing(operation: Any, reason: str, release: threading.Event) -> Callable[..., Any]:
    """An enhanced side that gives no usable answer, by the reason counted."""

    def side(**_: Any) -> Any:
        match reason:
            case "error":
                raise RuntimeError("enhanced is not well")
            case "timeout":
                return operation.style.hang(release)
        return 42

    return side


@pytest.mark.parametrize("kind", ["read", "generate"])
@pytest.mark.parametrize("reason", ["error", "timeout", "invalid"])
def test_case_05_legacy_answers_where_enhanced_does_not(phased, pair, release, captures, kind, reason):
    """Raised, too late, or of another type than legacy declares: legacy's answer, one fallback, its reason."""
    client = phased("served")
    operation = pair(client, kind, timeout_s=0.02 if reason == "timeout" else None)
    operation.enhanced = failing(operation, reason, release)
    assert operation("ann") == "old"
    assert operation.calls == [E, L]
    metrics = client.metrics()
    assert (metrics["fallbacks"], metrics["fallbacks_by_reason"]) == (1, {reason: 1})
    assert (metrics["enhanced_calls"], metrics["legacy_calls"], metrics["errors"]) == (1, 1, 1)
    assert client.flush(5)
    [capture] = captures()
    assert (capture.serving, set(sides_of(capture))) == (L, {L, E})
    judgement = judge("memory.x", observed(capture.legacy), observed(capture.enhanced))
    assert judgement.verdict is Verdict.FAILED


@pytest.mark.parametrize("kind", ["read", "generate"])
def test_case_06_a_fallback_that_fails_too_raises_what_legacy_always_raised(phased, pair, raising, captures, kind):
    """The caller gets the legacy exception, chained to the enhanced one."""
    client = phased("served")
    operation, old, new = pair(client, kind), LookupError("no such flat"), RuntimeError("enhanced is not well")
    operation.legacy, operation.enhanced = raising(old), raising(new)
    with pytest.raises(LookupError) as caught:
        operation("ann")
    assert caught.value is old
    assert old.__context__ is new
    assert client.metrics()["fallbacks_by_reason"] == {"error": 1}
    assert client.flush(5)
    [capture] = captures()
    assert (capture.legacy.raised.type, capture.enhanced.raised.type) == ("LookupError", "RuntimeError")


@pytest.mark.parametrize("phase", ["dual", "served"])
def test_case_07_a_dual_write_whose_legacy_half_fails(phased, pair, raising, captures, phase):
    """The caller gets that failure; enhanced is not called, so it holds nothing that legacy lacks."""
    client = phased(phase)
    operation, error = pair(client, "write"), ValueError("full")
    operation.legacy = raising(error)
    with pytest.raises(ValueError, match="full") as caught:
        operation("ann")
    assert (caught.value is error, error.__context__) == (True, None)
    assert operation.calls == [L]
    assert client.flush(5)
    assert [set(sides_of(capture)) for capture in captures()] == [{L}]


@pytest.mark.parametrize("phase", ["dual", "served"])
def test_case_07_a_dual_write_whose_enhanced_half_fails(phased, pair, raising, captures, server, eventually, phase):
    """The caller succeeds, the failure is counted, legacy serves the user, and the write lies there to be replayed."""
    client = phased(phase)
    operation, read = pair(client, "write"), pair(client, "read", "memory.y")
    operation.enhanced = raising(RuntimeError("enhanced is not well"))
    assert operation("ann") == "old"
    metrics = client.metrics()
    assert metrics["errors_by_kind"] == {"RuntimeError": 1}
    assert metrics["operations"]["memory.x"][E]["errors"] == 1
    assert (read("ann"), operation.phase()) == ("old", Phase.DUAL)
    assert eventually(lambda: server.hlen(Keys("default").unready) > 1)  # every other process is told
    assert client.flush(5)
    [capture] = [capture for capture in captures() if capture.kind == "write"]
    assert set(sides_of(capture)) == {L, E}


def busy(**_: Any) -> str:
    """Take 2 ms."""
    until = time.monotonic_ns() + 2_000_000
    while time.monotonic_ns() < until:
        pass
    return "done"


def busy_failing(**_: Any) -> str:
    busy()
    raise RuntimeError("failed after 2 ms")


@pytest.mark.parametrize(
    ("phase", "kind", "legacy", "enhanced", "timed"),
    [
        ("shadow", "read", busy, busy, {L}),
        ("dual", "write", busy, busy, {L, E}),
        ("dual", "write", busy, busy_failing, {L, E}),
        ("served", "read", busy, busy, {E}),
        ("served", "read", busy, busy_failing, {L, E}),
    ],
)
def test_case_08_each_invoked_side_is_timed(phased, pair, captures, phase, kind, legacy, enhanced, timed):
    """On failure too; a side that was skipped has no time at all."""
    client = phased(phase)
    operation = pair(client, kind)
    operation.legacy, operation.enhanced = legacy, enhanced
    operation("ann")
    assert client.flush(5)
    [capture] = captures()
    assert set(sides_of(capture)) == timed
    assert all(side.duration_us >= 2_000 for side in sides_of(capture).values())
    figures = client.metrics()["operations"]["memory.x"]
    assert set(figures) == timed
    assert all(figure["mean_ms"] >= 2 for figure in figures.values())


# --- cases 9, 10 and 14: judging


@pytest.fixture
def observations(phased, pair, raising, captures):
    """Make real calls in which each side returns or raises; gives what was captured of both."""

    def make(legacy: Any, enhanced: Any) -> tuple[Observation, Observation]:
        client = phased("served")
        for side, does in ((L, legacy), (E, enhanced)):
            operation = pair(client, "read", f"memory.{side}", flag=None if side == L else MEMORY)
            setattr(operation, side, raising(does) if isinstance(does, Exception) else lambda does=does, **_: does)
            with suppress(ValueError, KeyError):
                operation("ann")
        assert client.flush(5)
        first, second = captures()[-2:]
        return observed(first.legacy), observed(second.enhanced)

    return make


OUTCOMES = [
    ("old", "old", "match"),
    ("old", "new", "diverged"),
    (ValueError("full"), ValueError("full"), "match"),
    (ValueError("full"), ValueError("empty"), "diverged"),
    (ValueError("full"), KeyError("full"), "diverged"),
    (ValueError("full"), "new", "diverged"),
    ("old", ValueError("full"), "failed"),
]


@pytest.mark.parametrize(("legacy", "enhanced", "verdict"), OUTCOMES)
def test_cases_09_and_14_one_sided_outcomes_are_judged_by_who_raised(observations, legacy, enhanced, verdict):
    """The same class and message match; legacy alone, or both differently, diverge; enhanced alone has failed."""
    assert judge("memory.x.outcomes", *observations(legacy, enhanced)).verdict == verdict


def test_case_09_values_are_compared_only_where_both_sides_returned(observations):
    """A difference of values is told only of two values; otherwise the exception is what differs."""
    told = judge("memory.x.values", *observations("old", "new")).differences
    assert [difference.path for difference in told] != []
    one_sided = judge("memory.x.values", *observations(ValueError("full"), "new"))
    assert "old" not in repr(one_sided)
    assert {difference.kind for difference in one_sided.differences}.isdisjoint(difference.kind for difference in told)


def test_case_10_a_comparator_that_raises_makes_no_match(observations):
    """The verdict is that nothing can be told, and the live calls, long over, never met the comparator."""

    def broken(_pair: Any) -> Any:
        raise RuntimeError("comparator is not well")

    name = f"conformance.raises.{time.monotonic_ns()}"
    register(name, broken)
    judgement = judge(name, *observations("old", "new"))
    assert (judgement.verdict, judgement.reason) == (Verdict.INCONCLUSIVE, "comparator raised RuntimeError")


def test_case_10_what_would_take_too_long_is_not_judged(phased, sync_pair, captures):
    """A pair beyond the fences is inconclusive at once, never a match: not even with itself."""
    client = phased("dual", GNOMON_CAPTURE_BYTES="10000000")
    operation = sync_pair(client, "write")
    operation.legacy = operation.enhanced = lambda **_: list(range(2 * MAX_ITEMS))
    operation("ann")
    assert client.flush(5)
    [capture] = captures()
    judgement = judge("memory.x.large", observed(capture.legacy), observed(capture.enhanced))
    assert judgement.verdict is Verdict.INCONCLUSIVE


# --- cases 11 to 13


@pytest.mark.parametrize(("sample", "captured"), [(0, 0), (1, 3)])
@pytest.mark.parametrize("kind", ["read", "generate"])
def test_case_11_sampling_none_and_all(phased, pair, captures, funnel, kind, sample, captured):
    """0: never captured, and counted as such; 1: always."""
    client = phased("shadow")
    operation = pair(client, kind, sample=sample)
    for user in ("ann", "ben", "cy"):
        assert operation(user) == "old"
    assert client.flush(5)
    assert len(captures()) == captured
    assert funnel() == {"eligible": 3, **({"captured": 3} if captured else {"not_sampled": 3})}


@pytest.mark.parametrize("phase", ["shadow", "dual", "served"])
def test_case_11_the_ratio_travels_with_the_capture(phased, pair, captures, phase):
    """So that counts can be scaled back up; whoever is not sampled is answered by the same side all the same."""
    client = phased(phase)
    operation = pair(client, "read", sample=0.5)
    users = [f"user-{n}" for n in range(12)]
    assert {operation(user) for user in users} == {"new" if phase == "served" else "old"}
    assert client.flush(5)
    assert {capture.user for capture in captures()} == {user for user in users if sampled(user, 0.5)}
    assert {capture.sample for capture in captures()} == {0.5}


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (b"", Reason.MISSING),
        (b'{"version":1}', Reason.MISSING),
        (b'{"version":1,"flags":{"enhanced_memory_enabled":true}}', Reason.MISSING),
        (b'{"version":1,"flags":{"enhanced_memory_enabled":"on"}}', Reason.MISSING),
        (msgspec.json.encode({"version": 1, "flags": {**ALL_ON, MEMORY: "on"}}), Reason.MALFORMED),
        (msgspec.json.encode({"version": 1, "flags": {**ALL_ON, "rollout_percentage": "ten"}}), Reason.MALFORMED),
        (b'{"version":1,"flags":[]}', Reason.MALFORMED),
        (b'{"version":1,"retired":"nearly"}', Reason.MALFORMED),
        (b'"rampdown"', Reason.MALFORMED),
        (b"not JSON", Reason.MALFORMED),
        (b"\xff\xfe", Reason.MALFORMED),
    ],
)
def test_case_12_a_flag_that_says_nothing_usable_is_off_with_a_reason(make, pair, server, eventually, document, reason):
    """Missing, of the wrong type, an unknown stage, no flags at all: legacy, a reason, never an exception."""
    client = make()
    if document:
        server.hset(Keys("default").flags, mapping={"version": 1, "document": document})
    operations = [pair(client, kind, f"memory.{kind}") for kind in ("read", "write", "generate")]
    assert [operation("ann") for operation in operations] == ["old"] * 3
    assert eventually(lambda: client.flags.for_user("ann")[MEMORY] == FlagDecision(False, reason, Phase.SHADOW))
    assert [operation("ann") for operation in operations] == ["old"] * 3
    assert [operation.calls for operation in operations] == [[L, L]] * 3


INTERRUPTIONS = [SystemExit, KeyboardInterrupt, asyncio.CancelledError]


@pytest.mark.parametrize("interruption", INTERRUPTIONS)
@pytest.mark.parametrize(
    ("phase", "kind", "side"),
    [
        ("off", "read", L), ("shadow", "read", L), ("shadow", "write", L), ("dual", "write", L), ("served", "write", L),
        ("served", "read", E), ("served", "generate", E), ("retired", "write", E), ("retired", "read", E),
    ],
)  # fmt: skip
@pytest.mark.parametrize("timeout_s", [None, 5])
def test_case_13_an_interruption_of_the_serving_side_passes_through(
    phased, pair, raising, captures, phase, kind, side, interruption, timeout_s
):
    """SystemExit, KeyboardInterrupt and CancelledError reach the caller, no other side is asked, and it is captured."""
    client = phased(phase)
    operation = pair(client, kind, timeout_s=timeout_s)
    setattr(operation, side, raising(interruption()))
    with pytest.raises(interruption):
        operation("ann")
    assert operation.calls == [side]
    assert client.metrics()["fallbacks"] == 0
    assert client.flush(5)
    assert all(getattr(capture, side).raised.interrupted for capture in captures())
    assert len(captures()) == (0 if phase in {"off", "retired"} else 1)


@pytest.mark.parametrize("interruption", INTERRUPTIONS)
@pytest.mark.parametrize("timeout_s", [None, 5])
@pytest.mark.parametrize("phase", ["dual", "served"])
def test_case_13_an_interruption_of_a_shadow_never_reaches_the_caller(
    phased, pair, raising, captures, phase, interruption, timeout_s
):
    """The enhanced half of a write may try to end the process: the caller gets legacy's answer."""
    client = phased(phase)
    operation = pair(client, "write", timeout_s=timeout_s)
    operation.enhanced = raising(interruption())
    assert operation("ann") == "old"
    assert client.flush(5)
    [capture] = captures()
    assert capture.enhanced.raised.type == interruption.__name__


# --- cases 15 to 20


class Unspeakable:
    """A user id that cannot be told."""

    def __str__(self) -> str:
        raise RuntimeError("no name")


@pytest.mark.parametrize("phase", ["off", "shadow", "served"])
@pytest.mark.parametrize("kind", ["read", "write"])
def test_case_15_a_predicate_that_raises_leaves_the_call_to_legacy(phased, pair, captures, phase, kind):
    """Who it is cannot be told, so neither can whether to sample: not captured, counted, legacy's answer."""
    client = phased(phase)
    operation = pair(client, kind, sample=1)
    assert operation(Unspeakable()) == "old"
    assert operation.calls == [L]
    assert client.flush(5)
    assert captures() == []
    assert client.metrics()["capture_errors"] == ({} if phase == "off" else {"begin:RuntimeError": 1})
    assert client.metrics()["legacy_calls"] == 1


def test_case_16_nothing_runs_when_disabled(make, pair, threads_of):
    """Capture off: no thread, no connection, no snapshot."""
    before = len(threads_of("gnomon-publisher"))
    client = make(GNOMON_CAPTURE="off")

    class Counted(dict):
        reads = 0

        def __iter__(self) -> Any:
            Counted.reads += 1
            return super().__iter__()

    assert pair(client, "write")("ann", Counted(a=1)) == "old"
    assert (client._publisher, client._buffer, Counted.reads) == (None, None, 0)
    assert len(threads_of("gnomon-publisher")) == before


@pytest.mark.parametrize(
    ("fact", "attribute"),
    [
        (Side(1, returned=msgspec.Raw(b"1")), "duration_us"),
        (Raised("ValueError", "full"), "message"),
        (FlagDecision(True, Reason.SPLIT), "enabled"),
        (StoredFlags(), "flags"),
        (Readiness(), "ready_below"),
        (Health("healthy"), "status"),
        (judge("memory.x", Observation.returned(1), Observation.returned(1)), "verdict"),
        (Observation.returned(1), "value"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_case_16_observations_and_results_are_immutable(fact, attribute):
    """What was found stays what was found."""
    with pytest.raises(AttributeError):
        setattr(fact, attribute, None)


def test_case_17_a_name_is_registered_once(pair):
    """A second operation of a name is refused where it is declared; so is one decorator used twice."""
    client = Gnomon(ClientSettings())
    pair(client, "read")
    with pytest.raises(OperationError, match="registered already"):
        pair(client, "read")
    decorate = client.operation("memory.y", kind="read", user="user")
    decorate(lambda user: user)
    with pytest.raises(OperationError, match="registered already"):
        decorate(lambda user: user)


def test_case_17_an_enhanced_side_needs_a_legacy_one(style):
    """There is no way to register enhanced but on a wrapped legacy callable, and a wrapped thing must be callable."""
    client = Gnomon(ClientSettings())
    with pytest.raises(OperationError, match=r"memory\.x"):
        client.operation("memory.x", kind="read", user="user")(None)
    assert client.operations == {}

    @client.operation("memory.x", kind="read", user="user")
    @style.of
    def legacy(user: str) -> str:
        return user

    with pytest.raises(OperationError, match="takes a callable"):
        legacy.enhanced(None)
    legacy.enhanced(lambda user: user)
    with pytest.raises(OperationError, match="enhanced callable already"):
        legacy.enhanced(lambda user: user)


def test_case_18_the_wrapped_callable_is_what_it_was(style):
    """Name, docstring, signature, type hints, module and being async or not."""

    def recent(user_id: str, since: datetime | None = None, *, limit: int = 10) -> list[str]:
        """Return the latest."""
        return [user_id] * limit

    bare = style.of(recent)
    wrapped = Gnomon(ClientSettings()).operation("memory.recent", kind="read", user="user_id")(bare)
    assert (wrapped.__name__, wrapped.__qualname__, wrapped.__doc__, wrapped.__module__) == (
        bare.__name__, bare.__qualname__, bare.__doc__, bare.__module__,
    )  # fmt: skip
    assert inspect.signature(wrapped) == inspect.signature(bare)
    assert typing.get_type_hints(wrapped) == typing.get_type_hints(bare)
    assert inspect.iscoroutinefunction(wrapped) is style.asynchronous
    assert style.call(wrapped, "ann", since=datetime(2026, 1, 5, tzinfo=UTC), limit=2) == ["ann", "ann"]


@pytest.mark.parametrize(
    ("phase", "kind"), [("shadow", "read"), ("dual", "write"), ("served", "read"), ("served", "write")]
)
def test_case_19_what_is_done_to_the_answer_afterwards_is_not_captured(phased, pair, captures, phase, kind):
    """The capture is a snapshot of arguments and answer, as they were when the call returned."""
    client = phased(phase)
    operation = pair(client, kind, returns=dict)
    operation.legacy = operation.enhanced = lambda item, **_: {"kept": list(item)}
    given = ["a"]
    returned = operation("ann", given)
    given.append("b")
    returned["kept"].append("c")
    assert client.flush(5)
    [capture] = captures()
    assert msgspec.json.decode(capture.args)["item"] == ["a"]
    for side in sides_of(capture).values():
        assert msgspec.json.decode(side.returned) == {"kept": ["a"]}


VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("conformance", default="unset")


@pytest.mark.parametrize(
    ("phase", "kind"), [("off", "read"), ("shadow", "read"), ("dual", "write"), ("served", "write")]
)
def test_case_20_context_reaches_the_control_and_comes_back(phased, pair, phase, kind):
    """A contextvar set before the call is seen in legacy; one set in legacy is seen after."""
    operation = pair(phased(phase), kind)
    seen = []

    def legacy(**_: Any) -> str:
        seen.append(VARIABLE.get())
        VARIABLE.set("by legacy")
        return "old"

    operation.legacy = legacy
    operation("ann", before=lambda: VARIABLE.set("by the caller"), after=lambda: seen.append(VARIABLE.get()))
    assert seen == ["by the caller", "by legacy"]


# --- buckets


def state_at(share: float) -> FlagState:
    state = FlagState(EnvironmentFlags(), None)
    state.take(1, msgspec.json.encode(StoredFlags(1, 1, {**ALL_ON, "rollout_percentage": share})))
    return state


@given(st.text(min_size=1, max_size=50), st.integers(0, 100))
def test_buckets_are_half_open(user, share):
    """100,000 integer buckets; inside is whoever's bucket lies below the share, not at it."""
    assert 0 <= bucket_of(user) < BUCKETS == 100_000
    assert state_at(share).decide(MEMORY, user).enabled is (bucket_of(user) < share / 100 * BUCKETS)


def test_a_bucket_at_the_edge():
    """At a share of exactly its bucket a user is outside, one bucket further inside."""
    users = {bucket_of(f"user-{n}"): f"user-{n}" for n in range(20_000)}
    bucket, user = next((bucket, user) for bucket, user in users.items() if bucket % 1_000 == 0 and bucket > 0)
    assert not state_at(bucket / 1_000).decide(MEMORY, user).enabled
    assert state_at(bucket / 1_000 + 1).decide(MEMORY, user).enabled


@given(st.text(min_size=1, max_size=50), st.floats(0, 100), st.floats(0, 100))
def test_raising_the_share_only_adds_users(user, one, other):
    """Who is inside at a smaller share is inside at every larger one."""
    smaller, larger = sorted((one, other))
    assert not state_at(smaller).decide(MEMORY, user).enabled or state_at(larger).decide(MEMORY, user).enabled


def test_the_same_user_gets_the_same_answer_in_every_process():
    """Nothing depends on a process's own hash seed; other languages: the golden vectors of `live/wire`."""
    users = [f"user-{n}" for n in range(50)] + ["Ann", "jos\u00e9", "犬"]
    program = "import sys\nfrom gnomon.hashing import bucket_of\nprint([bucket_of(u) for u in sys.argv[1:]])"
    ran = [
        subprocess.run(
            [sys.executable, "-c", program, *users],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True, text=True, check=True,
        ).stdout
        for seed in ("1", "2")
    ]  # fmt: skip
    assert ran == [f"{[bucket_of(user) for user in users]}\n"] * 2


@pytest.mark.parametrize("user", [None, ""])
@pytest.mark.parametrize("phase", ["shadow", "dual", "served"])
def test_a_missing_user_is_served_by_legacy(phased, pair, captures, phase, user):
    """Without a user there is no bucket: legacy, and nothing is captured, whatever the share."""
    client = phased(phase)
    operations = [pair(client, kind, f"memory.{kind}") for kind in ("read", "write")]
    assert [operation(user) for operation in operations] == ["old", "old"]
    assert [operation.calls for operation in operations] == [[L], [L]]
    assert client.flush(5)
    assert captures() == []


def test_rollout_and_sampling_have_salts_of_their_own():
    """Being inside the rollout says nothing about being sampled: else one half of the users would never be seen."""
    assert BUCKET_SALT != SAMPLE_SALT
    users = [f"user-{n}" for n in range(4_000)]
    inside = {user for user in users if bucket_of(user) < BUCKETS // 2}
    seen = sum(sampled(user, 0.5) for user in inside)
    assert 0.45 < seen / len(inside) < 0.55
