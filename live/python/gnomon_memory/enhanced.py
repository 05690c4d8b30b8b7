"""Enhanced: legacy's calls over `RentalMemoryService`, and a chat client that knows the user from before.

On the data's way this is the other side: replayed in the worker, judged against legacy, in time what serves the user.
"""

from collections.abc import Mapping
from typing import Any

from gnomon_memory.chat_ai import ChatAI
from gnomon_memory.chat_client import ChatClient
from gnomon_memory.checks import check_key, check_limit, check_text, json_object
from gnomon_memory.columns import new_memory
from gnomon_memory.identity import identity_in_call
from gnomon_memory.memory import Memory
from gnomon_memory.offline_chat_ai import OfflineChatAI
from gnomon_memory.rental_service import RentalMemoryService

__all__ = ["EnhancedMemory"]


class EnhancedMemory:
    """The enhanced memory system."""

    def __init__(self, service: RentalMemoryService | None = None, ai: ChatAI | None = None) -> None:
        self.service = service or RentalMemoryService()
        self.chat_client = ChatClient(ai=ai or OfflineChatAI(), turns=self.service.turns, context=self.service.context)

    def save_chat_memory(
        self, user_id: str, memory_type: str, content: str, metadata: Mapping[str, Any] | None = None
    ) -> Memory:
        """Save a memory under the identity legacy gave it, unless it is there, and return it."""
        check_key("user_id", user_id)
        check_key("memory_type", memory_type)
        check_text("content", content)
        kept = json_object("metadata", metadata)
        return self.service.remember(new_memory(user_id, memory_type, content, kept, identity_in_call()))

    def get_recent_memories(self, user_id: str, memory_type: str | None = None, limit: int = 10) -> list[Memory]:
        """Return the newest memories, of one type or of all, newest first."""
        check_key("user_id", user_id)
        check_limit(limit)
        if memory_type is not None:
            check_key("memory_type", memory_type)
        return self.service.recent(user_id, memory_type, limit)
