"""Says what becomes of a breaker: a line of log, and a Celery event for whoever watches the worker (`-E`, Flower)."""

import threading
from contextlib import suppress
from typing import Any, Final

import structlog

from worker.targets.guard import Guard

log = structlog.get_logger()

_GOOD: Final = "target.closed"


def tell(event: str, guard: Guard) -> None:
    """Tell of one event: `target.opened`, `target.still_open`, `target.learned` or `target.closed`."""
    facts = guard.facts()
    said = {"target": facts.target, "reason": facts.reason, "retry_s": round(facts.retry_s, 1), "limit": facts.limit}
    (log.info if event == _GOOD else log.warning)(event, **said)
    # on a thread of its own: a broker that hangs must not make a replay seem to
    threading.Thread(target=_send, args=(f"gnomon-{event.replace('.', '-')}", said), daemon=True).start()


def _send(kind: str, said: dict[str, Any]) -> None:
    from worker.application import app  # only a worker has one, with its settings

    with suppress(Exception), app.events.default_dispatcher() as dispatcher:  # the log has it all the same
        dispatcher.send(kind, **said)
