"""The safe migration service: what an application imports in the place of legacy, name for name.

```python
from gnomon_memory.safe_migration_service import chat_client, get_recent_memories, save_chat_memory
```

On the data's way this is the first step: the user is answered as before, and the call goes on to be compared. Besides,
it tells how that goes, of this process or, with `everywhere=True`, of all that share a Redis.
"""

from dataclasses import dataclass
from typing import Any

from gnomon import Health
from gnomon_memory.health import Probe, check_health
from gnomon_memory.memory import Chatting
from gnomon_memory.operations import client, enhanced, legacy, operations
from gnomon_memory.registering import SendMessage

__all__ = [
    "chat_client",
    "close",
    "disable_enhanced_features_for_user",
    "enable_enhanced_features_for_user",
    "get_average_performance_gain",
    "get_enhancement_adoption",
    "get_metrics",
    "get_recent_memories",
    "get_success_rate",
    "perform_health_check",
    "save_chat_memory",
]


@dataclass(frozen=True, slots=True)
class _ChatClient:
    """Legacy's chat client, but that each message goes through the operation."""

    send_message: SendMessage
    _legacy: Chatting

    def __getattr__(self, name: str) -> Any:
        return getattr(self._legacy, name)


save_chat_memory = operations.save
get_recent_memories = operations.recent
chat_client = _ChatClient(operations.send, legacy.chat_client)

_legacy, _enhanced = Probe(legacy.store.ping), Probe(enhanced.service.store.ping)


def get_metrics(*, everywhere: bool = False) -> dict[str, Any]:
    """Return what was counted: `legacy_calls`, `enhanced_calls`, `fallbacks`, `errors` and more, by operation too.

    All as `gnomon.Gnomon.metrics` has it. With `everywhere`, raises GnomonError where Redis does not answer.
    """
    return client.metrics(everywhere=everywhere)


def get_success_rate(*, everywhere: bool = False) -> float:
    """Return how many of enhanced's live calls succeeded, in percent; 100 without any."""
    return float(get_metrics(everywhere=everywhere)["success_rate"])


def get_average_performance_gain(*, everywhere: bool = False) -> float:
    """Return by how much enhanced's live calls are shorter than legacy's, in percent; 0 unless both were made."""
    return float(get_metrics(everywhere=everywhere)["average_performance_gain"])


def get_enhancement_adoption(*, everywhere: bool = False) -> float:
    """Return how many answers to reads and messages enhanced gave, in percent; 0 without any."""
    return float(get_metrics(everywhere=everywhere)["adoption"])


def perform_health_check() -> Health:
    """Return `.status`, `healthy`, `degraded` or `unhealthy`, and `.details`, those of both stores among them.

    Asks both stores, within 2 s. Never raises. `unhealthy`: users are not served, or captures are lost.
    """
    return check_health(client, _legacy, _enhanced)


def enable_enhanced_features_for_user(user_id: str) -> None:
    """Have enhanced serve a user whatever the share, once their data is verified; the global flags stay above.

    Raises GnomonError for a bad id, and where Redis does not answer or none is configured.
    """
    client.flags.enable_user(user_id)


def disable_enhanced_features_for_user(user_id: str) -> None:
    """Have legacy serve a user, whatever else says otherwise, in every process within 2 s.

    Raises GnomonError for a bad id, and where Redis does not answer or none is configured.
    """
    client.flags.disable_user(user_id)


def close(timeout_s: float = 2.0) -> None:
    """Publish what was captured, within the time given, and say goodbye; calls go on working.

    An interpreter that exits does so by itself. A server that ends by a signal (uvicorn on SIGTERM) does not: call this
    when it shuts down, or the users of its last hour are not compared until their data was verified.
    """
    client.close(timeout_s)
