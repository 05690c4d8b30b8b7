"""Whether a user's data is the same on both sides, and bringing it there, over both databases."""

import json
import threading
import tracemalloc
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, event, insert, null, select, update

from gnomon_memory.errors import InvalidArgumentError, StoreError
from gnomon_memory.identity import as_text
from gnomon_memory.legacy import chat_memories, legacy_store
from gnomon_memory.rental_service import RentalMemoryService, rental_store
from gnomon_memory.rental_tables import (
    rental_conversations,
    rental_memories,
    rental_memory_attributes,
    rental_users,
)
from gnomon_memory.user_data import BATCH, PAGE, UserData

pytestmark = pytest.mark.enhanced_memory

VALUES = st.none() | st.booleans() | st.integers(0, 2) | st.just(1.0) | st.sampled_from(["", "Łódź", "5"])
METADATA = st.none() | st.dictionaries(st.sampled_from(["conversation_id", "slot", "value", "é"]), VALUES, max_size=3)
SAVES = st.tuples(st.sampled_from(["conversation", "preference"]), st.sampled_from(["", "text"]), METADATA)
START = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)
ALTERED = [
    {"content": "area: Ghent"},
    {"memory_type": "other"},
    {"created_at": "2026-01-05T08:02:09.827000+00:00"},
    {"metadata": {"slot": "area", "value": True}},
    {"metadata": {"slot": "area", "value": 1.0}},
    {"metadata": {"slot": "area"}},
    {"metadata": {"slot": "area", "value": 1, "conversation_id": "c"}},
]

_fresh = count()


@pytest.fixture
def both(systems):
    return UserData(systems.legacy.store, systems.enhanced.service)


def row(number: int, user: str = "u", **fields) -> dict:
    created_at = as_text(START + timedelta(seconds=number))
    own = {"id": f"{user}-{number:06}", "user_id": user, "memory_type": "note", "content": str(number), "metadata": {}}
    return {**own, "created_at": created_at, **fields}


def hold(store, table, rows) -> None:
    """Put rows into a store as another application would."""
    with store.writing() as connection:
        connection.execute(insert(table), rows)


def facts(systems, table=rental_memory_attributes) -> list[tuple]:
    with systems.enhanced.service.store.reading() as connection:
        return [tuple(found) for found in connection.execute(select(table).order_by(*table.primary_key))]


def read(system, user: str = "u") -> str:
    return json.dumps(system.get_recent_memories(user, limit=10_000))


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(saves=st.lists(st.tuples(SAVES, st.booleans()), max_size=8))
def test_a_repair_is_what_replays_would_have_been(systems, both, saves):
    """Whatever part of a user's saves was replayed, a repair leaves enhanced as if all of them had been."""
    user, other = f"user-{next(_fresh)}", f"user-{next(_fresh)}"
    missing = 0
    for args, replayed in saves:
        saved = systems.legacy.save_chat_memory(user, *args)
        systems.replay(systems.enhanced.save_chat_memory, other, *args, origin=saved)
        if replayed:
            systems.replay(systems.enhanced.save_chat_memory, user, *args, origin=saved)
        missing += not replayed
    assert both.verify(user) is (missing == 0)
    assert both.repair(user) == missing
    assert both.verify(user)
    assert both.repair(user) == 0
    assert read(systems.legacy, user) == read(systems.enhanced, user)
    for table in (rental_memory_attributes, rental_conversations, rental_users):
        found = facts(systems, table)
        assert [of for who, *of in found if who == other] == [of for who, *of in found if who == user]


@pytest.mark.parametrize("altered", ALTERED, ids=range(len(ALTERED)))
def test_what_differs_is_found_and_rewritten(systems, both, altered):
    """One value of one memory that differs, be it by its type, is a mismatch; a repair restores it, and its facts."""
    for value in ("Porto", 1):
        systems.save("u", "preference", f"area: {value}", {"slot": "area", "value": value})
    expected = read(systems.legacy), facts(systems)
    assert both.verify("u")
    (newest,) = systems.legacy.get_recent_memories("u", limit=1)
    service = systems.enhanced.service
    with service.store.writing() as connection:
        connection.execute(update(rental_memories).filter_by(origin_id=newest["id"]).values(**altered))
        connection.execute(update(rental_memory_attributes).filter_by(origin_id=newest["id"]).values(name="stale"))
    assert not both.verify("u")
    assert both.repair("u") == 1
    assert expected == (read(systems.enhanced), facts(systems))
    assert both.verify("u")


def test_the_order_of_keys_is_free(systems, both):
    """Metadata with its keys in another order is the same."""
    hold(systems.legacy.store, chat_memories, [row(0, metadata={"a": 1, "b": {"c": 2, "d": 3}})])
    both.repair("u")
    with systems.enhanced.service.store.writing() as connection:
        connection.execute(update(rental_memories).values(metadata={"b": {"d": 3, "c": 2}, "a": 1}))
    assert both.verify("u")
    assert both.repair("u") == 0


def test_what_enhanced_alone_holds_stays(systems, both):
    """A memory that legacy does not have is a mismatch; no repair takes it away. Other users' are none of it."""
    systems.save("u", "note", "both")
    systems.enhanced.save_chat_memory("u", "note", "enhanced alone")
    systems.enhanced.save_chat_memory("v", "note", "of another user")
    assert not both.verify("u")
    assert both.repair("u") == 0
    assert not both.verify("u")
    assert [memory["content"] for memory in systems.enhanced.get_recent_memories("u")] == ["enhanced alone", "both"]
    assert both.verify("nobody")
    assert both.repair("nobody") == 0


def test_before(systems, both):
    """With `before`, nothing that is as old or younger counts, on either side."""
    hold(systems.legacy.store, chat_memories, [row(number) for number in range(4)])
    end = START + timedelta(seconds=2)
    assert both.repair("u", end) == 2
    assert both.verify("u", end)
    assert both.verify("u", end.astimezone(tz=None))
    assert not both.verify("u")
    systems.enhanced.save_chat_memory("u", "note", "enhanced alone, now")
    assert both.verify("u", end)
    assert both.repair("u", end) == 0
    assert both.verify("u", START)


def test_rows_of_another_time(systems, both):
    """Rows without metadata and with another spelling of time are held as a replay would: `{}`, and our spelling."""
    times = ["2026-01-05T08:00:00Z", "2026-01-05T09:00:01", "2026-01-06", "2026-01-07T01:00:00+02:00"]
    rows = [row(number, created_at=time, metadata=null()) for number, time in enumerate(times)]
    for one in rows:
        hold(systems.legacy.store, chat_memories, one)
    assert both.repair("u") == 4
    assert both.verify("u")
    for one in systems.legacy.get_recent_memories("u"):
        systems.replay(systems.enhanced.save_chat_memory, "u", "note", one["content"], origin=one)
    assert both.verify("u")
    assert both.repair("u") == 0
    held = systems.enhanced.get_recent_memories("u")
    assert [(one["content"], one["metadata"], one["created_at"]) for one in held] == [
        ("3", {}, "2026-01-06T23:00:00.000000+00:00"),
        ("2", {}, "2026-01-06T00:00:00.000000+00:00"),
        ("1", {}, "2026-01-05T09:00:01.000000+00:00"),
        ("0", {}, "2026-01-05T08:00:00.000000+00:00"),
    ]
    assert both.verify("u", datetime(2026, 1, 6, tzinfo=UTC))


def test_an_order_that_differs_is_a_mismatch(systems, both):
    """Where legacy sorts by another spelling of time than ours, reads would differ: the user is not verified."""
    times = ["2026-01-05T09:30:00+02:00", "2026-01-05T08:00:00+00:00"]  # legacy sorts text: the second is the older
    hold(systems.legacy.store, chat_memories, [row(number, created_at=time) for number, time in enumerate(times)])
    assert both.repair("u") == 2
    assert not both.verify("u")


@pytest.mark.parametrize(
    "fields",
    [
        {"created_at": "yesterday"},
        {"id": ""},
        {"id": "i" * 257},
        {"memory_type": ""},
        {"metadata": ["a"]},
        {"metadata": {"deep": json.loads("[" * 64 + "]" * 64)}},
    ],
    ids=str,
)
def test_rows_that_no_call_could_save(systems, both, fields):
    """A row of legacy that a replay could not store is left, and keeps its user from being verified; others are not."""
    hold(systems.legacy.store, chat_memories, [row(0)])
    hold(systems.legacy.store, chat_memories, [row(1, **fields)])
    assert both.repair("u") == 1
    assert not both.verify("u")
    assert not both.verify("u", START + timedelta(days=30))
    assert [memory["content"] for memory in systems.enhanced.get_recent_memories("u")] == ["0"]


def test_a_user_whom_no_call_could_name(systems, both):
    """Users with ids too long for a call are never verified; what is no text is refused."""
    hold(systems.legacy.store, chat_memories, [row(0, "u" * 257, id="m")])
    assert not both.verify("u" * 257)
    assert both.repair("u" * 257) == 0
    for bad in ("a\x00", "\ud800"):
        for ask in (both.verify, both.repair, both.users):
            with pytest.raises(InvalidArgumentError):
                ask(bad)


def test_beginnings(systems, both):
    """After a repair a user and their conversations began with their oldest memory, whatever was written first."""
    turn = {"conversation_id": "c", "role": "user"}
    first = systems.legacy.save_chat_memory("u", "conversation", "I need a flat.", turn)
    systems.save("u", "conversation", "In Porto.", turn)
    assert both.repair("u") == 1
    assert facts(systems, rental_conversations) == [("u", "c", "I need a flat.", first["created_at"])]
    assert facts(systems, rental_users) == [("u", first["created_at"])]


@pytest.mark.parametrize("size", [0, 1, PAGE - 1, PAGE, PAGE + 1, 2 * PAGE])
def test_pages(systems, both, size):
    """Of any number of memories, also with one time for all, none is overlooked: neither the first nor the last."""
    rows = [row(number, created_at=as_text(START)) for number in range(size)]
    if rows:
        hold(systems.legacy.store, chat_memories, rows)
    assert both.repair("u") == size
    assert both.verify("u")
    for origin_id in {"u-000000", f"u-{size - 1:06}"} if size else ():
        with systems.enhanced.service.store.writing() as connection:
            connection.execute(delete(rental_memories).filter_by(origin_id=origin_id))
        assert not both.verify("u")
        assert both.repair("u") == 1
        assert both.verify("u")


def test_the_usual_user_costs_two_queries(systems, both):
    """A user with a page of memories is verified by one query a side."""
    for number in range(30):
        systems.save("u", "note", str(number))
    both.verify("u")
    asked = []
    for store in (systems.legacy.store, systems.enhanced.service.store):
        with store.reading() as connection:
            event.listen(connection.engine, "before_cursor_execute", lambda *given: asked.append(given[2]))
    assert both.verify("u")
    assert len(asked) == 2, asked


def test_a_user_with_many_memories(tmp_path):
    """Many memories are verified and repaired in little memory: no page but the present one is kept."""
    legacy, enhanced = legacy_store(f"sqlite:///{tmp_path}/l.db"), rental_store(f"sqlite:///{tmp_path}/e.db")
    both = UserData(legacy, RentalMemoryService(enhanced))
    hold(legacy, chat_memories, [row(number, content="x" * 2_000) for number in range(10_000)])
    hold(enhanced, rental_users, [{"user_id": "u", "first_seen": as_text(START)}])
    held = [row(number, content="x" * 2_000) for number in range(10_000) if number % 100]
    for one in held:
        one["origin_id"] = one.pop("id")
    hold(enhanced, rental_memories, held)
    del held
    both.verify("u", START)
    tracemalloc.start()
    assert both.repair("u") == 100
    assert both.verify("u")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    legacy.close()
    enhanced.close()
    assert peak < 8_000_000 < 10_000 * 2_000


def test_beside_live_writes_and_other_repairs(systems, both):
    """Repairs of a user beside each other and beside live writes fail nobody, and add up to what legacy holds."""
    turns = [row(number, metadata={"conversation_id": f"c{number % 7}"}) for number in range(3 * BATCH)]
    hold(systems.legacy.store, chat_memories, turns)
    failures, added = [], []

    def save() -> None:
        for number in range(40):
            systems.save("u", "conversation", "live", {"conversation_id": f"c{number % 9}"})

    def running(work) -> threading.Thread:
        def run() -> None:
            try:
                added.append(work())
            except Exception as error:
                failures.append(repr(error))

        return threading.Thread(target=run)

    threads = [running(work) for work in (save, save, *[lambda: both.repair("u")] * 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    both.repair("u")
    assert both.verify("u")
    assert read(systems.legacy) == read(systems.enhanced)
    assert len(turns) <= sum(number for number in added if number is not None) <= len(turns) + 80


def test_users(systems, both):
    """Legacy's users, each once, in the order of their ids' bytes, from behind any id, as many as asked for."""
    users = ["Ana", "ana", "ana-2", "zoë", "Łódź", "🏠", "a b"]
    for user in users * 3:
        systems.legacy.save_chat_memory(user, "note", "text")
    systems.enhanced.save_chat_memory("enhanced alone", "note", "text")
    expected = sorted(users, key=str.encode)
    assert both.users() == expected
    assert both.users("ana", 2) == expected[expected.index("ana") + 1 :][:2]
    assert both.users("b") == expected[4:]
    assert both.users(expected[-1]) == []
    walked, after = [], ""
    while page := both.users(after, 3):
        walked += page
        after = page[-1]
    assert walked == expected
    for limit in (0, -1, True, "3"):
        with pytest.raises(InvalidArgumentError):
            both.users(limit=limit)


def test_an_unreachable_store_is_a_store_error(systems):
    """Whichever side cannot be reached, each method raises StoreError."""
    nowhere = "postgresql+psycopg://nobody@127.0.0.1:1/nothing"
    systems.legacy.save_chat_memory("u", "note", "secret")
    without_legacy = UserData(legacy_store(nowhere), systems.enhanced.service)
    without_enhanced = UserData(systems.legacy.store, RentalMemoryService(rental_store(nowhere)))
    asks = [without_legacy.verify, without_legacy.repair, without_legacy.users]
    for ask in (*asks, without_enhanced.verify, without_enhanced.repair):
        with pytest.raises(StoreError) as caught:
            ask("u")
        assert "secret" not in str(caught.value)
