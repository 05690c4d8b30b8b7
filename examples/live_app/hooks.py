"""What a page or an endpoint holds while it works: a user's memories, or one conversation, and the calls upon it.

Each is of one user, short-lived and used by one thread at a time; it reads nothing before it is told to `refresh`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from gnomon_memory.memory import CONVERSATION, Memory, MemorySystem, Reply

__all__ = ["Chat", "Hooks", "Memories"]

TRANSCRIPT_TURNS = 200  # the newest of all of a user's conversations; what a chat window looks through for its own


@dataclass(slots=True, kw_only=True)
class Memories:
    """The newest memories of a user, of one type or of all: `items`, newest first."""

    memory: MemorySystem
    user_id: str
    memory_type: str | None
    limit: int
    items: list[Memory] = field(default_factory=list)

    def refresh(self) -> Self:
        """Read them anew."""
        self.items = self.memory.get_recent_memories(self.user_id, self.memory_type, self.limit)
        return self

    def save(self, memory_type: str, content: str, metadata: Mapping[str, Any] | None = None) -> Memory:
        """Save a memory, and show it at once where it belongs to these."""
        saved = self.memory.save_chat_memory(self.user_id, memory_type, content, metadata)
        if self.memory_type in {None, memory_type}:
            self.items = [saved, *self.items][: self.limit]
        return saved


@dataclass(slots=True, kw_only=True)
class Chat:
    """A conversation: `turns`, oldest first; without a `conversation_id` the first message begins one."""

    memory: MemorySystem
    user_id: str
    conversation_id: str | None
    turns: list[Memory] = field(default_factory=list)

    def refresh(self) -> Self:
        """Read the conversation anew."""
        newest = self.memory.get_recent_memories(self.user_id, CONVERSATION, limit=TRANSCRIPT_TURNS)
        self.turns = [
            turn for turn in reversed(newest) if turn["metadata"].get("conversation_id") == self.conversation_id
        ]
        return self

    def send(self, message: str) -> Reply:
        """Send a message, and save it and the answer as turns of the conversation."""
        reply = self.memory.chat_client.send_message(self.user_id, message, self.conversation_id)
        self.conversation_id = reply["conversation_id"]
        self._save("user", message)
        self._save("assistant", reply["reply"])
        return reply

    def _save(self, role: str, content: str) -> None:
        metadata = {"conversation_id": self.conversation_id, "role": role}
        self.turns.append(self.memory.save_chat_memory(self.user_id, CONVERSATION, content, metadata=metadata))


@dataclass(frozen=True, slots=True)
class Hooks:
    """The app's way to its memory: every endpoint takes what it needs from here."""

    memory: MemorySystem

    def use_memories(self, user_id: str, memory_type: str | None = None, limit: int = 10) -> Memories:
        """Give a user's memories, not read yet."""
        return Memories(memory=self.memory, user_id=user_id, memory_type=memory_type, limit=limit)

    def use_chat(self, user_id: str, conversation_id: str | None = None) -> Chat:
        """Give a conversation of a user, not read yet, or one to begin."""
        return Chat(memory=self.memory, user_id=user_id, conversation_id=conversation_id)
