"""Legacy: the chat memory an application has today, one flat table, and its chat client.

On the data's way this is what serves the user while a migration has not moved them, and what enhanced is judged by.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import JSON, Column, Index, MetaData, Select, Table, Text, bindparam, insert, select

from gnomon_memory.chat_ai import ChatAI, Turn, as_turns
from gnomon_memory.chat_client import ChatClient
from gnomon_memory.checks import check_key, check_limit, check_text, json_object
from gnomon_memory.columns import KEY, as_memory, new_memory
from gnomon_memory.identity import mint
from gnomon_memory.memory import CONVERSATION, Memory
from gnomon_memory.offline_chat_ai import OfflineChatAI
from gnomon_memory.stores import Store

__all__ = ["LegacyMemory", "chat_memories", "legacy_store"]

TABLES = MetaData()

chat_memories = Table(
    "chat_memories",
    TABLES,
    Column("id", KEY, primary_key=True),
    Column("user_id", KEY, nullable=False),
    Column("memory_type", KEY, nullable=False),
    Column("content", Text, nullable=False),
    Column("metadata", JSON),
    Column("created_at", KEY, nullable=False),
    Index("ix_chat_memories_user_id_created_at", "user_id", "created_at"),
)
_of = chat_memories.c

_INSERT = insert(chat_memories)
_RECENT = (
    select(_of.id, _of.user_id, _of.memory_type, _of.content, _of.metadata, _of.created_at)
    .where(_of.user_id == bindparam("user_id"))
    .order_by(_of.created_at.desc(), _of.id.desc())
    .limit(bindparam("limit"))
)
_RECENT_OF_TYPE = _RECENT.where(_of.memory_type == bindparam("memory_type"))
_TURNS = _RECENT_OF_TYPE.where(_of.metadata["conversation_id"].as_string() == bindparam("conversation_id"))


def legacy_store(url: str | None = None) -> Store:
    """Return legacy's store: at `url`, else where GNOMON_MEMORY_LEGACY_URL says."""
    default = "sqlite:///.gnomon/memory/legacy.sqlite3"
    return Store("legacy", TABLES, variable="GNOMON_MEMORY_LEGACY_URL", default=default, url=url)


class LegacyMemory:
    """The legacy memory system."""

    def __init__(self, store: Store | None = None, ai: ChatAI | None = None) -> None:
        self.store = store or legacy_store()
        self.chat_client = ChatClient(ai=ai or OfflineChatAI(), turns=self._turns)

    def save_chat_memory(
        self, user_id: str, memory_type: str, content: str, metadata: Mapping[str, Any] | None = None
    ) -> Memory:
        """Save a memory and return it."""
        check_key("user_id", user_id)
        check_key("memory_type", memory_type)
        check_text("content", content)
        memory = new_memory(user_id, memory_type, content, json_object("metadata", metadata), mint())
        with self.store.writing() as connection:
            connection.execute(_INSERT, memory)
        return memory

    def get_recent_memories(self, user_id: str, memory_type: str | None = None, limit: int = 10) -> list[Memory]:
        """Return the newest memories, of one type or of all, newest first."""
        check_key("user_id", user_id)
        check_limit(limit)
        if memory_type is None:
            return self._select(_RECENT, user_id=user_id, limit=limit)
        check_key("memory_type", memory_type)
        return self._select(_RECENT_OF_TYPE, user_id=user_id, memory_type=memory_type, limit=limit)

    def _turns(self, user_id: str, conversation_id: str, limit: int) -> list[Turn]:
        wanted = {"memory_type": CONVERSATION, "conversation_id": conversation_id, "limit": limit}
        return as_turns(self._select(_TURNS, user_id=user_id, **wanted), conversation_id)

    def _select(self, statement: Select[*tuple[Any, ...]], **wanted: Any) -> list[Memory]:
        with self.store.reading() as connection:
            return [as_memory(row) for row in connection.execute(statement, wanted)]
