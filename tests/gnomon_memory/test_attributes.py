"""The facts in metadata, and how they are told."""

import pytest

from gnomon_memory.attributes import MAX_ATTRIBUTES, Known, as_texts, attributes_of, conversation_of

pytestmark = pytest.mark.enhanced_memory


def test_a_named_slot_is_one_fact():
    """A memory that names its slot states that; any other states each plain value, in order, with its own name."""
    assert attributes_of("preference", {"slot": "área", "value": "Porto", "turn": 3}) == [("área", "Porto")]
    metadata = {"conversation_id": "c", "price": 950, "has_garage": False, "pets": None, "rooms": [1], "": "x"}
    assert attributes_of("property", metadata) == [("price", "950"), ("has_garage", "false"), ("pets", "null")]


def test_a_turn_states_no_fact():
    """Turns of a conversation are history, not facts."""
    assert attributes_of("conversation", {"role": "user", "turn": 1}) == []


def test_facts_of_one_memory_are_bounded():
    """Metadata of any size is kept, but only so many facts are related."""
    assert len(attributes_of("x", {str(number): number for number in range(5000)})) == MAX_ATTRIBUTES


def test_a_conversation_is_named_by_text():
    """Only text that can be looked up names a conversation."""
    assert conversation_of({"conversation_id": "c"}) == "c"
    for other in ({}, {"conversation_id": 5}, {"conversation_id": ""}, {"conversation_id": "c" * 257}):
        assert conversation_of(other) is None


def test_texts():
    """Facts of a memory are told together; of single facts the newest; nothing twice; no more than asked for."""
    known = [
        Known("3", "preference", "area", "Porto"),
        Known("2", "home", "name", "Casa"),
        Known("2", "home", "price", "950"),
        Known("1", "preference", "area", "Łódź"),
        Known("0", "home", "name", "Casa"),
        Known("0", "home", "price", "950"),
    ]
    told = ["preference: area = Porto", "home: name = Casa; price = 950"]
    assert as_texts(known, most=10) == told
    assert as_texts(known, most=1) == told[:1]
    assert as_texts([], most=1) == []
