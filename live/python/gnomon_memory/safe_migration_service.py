"""The safe migration service: what an application imports in the place of legacy, name for name.

```python
from gnomon_memory.safe_migration_service import chat_client, get_recent_memories, save_chat_memory
```

On the data's way this is the first step: the user is answered as before, and the call goes on to be compared.
"""

from dataclasses import dataclass

from gnomon_memory.operations import operations
from gnomon_memory.registering import SendMessage

__all__ = ["chat_client", "get_recent_memories", "save_chat_memory"]


@dataclass(frozen=True, slots=True)
class _ChatClient:
    """Legacy's chat client in form; each message goes through the operation."""

    send_message: SendMessage


save_chat_memory = operations.save
get_recent_memories = operations.recent
chat_client = _ChatClient(operations.send)
