"""Enhanced fails in five ways, each told apart by what it raised or answered, and each counted."""

import json
from collections import Counter

import httpx
import pytest

from ledger import Failure
from worker.failures import failure_in, failure_of
from worker.replay import Replayer


class LateError(TimeoutError):
    """An application's own."""


def answered(status: int) -> httpx.HTTPStatusError:
    request = httpx.Request("GET", "http://enhanced")
    return httpx.HTTPStatusError("no", request=request, response=httpx.Response(status, request=request))


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (ValueError("x"), Failure.ERROR),
        (ConnectionResetError(), Failure.ERROR),
        (TimeoutError(), Failure.TIMEOUT),
        (LateError(), Failure.TIMEOUT),
        (httpx.ReadTimeout("x"), Failure.TIMEOUT),
        (httpx.ConnectTimeout("x"), Failure.TIMEOUT),
        (ConnectionRefusedError(), Failure.REFUSED),
        (httpx.ConnectError("x"), Failure.REFUSED),
        (answered(503), Failure.REFUSED),
        (answered(429), Failure.REFUSED),
        (answered(500), Failure.ERROR),
        (json.JSONDecodeError("x", "", 0), Failure.GARBAGE),
        (UnicodeDecodeError("utf-8", b"", 0, 1, "x"), Failure.GARBAGE),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_an_exception_tells_how_it_failed(error, failure):
    """By its class, by what that inherits from, by the status that it carries."""
    assert failure_in(error) is failure


@pytest.mark.parametrize(
    ("name", "failure"),
    [
        ("TimeLimitError", Failure.TIMEOUT),
        ("InvalidResultError", Failure.GARBAGE),
        ("ConnectionRefusedError", Failure.REFUSED),
        ("Oversize", Failure.OVERSIZE),
        ("KeyError", Failure.ERROR),
    ],
)
def test_of_a_live_call_the_name_tells(name, failure):
    """A capture holds nothing else."""
    assert failure_of(name) is failure


def deep(levels: int) -> list:
    found: list = []
    for _ in range(levels):
        found = [found]
    return found


def refuse() -> None:
    raise ConnectionRefusedError


@pytest.mark.slow
@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        (object, "garbage"),
        (lambda: deep(10_000), "garbage"),
        (lambda: "\ud800", "garbage"),
        (lambda: "x" * 5_000_000, "oversize"),
        (lambda: {}[0], "error"),
        (refuse, "refused"),
    ],
    ids=["no JSON form", "10,000 deep", "lone surrogate", "5 MB", "raised", "refused"],
)
def test_each_way_has_its_counter_and_none_is_a_divergence(notes, client, make_drain, ledger, lane_of, answer, failure):
    """Counted under its operation, in the sum of the failed, and nowhere else."""
    notes.before = lambda operation, **_: answer() if operation == "note.list" else None
    notes.read("ann")
    assert client.flush(5)
    lane = lane_of()
    notes.end()
    make_drain().run(lane)
    with ledger.reading() as reading:
        found = reading.sums()["note.list"]
    assert (+found.outcomes, +found.failures) == (Counter(failed=1), Counter({failure: 1}))


def test_the_limit_of_an_answer_can_be_set(client):
    """Four megabytes unless said otherwise."""
    assert Replayer(client.operations, 1.0).answer_bytes == 4 * 1024 * 1024
