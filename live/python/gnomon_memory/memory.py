"""The shapes that both memory systems speak: a memory, a reply, and the three calls an application makes."""

import json
from collections.abc import Mapping
from typing import Any, Protocol, TypedDict

__all__ = ["CONVERSATION", "Chatting", "Memory", "MemorySystem", "Reply", "is_same"]

CONVERSATION = "conversation"  # the memory type whose memories are the turns of a chat


class Memory(TypedDict):
    """One saved memory; `created_at` is ISO-8601 in UTC with microseconds, `metadata` a JSON object, `{}` for none."""

    id: str
    user_id: str
    memory_type: str
    content: str
    metadata: dict[str, Any]
    created_at: str


class Reply(TypedDict):
    """One answer of a chat client."""

    reply: str
    conversation_id: str
    created_at: str


class Chatting(Protocol):
    """A chat client."""

    def send_message(self, user_id: str, message: str, conversation_id: str | None = None) -> Reply:
        """Answer `message`; without a conversation a new one begins. Nothing is stored."""


class MemorySystem(Protocol):
    """One of the two systems: what legacy has, and what enhanced must have to take its place."""

    @property
    def chat_client(self) -> Chatting:
        """The chat client that answers from this system's memories."""

    def save_chat_memory(
        self, user_id: str, memory_type: str, content: str, metadata: Mapping[str, Any] | None = None
    ) -> Memory:
        """Save a memory and return it."""

    def get_recent_memories(self, user_id: str, memory_type: str | None = None, limit: int = 10) -> list[Memory]:
        """Return the newest memories, of one type or of all, newest first."""


def is_same(one: Memory, other: Memory) -> bool:
    """Tell whether two memories are equal in every value and its type; only the order of metadata's keys is free."""
    # Python's own equality takes 1, 1.0 and True for one another
    return one == other and _spelled(one["metadata"]) == _spelled(other["metadata"])


def _spelled(metadata: object) -> str:
    return json.dumps(metadata, sort_keys=True)
