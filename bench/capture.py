"""What capturing adds to a live call: the wrapped call over the bare one, beside what sending it away would cost.

Every call is paced at 1,000 a second, as in a live process, so caches are as cold and the daemon thread is as busy as
they are there; back to back, the same call costs a fraction. The wrapped call is also measured with Redis frozen, and
with Redis refusing connections.
"""

import contextlib
import logging
import os
import signal
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final, cast

import redis

from bench.contenders import FLUSH_S, producing
from bench.measuring import BenchError, Benchmark, Result, Rounds, Row, percentile
from bench.memories import answer, user_of
from console.processes import embedded_valkey
from gnomon import Gnomon
from gnomon.publisher import connect
from gnomon.wire import encode_value

_ITEMS: Final = 5  # 0.9 KB, as a capture 1.1
_PERIOD_S: Final = 0.001
_WARM_UP: Final = 100
_ANSWERS: Final = tuple(answer(user_of(number), number, _ITEMS) for number in range(64))

_WRAPPED, _TIGHT, _FROZEN, _REFUSED = "wrapped", "wrapped, unpaced", "Redis frozen", "Redis refusing"
_XADD, _DELAY = "redis.xadd()", "task.delay()"

Live = Callable[[str, int], object]


def _bare(user_id: str, number: int) -> list[dict[str, Any]]:  # noqa: ARG001 — capture asks for the user
    return _ANSWERS[number % len(_ANSWERS)]


def _run(quick: bool) -> Result:  # noqa: FBT001 — as every benchmark's
    repeated, calls, rounds = (1, 300, Rounds()) if quick else (5, 1_000, Rounds())
    with _quiet(), _up() as bed:
        for call in bed.ways.values():
            _paced(call, _WARM_UP)
        for _ in range(repeated):
            _round(bed, calls, rounds)
    notes = (
        f"{repeated} rounds in turn of {calls:,} calls each, paced at {1 / _PERIOD_S:,.0f} a second; 1.1 KB each.",
        "All but the bare call are told over the bare call's median.",
    )
    return Result(rows=list(_rows(rounds)), notes=notes)


@dataclass(frozen=True, slots=True)
class _Bed:
    """Everything that is called, by its row's name, and the server that some of it talks to."""

    ways: Mapping[str, Live]
    client: Gnomon
    server: "redis.Redis"


@contextlib.contextmanager
def _up() -> Iterator[_Bed]:
    with (
        tempfile.TemporaryDirectory(prefix="gnomon-bench-") as folder,
        embedded_valkey(Path(folder) / "valkey") as url,
        contextlib.closing(connect(url)) as server,
        producing(url.removesuffix("/0") + "/1") as task,
        _client(url, "well") as well,
        _client(f"redis://127.0.0.1:{_closed_port()}/0", "refused") as refused,
    ):
        wrapped = _wrap(well)
        ways = {
            _WRAPPED: wrapped,
            _TIGHT: wrapped,
            _FROZEN: wrapped,
            _REFUSED: _wrap(refused),
            **_sending(server, task),
        }
        yield _Bed({"bare": _bare, **ways}, well, server)


@contextlib.contextmanager
def _client(url: str, namespace: str) -> Iterator[Gnomon]:
    client = Gnomon.from_env({"GNOMON_REDIS_URL": url, "GNOMON_NAMESPACE": f"bench-{namespace}"})
    try:
        yield client
    finally:
        client.close(0.1)  # what waits for a Redis that refuses it may go


def _wrap(client: Gnomon) -> Live:
    wrapped = client.operation("memory.recent", kind="read", user="user_id")(_bare)
    return cast("Live", wrapped)


def _sending(server: "redis.Redis", task: Any) -> dict[str, Live]:
    """Return what one might do instead on the live path: send the call away there and then."""
    lines = [encode_value({"operation": "memory.recent", "returned": value}) for value in _ANSWERS]

    def xadd(_user: str, number: int) -> object:
        return server.xadd("bench", {"p": lines[number % len(lines)]})

    def delay(user_id: str, number: int) -> object:
        return task.delay("memory.recent", {"user_id": user_id, "number": number}, _ANSWERS[number % len(_ANSWERS)])

    return {_XADD: xadd, _DELAY: delay}


def _closed_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the client's warnings about the Redis that refuses it out of the table."""
    logger = logging.getLogger("gnomon")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _round(bed: _Bed, calls: int, rounds: Rounds) -> None:
    bare = 0.0
    for name, call in bed.ways.items():
        with _frozen(bed) if name == _FROZEN else contextlib.nullcontext():
            taken = _paced(call, calls, 0.0 if name == _TIGHT else _PERIOD_S)
        rounds.add(f"{name}, p50", median(taken) - bare)
        rounds.add(f"{name}, p99", percentile(taken, 99) - bare)
        bare = bare or median(taken)  # the first is the bare call: all others are told over its median


@contextlib.contextmanager
def _frozen(bed: _Bed) -> Iterator[None]:
    """Freeze the server for the time of the block; afterwards wait until what was captured meanwhile is in its lane."""
    server = int(cast("Mapping[str, int]", bed.server.info("server"))["process_id"])
    os.kill(server, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server, signal.SIGCONT)
    if not bed.client.flush(FLUSH_S):
        raise BenchError(f"the client has not recovered from a frozen Redis after {FLUSH_S:g} s")


def _paced(call: Live, calls: int, period_s: float = _PERIOD_S) -> list[float]:
    """Make calls at their pace, or as fast as they go; returns what each took, µs."""
    taken, due = [], time.perf_counter()
    for number in range(calls):
        due = max(due + period_s, time.perf_counter())
        if (ahead := due - time.perf_counter()) > 0:
            time.sleep(ahead)
        user = user_of(number)
        started = time.perf_counter_ns()
        call(user, number)
        taken.append((time.perf_counter_ns() - started) / 1_000)
    return taken


def _rows(rounds: Rounds) -> Iterator[Row]:
    for point in ("p50", "p99"):
        yield rounds.row(f"bare, {point}", "µs")
        for name in (_WRAPPED, _TIGHT, _FROZEN, _REFUSED):
            yield rounds.row(f"{name}, {point}", "µs")
        for name in (_XADD, _DELAY):
            yield rounds.row(f"{name}, {point}", "µs", over=f"{_WRAPPED}, {point}", of="wrapped")


BENCHMARK: Final = Benchmark(
    name="capture", title="what capturing adds to a live call of 1 KB, beside sending it away", run=_run
)
