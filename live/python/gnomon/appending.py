"""Appends batches to their lanes; a lane that is full is left alone for a while, and its users are shed."""

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from gnomon.hints import drain_hint
from gnomon.scripts import APPEND

if TYPE_CHECKING:
    import redis

    from gnomon.buffer import Buffer
    from gnomon.keys import Keys
    from gnomon.outbox import Batch, Outbox
    from gnomon.pressure import Pressure
    from gnomon.settings import ClientSettings

HINT_LIFETIME_MS: Final = 10_000
SENDER_LIFETIME_MS: Final = 86_400_000
FULL: Final = b"full"
MISALIGNED: Final = b"misaligned"
WHATEVER: Final = 0  # the time at which something goes where it was before
NO_CAP: Final = 0  # of what Redis had taken once and forgot: it goes where it was


class Appender:
    """Used by the daemon thread alone."""

    def __init__(
        self,
        server: "redis.Redis",
        keys: "Keys",
        settings: "ClientSettings",
        *,
        producer: str,
        buffer: "Buffer",
        outbox: "Outbox",
        pressure: "Pressure",
    ) -> None:
        self._redis = server
        self._keys = keys
        self._settings = settings
        self._producer = producer
        self._buffer = buffer
        self._outbox = outbox
        self._pressure = pressure
        self._append = server.register_script(APPEND)

    def publish(self, promised_us: int) -> bool:
        """Append all that waits; `promised_us` is the lowest watermark known. Raises what Redis answers.

        False where Redis's clock was set since it was asked: what waits is stamped, and promised, by another.
        """
        self._outbox.put(self._buffer.take())
        self._buffer.shedding.reopen()
        aligned = True
        while aligned and (due := list(self._outbox.due())):
            aligned = self._send(due, promised_us)
        return aligned

    def _send(self, due: "list[tuple[int, Batch]]", promised_us: int) -> bool:
        pipeline = self._redis.pipeline(transaction=False)
        for lane, batch in due:
            self._append(keys=self._keys_of(lane), args=self._args(lane, batch, promised_us), client=pipeline)
        answers = pipeline.execute(raise_on_error=False)
        for (lane, _), answer in zip(due, answers, strict=True):
            self._settle(lane, answer)
        if failed := next((answer for answer in answers if isinstance(answer, Exception)), None):
            raise failed
        return MISALIGNED not in answers

    def _settle(self, lane: int, answer: Any) -> None:
        if isinstance(answer, Exception):
            return
        if answer == MISALIGNED:
            self._outbox.returned(lane)
        elif answer == FULL:
            self._buffer.shedding.close(lane)
            self._buffer.acknowledge(*self._outbox.refused(lane))
        elif batch := self._outbox.done(lane):
            self._buffer.acknowledge(batch.captures, batch.size_bytes)

    def _keys_of(self, lane: int) -> list[str]:
        keys = self._keys.lane(lane)
        own = [keys.stream, keys.state, keys.sender(self._producer), keys.scheduled, keys.senders]
        return [*own, self._keys.queue, keys.gaps, keys.users(self._producer), self._keys.stock, self._keys.oldest]

    def _args(self, lane: int, batch: "Batch", promised_us: int) -> list[str | int | bytes]:
        clock, capped = self._buffer.clock, not self._outbox.is_again(lane, batch)
        now_us = clock.us_of(time.monotonic_ns()) - self._outbox.shifted_us(lane)
        args: list[str | int | bytes] = [
            batch.number,
            self._settings.lane_bytes if capped else NO_CAP,
            promised_us,
            HINT_LIFETIME_MS,
            SENDER_LIFETIME_MS,
            drain_hint(lane, self._keys.queue),
            self._producer,
            clock.told_error_us,
            sum(entry.captures for entry in batch.entries),
            batch.first,
            len(batch.entries),
            len(batch.gaps),
            lane,
            self._pressure.cap_bytes if capped else NO_CAP,
            now_us // 1_000 if capped else WHATEVER,
        ]
        for entry in batch.entries:
            args += [entry.user_digest, entry.captures, entry.payload]
        return [*args, *flat(batch.gaps), *flat(batch.counts)]


def flat(pairs: Mapping[str, str | int]) -> list[str | int]:
    """Return names and values in turn."""
    return [part for pair in pairs.items() for part in pair]
