"""What both chat clients promise, over both databases."""

import pytest

from gnomon.calling import Call, calling
from gnomon_memory.chat_ai import Turn
from gnomon_memory.chat_client import HISTORY_TURNS, ChatClient
from gnomon_memory.enhanced import EnhancedMemory
from gnomon_memory.legacy import LegacyMemory

pytestmark = pytest.mark.enhanced_chat


class Listener:
    """A chat model that only notes what it was given."""

    def __init__(self):
        self.given = []

    def answer(self, message, history, context):
        self.given.append((message, list(history), list(context)))
        return "noted"


@pytest.fixture
def clients(systems):
    """Both systems over the same stores, with a listening model."""
    heard, known = Listener(), Listener()
    return [
        (heard, LegacyMemory(systems.legacy.store, heard)),
        (known, EnhancedMemory(systems.enhanced.service, known)),
    ]


def test_a_reply(systems):
    """A reply says which conversation it belongs to; without one it begins a new one, each time another."""
    for side in (systems.legacy, systems.enhanced):
        reply = side.chat_client.send_message("u", "I need a flat.")
        assert {"reply", "conversation_id", "created_at"} == reply.keys()
        assert reply["conversation_id"] != side.chat_client.send_message("u", "I need a flat.")["conversation_id"]
        assert side.chat_client.send_message("u", "Hello", "talk")["conversation_id"] == "talk"
        assert side.get_recent_memories("u") == []


def test_both_hear_the_same_conversation(systems, clients):
    """History is the turns of that user's conversation, oldest first, at most the newest fifty, the same on both."""
    for number in range(HISTORY_TURNS + 5):
        role = ("user", "assistant")[number % 2]
        systems.save("u", "conversation", str(number), {"conversation_id": "5", "role": role})
    systems.save("u", "conversation", "of another", {"conversation_id": "6", "role": "user"})
    systems.save("u", "conversation", "of none")
    systems.save("v", "conversation", "of another user", {"conversation_id": "5", "role": "user"})
    systems.save("u", "preference", "of another type", {"conversation_id": "5", "slot": "area", "value": "Porto"})
    expected = [Turn(("user", "assistant")[number % 2], str(number)) for number in range(5, HISTORY_TURNS + 5)]
    for _, system in clients:
        system.chat_client.send_message("u", "now", "5")
    (_, legacy, nothing), (_, enhanced, _) = (listener.given[0] for listener, _ in clients)
    assert expected == legacy == enhanced
    assert nothing == []


def test_a_conversation_is_named_by_text(systems, clients):
    """A turn whose conversation is a number is not one of the conversation whose text is that number."""
    systems.save("u", "conversation", "of text", {"conversation_id": "5", "role": "user"})
    systems.save("u", "conversation", "of a number", {"conversation_id": 5, "role": "user"})
    for listener, system in clients:
        system.chat_client.send_message("u", "now", "5")
        assert listener.given[0][1] == [Turn("user", "of text")]


def test_a_new_conversation_has_no_history(systems, clients):
    """Where legacy began a conversation, enhanced answers in it, and hears nothing said in it later."""
    begun = systems.legacy.chat_client.send_message("u", "Hello")
    systems.save("u", "conversation", "Hello", {"conversation_id": begun["conversation_id"], "role": "user"})
    listener, system = clients[1]
    reply = systems.replay(system.chat_client.send_message, "u", "Hello", origin=begun)
    assert begun["conversation_id"] == reply["conversation_id"]
    assert listener.given == [("Hello", [], [])]


def test_context(systems, clients):
    """Enhanced knows what was said elsewhere, newest first, whatever its slots are called; and reports it."""
    systems.save("u", "conversation", "I need a flat.", {"conversation_id": "first", "role": "user"})
    systems.save("u", "preference", "area: Łódź", {"conversation_id": "first", "slot": "area", "value": "Łódź"})
    systems.save("u", "preference", "area: Porto", {"conversation_id": "second", "slot": "area", "value": "Porto"})
    systems.save("u", "preference", "moon: new", {"conversation_id": "second", "slot": "moon", "value": "new"})
    systems.save("u", "property", "home", {"name": "Casa", "has_garage": True, "price": 950, "rooms": [1]})
    systems.save("u", "preference", "area: Ghent", {"conversation_id": "now", "slot": "area", "value": "Ghent"})
    systems.save("v", "preference", "of another user", {"slot": "area", "value": "Köln"})
    listener, system = clients[1]
    with calling(Call(capture_id="c", shadow=True)) as call:
        system.chat_client.send_message("u", "hello", "now")
    assert list(call.context) == listener.given[0][2]
    assert list(call.context) == [
        "property: name = Casa; has_garage = true; price = 950",
        "preference: moon = new",
        "preference: area = Porto",
        "earlier conversation: area: Porto",
        "earlier conversation: I need a flat.",
    ]


def test_context_changes_the_answer_only_where_it_bears_on_it(systems):
    """With nothing known, or nothing that bears on it, enhanced answers as legacy does; else it need not ask."""
    legacy, enhanced = (side.chat_client for side in (systems.legacy, systems.enhanced))
    asked = "I can help with that. Which area are you looking in?"
    for _ in range(2):
        assert legacy.send_message("u", "I need a flat.", "two")["reply"] == asked
        assert enhanced.send_message("u", "I need a flat.", "two")["reply"] == asked
        systems.save("u", "preference", "moon: new", {"conversation_id": "one", "slot": "moon", "value": "new"})
    systems.save("u", "preference", "area: Porto", {"conversation_id": "one", "slot": "area", "value": "Porto"})
    assert legacy.send_message("u", "I need a flat.", "two")["reply"] == asked
    known = "I can help with that. Looking in Porto, as before."
    assert enhanced.send_message("u", "I need a flat.", "two")["reply"] == known


def test_the_client_reports_to_no_call_where_there_is_none():
    """Outside of an operation nothing is reported, and the context is used all the same."""
    listener = Listener()
    client = ChatClient(ai=listener, turns=lambda *_: [], context=lambda *_: ["a: b = c"])
    client.send_message("u", "hello")
    assert listener.given == [("hello", [], ["a: b = c"])]
