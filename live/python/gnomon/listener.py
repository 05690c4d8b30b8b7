"""Hears of changed flags at once: a connection of its own that waits for word, and wakes the publisher to look.

What is missed here is seen by the next heartbeat; so whatever goes wrong is waited out.
"""

import logging
import threading
from collections.abc import Callable
from typing import Final

import redis

log = logging.getLogger("gnomon")

WAIT_S: Final = 1.0
RETRY_S: Final = 2.0


class Listener:
    """A daemon thread that calls `changed` for each message on a channel."""

    def __init__(self, server: "redis.Redis", channel: str, changed: Callable[[], None]) -> None:
        self._server = server
        self._channel = channel
        self._changed = changed
        self._stop = threading.Event()

    def start(self) -> None:
        """Start listening."""
        threading.Thread(target=self._run, name="gnomon-listener", daemon=True).start()

    def stop(self) -> None:
        """Stop; seen within a second."""
        self._stop.set()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._listen()
            except (redis.RedisError, OSError, ValueError) as error:
                log.debug("gnomon.listener_interrupted error=%s", type(error).__name__)
                self._stop.wait(RETRY_S)

    def _listen(self) -> None:
        with self._server.pubsub(ignore_subscribe_messages=True) as subscription:  # type: ignore[no-untyped-call]
            subscription.subscribe(self._channel)
            while not self._stop.is_set():
                if subscription.get_message(timeout=WAIT_S) is not None:
                    self._changed()
