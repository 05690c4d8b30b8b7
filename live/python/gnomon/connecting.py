"""Connections to Redis whose every answer has a deadline, and which leave retrying to whoever uses them."""

# what connecting would import on its thread: a fork in the middle of that would leave the child without, for ever
import email.parser  # noqa: F401
import encodings.idna  # noqa: F401
from typing import Any, Final

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

SOCKET_TIMEOUT_S: Final = 2.0


def connect(url: str, **options: Any) -> "redis.Redis":
    """Return a client of the Redis at `url`; nothing is opened before the first question."""
    return redis.Redis.from_url(
        url,
        socket_timeout=SOCKET_TIMEOUT_S,
        socket_connect_timeout=SOCKET_TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
        **options,
    )
