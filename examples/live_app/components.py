"""What a page shows of the memory, as fragments of HTML. All that comes from users and models is escaped."""

from html import escape

from examples.live_app.hooks import Chat, Memories
from gnomon_memory.memory import Memory

__all__ = ["chat_widget", "memory_panel"]


def memory_panel(memories: Memories) -> str:
    """Render a user's memories, in the order they are held."""
    items = "".join(_item(memory) for memory in memories.items)
    shown = f"<ul>{items}</ul>" if items else "<p>Nothing yet.</p>"
    return f'<section class="memory-panel" data-user="{escape(memories.user_id)}">{shown}</section>'


def chat_widget(chat: Chat) -> str:
    """Render a conversation, the oldest turn first."""
    turns = "".join(_turn(turn) for turn in chat.turns)
    conversation = escape(chat.conversation_id or "")
    return f'<section class="chat-widget" data-conversation="{conversation}"><ol>{turns}</ol></section>'


def _item(memory: Memory) -> str:
    return (
        f'<li data-memory="{escape(memory["id"])}"><b>{escape(memory["memory_type"])}</b>'
        f"<span>{escape(memory['content'])}</span>{_time(memory)}</li>"
    )


def _turn(turn: Memory) -> str:
    who = "assistant" if turn["metadata"].get("role") == "assistant" else "user"
    return f'<li class="{who}"><span>{escape(turn["content"])}</span>{_time(turn)}</li>'


def _time(memory: Memory) -> str:
    at = escape(memory["created_at"])
    return f'<time datetime="{at}">{at[:16].replace("T", " ")}</time>'
