"""Who may be served by enhanced: global flags and the environment, read from memory, refreshed by the daemon thread.

Precedence: kill file or environment `false` > stored global flags > share of the stage; environment `true` and a
number are the defaults until flags are stored. Unreadable for 30 s means legacy.
"""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import msgspec

from gnomon.errors import ConfigurationError, FlagError
from gnomon.hashing import BUCKETS, bucket_of
from gnomon.settings import FALSE, TRUE

STALE_S: Final = 30.0  # longer than any restart of Redis seen; a rollback that nobody can read must still hold
SHARE: Final = "rollout_percentage"
FIRST_EPOCH: Final = 1

#: flag → its name in the environment, which may carry the prefix GNOMON_ or REACT_APP_
SWITCHES: Final[dict[str, str]] = {
    "enhanced_memory_enabled": "ENHANCED_MEMORY",
    "rental_memory_architecture_enabled": "RENTAL_MEMORY_ARCH",
    "enhanced_chat_client_enabled": "ENHANCED_CHAT_CLIENT",
}
SHARE_VARIABLE: Final = "ENHANCED_ROLLOUT_PERCENTAGE"
#: a flag that needs another one too
_NEEDS: Final = {"enhanced_memory_enabled": "rental_memory_architecture_enabled"}
_PREFIXES: Final = ("GNOMON_", "REACT_APP_", "")


class Reason(StrEnum):
    """Why a user is or is not inside the rollout."""

    NO_FLAG = "no_flag"  #: the operation has no flag: always shadow
    KILLED = "killed"  #: kill file or environment
    STALE = "stale"  #: the stored flags could not be read for 30 s
    DISABLED = "disabled"  #: the flag is off, or unknown
    SPLIT = "split"  #: the share of the stage decided


@dataclass(frozen=True, slots=True)
class FlagDecision:
    """Whether a user is inside the rollout of one flag, and why."""

    enabled: bool
    reason: Reason


class StoredFlags(msgspec.Struct, frozen=True):
    """The flags as stored in Redis; `version` grows with every change, `epoch` with every stage."""

    version: int = 0
    epoch: int = FIRST_EPOCH
    flags: dict[str, Any] = msgspec.field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EnvironmentFlags:
    """What the environment says: switches that force legacy, and defaults."""

    killed: frozenset[str] = frozenset()
    defaults: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> "EnvironmentFlags":
        """Read the flags' variables; raises ConfigurationError naming one that is malformed."""
        found = {flag: _switch(*named) for flag, name in SWITCHES.items() if (named := _variable(name, environ))}
        defaults: dict[str, Any] = {flag: True for flag, on in found.items() if on}
        if named := _variable(SHARE_VARIABLE, environ):
            defaults[SHARE] = _percentage(*named)
        killed = {flag for flag, on in found.items() if not on}
        if defaults.get(SHARE) == 0:
            killed |= set(SWITCHES)
        return cls(frozenset(killed), defaults)


def _variable(name: str, environ: Mapping[str, str]) -> tuple[str, str] | None:
    for variable in (prefix + name for prefix in _PREFIXES):
        if text := environ.get(variable, "").strip():
            return variable, text
    return None


def _switch(variable: str, text: str) -> bool:
    if text.lower() not in TRUE | FALSE:
        raise ConfigurationError(variable, f"cannot use {text[:40]!r}", "true or false")
    return text.lower() in TRUE


def _percentage(variable: str, text: str) -> float:
    try:
        return checked_share(float(text))
    except (ValueError, FlagError):
        raise ConfigurationError(variable, f"cannot use {text[:40]!r}", "a percentage from 0 to 100") from None


def checked_share(value: object) -> float:
    """Return a percentage of users as a float; raises FlagError for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 100:  # noqa: PLR2004
        raise FlagError(f"{SHARE}: cannot use a {type(value).__name__}; expected a number from 0 to 100")
    return float(value)


class FlagState:
    """The flags of one process: read on the live path without a lock, replaced whole by the daemon thread."""

    def __init__(self, environment: EnvironmentFlags, kill_file: Path | None) -> None:
        self._environment = environment
        self._kill_file = kill_file
        self._read_at = float("-inf")
        self.stored = StoredFlags()
        self.killed = False

    @property
    def age_s(self) -> float:
        """Seconds since the stored flags were last read."""
        return time.monotonic() - self._read_at

    def take(self, document: bytes) -> None:
        """Replace the flags with those just read; empty bytes where none are stored."""
        if document:
            self.stored = msgspec.json.decode(document, type=StoredFlags)
        self._read_at = time.monotonic()

    def look_at_kill_file(self) -> None:
        """See whether the kill file exists; one that cannot be looked at counts as there."""
        try:
            self.killed = self._kill_file is not None and self._kill_file.exists()
        except OSError:
            self.killed = True

    def value(self, flag: str) -> Any:
        """Return what is in force for `flag`: stored, or the environment's default."""
        return self.stored.flags.get(flag, self._environment.defaults.get(flag))

    def decide(self, flag: str | None, user: str) -> FlagDecision:
        """Tell whether `user` is inside the rollout of `flag`; never raises."""
        if flag is None:
            return FlagDecision(False, Reason.NO_FLAG)
        needed = {flag, _NEEDS.get(flag, flag)}
        if self.killed or needed & self._environment.killed:
            return FlagDecision(False, Reason.KILLED)
        if self.age_s > STALE_S:
            return FlagDecision(False, Reason.STALE)
        if not all(self.value(name) is True for name in needed):
            return FlagDecision(False, Reason.DISABLED)
        share = self.value(SHARE)
        inside = isinstance(share, int | float) and bucket_of(user) < share / 100 * BUCKETS
        return FlagDecision(inside, Reason.SPLIT)


def changed(stored: StoredFlags, changes: Mapping[str, Any], *, may_raise: bool = False) -> StoredFlags:
    """Return the flags after `changes`; raises FlagError for an unknown flag, a wrong value or a raised share."""
    for flag, value in changes.items():
        if flag == SHARE:
            if checked_share(value) > float(stored.flags.get(SHARE, 0)) and not may_raise:
                raise FlagError(f"{SHARE}: may only be lowered here; raising it is 'gnomon promote'")
        elif flag not in SWITCHES:
            raise FlagError(f"unknown flag {flag!r}; known are {', '.join([*SWITCHES, SHARE])}")
        elif not isinstance(value, bool):
            raise FlagError(f"{flag}: cannot use a {type(value).__name__}; expected True or False")
    return StoredFlags(stored.version + 1, stored.epoch, {**stored.flags, **changes})
