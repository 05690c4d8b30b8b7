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
from collections.abc import Iterable
from contextlib import suppress
from secrets import token_hex
from typing import Any, Final

import msgspec
import redis

from gnomon.appending import Appender, flat
from gnomon.buffer import Buffer
from gnomon.connecting import SOCKET_TIMEOUT_S, connect
from gnomon.flags import FlagState
from gnomon.keys import Keys
from gnomon.listener import Listener
from gnomon.live_call import Scribe
from gnomon.metrics import ENDS, Tally
from gnomon.outbox import Outbox
from gnomon.pressure import Pressure
from gnomon.readiness import MOST_EXCEPTIONS
from gnomon.scripts import BEAT, BEAT_LIFETIME_MS, LEAVE, MARK_UNREADY
from gnomon.settings import ClientSettings
from gnomon.tap import WakeUp

log = logging.getLogger("gnomon")

GATHER_S: Final = 0.02  # how long the first capture waits for others to be packed with
BEAT_S: Final = 0.25
FORGOT_LIFETIME_MS: Final = 3_600_000  # by then a lane was drained
LONGEST_BACKOFF_S: Final = 1.0
EXIT_DEADLINE_S: Final = 2.0
GREETED_S: Final = 2.0  # the first answer takes eight turns: with ten processes a core a second was seen
SAMPLES: Final = 5  # of the time, at first: some milliseconds, and as many fewer of error
KILL_FILE_S: Final = 0.5  # promised is every second


def _version(text: bytes) -> int:
    """Return a version as stored; what is no number is older than any."""
    return int(text) if text.isdigit() else -1


class Reconnected(redis.ConnectionError):
    """A connection was opened anew: Redis may have restarted, and is asked first what it still knows."""


class Publisher(WakeUp):
    """Owns the thread; lives from the first captured call, in each process of its own after a fork."""

    def __init__(self, settings: ClientSettings, flags: FlagState, buffer: Buffer, tally: Tally) -> None:
        assert settings.redis_url is not None
        self._settings = settings
        self._flags = flags
        self._buffer = buffer
        self._keys = Keys(settings.namespace)
        self._redis = connect(settings.redis_url, redis_connect_func=self._connected)
        self._beat = self._redis.register_script(BEAT)
        self._mark = self._redis.register_script(MARK_UNREADY)
        self._tally = tally
        self._listener = Listener(connect(settings.redis_url), self._keys.changes, self.look)
        self._scribe = Scribe(settings)
        self._outbox = Outbox(lambda item: self._scribe.line(self.producer, item))
        self._event = threading.Event()
        self._stop = threading.Event()
        self._round_done = threading.Condition()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._began = float("-inf")
        self._closed = False
        self._pid = os.getpid()
        self._lowest = 0
        self._beaten_ns = 0
        self._beats = 0
        self._telling: dict[str, int] | None = None  # counts of a beat that was not answered yet
        #: own exceptions on their way back: digest → version that holds them, and since when
        self._marked: dict[str, tuple[int, int]] = {}
        self._failures = 0
        self._doubtful = False  # Redis may have forgotten what it had taken
        self._checking = False
        self._asked = threading.Event()  # Redis was asked once, whatever it answered
        self._greeted = False  # Redis has said something: it is there
        self._idle = True
        self._looked = float("-inf")
        self._host = socket.gethostname()
        self.producer = token_hex(6)
        self.pressure = Pressure(self._redis, self._keys, settings, buffer.shedding)
        self._appender = Appender(
            self._redis,
            self._keys,
            settings,
            producer=self.producer,
            buffer=buffer,
            outbox=self._outbox,
            pressure=self.pressure,
        )

    # --- called on the live path

    def start(self) -> None:
        """See that the thread runs."""
        if self._thread is not None or self._closed:
            return
        with self._starting:
            if self._thread is None:
                self._began = time.monotonic()
                thread = threading.Thread(target=self._run, name="gnomon-publisher", daemon=True)
                with suppress(RuntimeError):  # the machine has no thread left: the next call tries again
                    thread.start()
                    self._thread = thread
                    self._buffer.board.open = True
                    atexit.register(self.close)
                    self._listener.start()

    def set(self) -> None:
        """Wake the thread."""
        self._event.set()

    def await_answer(self, timeout_s: float) -> None:
        """Wait until Redis was asked for the first time, no longer than so long after the thread began to ask.

        A Redis that has greeted us is slow, not silent: it is waited for longer.
        """
        if not self._asked.wait(max(0.0, self._began + timeout_s - time.monotonic())) and self._greeted:
            self._asked.wait(max(0.0, self._began + GREETED_S - time.monotonic()))

    # --- called by whoever shuts down or waits

    def look(self) -> None:
        """Have the thread beat now: something has changed in Redis."""
        self._beaten_ns = 0
        self._event.set()

    @property
    def failing(self) -> bool:
        """Whether the last attempt to reach Redis failed."""
        return self._failures > 0

    @property
    def began(self) -> bool:
        """Whether Redis was asked at all."""
        return self._asked.is_set()

    @property
    def backlog(self) -> int:
        """How many captures wait here."""
        return self._buffer.captures

    def flush(self, timeout_s: float) -> bool:
        """Wait until all that was captured so far is in its lane; False where that took too long."""
        if self._thread is None:
            return self._published()
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
        self._listener.stop()
        self._event.set()
        self._stop.set()
        if self._thread is not None:
            self._thread.join(SOCKET_TIMEOUT_S * 2)
            if published and not self._buffer.writing:  # else it is missed, and whom it may have lost is looked into
                self._leave()
        if not published:
            log.warning("gnomon.close_lost captures=%d", self._buffer.captures)
        self._redis.close()

    # --- the thread

    def _run(self) -> None:
        self._round()  # at once: until the first beat nobody knows that this process may be writing
        busy = False
        while not self._closed:
            if self._doubtful and self._failures == 1:
                log.info("gnomon.redis_is_back")
            elif self._failures:
                self._stop.wait(min(LONGEST_BACKOFF_S, BEAT_S * self._failures))
            elif busy or self._doze():
                self._stop.wait(GATHER_S)
            self._event.clear()
            busy = self._buffer.waiting
            self._round()

    def _doze(self) -> bool:
        """Sleep until there is something to do, or a beat is due; False for the beat.

        Where captures come all the time the thread looks for itself, and no live call has to wake it.
        """
        self.dozing = True
        woken = self._buffer.waiting or self._event.wait(BEAT_S)  # looked at once more: it was not told before
        self.dozing = False
        return woken

    def _round(self) -> None:
        try:
            self._look_at_kill_file()
            self._check()
            self._mark_exceptions()
            self._heartbeat()
            self._publish()
            self._failures = 0
        except Reconnected:
            self._failures = 1
        except Exception as error:  # whatever it is, the next round may go well; without this thread nothing does
            self._failures += 1
            if self._failures == 1:
                event = "redis_unreachable" if isinstance(error, redis.RedisError | OSError) else "publishing_failed"
                log.warning("gnomon.%s error=%s", event, type(error).__name__)
        finally:
            self._asked.set()
            with self._round_done:
                self._idle = self._outbox.empty
                self._round_done.notify_all()

    def _look_at_kill_file(self) -> None:
        now = time.monotonic()
        if now - self._looked >= KILL_FILE_S:
            self._looked = now
            self._flags.look_at_kill_file()

    def _connected(self, connection: Any) -> None:
        """Greet Redis on a new connection; nothing is said on it before it is known what has been forgotten."""
        connection.on_connect()
        self._greeted = True
        if self._outbox.sent and not self._checking:
            self._doubtful = True
            raise Reconnected("Redis was away")

    def _check(self) -> None:
        """Send again what Redis has forgotten, after it was away.

        Before the next heartbeat: until these captures are in their lanes again, the watermark stays below them.
        """
        if not self._doubtful:
            return
        sent = list(self._outbox.sent)
        pipeline = self._redis.pipeline(transaction=False)
        for lane in sent:
            pipeline.hget(self._keys.lane(lane).sender(self.producer), "batch")
        self._checking = True
        try:
            known = pipeline.execute()
            again = self._outbox.forgotten({lane: int(last or 0) for lane, last in zip(sent, known, strict=True)})
            self._tell_forgotten(again)
        finally:
            self._checking = False
        self._doubtful = False
        if again:
            log.warning("gnomon.redis_forgot batches=%d", sum(again.values()))

    def _tell_forgotten(self, lanes: Iterable[int]) -> None:
        """Tell workers that the journals of these lanes may be gone, too."""
        now_us = self._buffer.clock.us_of(time.monotonic_ns())
        pipeline = self._redis.pipeline(transaction=False)
        for lane in lanes:
            pipeline.set(self._keys.lane(lane).forgot, now_us, px=FORGOT_LIFETIME_MS)
        pipeline.execute()

    def _mark_exceptions(self) -> None:
        """Tell everybody whom enhanced may lack a write of; forgotten here once it has come back."""
        standing = self._flags.standing
        own = list(standing.own.items())
        fresh = {digest: since for digest, since in own if since > self._marked.get(digest, (0, -1))[1]}
        if fresh:
            pairs = [part for pair in fresh.items() for part in pair]
            version = int(self._mark(keys=[self._keys.unready], args=[self._keys.changes, MOST_EXCEPTIONS, *pairs]))
            self._marked |= {digest: (version, since) for digest, since in fresh.items()}
            self._beaten_ns = 0

    def _heartbeat(self) -> None:
        sent_ns = time.monotonic_ns()
        if sent_ns - self._beaten_ns < BEAT_S * 1e9 * 0.9:
            return
        self._ask_the_time()  # a beat takes many times as long, and its answer is as much less certain
        sent_ns = time.monotonic_ns()
        # true also where others do not know yet how far off this clock may be: it may just have been set
        error_us = self._buffer.clock.told_error_us
        watermark = self._buffer.low_watermark(self._outbox.low) - error_us
        if self._telling is None:
            self._telling = self._tally.changes()
            self._beats += 1  # a beat whose answer was lost is repeated with its number, and counts once
        counted = self._telling
        self._beaten_ns = sent_ns
        try:
            answer = self._beat(keys=self._beat_keys(), args=self._beat_args(watermark, error_us, counted))
        except (redis.RedisError, OSError):
            self._beaten_ns = 0
            raise
        self._align(answer, sent_ns, time.monotonic_ns())
        self._lowest = int(float(answer[2] or 0))
        self._tally.told(counted)
        self._telling = None
        self._take(answer[3:9])
        self.pressure.take((int(answer[0]) * 1_000_000 + int(answer[1])) // 1_000, answer[9:])
        self.pressure.step()

    def _ask_the_time(self) -> None:
        """Set the clock; several times before it is first relied upon: by a wrong one a watermark promises too much."""
        first = not self._buffer.clock.aligned
        if first:
            self._redis.ping()  # whatever there is to connect or to wait for is over then
        for _ in range(SAMPLES if first else 1):
            sent_ns = time.monotonic_ns()
            answer: Any = self._redis.time()
            self._align(answer, sent_ns, time.monotonic_ns())

    def _align(self, answer: Any, sent_ns: int, received_ns: int) -> None:
        """Set the clock by Redis's; what is under way moves along where it was wrong."""
        server_us = int(answer[0]) * 1_000_000 + int(answer[1])
        if moved_us := self._buffer.align(server_us, sent_ns, received_ns):
            self._outbox.shift(moved_us, self._buffer.clock.unsure_us)

    def _take(self, documents: list[Any]) -> None:
        """Take in flags, readiness and exceptions, each a version and what is new."""
        flags_at, flags, ready_at, readiness, excepted_at, excepted = documents
        standing = self._flags.standing
        self._flags.take_readiness(_version(ready_at), readiness)
        excepted_version = _version(excepted_at)
        if excepted_version != standing.exceptions_version:
            standing.take_exceptions(excepted_version, excepted)
        standing.told({digest: since for digest, (at, since) in self._marked.items() if at <= excepted_version})
        self._marked = {digest: mark for digest, mark in self._marked.items() if digest in standing.own}
        self._flags.take(_version(flags_at), flags)

    def _beat_keys(self) -> list[str]:
        keys = self._keys
        shared = [keys.producers, keys.watermarks, keys.flags, keys.readiness, keys.unready, keys.dead, keys.metrics]
        return [keys.producer(self.producer), *shared, *self.pressure.beat_keys, keys.heard]

    def _beat_args(self, watermark: int, error_us: int, counted: dict[str, int]) -> list[str | int]:
        flags, standing = self._flags.stored, self._flags.standing
        known = [flags.version, standing.shared.version, standing.exceptions_version]
        facts: dict[str, str | int] = {
            "watermark": watermark,
            "flags": flags.version,
            "readiness": standing.shared.version,
            "pid": self._pid,
            "host": self._host,
            "build": self._settings.build,
            "clock_error_us": error_us,
            "buffered": self._buffer.captures,
            "killed": int(self._flags.killed),
            "funnel": self._funnel(),
        }
        numbers: list[str | int] = [self.producer, BEAT_LIFETIME_MS, watermark, *known, self._beats, len(counted)]
        return [*numbers, *flat(counted), *flat(facts)]

    def _funnel(self) -> str:
        counts = self._tally.counts()
        return msgspec.json.encode({name: counts[name] for name in ("eligible", *ENDS) if name in counts}).decode()

    def _publish(self) -> None:
        self._idle = False  # before the buffer is emptied: what was taken has not arrived
        if not self._appender.publish(self._lowest):
            self.look()  # at the time, above all

    def _published(self) -> bool:
        return self._buffer.idle and self._idle  # in this order: what has left the one is told by the other

    def _leave(self) -> None:
        keys = [self._keys.producer(self.producer), self._keys.producers, self._keys.watermarks]
        self._checking = True  # nothing is sent any more
        try:
            self._redis.eval(LEAVE, len(keys), *keys, self.producer)
        except (redis.RedisError, OSError) as error:  # its heartbeat expires by itself
            log.warning("gnomon.leave_failed error=%s", type(error).__name__)
