"""What both systems promise of memories, over both databases."""

import json
import random
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gnomon.calling import Call, calling
from gnomon_memory.memory import MemorySystem

pytestmark = pytest.mark.enhanced_memory

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=12)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
METADATA = st.none() | st.dictionaries(TEXT | st.sampled_from(["conversation_id", "slot", "value"]), JSON, max_size=4)
TYPES = st.sampled_from(["conversation", "preference", "Ünlü"])
SAVES = st.tuples(st.just("save"), st.integers(0, 1), TYPES, TEXT, METADATA)
READS = st.tuples(st.just("read"), st.integers(0, 1), st.none() | TYPES, st.integers(1, 4))
SMALL = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])

_fresh = count()


def sides(systems: Any) -> list[MemorySystem]:
    return [systems.legacy, systems.enhanced]


@SMALL
@given(actions=st.lists(SAVES | READS, max_size=10))
def test_reads_are_equal(systems, actions):
    """After the same writes, an enhanced read returns exactly what legacy returns: values, types, order, identity."""
    prefix = f"user-{next(_fresh)}"
    for kind, user, *args in actions:
        user_id = f"{prefix}-{user}"
        if kind == "save":
            systems.save(user_id, *args)
        else:
            expected = systems.legacy.get_recent_memories(user_id, *args)
            actual = systems.enhanced.get_recent_memories(user_id, *args)
            assert json.dumps(expected) == json.dumps(actual)


@SMALL
@given(saves=st.lists(SAVES, max_size=6), shuffled=st.randoms(use_true_random=False))
def test_order_and_number_of_replays_do_not_matter(systems, saves, shuffled):
    """However late and often a write is replayed, enhanced ends up with what legacy has."""
    user_id = f"user-{next(_fresh)}"
    writes = [(args, systems.legacy.save_chat_memory(user_id, *args)) for _, _, *args in saves]
    repeated = writes * 2
    shuffled.shuffle(repeated)
    for args, saved in repeated:
        again = systems.replay(systems.enhanced.save_chat_memory, user_id, *args, origin=saved)
        assert saved == again
    assert systems.legacy.get_recent_memories(user_id) == systems.enhanced.get_recent_memories(user_id)


def test_a_saved_memory(systems):
    """Saving returns the memory with text id, UTC time in microseconds, and `{}` where no metadata was given."""
    for side in sides(systems):
        saved = side.save_chat_memory("zoë", "preference", "area: Łódź")
        assert {"id", "user_id", "memory_type", "content", "metadata", "created_at"} == saved.keys()
        assert saved["metadata"] == {}
        assert isinstance(saved["id"], str)
        assert len("2026-01-05T08:02:09.827000+00:00") == len(saved["created_at"])
        assert saved["created_at"].endswith("+00:00")
        assert [saved] == side.get_recent_memories("zoë")


def test_newest_first_by_type_and_user(systems):
    """A read returns the newest of its type and user, newest first, at most `limit`, ten if nothing is said."""
    for side in sides(systems):
        saved = [side.save_chat_memory("u", "ab"[n % 2], str(n)) for n in range(14)]
        side.save_chat_memory("other", "a", "of another user")
        assert saved[:3:-1] == side.get_recent_memories("u")
        assert saved[-2::-2][:3] == side.get_recent_memories("u", "a", 3)
        assert side.get_recent_memories("u", "c") == []
        assert side.get_recent_memories("nobody") == []


def test_saving_twice_stores_once(systems):
    """A write replayed with other content under the same identity changes nothing, and returns what is stored."""
    saved = systems.save("u", "preference", "area: Porto", {"slot": "area", "value": "Porto"})
    again = systems.replay(systems.enhanced.save_chat_memory, "u", "preference", "something else", origin=saved)
    assert saved == again
    assert [saved] == systems.enhanced.get_recent_memories("u")


def test_identity_is_per_user(systems):
    """Two users may have the same origin id; neither sees the other's memory."""
    origin = {"id": "1", "created_at": "2026-01-05T08:02:09.827000+00:00"}
    for user in ("ana", "ben"):
        systems.replay(systems.enhanced.save_chat_memory, user, "note", f"of {user}", origin=origin)
    for user in ("ana", "ben"):
        assert [f"of {user}"] == [memory["content"] for memory in systems.enhanced.get_recent_memories(user)]


def test_without_a_usable_origin_a_replay_is_still_one_write(systems):
    """Where legacy returned no id, the call's own key is the identity."""
    with calling(Call(capture_id="capture", shadow=False, origin=None)):
        first = systems.enhanced.save_chat_memory("u", "note", "text")
        second = systems.enhanced.save_chat_memory("u", "note", "text")
    assert first == second
    assert first["id"] == "capture"


def test_a_foreign_time_is_sorted_as_ours(systems):
    """A recorded origin with another id and another spelling of time is taken over, in our form."""
    times = ["2026-01-05T10:00:00Z", "2026-01-05T10:30:00+01:00", "2026-01-05T09:45:00"]
    for number, created_at in enumerate(times):
        origin = {"id": number, "created_at": created_at}
        systems.replay(systems.enhanced.save_chat_memory, "u", "note", created_at, origin=origin)
    assert [times[0], times[2], times[1]] == [memory["content"] for memory in systems.enhanced.get_recent_memories("u")]


def test_arguments_are_not_shared(systems):
    """What the caller does to its metadata afterwards, or to a returned memory, changes no stored memory."""
    for side in sides(systems):
        given_metadata = {"nested": {"pets": ["cat"]}}
        saved = side.save_chat_memory("u", "property", "home", given_metadata)
        given_metadata["nested"]["pets"].append("dog")
        saved["metadata"]["nested"]["pets"].append("parrot")
        assert side.get_recent_memories("u", limit=1)[0]["metadata"] == {"nested": {"pets": ["cat"]}}


def test_memories_of_one_moment_have_one_order(systems):
    """Memories with the same time are sorted by id, alike on both sides, whatever order they were replayed in."""
    created_at = "2026-01-05T08:02:09.827000+00:00"
    ids = [f"{number:03}" for number in range(20)]
    random.Random(7).shuffle(ids)
    for origin_id in ids:
        origin = {"id": origin_id, "created_at": created_at}
        systems.replay(systems.enhanced.save_chat_memory, "u", "note", origin_id, origin=origin)
    read = systems.enhanced.get_recent_memories("u", limit=20)
    assert sorted(ids, reverse=True) == [memory["id"] for memory in read]
