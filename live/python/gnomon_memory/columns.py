"""What the tables of both systems share: a type for keys, and the way between a row and a memory."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Text

from gnomon_memory.identity import Identity
from gnomon_memory.memory import Memory

__all__ = ["KEY", "as_memory", "new_memory"]

# Keys and times sort by their bytes, as in SQLite; a database's own collation would decide ties differently.
KEY = Text().with_variant(Text(collation="C"), "postgresql")


def as_memory(row: Sequence[Any]) -> Memory:
    """Read a row (id, user, type, content, metadata, time) as a memory; rows older than metadata read as with `{}`."""
    origin_id, user_id, memory_type, content, metadata, created_at = row
    return {
        "id": origin_id,
        "user_id": user_id,
        "memory_type": memory_type,
        "content": content,
        "metadata": metadata or {},
        "created_at": created_at,
    }


def new_memory(user_id: str, memory_type: str, content: str, metadata: dict[str, Any], identity: Identity) -> Memory:
    """Build a memory that is to be saved."""
    return {
        "id": identity.id,
        "user_id": user_id,
        "memory_type": memory_type,
        "content": content,
        "metadata": metadata,
        "created_at": identity.created_at,
    }
