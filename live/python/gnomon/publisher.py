"""The daemon thread of a live process: appends captures to their lanes, beats, refreshes the flags.

All of Gnomon's network use in a live process is here. When Redis refuses, hangs or is full, the same batches are sent
again until it takes them; what the buffer cannot hold meanwhile is counted.
"""

import atexit
import logging
import os
import socket
import threading
import time
from secrets import token_hex
from typing import Any, Final

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from gnomon.buffer import Buffer
from gnomon.flags import FlagState
from gnomon.hints import drain_hint
from gnomon.keys import Keys
from gnomon.outbox import Batch, Outbox
from gnomon.scripts import APPEND, BEAT, LEAVE
from gnomon.settings import ClientSettings
from gnomon.tap import WakeUp

log = logging.getLogger("gnomon")

GATHER_S: Final = 0.02  # how long the first capture waits for others to be packed with
BEAT_S: Final = 0.25
BEAT_LIFETIME_MS: Final = 10_000  # a process unheard of for so long holds nobody back: longer than a Redis restart
HINT_LIFETIME_MS: Final = 10_000
HIGH_WATER_LIFETIME_MS: Final = 86_400_000
SOCKET_TIMEOUT_S: Final = 2.0
LONGEST_BACKOFF_S: Final = 1.0
EXIT_DEADLINE_S: Final = 2.0


def connect(url: str) -> "redis.Redis":
    """Return a client whose every answer has a deadline and which leaves retrying to its caller."""
    return redis.Redis.from_url(
        url,
        socket_timeout=SOCKET_TIMEOUT_S,
        socket_connect_timeout=SOCKET_TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
    )


class Publisher(WakeUp):
    """Owns the thread; lives from the first captured call, in each process of its own after a fork."""

    def __init__(self, settings: ClientSettings, flags: FlagState, buffer: Buffer) -> None:
        assert settings.redis_url is not None
        self._settings = settings
        self._flags = flags
        self._buffer = buffer
        self._keys = Keys(settings.namespace)
        self._redis = connect(settings.redis_url)
        self._append = self._redis.register_script(APPEND)
        self._beat = self._redis.register_script(BEAT)
        self._outbox = Outbox()
        self._event = threading.Event()
        self._stop = threading.Event()
        self._round_done = threading.Condition()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._pid = os.getpid()
        self._lowest = 0
        self._beaten_ns = 0
        self._failures = 0
        self._idle = True
        self.producer = token_hex(6)
        self.refusal = "publish_failed"

    # --- called on the live path

    def start(self) -> None:
        """See that the thread runs."""
        if self._thread is not None or self._closed:
            return
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="gnomon-publisher", daemon=True)
                self._thread.start()
                atexit.register(self.close)

    def set(self) -> None:
        """Wake the thread."""
        self._event.set()

    # --- called by whoever shuts down or waits

    @property
    def failing(self) -> bool:
        """Whether the last attempt to reach Redis failed."""
        return self._failures > 0

    def flush(self, timeout_s: float) -> bool:
        """Wait until all that was captured so far is in its lane; False where that took too long."""
        if self._thread is None:
            return True
        deadline = time.monotonic() + timeout_s
        with self._round_done:
            while not self._published() and time.monotonic() < deadline:
                self._event.set()
                self._round_done.wait(min(0.1, max(0.0, deadline - time.monotonic())))
            return self._published()

    def close(self, timeout_s: float = EXIT_DEADLINE_S) -> None:
        """Publish what waits, within the time given, then take the heartbeat away."""
        if self._closed or os.getpid() != self._pid:  # a forked child inherits the exit hook, not the captures
            return
        published = self.flush(timeout_s)
        self._closed = True
        self._event.set()
        self._stop.set()
        if self._thread is not None:
            self._thread.join(SOCKET_TIMEOUT_S * 2)
            self._leave()
        if not published:
            log.warning("gnomon.close_lost captures=%d", self._buffer.captures)
        self._redis.close()

    # --- the thread

    def _run(self) -> None:
        self._round()  # at once: until the first beat nobody knows that this process may be writing
        while not self._closed:
            if self._failures:
                self._stop.wait(min(LONGEST_BACKOFF_S, BEAT_S * self._failures))
            elif self._event.wait(BEAT_S):
                self._stop.wait(GATHER_S)
            self._event.clear()
            self._round()

    def _round(self) -> None:
        try:
            self._flags.look_at_kill_file()
            self._heartbeat()
            self._publish()
            self._failures = 0
        except (redis.RedisError, OSError, ValueError) as error:
            self._failures += 1
            if self._failures == 1:
                log.warning("gnomon.redis_unreachable error=%s", type(error).__name__)
        finally:
            with self._round_done:
                self._idle = self._outbox.empty
                self._round_done.notify_all()

    def _heartbeat(self) -> None:
        sent_ns = time.monotonic_ns()
        if sent_ns - self._beaten_ns < BEAT_S * 1e9 * 0.9:
            return
        watermark = self._buffer.low_watermark(self._outbox.low)
        keys = [self._keys.producer(self.producer), self._keys.producers, self._keys.watermarks, self._keys.flags]
        seconds, micros, lowest, flags = self._beat(keys=keys, args=self._beat_args(watermark))
        received_ns = time.monotonic_ns()
        self._buffer.clock.align(int(seconds) * 1_000_000 + int(micros), sent_ns, received_ns)
        self._lowest = int(float(lowest or 0))
        self._flags.take(flags)
        self._beaten_ns = sent_ns

    def _beat_args(self, watermark: int) -> list[str | int]:
        facts: dict[str, str | int] = {
            "watermark": watermark,
            "flags": self._flags.stored.version,
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "build": self._settings.build,
            "clock_error_us": int(min(self._buffer.clock.error_us, 1e9)),
            "buffered": self._buffer.captures,
        }
        return [self.producer, BEAT_LIFETIME_MS, watermark, *(part for fact in facts.items() for part in fact)]

    def _publish(self) -> None:
        items, counts = self._buffer.take()
        self._outbox.put(items, counts)
        while due := list(self._outbox.due()):
            full = self._send(due)
            self.refusal = "shed" if full else "publish_failed"
            if full:
                return

    def _send(self, due: list[tuple[int, Batch]]) -> bool:
        pipeline = self._redis.pipeline(transaction=False)
        for lane, batch in due:
            self._append(keys=self._append_keys(lane), args=self._append_args(lane, batch), client=pipeline)
        answers = pipeline.execute(raise_on_error=False)
        outcomes = [self._settle(lane, answer) for (lane, _), answer in zip(due, answers, strict=True)]
        if failed := next((answer for answer in answers if isinstance(answer, Exception)), None):
            raise failed
        return not all(outcomes)

    def _settle(self, lane: int, answer: Any) -> bool:
        if isinstance(answer, Exception) or answer == b"full":
            return False
        if batch := self._outbox.done(lane):
            self._buffer.acknowledge(batch.captures, batch.size_bytes)
        return True

    def _append_keys(self, lane: int) -> list[str]:
        keys = self._keys.lane(lane)
        high_water = keys.high_water(self.producer)
        return [keys.stream, keys.state, keys.funnel, keys.scheduled, high_water, self._keys.queue]

    def _append_args(self, lane: int, batch: Batch) -> list[str | int | bytes]:
        args: list[str | int | bytes] = [
            batch.number,
            self._settings.lane_bytes,
            self._lowest,
            HINT_LIFETIME_MS,
            HIGH_WATER_LIFETIME_MS,
            drain_hint(lane, self._keys.queue),
            batch.captures,
            len(batch.entries),
        ]
        for entry in batch.entries:
            args += [entry.user_digest, entry.captures, entry.payload]
        for key, count in batch.counts.items():
            args += [f"{key.operation}|{key.epoch}|{key.counter}", count]
        return args

    def _published(self) -> bool:
        return self._idle and self._buffer.idle

    def _leave(self) -> None:
        keys = [self._keys.producer(self.producer), self._keys.producers, self._keys.watermarks]
        try:
            self._redis.eval(LEAVE, len(keys), *keys, self.producer)
        except (redis.RedisError, OSError) as error:  # its heartbeat expires by itself
            log.warning("gnomon.leave_failed error=%s", type(error).__name__)
