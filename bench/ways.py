"""The ways in which one live call can be made: bare, captured by us, and what one might do instead.

All make the same read with the same two functions, which do nothing but hand out an answer of 1 KB that lies ready,
and all leave the call with legacy's answer. Some are there a second time with a legacy that makes its answer at each
call, out of a line of JSON, as whatever reads a database does: then the answer is not cold when it is captured.

To add a contender, write a context manager that yields a `Way` and put it into `WAYS`; whatever it needs it imports
itself, so that nobody else carries it.
"""

import contextlib
import operator
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, cast

import msgspec
import redis

from bench.counts import ENDS
from bench.measuring import BenchError
from bench.memories import answer, user_of
from gnomon import Gnomon
from gnomon.flags import SHARE, SWITCHES
from gnomon.keys import Keys
from gnomon.switchboard import store_flags
from gnomon.wire import encode_value

NAMESPACE: Final = "live"
ITEMS: Final = 6  # 1.0 KB of JSON, arguments and all
FLUSH_S: Final = 30.0
_KEY: Final = "bench.live"

Live = Callable[[str, int], object]
Memories = list[dict[str, Any]]

_LEGACY: Final = tuple(answer(user_of(number), number, ITEMS) for number in range(64))
_LINES: Final = tuple(map(encode_value, _LEGACY))
_ENHANCED: Final = tuple(answer(user_of(number), number, ITEMS) for number in range(64))  # equal, not identical


def legacy(user_id: str, number: int) -> Memories:  # noqa: ARG001 — the wrapper asks for the user
    """Answer as legacy does."""
    return _LEGACY[number % len(_LEGACY)]


def enhanced(user_id: str, number: int) -> Memories:  # noqa: ARG001 — the same signature
    """Answer as enhanced does: the same."""
    return _ENHANCED[number % len(_ENHANCED)]


def making(user_id: str, number: int) -> Memories:  # noqa: ARG001 — the same signature
    """Answer as legacy does, with an answer that is made there and then."""
    made: Memories = msgspec.json.decode(_LINES[number % len(_LINES)])
    return made


def _nothing() -> dict[str, int]:
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """A live call made in one way.

    `settled` waits until what the calls sent away has arrived, clears it away where that is needed, and returns how
    many calls have gone the whole way since the process began: captured, queued, or compared. None: there is none to
    go. `counted` returns what the way itself counted; it waits for nothing.
    """

    call: Live
    settled: Callable[[], int] | None = None
    counted: Callable[[], Mapping[str, int]] = _nothing


@contextlib.contextmanager
def bare(_redis_url: str, *, answering: Live = legacy) -> Iterator[Way]:
    """Call legacy and do nothing else."""
    yield Way(call=answering)


@contextlib.contextmanager
def ours(redis_url: str, *, answering: Live = legacy, **settings: str) -> Iterator[Way]:
    """Call through `gnomon.Operation`: flags are looked at, legacy serves, the call is captured."""
    environment = {f"GNOMON_{name.upper()}": value for name, value in settings.items()}
    client = Gnomon.from_env({"GNOMON_REDIS_URL": redis_url, "GNOMON_NAMESPACE": NAMESPACE, **environment})
    recent = client.operation("memory.recent", kind="read", user="user_id", flag="enhanced_memory_enabled")(answering)
    recent.enhanced(enhanced)

    def settled() -> int:
        if not client.flush(FLUSH_S):
            raise BenchError(f"Redis has taken no captures for {FLUSH_S:g} s")
        return counted()["captured"]

    def counted() -> dict[str, int]:
        metrics = client.metrics()
        return {end: int(metrics.get(end, 0)) for end in ENDS}

    try:
        yield Way(call=cast("Live", recent), settled=settled, counted=counted)
    finally:
        client.close(0.1)  # what waits for a Redis that does not answer may go


@contextlib.contextmanager
def staged(redis_url: str) -> Iterator[Way]:
    """Call as ours while the flags are on, for a tenth of the users: nobody is ready, so legacy answers them all."""
    with redis.Redis.from_url(redis_url) as server:
        on: dict[str, object] = dict.fromkeys(SWITCHES, True)
        store_flags(server, Keys("staged"), on | {SHARE: 10.0}, may_raise=True)
    with ours(redis_url, namespace="staged") as way:
        yield way


@contextlib.contextmanager
def delay(redis_url: str, *, answering: Live = legacy) -> Iterator[Way]:
    """Call legacy, then send the call to a Celery task, there and then."""
    from celery import Celery

    broker = redis_url.removesuffix("/0") + "/1"
    app = Celery("live", broker=broker, set_as_current=False)

    @app.task(name="bench.compare", ignore_result=True)
    def compare(operation: str, args: dict[str, Any], returned: Memories) -> None:
        """Be sent, never run."""

    def call(user_id: str, number: int) -> object:
        returned = answering(user_id, number)
        compare.delay("memory.recent", {"user_id": user_id, "number": number}, returned)
        return returned

    with contextlib.closing(app), _emptied(broker, "celery", "llen") as settled:
        yield Way(call=call, settled=settled)


@contextlib.contextmanager
def xadd(redis_url: str) -> Iterator[Way]:
    """Call legacy, then append the call to a stream, there and then; msgspec makes the JSON, as fast as any."""
    with redis.Redis.from_url(redis_url) as server, _emptied(redis_url, _KEY, "xlen") as settled:

        def call(user_id: str, number: int) -> object:
            returned = legacy(user_id, number)
            args = {"user_id": user_id, "number": number}
            server.xadd(_KEY, {"p": encode_value({"op": "memory.recent", "args": args, "returned": returned})})
            return returned

        yield Way(call=call, settled=settled)


@contextlib.contextmanager
def _emptied(redis_url: str, key: str, length: str) -> Iterator[Callable[[], int]]:
    """Yield what counts and takes away what lies under `key`."""
    seen = 0
    with redis.Redis.from_url(redis_url) as server:

        def settled() -> int:
            nonlocal seen
            seen += int(getattr(server, length)(key))
            server.delete(key)
            return seen

        yield settled


@contextlib.contextmanager
def laboratory(_redis_url: str) -> Iterator[Way]:
    """Call by a laboratory experiment, made for every call as its documentation does: both sides run, then `==`."""
    from laboratory import Experiment  # type: ignore[import-untyped]

    matches = _Matches()

    class Recent(Experiment):
        def publish(self, result: Any) -> None:
            matches.see(matched=result.match)

    def call(user_id: str, number: int) -> object:
        experiment = Recent(name="memory.recent")
        experiment.control(legacy, args=[user_id, number])
        experiment.candidate(enhanced, args=[user_id, number])
        return experiment.conduct()

    yield Way(call=call, settled=matches.seen)


@contextlib.contextmanager
def launchdarkly(_redis_url: str, *, parallel: bool) -> Iterator[Way]:
    """Call by LaunchDarkly's migrator in stage shadow: both sides run, then `==`.

    The flag comes from its own test data and no events are sent: no network at all, which a real one has.
    """
    from ldclient import Config, Context, LDClient, Result
    from ldclient.integrations.test_data import TestData
    from ldclient.migrations import ExecutionOrder, MigratorBuilder, Stage

    flags = TestData.data_source()
    flags.update(flags.flag("memory-recent").variations(Stage.SHADOW.value).variation_for_all(0))
    client = LDClient(Config("bench", update_processor_class=flags, send_events=False))
    matches = _Matches()

    def compare(before: Any, after: Any) -> bool:
        return matches.see(matched=operator.eq(before, after))

    def old(args: Any) -> Result:
        return Result.success(legacy(*args))

    def new(args: Any) -> Result:
        return Result.success(enhanced(*args))

    builder = MigratorBuilder(client).read(old, new, compare).write(Result.success, Result.success)
    builder.read_execution_order(ExecutionOrder.PARALLEL if parallel else ExecutionOrder.SERIAL)
    migrator: Any = builder.build()

    def call(user_id: str, number: int) -> object:
        context = Context.create(user_id)
        return migrator.read("memory-recent", context, Stage.OFF, (user_id, number)).value

    with contextlib.closing(client):
        yield Way(call=call, settled=matches.seen)


class _Matches:
    """Counts comparisons that came out equal: whoever never compared, or wrongly, is found out."""

    def __init__(self) -> None:
        self._matches = 0

    def see(self, *, matched: bool) -> bool:
        self._matches += matched
        return matched

    def seen(self) -> int:
        return self._matches


WAYS: Final[Mapping[str, Callable[[str], AbstractContextManager[Way]]]] = MappingProxyType(
    {
        "bare": bare,
        "ours": ours,
        "ours, at 10 %": staged,
        "ours, in Python": lambda url: ours(url, namespace="plain", compiled="off"),
        "task.delay()": delay,
        "redis.xadd()": xadd,
        "laboratory": laboratory,
        "LaunchDarkly, serial": lambda url: launchdarkly(url, parallel=False),
        "LaunchDarkly, parallel": lambda url: launchdarkly(url, parallel=True),
    }
)
#: the same three with a legacy that makes its answer
MAKING: Final[Mapping[str, Callable[[str], AbstractContextManager[Way]]]] = MappingProxyType(
    {
        "bare": lambda url: bare(url, answering=making),
        "ours": lambda url: ours(url, answering=making, namespace="making"),
        "task.delay()": lambda url: delay(url, answering=making),
    }
)
MADE: Final = "made: "  #: before the name of one of these
