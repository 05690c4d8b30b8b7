"""An inline client for an application's own tests: each call is replayed and judged at once, a divergence raises.

```python
from gnomon.testing import inline

def test_both_memories_agree():
    with inline(memories.client) as found:
        memories.save("ann", "likes the sea")   # DivergenceError where enhanced does otherwise
    assert len(found.judgements) == 1
```

It takes the whole way of the data in one step, on the caller's own thread or task and without Redis: legacy is called,
then enhanced as a worker would call it (under `gnomon.call()`, with what legacy returned as `origin`, all of it through
JSON and back), then `comparators.judge` compares. So it needs the distribution `gnomon-worker`, which a live
application does not: it is looked for when a client is made, not when this module is imported.

What the caller gets is what legacy did. Where a worker would compare nothing (legacy failed to write, no user, no
enhanced callable) neither does this. Calls that overlap are judged as they fall: make them one after another.
"""

import asyncio
import contextlib
import itertools
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field
from datetime import UTC, datetime
from inspect import isawaitable
from secrets import token_hex
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

import msgspec

from gnomon.breaker import Breaker
from gnomon.calling import Call, call, calling
from gnomon.client import Gnomon
from gnomon.invoking import Invoker, _legacy, _legacy_async
from gnomon.live_call import LiveCall, capture_id
from gnomon.serving import Outcome, System
from gnomon.settings import ClientSettings
from gnomon.sides import side_of
from gnomon.tap import NullTap
from gnomon.wire import NO_JSON_FORM, Kind, Phase, Side, encode_args

if TYPE_CHECKING:
    from comparators import Difference, Judgement, Observation
    from gnomon.operation import Binding

__all__ = ["DivergenceError", "Findings", "InlineGnomon", "Judged", "inline"]

PASSED: Final = frozenset({"match", "ignored", "excluded"})
MOST_TOLD: Final = 20  # differences of one call
VALUE_CHARS: Final = 160
ARGUMENT_CHARS: Final = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One call, and the judgement on it; `judgement` has `verdict`, `differences` and `reason`."""

    operation: str
    args: dict[str, Any]
    judgement: "Judgement"

    @property
    def passed(self) -> bool:
        """Whether enhanced may do what it did."""
        return self.judgement.verdict in PASSED


@dataclass(frozen=True, slots=True)
class Findings:
    """What was judged so far, in order."""

    judgements: list[Judged] = field(default_factory=list)

    @property
    def divergences(self) -> list[Judged]:
        """What did not pass: empty even where an application swallows the DivergenceError, or the test is to fail."""
        return [judged for judged in self.judgements if not judged.passed]


class DivergenceError(AssertionError):
    """Enhanced did not do what legacy did, or it could not be told; `judged` holds the call and the judgement."""

    def __init__(self, judged: Judged) -> None:
        super().__init__(_told(judged))
        self.judged = judged


class InlineGnomon(Gnomon):
    """A client without Redis whose operations are replayed and judged at each call.

    Raises ModuleNotFoundError where `gnomon-worker` is not installed.
    """

    def __init__(self) -> None:
        self._findings = Findings()
        self._comparators = _find_comparators()
        super().__init__(ClientSettings())

    @property
    def judgements(self) -> list[Judged]:
        """What was judged so far, in order."""
        return self._findings.judgements

    def _open(self) -> None:
        super()._open()
        _judge_inline(self, self._findings, self._comparators)


@contextlib.contextmanager
def inline(client: Gnomon) -> Iterator[Findings]:
    """Have the operations of `client` replayed and judged at each call, in every thread, for the time of the block.

    Nothing is captured meanwhile, and nobody is served by enhanced. Raises ModuleNotFoundError where `gnomon-worker` is
    not installed.
    """
    findings, before = Findings(), (client.tap, client.invoker)
    _judge_inline(client, findings, _find_comparators())
    try:
        yield findings
    finally:
        client.tap, client.invoker = before


def _find_comparators() -> ModuleType:
    try:
        import comparators  # of another distribution, which only those who test have beside this one
    except ModuleNotFoundError as error:
        if error.name != "comparators":
            raise
        problem = "gnomon.testing judges as a worker does, with gnomon-worker, which is not installed here"
        raise ModuleNotFoundError(problem, name=error.name) from None
    return comparators


def _judge_inline(client: Gnomon, findings: Findings, comparators: ModuleType) -> None:
    client.tap = _InlineTap(findings, comparators)
    client.invoker = _InlineInvoker()


class _Trial(LiveCall, kw_only=True):
    """A call that both systems are asked for; `legacy` is what legacy did, kept before enhanced could change it."""

    at: datetime
    legacy: Side | None = None
    unfair: str = ""  #: why enhanced is not asked

    @classmethod
    def begun(cls, binding: "Binding", user: str, number: int) -> "_Trial":
        """Begin one now."""
        return cls(
            binding, user, 1, number=number, started_ns=time.monotonic_ns(), phase=Phase.DUAL, willing=True,
            alone=False, at=datetime.now(UTC),
        )  # fmt: skip

    def keep(self, legacy: Outcome) -> None:
        """Take the snapshot of what legacy did, and decide whether comparing would be fair."""
        self.asked += (legacy,)
        try:
            self.legacy = side_of(legacy, self.binding.rejects)
        except NO_JSON_FORM:
            return
        raised = self.legacy.raised
        if raised is not msgspec.UNSET and self.binding.kind is Kind.WRITE and not raised.rejected:
            self.unfair = "legacy_raised"
        elif raised is not msgspec.UNSET and raised.interrupted:
            self.unfair = "interrupted"

    @property
    def plain_args(self) -> dict[str, Any]:
        """The arguments as they come out of JSON, in legacy's order."""
        args = {} if self.args is None else msgspec.json.decode(self.args)
        return {name: args.pop(name) for name in self.binding.signature.parameters if name in args} | args

    @property
    def comparable(self) -> bool:
        """Whether enhanced is to be asked."""
        return self.args is not None and self.legacy is not None and not self.unfair


class _InlineTap(NullTap):
    """Stands where a live process captures: begins a trial, and judges it when both sides were asked."""

    def __init__(self, findings: Findings, comparators: ModuleType) -> None:
        super().__init__()
        self._findings = findings
        self._comparators = comparators
        self._numbers = itertools.count(1)
        self._producer = token_hex(6)

    def begin(self, binding: "Binding", args: tuple[Any, ...], kwargs: dict[str, Any]) -> LiveCall | None:
        """Begin a trial; None where a live process would not capture the call, or nobody could replay it."""
        self.tally.add("legacy_calls")
        named = binding.named(args, kwargs)
        if named is None or binding.enhanced is None or call() is not None:
            return None
        user = named.get(binding.user)
        if user is None or user == "":
            return None
        trial = _Trial.begun(binding, str(user), next(self._numbers))
        with contextlib.suppress(*NO_JSON_FORM):
            trial.args = msgspec.Raw(encode_args(named))
        return trial

    def identify(self, live: LiveCall) -> str:
        """Return the idempotency key of a call."""
        return capture_id(self._producer, live.number)

    def finish(self, live: LiveCall, answer: Outcome) -> None:  # noqa: ARG002
        """Judge the trial; raises DivergenceError where enhanced does otherwise, or where that cannot be told."""
        assert isinstance(live, _Trial)
        args = live.plain_args
        judged = Judged(operation=live.binding.name, args=args, judgement=self._judgement(live, args))
        self._findings.judgements.append(judged)
        if not judged.passed:
            raised = [outcome.error for outcome in live.asked if outcome.error is not None]
            raise DivergenceError(judged) from (raised[-1] if raised else None)

    def _judgement(self, trial: _Trial, args: dict[str, Any]) -> "Judgement":
        known = self._comparators
        if trial.unfair:
            judgement: Judgement = known.Judgement(known.Verdict.EXCLUDED, reason=trial.unfair)
        elif trial.args is None or trial.legacy is None:
            what = "an argument" if trial.args is None else "what legacy returned"
            judgement = known.Judgement(known.Verdict.INCONCLUSIVE, reason=f"{what} has no JSON form")
        else:
            asked = known.Call(user=trial.user, args=args, at=trial.at)
            sides = self._observation(trial.legacy), self._enhanced(trial.asked[-1])
            judgement = known.judge(trial.binding.name, *sides, call=asked)
        return judgement

    def _enhanced(self, outcome: Outcome) -> "Observation":
        try:
            return self._observation(side_of(outcome, ()))
        except NO_JSON_FORM as error:
            garbage: Observation = self._comparators.Observation.raised(
                "Garbage", f"returned what has no JSON form: {type(error).__name__}"
            )
            return garbage

    def _observation(self, side: Side) -> "Observation":
        kind, duration_ms = self._comparators.Observation, side.duration_us / 1_000
        if side.raised is not msgspec.UNSET:
            observation: Observation = kind.raised(side.raised.type, side.raised.message, duration_ms=duration_ms)
        else:
            value = msgspec.json.decode(side.returned or b"null")
            observation = kind.returned(value, duration_ms=duration_ms, context=side.context)
        return observation


class _InlineInvoker(Invoker):
    """Asks legacy, then enhanced as a worker does: no time limit, no breaker, no look at the type of its answer."""

    def __init__(self) -> None:
        super().__init__(places=1, dual_timeout_s=1.0)

    def breaker(self, operation: str) -> Breaker:  # noqa: ARG002
        """Return one that lets every call pass."""
        return Breaker()

    def serve(self, tap: NullTap, live: LiveCall, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Make a sync call, and judge it."""
        assert isinstance(live, _Trial)
        legacy = _legacy(live.binding.legacy, args, kwargs)
        live.keep(legacy)
        if live.comparable:
            live.asked += (self._enhanced(tap, live, args, kwargs),)
        return self._answer(tap, live, legacy)

    async def serve_async(self, tap: NullTap, live: LiveCall, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Make an async call, and judge it."""
        assert isinstance(live, _Trial)
        legacy = await _legacy_async(live.binding.legacy, args, kwargs)
        live.keep(legacy)
        if live.comparable:
            live.asked += (await self._enhanced_async(tap, live, args, kwargs),)
        return self._answer(tap, live, legacy)

    def _enhanced(self, tap: NullTap, live: LiveCall, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Outcome:
        function, current, given = self._prepare(tap, live, args, kwargs)
        started = time.monotonic_ns()
        try:
            with calling(current):
                return _outcome(current, started, value=_awaited_apart(function(**given)))
        except Exception as error:  # what ends a test or the process is not enhanced's to answer for
            return _outcome(current, started, error=error)

    async def _enhanced_async(
        self, tap: NullTap, live: LiveCall, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Outcome:
        function, current, given = self._prepare(tap, live, args, kwargs)
        started = time.monotonic_ns()
        try:
            with calling(current):
                value = function(**given)
                return _outcome(current, started, value=await value if isawaitable(value) else value)
        except Exception as error:
            return _outcome(current, started, error=error)


def _outcome(current: Call, started_ns: int, *, value: Any = None, error: Exception | None = None) -> Outcome:
    duration_us = (time.monotonic_ns() - started_ns) // 1_000
    return Outcome(system=System.ENHANCED, duration_us=duration_us, value=value, error=error, context=current.context)


def _awaited_apart(value: Any) -> Any:
    """Return what an awaitable brings, in a loop of its own; beside a loop that runs, in a thread of its own."""
    if not isawaitable(value):
        return value

    async def awaited() -> Any:
        return await value

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(awaited())
    with ThreadPoolExecutor(1) as apart:
        return apart.submit(copy_context().run, asyncio.run, awaited()).result()


# --- in words


def _told(judged: Judged) -> str:
    """Say what differs; values as they are, for they are the test's own, but shortened."""
    judgement = judged.judgement
    args = ", ".join(f"{name}={_shortened(value, ARGUMENT_CHARS)}" for name, value in judged.args.items())
    lines = [f"{judged.operation}({args}) {judgement.verdict}: {judgement.reason or 'enhanced does otherwise'}"]
    for difference in judgement.differences[:MOST_TOLD]:
        lines += _difference(judged.operation, difference)
    if (more := len(judgement.differences) - MOST_TOLD) > 0:
        lines.append(f"  and {more} more")
    return "\n".join(lines)


def _difference(operation: str, difference: "Difference") -> Iterator[str]:
    from comparators import explain  # there is a difference, so it is installed

    yield f"  {difference.severity} {difference.kind} at {difference.path}: {explain(operation, difference)}"
    for system in System:
        yield f"    {system:<8}  {_side(difference, getattr(difference, system))}"


def _side(difference: "Difference", value: Any) -> str:
    from comparators import ABSENT

    if value is ABSENT:
        return "answered" if difference.kind in {"failure", "exception"} else "nothing"
    return _shortened(value, VALUE_CHARS)


def _shortened(value: Any, most: int) -> str:
    text = repr(value)
    return text if len(text) <= most else f"{text[: most - 1]}…"
