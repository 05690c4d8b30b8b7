"""Legacy as an application imports it before the migration: its own functions, of one memory system for the process.

On the data's way nothing of this is seen: no call of it is captured. `safe_migration_service` has the same names, so
that an application moves by the module it names in one import.
"""

from gnomon_memory.legacy import LegacyMemory

__all__ = ["chat_client", "get_recent_memories", "save_chat_memory"]

_legacy = LegacyMemory()  # opens nothing before the first call

save_chat_memory = _legacy.save_chat_memory
get_recent_memories = _legacy.get_recent_memories
chat_client = _legacy.chat_client
