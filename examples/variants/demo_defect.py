"""The demo's planted defect: the enhanced read loses the currency of a property's price.

As such a defect happens: the relational side keeps prices as numbers, and whoever wrote the read forgot the column
beside them. Everything else is as it is in the enhanced system; chat does not read memories this way.
"""

from typing import Any

from examples.variants import Defect
from gnomon import Gnomon
from gnomon_memory.enhanced import EnhancedMemory
from gnomon_memory.legacy import LegacyMemory
from gnomon_memory.memory import Memory
from gnomon_memory.registering import register

__all__ = ["DEFECT", "LosesCurrency", "client", "operations"]

DEFECT = Defect(
    description="the enhanced read loses the currency of a property's price",
    operation="memory.recent",
    kind="lost",
    path="$[*].metadata.currency",
)


class LosesCurrency(EnhancedMemory):
    """The enhanced system, with one key of one type of memory lost on the way out."""

    def get_recent_memories(self, user_id: str, memory_type: str | None = None, limit: int = 10) -> list[Memory]:
        """Return the newest memories, prices without their currency."""
        return [_without_currency(memory) for memory in super().get_recent_memories(user_id, memory_type, limit)]


def _without_currency(memory: Memory) -> Memory:
    if memory["memory_type"] != "property":
        return memory
    kept: dict[str, Any] = {name: value for name, value in memory["metadata"].items() if name != "currency"}
    return {**memory, "metadata": kept}


client = Gnomon.from_env()
operations = register(client, LegacyMemory(), LosesCurrency())
