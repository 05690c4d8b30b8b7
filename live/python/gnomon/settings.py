"""What a live application can set, read once from the environment and frozen; a bad value fails here, by name."""

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from gnomon.errors import ConfigurationError

REDIS_SCHEMES: Final = ("redis", "rediss", "unix")
REDIS_EXPECTED: Final = "redis://HOST:PORT/DB, rediss://… or unix:///PATH"
NAMESPACE_EXPECTED: Final = "letters, digits, dots, dashes and underscores"
MOST_LANES: Final = 4_096  # each is a stream with keys of its own, and is looked at by every sweep
TRUE: Final = frozenset({"1", "true", "yes", "on"})
FALSE: Final = frozenset({"0", "false", "no", "off"})


def _setting(default: Any, meaning: str) -> Any:
    return field(default=default, metadata={"meaning": meaning})


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSettings:
    """The settings of one live process, each read from `GNOMON_` and its name in capitals."""

    redis_url: str | None = _setting(None, "where lanes, flags and hints live; unset: nothing is captured")
    namespace: str = _setting("default", "keeps several migrations apart on one Redis")
    capture: bool = _setting(True, "off: phase off, nothing is captured")
    lanes: int = _setting(64, "ordered streams; the same for every process of a namespace")
    build: str = _setting("", "the enhanced build in this process, stamped on captures")
    sample: float | None = _setting(None, "overrides every operation's own sampling rate, 0 to 1")
    generate_budget: int = _setting(2_000, "captured generate calls an hour and process; the rest is not sampled")
    buffer_captures: int = _setting(20_000, "captures that may wait in this process for Redis")
    buffer_bytes: int = _setting(32 * 1024 * 1024, "their size together")
    capture_bytes: int = _setting(256 * 1024, "a larger capture is oversize")
    lane_bytes: int = _setting(64 * 1024 * 1024, "what one lane may hold in Redis; all users of a full one are shed")
    total_bytes: int = _setting(
        512 * 1024 * 1024,
        "what all lanes may hold in Redis, less where its maxmemory is small; from half on users are shed",
    )
    shed_lag_s: float = _setting(600.0, "users are shed once the oldest capture has waited so long for a worker")
    enhanced_threads: int = _setting(32, "sync calls of enhanced with a time limit that may be under way at once")
    dual_timeout_s: float = _setting(0.5, "how long a write waits for enhanced where the flags no longer want it")
    compiled: bool = _setting(True, "off: the part of the live call that is there in C as well is done in Python")
    kill_file: Path | None = _setting(None, "while this file exists, legacy serves")

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> "ClientSettings":
        """Read the environment; raises ConfigurationError naming the first variable that cannot be used."""
        found: dict[str, Any] = {}
        for setting in fields(cls):
            variable = f"GNOMON_{setting.name.upper()}"
            if text := environ.get(variable, "").strip():
                found[setting.name] = _parsed(variable, text, _PARSERS[setting.name])
        return cls(**found)


def _parsed(variable: str, text: str, parser: tuple[Callable[[str], Any], str]) -> Any:
    parse, expected = parser
    try:
        return parse(text)
    except ValueError:
        raise ConfigurationError(variable, f"cannot use {redacted(text)!r}", expected) from None


def redacted(text: str) -> str:
    """Return `text` with what stands before an @ left out but for the scheme, shortened."""
    before, at, after = text.rpartition("@")
    if at:
        scheme, slashes, _ = before.partition("://")
        text = f"{scheme if slashes else ''}{slashes}***@{after}"
    return text[:80]


def redis_url(text: str) -> str:
    """Return a Redis URL as it is; raises ValueError where it is none."""
    parts = urlsplit(text)
    if parts.scheme not in REDIS_SCHEMES or not (parts.hostname or parts.path.strip("/")):
        raise ValueError(text)
    if parts.scheme != "unix":
        _ = parts.port  # raises where it is no number
        if database := parts.path.strip("/"):
            int(database)
    return text


def namespace(text: str) -> str:
    """Return a namespace as it is; raises ValueError where it is none."""
    if not text.replace("-", "").replace("_", "").replace(".", "").isalnum():
        raise ValueError(text)
    return text


def _switch(text: str) -> bool:
    if text.lower() not in TRUE | FALSE:
        raise ValueError(text)
    return text.lower() in TRUE


def _share(text: str) -> float:
    if not 0 <= float(text) <= 1:  # NaN fails too
        raise ValueError(text)
    return float(text)


def _seconds(text: str) -> float:
    if not 0 < float(text) < math.inf:
        raise ValueError(text)
    return float(text)


def _count(text: str, most: int = 2**53 - 1) -> int:
    if not 1 <= int(text) <= most:
        raise ValueError(text)
    return int(text)


def _lanes(text: str) -> int:
    return _count(text, MOST_LANES)


_WHOLE: Final = (_count, "a whole number above 0, and below 2**53")  # beyond, Redis's scripts count no single bytes
_PARSERS: Final[dict[str, tuple[Callable[[str], Any], str]]] = {
    "redis_url": (redis_url, REDIS_EXPECTED),
    "namespace": (namespace, NAMESPACE_EXPECTED),
    "capture": (_switch, "on or off"),
    "lanes": (_lanes, f"a whole number from 1 to {MOST_LANES:,}"),
    "build": (str, "a name"),
    "sample": (_share, "a number from 0 to 1"),
    "generate_budget": _WHOLE,
    "buffer_captures": _WHOLE,
    "buffer_bytes": _WHOLE,
    "capture_bytes": _WHOLE,
    "lane_bytes": _WHOLE,
    "total_bytes": _WHOLE,
    "shed_lag_s": (_seconds, "seconds above 0"),
    "enhanced_threads": _WHOLE,
    "dual_timeout_s": (_seconds, "seconds above 0"),
    "compiled": (_switch, "on or off"),
    "kill_file": (Path, "a path"),
}
