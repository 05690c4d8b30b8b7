"""The way to the broker: kombu's own for Redis, but that a connection which breaks never ends the worker.

A channel that closes gives back the hints that it has fetched and not handed out. Where its connection is gone by then
kombu (5.7) may raise an AttributeError, which Celery takes for the end of everything. A hint that is not given back
does no harm: the lane it names is found by the sweeper.
"""

from typing import Any

import structlog
from kombu.transport import TRANSPORT_ALIASES, redis

log = structlog.get_logger()


class QoS(redis.QoS):
    """What was fetched and is not acknowledged."""

    def restore_unacked_once(self, stderr: Any = None) -> None:
        """Give it back, if that can be done."""
        try:
            super().restore_unacked_once(stderr)  # type: ignore[no-untyped-call]
        except Exception as error:
            log.warning("broker.not_given_back", hints=len(self._delivered), error=type(error).__name__)


class Channel(redis.Channel):
    """A channel with it."""

    QoS = QoS


class Transport(redis.Transport):
    """A transport of such channels."""

    Channel = Channel


def use() -> None:
    """Let every connection to a Redis broker of this process be of this kind."""
    TRANSPORT_ALIASES.update(dict.fromkeys(("redis", "rediss"), f"{__name__}:{Transport.__name__}"))
