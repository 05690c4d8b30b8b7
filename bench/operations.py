"""The operation under test, as an application registers it; workers load this module (`GNOMON_OPERATIONS`).

A read like `memory.recent` whose two sides compute their answers from the arguments alone. Nothing waits for a store,
so what is measured is the engine.
"""

from typing import Any

from bench.memories import answer, differs, edited
from gnomon import Gnomon, Operation

__all__ = ["client", "recent", "register"]


def legacy_recent(user_id: str, number: int, limit: int = 10) -> list[dict[str, Any]]:
    """Answer as legacy does."""
    return answer(user_id, number, limit)


def enhanced_recent(user_id: str, number: int, limit: int = 10) -> list[dict[str, Any]]:
    """Answer as enhanced does: differently once in ten calls."""
    memories = answer(user_id, number, limit)
    return edited(memories, number) if differs(number) else memories


def register(client: Gnomon) -> Operation[..., list[dict[str, Any]]]:
    """Register the read with `client` and return it wrapped."""
    wrapped = client.operation("memory.recent", kind="read", user="user_id")(legacy_recent)
    wrapped.enhanced(enhanced_recent)
    return wrapped


client = Gnomon.from_env()
recent = register(client)
