"""RentalMemoryService: the enhanced memory itself, over its related tables.

On the data's way this is where a replayed write ends, and where a replayed read and chat get what they answer.
"""

from typing import Any

from sqlalchemy import Connection, Select, bindparam, select

from gnomon_memory.attributes import Known, as_texts, attributes_of, conversation_of
from gnomon_memory.chat_ai import Turn, as_turns
from gnomon_memory.columns import as_memory
from gnomon_memory.memory import CONVERSATION, Memory
from gnomon_memory.rental_tables import (
    TABLES,
    rental_conversations,
    rental_memories,
    rental_memory_attributes,
    rental_users,
)
from gnomon_memory.stores import Store

__all__ = ["RentalMemoryService", "rental_store"]

CONTEXT_ATTRIBUTES = 400  # read for a chat: some 100 memories with facts, more than a model attends to
CONTEXT_TEXTS = 40
CONTEXT_CONVERSATIONS = 3

_of, _in, _conversation = rental_memories.c, rental_memory_attributes.c, rental_conversations.c
_NEWEST_FIRST = (_of.created_at.desc(), _of.origin_id.desc())

_RECENT = (
    select(_of.origin_id, _of.user_id, _of.memory_type, _of.content, _of.metadata, _of.created_at)
    .where(_of.user_id == bindparam("user_id"))
    .order_by(*_NEWEST_FIRST)
    .limit(bindparam("limit"))
)
_RECENT_OF_TYPE = _RECENT.where(_of.memory_type == bindparam("memory_type"))
_TURNS = _RECENT_OF_TYPE.where(_of.conversation_id == bindparam("conversation_id"))
_STORED = _RECENT.where(_of.origin_id == bindparam("origin_id"))
_KNOWN = (
    select(_of.origin_id, _of.memory_type, _in.name, _in.value)
    .join_from(rental_memories, rental_memory_attributes)
    .where(_of.user_id == bindparam("user_id"), _of.conversation_id.is_distinct_from(bindparam("besides")))
    .order_by(*_NEWEST_FIRST, _in.position)
    .limit(CONTEXT_ATTRIBUTES)
)
_EARLIER = (
    select(_conversation.opening)
    .where(_conversation.user_id == bindparam("user_id"), _conversation.conversation_id != bindparam("besides"))
    .order_by(_conversation.started_at.desc(), _conversation.conversation_id.desc())
    .limit(CONTEXT_CONVERSATIONS)
)


def rental_store(url: str | None = None) -> Store:
    """Return the enhanced system's store: at `url`, else where GNOMON_MEMORY_ENHANCED_URL says."""
    default = "sqlite:///.gnomon/memory/enhanced.sqlite3"
    return Store("enhanced", TABLES, variable="GNOMON_MEMORY_ENHANCED_URL", default=default, url=url)


class RentalMemoryService:
    """Memories of tenants and what they tell: saved once under their origin's identity, read in its order."""

    def __init__(self, store: Store | None = None) -> None:
        self.store = store or rental_store()

    def remember(self, memory: Memory) -> Memory:
        """Store `memory` unless one with its user and id is there; return what is stored."""
        with self.store.writing() as connection:
            if not self._insert(connection, memory):
                wanted = {"user_id": memory["user_id"], "origin_id": memory["id"], "limit": 1}
                return as_memory(connection.execute(_STORED, wanted).one())
        return memory

    def recent(self, user_id: str, memory_type: str | None, limit: int) -> list[Memory]:
        """Return the newest memories, of one type or of all, newest first."""
        if memory_type is None:
            return self._select(_RECENT, user_id=user_id, limit=limit)
        return self._select(_RECENT_OF_TYPE, user_id=user_id, memory_type=memory_type, limit=limit)

    def turns(self, user_id: str, conversation_id: str, limit: int) -> list[Turn]:
        """Return the newest turns of a conversation, oldest first."""
        wanted = {"memory_type": CONVERSATION, "conversation_id": conversation_id, "limit": limit}
        return as_turns(self._select(_TURNS, user_id=user_id, **wanted), conversation_id)

    def context(self, user_id: str, besides: str) -> list[str]:
        """Tell what is known of a user from elsewhere than the conversation `besides`, newest first."""
        wanted = {"user_id": user_id, "besides": besides}
        with self.store.reading() as connection:
            known = [Known(*row) for row in connection.execute(_KNOWN, wanted)]
            earlier = [f"earlier conversation: {opening}" for (opening,) in connection.execute(_EARLIER, wanted)]
        return as_texts(known, most=CONTEXT_TEXTS) + earlier

    def _insert(self, connection: Connection, memory: Memory) -> bool:
        """Insert a memory with all it refers to; False where it was there already."""
        conversation_id = conversation_of(memory["metadata"])
        self._insert_parents(connection, memory, conversation_id)
        row = {**memory, "origin_id": memory["id"], "conversation_id": conversation_id}
        del row["id"]
        if connection.execute(self.store.insert_if_absent(rental_memories), row).rowcount == 0:
            return False
        attributes = _attribute_rows(memory)
        if attributes:
            connection.execute(self.store.insert_if_absent(rental_memory_attributes), attributes)
        return True

    def _insert_parents(self, connection: Connection, memory: Memory, conversation_id: str | None) -> None:
        user_id, created_at = memory["user_id"], memory["created_at"]
        user = {"user_id": user_id, "first_seen": created_at}
        connection.execute(self.store.insert_if_absent(rental_users), user)
        if conversation_id is not None:
            conversation = {
                "user_id": user_id,
                "conversation_id": conversation_id,
                "opening": memory["content"],
                "started_at": created_at,
            }
            connection.execute(self.store.insert_if_absent(rental_conversations), conversation)

    def _select(self, statement: Select[*tuple[Any, ...]], **wanted: Any) -> list[Memory]:
        with self.store.reading() as connection:
            return [as_memory(row) for row in connection.execute(statement, wanted)]


def _attribute_rows(memory: Memory) -> list[dict[str, Any]]:
    return [
        {"user_id": memory["user_id"], "origin_id": memory["id"], "position": position, "name": name, "value": value}
        for position, (name, value) in enumerate(attributes_of(memory["memory_type"], memory["metadata"]))
    ]
