"""Capture on the live path: a snapshot, in order, bounded, counted, and harmless under every fault of Redis."""

import asyncio
import os
import signal
import socket
import threading
from collections import Counter

import msgspec
import pytest

from gnomon import Gnomon, call
from gnomon.calling import Call, calling
from gnomon.keys import Keys

pytestmark = pytest.mark.slow


def save_operation(client):
    @client.operation("memory.save", kind="write", user="user_id")
    def save(user_id: str | None, content: object, metadata: dict | None = None) -> dict:
        if content == "explode":
            raise ValueError("no explosives")
        return {"content": content, "metadata": metadata}

    return save


def test_a_call_is_captured_with_what_it_was_given_and_gave(make, captures, funnel):
    """Arguments by name with defaults, the outcome, user, times and identity."""
    client = make(GNOMON_BUILD="b7")
    save_operation(client)("ann", "hello")
    assert client.flush(5)
    [capture] = captures()
    assert (capture.op, capture.kind, capture.user, capture.build) == ("memory.save", "write", "ann", "b7")
    assert msgspec.json.decode(capture.args) == {"user_id": "ann", "content": "hello", "metadata": None}
    assert msgspec.json.decode(capture.legacy.returned) == {"content": "hello", "metadata": None}
    assert capture.start < capture.end
    assert funnel() == {"eligible": 1, "captured": 1}


def test_the_capture_is_a_snapshot(make, captures):
    """What the caller does to arguments and result afterwards changes nothing."""
    client = make()
    metadata = {"a": 1}
    result = save_operation(client)("ann", "x", metadata)
    metadata["a"], result["content"] = 2, "changed"
    assert client.flush(5)
    [capture] = captures()
    assert msgspec.json.decode(capture.args)["metadata"] == {"a": 1}
    assert msgspec.json.decode(capture.legacy.returned)["content"] == "x"


def with_defaults(client):
    @client.operation("memory.recent", kind="read", user="user_id")
    def recent(user_id: str, kind: str | None = None, limit: int = 10) -> list[object]:
        return [user_id, kind, limit]

    return recent


def by_name_alone(client):
    @client.operation("memory.recent", kind="read", user="user_id")
    def recent(user_id: str, kind: str | None = None, *, limit: int = 10) -> list[object]:
        return [user_id, kind, limit]

    return recent


def with_any_others(client):
    @client.operation("memory.recent", kind="read", user="user_id")
    def recent(user_id: str, kind: str | None = None, **more: int) -> list[object]:
        return [user_id, kind, more.get("limit", 10)]

    return recent


def user_last(client):
    @client.operation("memory.recent", kind="read", user="user_id")
    def recent(kind: str | None = None, limit: int = 10, user_id: str | None = None) -> list[object]:
        return [user_id, kind, limit]

    return recent


@pytest.mark.parametrize("operation", [with_defaults, by_name_alone, with_any_others, user_last])
def test_a_call_is_captured_the_same_however_it_is_spelled(make, captures, funnel, operation):
    """By place or by name, with defaults or without: the first call of an operation, and those after it."""
    client = make()
    recent = operation(client)
    ways = [
        ((), {"user_id": "ann"}),
        ((), {"limit": 10, "user_id": "ann", "kind": None}),
        *([(("ann",), {}), (("ann", None), {})] if operation is not user_last else [((None, 10, "ann"), {})]),
        *([(("ann", None, 10), {})] if operation is with_defaults else []),
        ((None, 10), {"user_id": "ann"}) if operation is user_last else (("ann",), {"kind": None}),
    ]
    for args, kwargs in ways * 2:
        assert recent(*args, **kwargs) == ["ann", None, 10]
    assert client.flush(5)
    found = [{"kind": None, "limit": 10, **msgspec.json.decode(capture.args)} for capture in captures()]
    assert found == [{"user_id": "ann", "kind": None, "limit": 10}] * 2 * len(ways)
    assert funnel() == {"eligible": 2 * len(ways), "captured": 2 * len(ways)}


def test_a_wrong_call_stays_wrong_whenever_it_is_made(make, captures):
    """It raises what legacy raises, and is no call."""
    client = make()
    recent = with_defaults(client)
    recent("ann")
    for args, kwargs in [((), {}), (("ann", None, 10, 1), {}), (("ann",), {"user_id": "ben"}), (("ann",), {"size": 1})]:
        with pytest.raises(TypeError, match="recent"):
            recent(*args, **kwargs)
    assert client.flush(5)
    assert len(captures()) == 1


def test_every_capture_of_many_is_a_snapshot(make, captures):
    """What the caller does to arguments and result while captures wait changes nothing."""
    client = make()
    save = save_operation(client)
    for number in range(5):
        metadata = {"a": number}
        result = save("ann", "x", metadata)
        metadata["a"], result["content"] = -1, "changed"
    save("ann", "x", object())  # no JSON form
    assert client.flush(5)
    assert [msgspec.json.decode(capture.args)["metadata"] for capture in captures()] == [{"a": n} for n in range(5)]
    assert {msgspec.json.decode(capture.legacy.returned)["content"] for capture in captures()} == {"x"}
    assert client.metrics()["unserialisable"] == 1


def test_captures_are_published_whenever_they_come(make, captures, eventually):
    """While the thread sleeps, gathers or has just looked: nobody has to flush."""
    client = make()
    recent = with_defaults(client)
    for number in range(50):
        recent(f"user-{number}")
        if number % 3 == 0:
            assert eventually(lambda: client.health().details["backlog"] == 0)
    assert eventually(lambda: client.health().details["backlog"] == 0)
    assert len(captures()) == 50


def test_an_exception_is_captured_and_reaches_the_caller(make, captures):
    """The caller gets that very exception; the capture names its class and message."""
    client = make()
    with pytest.raises(ValueError, match="no explosives"):
        save_operation(client)("ann", "explode")
    assert client.flush(5)
    [capture] = captures()
    assert (capture.legacy.raised.type, capture.legacy.raised.message) == ("ValueError", "no explosives")


def test_async_calls_are_captured(make, captures):
    """Coroutines side by side: each captured once, contextvars untouched."""
    client = make()

    @client.operation("memory.recent", kind="read", user="user_id")
    async def recent(user_id: str) -> list[str]:
        await asyncio.sleep(0.001)
        return [user_id]

    async def many():
        return await asyncio.gather(*(recent(f"u{n}") for n in range(20)))

    assert asyncio.run(many()) == [[f"u{n}"] for n in range(20)]
    assert client.flush(5)
    assert len(captures()) == 20


def test_a_cancelled_call_passes_its_cancellation_on(make, captures):
    """CancelledError reaches the caller, and the capture says that the call was interrupted."""
    client = make()

    @client.operation("memory.recent", kind="read", user="user_id")
    async def recent(user_id: str) -> None:
        await asyncio.sleep(60)

    async def cancelled():
        task = asyncio.ensure_future(recent("ann"))
        await asyncio.sleep(0)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancelled())
    assert client.flush(5)
    assert captures()[0].legacy.raised.interrupted


@pytest.mark.parametrize("user", [None, ""])
def test_without_a_user_nothing_is_eligible(make, captures, funnel, user):
    """No user, no capture, no count."""
    client = make()
    save_operation(client)(user, "x")
    assert client.flush(5)
    assert (captures(), funnel()) == ([], {})
    assert (client.metrics()["eligible"], client.metrics()["legacy_calls"]) == (0, 1)


def test_every_loss_is_counted_under_its_reason(make, funnel):
    """What has no JSON form or is too large is counted, never raised."""
    client = make(GNOMON_CAPTURE_BYTES="2000")
    save = save_operation(client)
    save("ann", "fine")
    save("ann", object())
    save("ann", "x" * 3000)
    recursive: dict = {}
    recursive["me"] = recursive
    save("ann", recursive)
    assert client.flush(5)
    assert funnel() == {"eligible": 4, "captured": 1, "unserialisable": 2, "oversize": 1}


def test_sampling_is_by_user_and_counted(make, captures, funnel):
    """A user is captured always or never; the rate travels with the capture."""
    client = make()

    @client.operation("memory.recent", kind="read", user="user_id", sample=0.5)
    def recent(user_id: str) -> None: ...

    for _ in range(3):
        for n in range(40):
            recent(f"u{n}")
    assert client.flush(5)
    by_user = Counter(capture.user for capture in captures())
    assert set(by_user.values()) == {3}
    assert 5 < len(by_user) < 35
    assert funnel()["not_sampled"] == 120 - 3 * len(by_user)
    assert {capture.sample for capture in captures()} == {0.5}


def test_generate_calls_have_a_budget(make, funnel):
    """Beyond the hourly budget calls are not sampled."""
    client = make(GNOMON_GENERATE_BUDGET="3")

    @client.operation("chat.send", kind="generate", user="user_id")
    def send(user_id: str) -> str:
        return "hi"

    for _ in range(5):
        send("ann")
    assert client.flush(5)
    assert funnel() == {"eligible": 5, "captured": 3, "not_sampled": 2}


def test_calls_made_by_an_enhanced_callable_are_not_captured(make, captures):
    """A replay that calls a wrapped operation must not feed its own lane."""
    client = make()
    save = save_operation(client)
    with calling(Call(capture_id="c", shadow=True)) as current:
        assert call() is current
        save("ann", "x")
    assert call() is None
    assert client.flush(5)
    assert captures() == []


def test_ends_grow_in_the_order_of_calls(make, captures):
    """Threads or not, one process's captures are strictly ordered, and a user's calls as they were made."""
    client = make()
    save = save_operation(client)

    def work(user: str) -> None:
        for n in range(50):
            save(user, n)

    threads = [threading.Thread(target=work, args=(f"u{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert client.flush(5)
    found = captures()
    assert len({capture.end for capture in found}) == 200
    for n in range(4):
        contents = [msgspec.json.decode(c.args)["content"] for c in found if c.user == f"u{n}"]
        assert contents == list(range(50))


def test_redis_refused_costs_the_caller_nothing_and_is_counted():
    """Nobody listens: calls go on, the buffer is bounded, the rest is counted."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: refused at once
        url = f"redis://127.0.0.1:{taken.getsockname()[1]}/0"
        client = Gnomon.from_env({"GNOMON_REDIS_URL": url, "GNOMON_BUFFER_CAPTURES": "10"})
        save = save_operation(client)
        for n in range(25):
            assert save("ann", n)["content"] == n
        assert not client.flush(0.2)
        client.close(0.1)
    assert client.metrics()["publish_failed"] == 15
    assert client.metrics()["eligible"] == 25


def test_redis_frozen_then_back_loses_and_doubles_nothing(make, server, captures, funnel, valkey_server):
    """While the server is stopped calls go on; when it goes on, each capture is in its lane once."""
    client = make()
    save = save_operation(client)
    save("ann", 0)
    assert client.flush(5)
    pid = server.info("server")["process_id"]
    os.kill(pid, signal.SIGSTOP)
    try:
        for n in range(1, 50):
            save(f"u{n % 7}", n)
        assert not client.flush(0.3)
    finally:
        os.kill(pid, signal.SIGCONT)
    assert client.flush(15)
    assert sorted(msgspec.json.decode(c.args)["content"] for c in captures()) == list(range(50))
    assert funnel() == {"eligible": 50, "captured": 50}


def test_connections_killed_while_appending_double_nothing(make, server, captures):
    """A lost reply is answered by repeating the same batch, which the high-water mark makes harmless."""
    client = make()
    save = save_operation(client)
    stop = threading.Event()

    def storm() -> None:
        while not stop.wait(0.002):
            server.client_kill_filter(_type="normal", skipme=True)

    killer = threading.Thread(target=storm)
    killer.start()
    try:
        for n in range(2000):
            save(f"u{n % 50}", n)
    finally:
        stop.set()
        killer.join()
    assert client.flush(15)
    assert sorted(msgspec.json.decode(c.args)["content"] for c in captures()) == list(range(2000))


def test_a_full_lane_refuses_and_nothing_is_half_written(make, server, funnel, eventually):
    """Over its byte cap a lane takes no more: what it was to get is shed, and so are its users for a while."""
    client = make(GNOMON_LANE_BYTES="3000")
    save = save_operation(client)
    for n in range(40):
        save("ann", os.urandom(300).hex() + str(n))
        assert client.flush(5)  # nothing waits for room
    found = funnel()
    assert found["captured"] + found["shed"] == 40 == found["eligible"]
    [lane] = [n for n in range(64) if server.exists(Keys("default").lane(n).stream)]
    assert sum(int(entry[b"n"]) for _, entry in server.xrange(Keys("default").lane(lane).stream)) == found["captured"]
    assert client.metrics()["shed"] == found["shed"] - 1  # the first was captured here, and refused there
    server.hset(Keys("default").lane(lane).state, "trimmed", 10**9)
    assert eventually(lambda: not client._buffer.shedding.active)
    save("ann", "again")
    assert client.flush(5)
    assert funnel()["captured"] == found["captured"] + 1


def test_the_heartbeat_holds_the_watermark_at_a_write_in_flight(make, server, captures):
    """No later than the start of a write that has not ended; gone after close."""
    client = make()
    entered, leave = threading.Event(), threading.Event()

    @client.operation("memory.save", kind="write", user="user_id")
    def save(user_id: str) -> None:
        entered.set()
        leave.wait(10)

    @client.operation("memory.recent", kind="read", user="user_id")
    def recent(user_id: str) -> None: ...

    writer = threading.Thread(target=save, args=("ann",))
    writer.start()
    entered.wait(5)
    for _ in range(3):
        recent("ben")
        assert client.flush(5)
    watermark = server.zrange(Keys("default").watermarks, 0, -1, withscores=True)[0][1]
    assert all(watermark < capture.end for capture in captures())
    leave.set()
    writer.join()
    assert client.flush(5)
    [written] = [capture for capture in captures() if capture.op == "memory.save"]
    assert watermark <= written.start
    client.close()
    assert server.zcard(Keys("default").watermarks) == 0


def test_a_forked_child_captures_under_its_own_name(make, captures):
    """After a fork the child starts a publisher of its own and doubles nothing of the parent's."""
    client = make()
    save = save_operation(client)
    save("ann", "parent")
    child = os.fork()
    if child == 0:
        save("ben", "child")
        os._exit(0 if client.flush(5) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert client.flush(5)
    found = captures()
    assert sorted(msgspec.json.decode(c.args)["content"] for c in found) == ["child", "parent"]
    assert len({c.id.partition("-")[0] for c in found}) == 2


def test_flags_stored_reach_a_live_process(make, eventually):
    """An update is read by the publisher of a process that is alive."""
    client = make()
    save_operation(client)("ann", 1)
    stored = client.flags.update_flags(enhanced_memory_enabled=False)
    assert stored.version == 1
    assert eventually(lambda: client._state.stored.version == 1)
