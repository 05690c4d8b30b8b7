"""The live processes as their heartbeats have them, who of them knows the flags in force, and who ended unheard.

What a process says lies in Redis; so all of this is to be had with the database down.
"""

import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

import msgspec
import redis

from gnomon.keys import Keys
from gnomon.scripts import BEAT_LIFETIME_MS

POLL_S: Final = 0.02  # a process acknowledges with its next beat, a quarter of a second after it was told
UNALIGNED_US: Final = 1_000_000_000  # what a process says of its clock before Redis has answered it


@dataclass(frozen=True, slots=True, kw_only=True)
class Producer:
    """One live process."""

    id: str
    host: str
    pid: int
    build: str
    flags: int  #: the version of the flags that it has acknowledged
    clock_error_us: int
    buffered: int
    killed: bool  #: it sees the kill file
    eligible: int  #: calls it has counted
    silent_s: float  #: since its last heartbeat
    said: dict[str, str]  #: the heartbeat itself

    @property
    def name(self) -> str:
        """How people find it."""
        return f"{self.host or 'unknown host'} process {self.pid}"

    def as_json(self, version: int) -> dict[str, Any]:
        """Return it as commands print it; `version` is that of the flags in force."""
        return {
            "id": self.id,
            "host": self.host,
            "pid": self.pid,
            "build": self.build,
            "flags": self.flags,
            "acknowledged": self.flags >= version,
            "clock_error_ms": None if self.clock_error_us >= UNALIGNED_US else self.clock_error_us / 1_000,
            "buffered": self.buffered,
            "killed": self.killed,
            "silent_s": round(self.silent_s, 3),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A live process that ended without saying goodbye, and what it said last."""

    id: str
    host: str
    pid: str
    buffered: int
    noticed_s_ago: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledgement:
    """Who has taken in a version of the flags, so many seconds after it was stored."""

    version: int
    seconds: float
    live: tuple[Producer, ...]

    @property
    def missing(self) -> list[Producer]:
        """Those that have not."""
        return [producer for producer in self.live if producer.flags < self.version]


def live_producers(server: "redis.Redis", keys: Keys) -> tuple[Producer, ...]:
    """Return the live processes by host and number."""
    now_ms = server_ms(server)
    expiring = cast(
        "list[tuple[bytes, float]]", server.zrangebyscore(keys.producers, f"({now_ms}", "+inf", withscores=True)
    )
    pipeline = server.pipeline(transaction=False)
    for name, _ in expiring:
        pipeline.hgetall(keys.producer(name.decode()))
    found = zip(expiring, pipeline.execute(), strict=True)
    live = [_producer(name.decode(), expires, now_ms, beat) for (name, expires), beat in found if beat]
    return tuple(sorted(live, key=lambda producer: (producer.host, producer.pid, producer.id)))


def ended_producers(server: "redis.Redis", keys: Keys) -> tuple[Ended, ...]:
    """Return the processes that ended without saying goodbye, the latest first."""
    now_ms = server_ms(server)
    said = cast("dict[bytes, bytes]", server.hgetall(keys.dead))
    ended = [_ended(name.decode(), now_ms, line) for name, line in said.items()]
    return tuple(sorted(ended, key=lambda found: (found.noticed_s_ago, found.id)))


def await_acknowledged(server: "redis.Redis", keys: Keys, version: int, *, within_s: float) -> Acknowledgement:
    """Wait until every live process has acknowledged `version` of the flags, no longer than `within_s`."""
    began, longest_s = time.monotonic(), 0.0
    while True:
        asked = time.monotonic()
        live = live_producers(server, keys)
        found = Acknowledgement(version=version, seconds=time.monotonic() - began, live=live)
        longest_s = max(longest_s, time.monotonic() - asked)
        # the next look may take as long as any did, and a busy machine wakes late
        if not found.missing or found.seconds + 2 * POLL_S + longest_s >= within_s:
            return found
        time.sleep(POLL_S)


def server_ms(server: "redis.Redis") -> int:
    """Return the time by Redis's clock, which all ages are told by."""
    seconds, micros = server.time()
    return seconds * 1_000 + micros // 1_000


def _producer(name: str, expires_ms: float, now_ms: int, beat: Mapping[bytes, bytes]) -> Producer:
    said = {field.decode(): value.decode("utf-8", "replace") for field, value in beat.items()}
    return Producer(
        id=name,
        host=said.get("host", ""),
        pid=_number(said, "pid"),
        build=said.get("build", ""),
        flags=_number(said, "flags"),
        clock_error_us=_number(said, "clock_error_us"),
        buffered=_number(said, "buffered"),
        killed=said.get("killed") == "1",
        eligible=_eligible(said.get("funnel", "")),
        silent_s=max(0.0, (BEAT_LIFETIME_MS - (expires_ms - now_ms)) / 1_000),
        said=said,
    )


def _number(said: Mapping[str, str], field: str) -> int:
    """What a process of another version does not say, or says otherwise, must not keep the others from being seen."""
    text = said.get(field, "")
    return int(text) if text.isdecimal() else 0


class _Funnel(msgspec.Struct):
    eligible: int = 0


def _eligible(funnel: str) -> int:
    try:
        return msgspec.json.decode(funnel, type=_Funnel).eligible
    except msgspec.MsgspecError:  # another version's
        return 0


class _Said(msgspec.Struct):
    """What Redis keeps of a process that ended; cjson writes large numbers as floats."""

    host: str = ""
    pid: str = ""
    buffered: float = 0
    died_ms: float = 0


def _ended(name: str, now_ms: int, line: bytes) -> Ended:
    said = _Said()
    with contextlib.suppress(
        msgspec.MsgspecError, UnicodeDecodeError
    ):  # one that cannot be read has ended all the same
        said = msgspec.json.decode(line, type=_Said)
    ago_s = max(0.0, (now_ms - said.died_ms) / 1_000)
    return Ended(id=name, host=said.host, pid=said.pid, buffered=int(said.buffered), noticed_s_ago=ago_s)
