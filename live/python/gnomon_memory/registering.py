"""Makes operations of a legacy and an enhanced memory system; importing it registers nothing.

On the data's way this is where a live call is first seen. `gnomon_memory.operations` uses it for the two systems as
they are; a module with systems of its own (another store, a planted fault) uses it for those.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from gnomon import Gnomon
from gnomon_memory.enhanced import EnhancedMemory
from gnomon_memory.errors import InvalidArgumentError
from gnomon_memory.legacy import LegacyMemory
from gnomon_memory.memory import Memory, MemorySystem, Reply
from gnomon_memory.user_data import UserData

__all__ = ["Operations", "RecentMemories", "SaveMemory", "SendMessage", "register"]

CHAT_SAMPLE = 0.05  # of users: a chat replayed is a model paid twice
MEMORY_TIMEOUT_S = 2.0  # of enhanced on the live path; legacy answers in its place
CHAT_TIMEOUT_S = 30.0  # a model takes seconds, and legacy's takes as long again


class SaveMemory(Protocol):
    """`save_chat_memory`."""

    def __call__(
        self, user_id: str, memory_type: str, content: str, metadata: Mapping[str, Any] | None = None
    ) -> Memory:
        """Save a memory and return it."""


class RecentMemories(Protocol):
    """`get_recent_memories`."""

    def __call__(self, user_id: str, memory_type: str | None = None, limit: int = 10) -> list[Memory]:
        """Return the newest memories, of one type or of all, newest first."""


class SendMessage(Protocol):
    """`chat_client.send_message`."""

    def __call__(self, user_id: str, message: str, conversation_id: str | None = None) -> Reply:
        """Answer `message`; without a conversation a new one begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operations:
    """The calls of an application, each wrapped: legacy's name, signature and answer."""

    save: SaveMemory
    recent: RecentMemories
    send: SendMessage


def register(client: Gnomon, legacy: MemorySystem, enhanced: MemorySystem) -> Operations:
    """Register `memory.save`, `memory.recent` and `chat.send` with `client`, and return them.

    Registers too what verifies a user's data, where the systems are such that theirs can be compared.
    """
    memory, chat, rejects = "enhanced_memory_enabled", "enhanced_chat_client_enabled", (InvalidArgumentError,)
    save = client.operation(
        "memory.save", kind="write", user="user_id", flag=memory, timeout_s=MEMORY_TIMEOUT_S, rejects=rejects
    )(legacy.save_chat_memory)
    recent = client.operation("memory.recent", kind="read", user="user_id", flag=memory, timeout_s=MEMORY_TIMEOUT_S)(
        legacy.get_recent_memories
    )
    send = client.operation(
        "chat.send", kind="generate", user="user_id", flag=chat, timeout_s=CHAT_TIMEOUT_S, sample=CHAT_SAMPLE
    )(legacy.chat_client.send_message)
    save.enhanced(enhanced.save_chat_memory)
    recent.enhanced(enhanced.get_recent_memories)
    send.enhanced(enhanced.chat_client.send_message)
    _register_user_data(client, legacy, enhanced)
    return Operations(save=save, recent=recent, send=send)


def _register_user_data(client: Gnomon, legacy: MemorySystem, enhanced: MemorySystem) -> None:
    if isinstance(legacy, LegacyMemory) and isinstance(enhanced, EnhancedMemory):
        client.verification(UserData(legacy.store, enhanced.service))
