"""The operation under test, as an application registers it; workers load this module (`GNOMON_OPERATIONS`).

A read like `memory.recent` whose two sides compute their answers from the arguments alone. Nothing waits for a store,
so what is measured is the engine; with `BENCH_IO_S` set, enhanced waits that long for each answer.
"""

import os
import time
from typing import Any, Final

from bench.memories import answer, differs, edited
from gnomon import Gnomon, Operation

__all__ = ["IO_VARIABLE", "client", "recent", "register"]

IO_VARIABLE: Final = "BENCH_IO_S"
_IO_S: Final = float(os.environ.get(IO_VARIABLE, "0"))


def legacy_recent(user_id: str, number: int, limit: int = 10) -> list[dict[str, Any]]:
    """Answer as legacy does."""
    return answer(user_id, number, limit)


def enhanced_recent(user_id: str, number: int, limit: int = 10) -> list[dict[str, Any]]:
    """Answer as enhanced does: differently once in ten calls."""
    if _IO_S:
        time.sleep(_IO_S)
    memories = answer(user_id, number, limit)
    return edited(memories, number) if differs(number) else memories


def register(client: Gnomon) -> Operation[..., list[dict[str, Any]]]:
    """Register the read with `client` and return it wrapped."""
    wrapped = client.operation("memory.recent", kind="read", user="user_id")(legacy_recent)
    wrapped.enhanced(enhanced_recent)
    return wrapped


client = Gnomon.from_env()
recent = register(client)
