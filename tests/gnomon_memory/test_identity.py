"""Who a memory is: ids and times that keep the order of saving."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from gnomon.calling import Call, calling
from gnomon_memory.identity import conversation_in_call, identity_in_call, mint, timestamp

pytestmark = pytest.mark.enhanced_memory


def test_times_only_grow(monkeypatch):
    """Times of one process differ and grow, also under a clock that stands still or steps back."""
    moments = iter([1_700_000_000_000_000_000] * 3 + [1_600_000_000_000_000_000] * 3)
    monkeypatch.setattr(time, "time_ns", lambda: next(moments))
    times = [timestamp() for _ in range(6)]
    assert sorted(set(times)) == times


def test_times_of_threads_differ():
    """Threads that save at once never share a time."""
    with ThreadPoolExecutor(8) as pool:
        times = list(pool.map(lambda _: timestamp(), range(2000)))
    assert len(set(times)) == len(times)


def test_minted_outside_of_a_call():
    """Outside of an operation an identity and a conversation are minted, no two alike."""
    assert mint().id != mint().id
    assert identity_in_call().id != identity_in_call().id
    assert conversation_in_call() != conversation_in_call()


@pytest.mark.parametrize(
    ("created_at", "ours"),
    [
        ("2026-01-05T08:02:09.827001+00:00", "2026-01-05T08:02:09.827001+00:00"),
        ("2026-01-05T08:02:09Z", "2026-01-05T08:02:09.000000+00:00"),
        ("2026-01-05T09:02:09+01:00", "2026-01-05T08:02:09.000000+00:00"),
        ("2026-01-05", "2026-01-05T00:00:00.000000+00:00"),
    ],
)
def test_taken_from_legacy(created_at, ours):
    """Inside a call, legacy's id and time are the identity; another spelling of a time becomes ours."""
    with calling(Call(capture_id="c", shadow=True, origin={"id": "m", "created_at": created_at})):
        identity = identity_in_call()
    assert (identity.id, identity.created_at) == ("m", ours)


@pytest.mark.parametrize(
    "origin",
    [None, "text", ["m"], {}, {"id": "", "created_at": "yesterday"}, {"id": "\x00", "created_at": 5}, {"id": 1.5}],
)
def test_garbage_from_legacy(origin):
    """An origin without a usable id is known by the key of its call; without a usable time, by now."""
    with calling(Call(capture_id="capture", shadow=True, origin=origin)):
        identity = identity_in_call()
        assert conversation_in_call()
    assert identity.id == "capture"
    assert len(identity.created_at) == 32
