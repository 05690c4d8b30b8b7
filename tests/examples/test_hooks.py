"""The example application's hooks work on either memory as they are."""

import pytest

from examples.live_app.hooks import Hooks
from gnomon_memory.errors import InvalidArgumentError

pytestmark = pytest.mark.memory_hooks


@pytest.fixture
def hooks(web) -> Hooks:
    return Hooks(web.memory)


def contents(items):
    return [item["content"] for item in items]


def test_memories_are_those_of_the_user_newest_first(hooks):
    """Nothing is read before a refresh; then the newest are there, as many as asked for."""
    for number in range(4):
        hooks.use_memories("zoë").save("note", f"note {number}")
    hooks.use_memories("ann").save("note", "of somebody else")
    memories = hooks.use_memories("zoë", limit=3)
    assert memories.items == []
    assert contents(memories.refresh().items) == ["note 3", "note 2", "note 1"]


def test_what_is_saved_is_shown_at_once(hooks):
    """A saved memory stands where a refresh would show it: first, where its type is asked for, within the limit."""
    everything, notes = hooks.use_memories("zoë", limit=2), hooks.use_memories("zoë", "note", 2)
    for memory_type in ("note", "preference", "note", "note", "visit"):
        for memories in (everything, notes):
            memories.refresh()
            memories.save(memory_type, "text", {"by": memories.memory_type})
            shown = list(memories.items)
            assert shown == memories.refresh().items


def test_a_conversation_begins_with_its_first_message(hooks):
    """The conversation is the one that the answer names, and both turns are saved as its memories, in order."""
    chat = hooks.use_chat("zoë")
    first = chat.send("I need a flat.")
    assert chat.conversation_id == first["conversation_id"]
    second = chat.send("In Porto.")
    assert second["conversation_id"] == first["conversation_id"]
    assert contents(chat.turns) == ["I need a flat.", first["reply"], "In Porto.", second["reply"]]
    assert [turn["metadata"]["role"] for turn in chat.turns] == ["user", "assistant"] * 2
    assert {turn["memory_type"] for turn in chat.turns} == {"conversation"}


def test_a_conversation_is_gone_on_with(hooks):
    """Whoever comes back finds the turns of this conversation alone, and is answered out of them."""
    hooks.use_chat("zoë", "talk").send("How about a flat for 950 €?")
    hooks.use_chat("zoë", "another").send("Hello")
    hooks.use_chat("ann", "talk").send("Hello from somebody else")
    chat = hooks.use_chat("zoë", "talk").refresh()
    assert contents(chat.turns)[0] == "How about a flat for 950 €?"
    assert chat.send("How much was it?")["reply"] == "It was given as 950 €."
    shown = list(chat.turns)
    assert (len(shown), shown) == (4, hooks.use_chat("zoë", "talk").refresh().turns)


def test_a_message_that_is_refused_leaves_nothing(hooks):
    """No turn is saved or shown, and the conversation goes on."""
    chat = hooks.use_chat("zoë", "talk")
    with pytest.raises(InvalidArgumentError):
        chat.send("\x00")
    assert (chat.turns, chat.refresh().turns, chat.conversation_id) == ([], [], "talk")
