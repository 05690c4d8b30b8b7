"""The tables of the enhanced system: what a user said and what is known of them, related and checked.

```
rental_users ─┬─< rental_conversations ─┐ (a memory need not belong to one)
              └─< rental_memories >─────┘
                        └─< rental_memory_attributes      the facts in a memory, one a row
```

A memory is known by (user, origin id): the id that legacy gave it. So a user's rows hold nothing of another user, and
storing a memory twice finds it there. Which attributes there are is the traffic's business: names are rows.
"""

from sqlalchemy import (
    JSON,
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Index,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
)

from gnomon_memory.columns import KEY

__all__ = ["TABLES", "rental_conversations", "rental_memories", "rental_memory_attributes", "rental_users"]

TABLES = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)

# a time is text of one width, or text order is not time order
_SORTABLE = "length({}) = 32"

rental_users = Table(
    "rental_users",
    TABLES,
    Column("user_id", KEY, primary_key=True),
    Column("first_seen", KEY, nullable=False),
    CheckConstraint("user_id <> ''", name="user_id"),
    CheckConstraint(_SORTABLE.format("first_seen"), name="first_seen"),
)

rental_conversations = Table(
    "rental_conversations",
    TABLES,
    Column("user_id", KEY, nullable=False),
    Column("conversation_id", KEY, nullable=False),
    Column("opening", Text, nullable=False),  # the content of its first memory: what it was about
    Column("started_at", KEY, nullable=False),
    PrimaryKeyConstraint("user_id", "conversation_id"),
    ForeignKeyConstraint(["user_id"], ["rental_users.user_id"], ondelete="CASCADE"),
    CheckConstraint("conversation_id <> ''", name="conversation_id"),
    CheckConstraint(_SORTABLE.format("started_at"), name="started_at"),
    Index("ix_rental_conversations_started", "user_id", "started_at"),
)

rental_memories = Table(
    "rental_memories",
    TABLES,
    Column("user_id", KEY, nullable=False),
    Column("origin_id", KEY, nullable=False),
    Column("memory_type", KEY, nullable=False),
    Column("content", Text, nullable=False),
    Column("metadata", JSON, nullable=False),  # as it was saved, to the letter; what is asked of it is in attributes
    Column("conversation_id", KEY),
    Column("created_at", KEY, nullable=False),
    PrimaryKeyConstraint("user_id", "origin_id"),
    ForeignKeyConstraint(["user_id"], ["rental_users.user_id"], ondelete="CASCADE"),
    ForeignKeyConstraint(
        ["user_id", "conversation_id"],
        ["rental_conversations.user_id", "rental_conversations.conversation_id"],
    ),
    CheckConstraint("origin_id <> ''", name="origin_id"),
    CheckConstraint("memory_type <> ''", name="memory_type"),
    CheckConstraint(_SORTABLE.format("created_at"), name="created_at"),
    Index("ix_rental_memories_recent", "user_id", "created_at", "origin_id"),
    Index("ix_rental_memories_recent_of_type", "user_id", "memory_type", "created_at", "origin_id"),
    Index("ix_rental_memories_conversation", "user_id", "conversation_id", "created_at", "origin_id"),
)

rental_memory_attributes = Table(
    "rental_memory_attributes",
    TABLES,
    Column("user_id", KEY, nullable=False),
    Column("origin_id", KEY, nullable=False),
    Column("position", SmallInteger, nullable=False),
    Column("name", KEY, nullable=False),
    Column("value", Text, nullable=False),
    PrimaryKeyConstraint("user_id", "origin_id", "position"),
    ForeignKeyConstraint(
        ["user_id", "origin_id"],
        ["rental_memories.user_id", "rental_memories.origin_id"],
        ondelete="CASCADE",
    ),
    CheckConstraint("position >= 0", name="position"),
    CheckConstraint("name <> ''", name="name"),
)
