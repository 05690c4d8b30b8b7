"""The three operations of the two memory systems; importing this module registers them.

On the data's way a live process imports it through `safe_migration_service`, and a worker by its dotted name
(`GNOMON_OPERATIONS`), to replay with the same callables. Nothing is opened before the first call.
"""

from gnomon import Gnomon
from gnomon_memory.enhanced import EnhancedMemory
from gnomon_memory.legacy import LegacyMemory
from gnomon_memory.registering import Operations, register

__all__ = ["Operations", "client", "enhanced", "legacy", "operations", "register"]

client = Gnomon.from_env()
legacy, enhanced = LegacyMemory(), EnhancedMemory()
operations = register(client, legacy, enhanced)
