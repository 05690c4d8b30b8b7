"""RentalMemoryService: the enhanced memory itself, over its related tables.

On the data's way this is where a replayed write ends, and where a replayed read and chat get what they answer.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Select, bindparam, delete, func, select, update

from gnomon_memory.attributes import Known, as_texts, attributes_of, conversation_of
from gnomon_memory.chat_ai import Turn, as_turns
from gnomon_memory.columns import as_memory
from gnomon_memory.memory import CONVERSATION, Memory, is_same
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
_FIRST_SEEN = select(func.min(_of.created_at)).where(_of.user_id == rental_users.c.user_id).scalar_subquery()
_BEGINNING = (
    select(_of.content, _of.created_at)
    .where(_of.user_id == _conversation.user_id, _of.conversation_id == _conversation.conversation_id)
    .order_by(_of.created_at, _of.origin_id)
    .limit(1)
)
_OPENING = _BEGINNING.with_only_columns(_of.content).scalar_subquery()
_STARTED_AT = _BEGINNING.with_only_columns(_of.created_at).scalar_subquery()
_THIS_USER = select(rental_users.c.user_id).where(rental_users.c.user_id == bindparam("user_id"))
_IN_TURN = _THIS_USER.with_for_update(key_share=True)  # makes other repairs of the user wait, but no live write


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

    def correct(self, user_id: str, memories: Sequence[Memory]) -> int:
        """Store memories of a user as they are, also where one that differs is there; return how many were not so yet.

        All of them or, where it raises, none; hardly for more than a hundred at once, for writers wait meanwhile.
        """
        with self.store.writing() as connection:
            self._take_turn(connection, user_id, min(memory["created_at"] for memory in memories))
            stored = [memory for memory in memories if self._correct(connection, memory)]
            self._tell_beginnings(connection, user_id, stored)
        return len(stored)

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
        self._insert_user(connection, memory["user_id"], memory["created_at"])
        if conversation_id is not None:
            self._insert_conversation(connection, memory, conversation_id)
        if connection.execute(self.store.insert_if_absent(rental_memories), _row(memory)).rowcount == 0:
            return False
        self._insert_attributes(connection, memory)
        return True

    def _insert_attributes(self, connection: Connection, memory: Memory) -> None:
        attributes = _attribute_rows(memory)
        if attributes:
            connection.execute(self.store.insert_if_absent(rental_memory_attributes), attributes)

    def _insert_user(self, connection: Connection, user_id: str, first_seen: str) -> None:
        user = {"user_id": user_id, "first_seen": first_seen}
        connection.execute(self.store.insert_if_absent(rental_users), user)

    def _insert_conversation(self, connection: Connection, memory: Memory, conversation_id: str) -> None:
        conversation = {
            "user_id": memory["user_id"],
            "conversation_id": conversation_id,
            "opening": memory["content"],
            "started_at": memory["created_at"],
        }
        connection.execute(self.store.insert_if_absent(rental_conversations), conversation)

    def _take_turn(self, connection: Connection, user_id: str, first_seen: str) -> None:
        self._insert_user(connection, user_id, first_seen)
        connection.execute(_IN_TURN, {"user_id": user_id})

    def _correct(self, connection: Connection, memory: Memory) -> bool:
        """Insert or rewrite a memory with all it refers to; False where it was there already, just so."""
        if self._insert(connection, memory):
            return True
        this = {"user_id": memory["user_id"], "origin_id": memory["id"]}
        if is_same(memory, as_memory(connection.execute(_STORED, {**this, "limit": 1}).one())):
            return False
        connection.execute(update(rental_memories).filter_by(**this).values(_row(memory)))
        connection.execute(delete(rental_memory_attributes).filter_by(**this))
        self._insert_attributes(connection, memory)
        return True

    def _tell_beginnings(self, connection: Connection, user_id: str, memories: Sequence[Memory]) -> None:
        """Tell anew when the user and the conversations of `memories` began: they may be older than what was there."""
        if not memories:
            return
        found = {conversation_of(memory["metadata"]) for memory in memories} - {None}
        of_user = {"user_id": user_id}
        connection.execute(update(rental_users).filter_by(**of_user).values(first_seen=_FIRST_SEEN))
        began = update(rental_conversations).filter_by(**of_user).where(_conversation.conversation_id.in_(found))
        connection.execute(began.values(opening=_OPENING, started_at=_STARTED_AT))

    def _select(self, statement: Select[*tuple[Any, ...]], **wanted: Any) -> list[Memory]:
        with self.store.reading() as connection:
            return [as_memory(row) for row in connection.execute(statement, wanted)]


def _row(memory: Memory) -> dict[str, Any]:
    row = {**memory, "origin_id": memory["id"], "conversation_id": conversation_of(memory["metadata"])}
    del row["id"]
    return row


def _attribute_rows(memory: Memory) -> list[dict[str, Any]]:
    return [
        {"user_id": memory["user_id"], "origin_id": memory["id"], "position": position, "name": name, "value": value}
        for position, (name, value) in enumerate(attributes_of(memory["memory_type"], memory["metadata"]))
    ]
