"""What both systems refuse, before either touches its store: neither of these can open one."""

from typing import Any

import pytest

from gnomon_memory.checks import json_object
from gnomon_memory.enhanced import EnhancedMemory
from gnomon_memory.errors import ChatMemoryError, InvalidArgumentError, StoreError
from gnomon_memory.legacy import LegacyMemory, legacy_store
from gnomon_memory.rental_service import RentalMemoryService, rental_store

pytestmark = pytest.mark.enhanced_memory

NOWHERE = "postgresql+psycopg://nobody@127.0.0.1:1/nothing"
LEGACY = LegacyMemory(legacy_store(NOWHERE))
ENHANCED = EnhancedMemory(RentalMemoryService(rental_store(NOWHERE)))

KEY = "must be text of 1 to 256 characters, without NUL or lone surrogates"
TEXT = "must be text, without NUL or lone surrogates"
OBJECT = "metadata must be a JSON object with finite numbers, nested at most 64 deep, or None"


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth - 1):
        value = {"a": value}
    return value


BAD_SAVES = [
    (("", "note", "text"), f"user_id {KEY}"),
    ((None, "note", "text"), f"user_id {KEY}"),
    (("u" * 257, "note", "text"), f"user_id {KEY}"),
    (("u\x00", "note", "text"), f"user_id {KEY}"),
    (("u", "", "text"), f"memory_type {KEY}"),
    (("u", 3, "text"), f"memory_type {KEY}"),
    (("u", "note", 5), f"content {TEXT}"),
    (("u", "note", "a\x00b"), f"content {TEXT}"),
    (("u", "note", "\ud800"), f"content {TEXT}"),
    (("u", "note", "text", ["a"]), OBJECT),
    (("u", "note", "text", {"when": object()}), OBJECT),
    (("u", "note", "text", {1: "one"}), OBJECT),
    (("u", "note", "text", {"a": ["b\x00"]}), OBJECT),
    (("u", "note", "text", {"\udfff": 1}), OBJECT),
    (("u", "note", "text", {"a": float("nan")}), OBJECT),
    (("u", "note", "text", nested(65)), OBJECT),
    (("u", "note", "text", nested(50_000)), OBJECT),
    (("u", "note", "text", {"a": 10**5000}), "metadata must be a JSON object whose integers have at most 4,300 digits"),
]


@pytest.mark.parametrize("side", [LEGACY, ENHANCED], ids=["legacy", "enhanced"])
@pytest.mark.parametrize(("args", "told"), BAD_SAVES, ids=range(len(BAD_SAVES)))
def test_bad_saves(side, args, told):
    """Both sides refuse the same saves with the same class and message, in which no payload stands."""
    assert told == refusal(side.save_chat_memory, *args)


@pytest.mark.parametrize("side", [LEGACY, ENHANCED], ids=["legacy", "enhanced"])
@pytest.mark.parametrize("limit", [0, -1, 1.5, True, None, "3", 10**30])
def test_bad_limits(side, limit):
    """A read asks for a whole number of memories, from 1 to what an answer holds."""
    assert refusal(side.get_recent_memories, "u", None, limit) == "limit must be a whole number from 1 to 10000"


@pytest.mark.parametrize("side", [LEGACY, ENHANCED], ids=["legacy", "enhanced"])
def test_bad_reads_and_messages(side):
    """A read wants a user and a type, a message a user, text, and a conversation."""
    assert refusal(side.get_recent_memories, "") == f"user_id {KEY}"
    assert refusal(side.get_recent_memories, "u", "") == f"memory_type {KEY}"
    assert refusal(side.chat_client.send_message, "", "hello") == f"user_id {KEY}"
    assert refusal(side.chat_client.send_message, "u", None) == f"message {TEXT}"
    assert refusal(side.chat_client.send_message, "u", "hello", "") == f"conversation_id {KEY}"


def test_what_was_refused_can_be_asked():
    """A refusal has the argument and what was expected as attributes, and is a ValueError."""
    with pytest.raises(ValueError, match="limit must be") as caught:
        LEGACY.get_recent_memories("u", limit=0)
    assert isinstance(caught.value, InvalidArgumentError)
    assert isinstance(caught.value, ChatMemoryError)
    assert caught.value.argument == "limit"
    assert caught.value.expected == "a whole number from 1 to 10000"


def test_good_input_reaches_the_store():
    """What is in order is not refused here: the store is, which cannot be reached."""
    for metadata in (None, {}, nested(64), {"a": [1, 2.5, None, True, "ä"], "b": 10**30}):
        with pytest.raises(StoreError):
            LEGACY.save_chat_memory("ü" * 256, "note", "", metadata)


def test_metadata_reads_back_as_it_was():
    """Metadata is kept as JSON keeps it: the order of its keys, the type of its numbers; a tuple is a list."""
    given = {"b": 1, "a": 1.0, "c": (True, None), "": "", "__proto__": {"é": "ø"}, "n": 2**53 + 1}
    kept = json_object("metadata", given)
    assert {**given, "c": [True, None]} == kept
    assert list(given) == list(kept)
    assert [type(value) for value in (kept["b"], kept["a"])] == [int, float]


def refusal(fn: Any, *args: Any) -> str:
    with pytest.raises(InvalidArgumentError) as caught:
        fn(*args)
    return str(caught.value)
