"""Driving: calls made when they are due, each user's in order; sync and async ones; bad lines kept in bounds."""

import asyncio
import time
from collections import defaultdict
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from console.driving import SHOWN_LINES, Driver
from console.pacing import AtRate, AtSpeed, Unpaced
from console.sources import BadLine, Line
from console.traffic import TrafficCall, parse
from gnomon import Gnomon
from gnomon.settings import ClientSettings

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


class Application:
    """Keeps what it was called with, and when."""

    def __init__(self) -> None:
        self.client = Gnomon(ClientSettings())
        self.made: list[tuple[str, int, float]] = []
        self.loops: set[int] = set()
        self.client.operation("note.list", kind="read", user="user")(self.listed)
        self.client.operation("note.slow", kind="read", user="user")(self.slow)
        self.client.operation("note.wait", kind="read", user="user")(self.wait)

    def listed(self, user: str, number: int) -> None:
        self.made.append((user, number, time.monotonic()))
        if number < 0:
            raise ValueError(number)

    def slow(self, user: str, number: int) -> None:
        time.sleep(0.02)
        self.listed(user, number)

    async def wait(self, user: str, number: int) -> None:
        self.loops.add(id(asyncio.get_running_loop()))
        await asyncio.sleep(0)
        self.listed(user, number)


@pytest.fixture
def application():
    return Application()


def call(number: int, *, user: str = "ann", operation: str = "note.list", at: float = 0) -> TrafficCall:
    args = {"user": user, "number": number}
    return TrafficCall(operation=operation, user=user, at=NOON + timedelta(seconds=at), args=args)


def test_without_a_pace_calls_are_made_as_they_lie(application):
    """All of them, in their order, on one thread; what the application raises ends nothing."""
    driven = Driver(application.client, Unpaced()).drive(call(number) for number in range(-3, 1_000))
    assert [number for _, number, _ in application.made] == list(range(-3, 1_000))
    assert (driven.calls, driven.callers, driven.as_json(Unpaced())["late_ms"]) == (1_003, 1, None)


def test_at_a_rate_no_call_is_early_and_the_last_is_as_good_as_on_time(application):
    """200 a second: not one before it is due, however late those before it were; the rate is told."""
    pace = AtRate(200)
    driven = Driver(application.client, pace).drive(call(number) for number in range(100))
    began = driven.began_s
    assert all(at - began >= number / 200 for _, number, at in application.made)
    told = driven.as_json(pace)
    assert told["asked_per_s"] == 200
    assert told["reached_per_s"] <= 200 * 1.05
    assert told["late_ms"]["p50"] <= told["late_ms"]["p99"] <= told["late_ms"]["max"]


def test_at_a_speed_calls_keep_the_rhythm_they_were_recorded_in(application):
    """A pause of 10 s is one of 0.1 s at a hundredfold; what was recorded out of order is made at once, not late."""
    pace = AtSpeed(100)
    driven = Driver(application.client, pace).drive(
        [call(0), call(1, at=10), call(2, at=5), call(3, at=20), call(4, at=20)]
    )
    times = [at - driven.began_s for _, _, at in application.made]
    assert [number for _, number, _ in application.made] == [0, 1, 2, 3, 4]
    assert all(at >= due for at, due in zip(times, (0, 0.1, 0.1, 0.2, 0.2), strict=True))


def test_where_one_thread_cannot_keep_the_rate_others_help(application):
    """20 ms a call at 200 a second: several threads, and each user's calls in their order all the same."""
    calls = [call(number, user=f"u{number % 12}", operation="note.slow") for number in range(120)]
    driven = Driver(application.client, AtRate(200), callers=16).drive(calls)
    by_user = defaultdict(list)
    for user, number, _ in application.made:
        by_user[user].append(number)
    assert sum(map(len, by_user.values())) == 120
    assert all(numbers == sorted(numbers) for numbers in by_user.values())
    assert 2 <= driven.callers <= 16


def test_async_operations_are_awaited_on_one_loop(application):
    """As in an application: clients made for one event loop cannot be used on another."""
    calls = [call(number, user=f"u{number % 3}", operation="note.wait") for number in range(60)]
    Driver(application.client, Unpaced(), callers=3).drive(calls)
    assert len(application.made) == 60
    assert len(application.loops) == 1


def test_bad_lines_are_counted_and_the_first_are_kept(application):
    """However many there are."""
    driven = Driver(application.client, Unpaced()).drive(BadLine(number, "is not JSON") for number in range(50_000))
    assert (driven.calls, driven.bad, len(driven.bad_lines)) == (0, 50_000, SHOWN_LINES)


def test_others_are_looked_after_while_a_call_is_waited_for(application, monkeypatch):
    """A worker that dies in a long pause is started again before the pause is over."""
    monkeypatch.setattr("console.driving.TEND_S", 0.01)
    tended = []
    Driver(application.client, AtRate(4), tend=lambda: tended.append(len(application.made))).drive([call(0), call(1)])
    assert tended.count(1) >= 3


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        (
            {"returned": [], "raised": {"type": "E", "message": ""}},
            "has both returned and raised; a call does one of them",
        ),
        ({"returned": [], "duration_ms": -1}, "duration_ms is not between 0 and 86400000"),
        ({"returned": [], "duration_ms": 1e300}, "duration_ms is not between 0 and 86400000"),
    ],
)
def test_a_recorded_outcome_that_cannot_be_is_a_bad_line(application, more, problem):
    """Named, instead of being captured as something that no call does."""
    entry = {"at": "2026-01-05T08:00:00", "operation": "note.list", "user_id": "ann", "args": {"number": 1}, **more}
    line = Line(3, msgspec.json.encode(entry))
    assert list(parse([line], application.client.operations)) == [BadLine(3, problem)]


def test_a_time_without_a_zone_is_utc(application):
    """So that it can be told apart from one with a zone."""
    entry = {"at": "2026-01-05T12:00:00", "operation": "note.list", "user_id": "ann", "args": {"number": 1}}
    [made] = parse([Line(1, msgspec.json.encode(entry))], application.client.operations)
    assert made.at == NOON
