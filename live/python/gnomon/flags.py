"""Who may be served by enhanced: global flags and the environment, read from memory, refreshed by the daemon thread.

Precedence: kill file or environment `false` > stored global flags > user disabled > user enabled > segments > share of
the stage; environment `true` and a number are the defaults until flags are stored. Unreadable for 30 s means legacy.
"""

import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec

from gnomon.errors import ConfigurationError, FlagError
from gnomon.hashing import BUCKETS, bucket_of
from gnomon.readiness import Standing
from gnomon.settings import FALSE, TRUE
from gnomon.wire import Phase

if TYPE_CHECKING:
    from gnomon.usual import Board

STALE_S: Final = 30.0  # longer than any restart of Redis seen; a rollback that nobody can read must still hold
SHARE: Final = "rollout_percentage"
FIRST_EPOCH: Final = 1
LONGEST_USER: Final = 1_024  # characters; a longer id is taken for a mistake
MOST_USERS: Final = 10_000  # enabled or disabled one by one: every live process keeps them in memory

#: flag → its name in the environment, which may carry the prefix GNOMON_ or REACT_APP_
SWITCHES: Final[dict[str, str]] = {
    "enhanced_memory_enabled": "ENHANCED_MEMORY",
    "rental_memory_architecture_enabled": "RENTAL_MEMORY_ARCH",
    "enhanced_chat_client_enabled": "ENHANCED_CHAT_CLIENT",
}
SHARE_VARIABLE: Final = "ENHANCED_ROLLOUT_PERCENTAGE"
#: a flag that needs another one too
_NEEDS: Final = {"enhanced_memory_enabled": "rental_memory_architecture_enabled"}
NEEDED: Final = {flag: tuple({flag, _NEEDS.get(flag, flag)}) for flag in SWITCHES}
_PREFIXES: Final = ("GNOMON_", "REACT_APP_", "")


class Reason(StrEnum):
    """Why a user is or is not inside the rollout."""

    NO_FLAG = "no_flag"  #: the operation has no flag: always shadow
    NO_USER = "no_user"  #: an empty user id: legacy
    KILLED = "killed"  #: kill file or environment
    STALE = "stale"  #: the stored flags could not be read for 30 s
    MALFORMED = "malformed"  #: what is stored is of the wrong type, or no flags at all
    MISSING = "missing"  #: nothing is stored and the environment says nothing
    DISABLED = "disabled"  #: the flag is off
    USER_DISABLED = "user_disabled"  #: this user was taken out
    USER_ENABLED = "user_enabled"  #: this user was put in
    SEGMENT = "segment"  #: a segment that is enabled holds this user
    SPLIT = "split"  #: the share of the stage decided


@dataclass(frozen=True, slots=True)
class FlagDecision:
    """Whether a user is inside the rollout of one flag, why, and the phase that follows."""

    enabled: bool
    reason: Reason
    phase: Phase = Phase.SHADOW


_FIRM: Final = frozenset({Reason.KILLED, Reason.MALFORMED})  # whatever the age of the flags
_SHADOW: Final = {reason: FlagDecision(False, reason) for reason in Reason}


class StoredFlags(msgspec.Struct, frozen=True, omit_defaults=True):
    """The flags as stored in Redis.

    `version` grows with every change, `epoch` with every stage and with every rule that ends; `lowered` is the version
    at which a flag was last switched off or the share lowered. `enabled` and `disabled` are users one by one,
    `segments` named lists of users that are enabled together; `retired` once enhanced serves alone.
    """

    version: int = 0
    epoch: int = FIRST_EPOCH
    flags: dict[str, Any] = msgspec.field(default_factory=dict)
    enabled: frozenset[str] = frozenset()
    disabled: frozenset[str] = frozenset()
    segments: dict[str, frozenset[str]] = msgspec.field(default_factory=dict)
    lowered: int = 0
    retired: bool = False

    def segment_of(self, user: str) -> str | None:
        """Return the name of a segment that holds `user`; None where none does."""
        return next((name for name, users in self.segments.items() if user in users), None)


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


class FlagState:
    """The flags of one process: read on the live path without a lock, replaced whole by the daemon thread.

    What every live call looks at stands on the board as well, where one is shown to it.
    """

    def __init__(self, environment: EnvironmentFlags, kill_file: Path | None) -> None:
        self._environment = environment
        self._kill_file = kill_file
        self._read_at = float("-inf")
        self.stored = StoredFlags()
        self.standing = Standing()
        self.killed = False
        self.malformed = False
        self._board: Board | None = None
        self._shown: tuple[Any, ...] = ()
        self._judge()

    def show(self, board: "Board") -> None:
        """Keep what is decided for everybody on `board` from now on."""
        self._board, self._shown = board, ()
        self._put_up()

    def _put_up(self) -> None:
        board = self._board
        if board is None:
            return
        decided_by = (self.stored, self._refusals, self.stale, self.standing.shared, self.standing.exceptions)
        if decided_by != self._shown:
            board.phases, self._shown = {}, decided_by  # first of all: a call looks at it last
        board.quiet, board.stored, board.known = self.quiet, self.stored, self.known

    @property
    def age_s(self) -> float:
        """Seconds since the stored flags were last read; infinite before."""
        return time.monotonic() - self._read_at

    @property
    def known(self) -> bool:
        """Whether the stored flags were ever read."""
        return self._read_at > float("-inf")

    @property
    def stale(self) -> bool:
        """Whether the stored flags are too old to act upon."""
        return self.age_s > STALE_S

    def take_readiness(self, version: int, document: bytes) -> None:
        """Take in the readiness as just read; an empty document is the one known already, or one that was lost."""
        if document:
            try:
                self.standing.take(document)
                self.standing.malformed = False
            except (msgspec.MsgspecError, UnicodeDecodeError):
                self.standing.lose()
                self.standing.malformed = True
        elif version < self.standing.shared.version:
            self.standing.lose()
        self._judge()

    def take(self, version: int, document: bytes) -> None:
        """Take in what was just read; an empty document is the one known already.

        Flags that were stored once and are gone (a Redis that lost its data) are not read: they turn stale.
        """
        if document:
            try:
                stored = msgspec.json.decode(document, type=StoredFlags)
            except (msgspec.MsgspecError, UnicodeDecodeError):
                self.malformed = True
                self._judge()
                return
            self.malformed = False
            self._judge(stored)
            self.stored = stored  # only now: no call may be stamped with a version that it was not routed by
        if version >= self.stored.version:
            self._read_at = time.monotonic()
        self._put_up()

    def look_at_kill_file(self) -> None:
        """See whether the kill file exists; one that cannot be looked at counts as there."""
        try:
            self.killed = self._kill_file is not None and self._kill_file.exists()
        except OSError:
            self.killed = True
        self._judge()

    def _judge(self, stored: StoredFlags | None = None) -> None:
        """Decide once what holds for every user, under flags as known or as just read."""
        stored = stored or self.stored
        self._refusals = {flag: self._refused(flag, stored) for flag in SWITCHES}
        #: whether all there is to decide is shadow: no flag is on, nobody is or was written to both sides
        self.quiet = not stored.retired and all(self._refusals.values()) and not self.standing.shared.anybody
        self._put_up()

    def value(self, flag: str) -> Any:
        """Return what is in force for `flag`: stored, or the environment's default."""
        return self._value(flag, self.stored)

    def _value(self, flag: str, stored: StoredFlags) -> Any:
        return stored.flags.get(flag, self._environment.defaults.get(flag))

    def phase(self, flag: str | None, user: str) -> Phase:
        """Return the phase of `user` for an operation under `flag`; never raises."""
        return self.decide(flag, user).phase

    def decide(self, flag: str | None, user: str) -> FlagDecision:
        """Tell whether `user` is inside the rollout of `flag`, and the phase; never raises."""
        if flag is None:
            return _SHADOW[Reason.NO_FLAG]
        if not user:
            return _SHADOW[Reason.NO_USER]
        if self.stored.retired:
            return FlagDecision(True, Reason.SPLIT, Phase.RETIRED)
        enabled, reason = self._inside(flag, user)
        if enabled:
            ready = self.standing.is_ready(user, self.stored.lowered)
            return FlagDecision(True, reason, Phase.SERVED if ready else Phase.DUAL)
        # whoever was dual stays so: a later promotion must find enhanced complete
        return FlagDecision(False, reason, Phase.DUAL) if self.standing.shared.is_dual(user) else _SHADOW[reason]

    def _inside(self, flag: str, user: str) -> tuple[bool, Reason]:
        refused = self._refusals.get(flag, Reason.MISSING)
        if refused not in _FIRM and self.stale:
            return False, Reason.STALE
        if refused is not None:
            return False, refused
        stored = self.stored
        if user in stored.disabled:
            return False, Reason.USER_DISABLED
        if user in stored.enabled:
            return True, Reason.USER_ENABLED
        if stored.segments and stored.segment_of(user):
            return True, Reason.SEGMENT
        return self._split(user)

    def _split(self, user: str) -> tuple[bool, Reason]:
        share = self.value(SHARE)
        if share is not None and not is_share(share):
            return False, Reason.MALFORMED
        return bool(share) and bucket_of(user) < share / 100 * BUCKETS, Reason.SPLIT

    def _refused(self, flag: str, stored: StoredFlags) -> Reason | None:
        needed = NEEDED[flag]
        if self.killed or (self._environment.killed and not self._environment.killed.isdisjoint(needed)):
            return Reason.KILLED
        if self.malformed:
            return Reason.MALFORMED
        values = [self._value(name, stored) for name in needed]
        if False in values:
            return Reason.DISABLED
        if None in values:
            return Reason.MISSING
        return None if all(value is True for value in values) else Reason.MALFORMED


def is_share(value: object) -> bool:
    """Tell whether `value` is a percentage of users."""
    return not isinstance(value, bool) and isinstance(value, int | float) and 0 <= value <= 100  # noqa: PLR2004


def checked_share(value: object) -> float:
    """Return a percentage of users as a float; raises FlagError for anything else."""
    if not is_share(value):
        found = f"{value!r}" if isinstance(value, int | float) else f"a {type(value).__name__}"
        raise FlagError(f"{SHARE}: cannot use {found}; expected a number from 0 to 100")
    return float(cast("float", value))


def changed(
    stored: StoredFlags, changes: Mapping[str, Any], *, may_raise: bool = False, default_share: float = 0
) -> StoredFlags:
    """Return the flags after `changes`; raises FlagError for an unknown flag, a wrong value or a raised share.

    `default_share` is the one in force where none is stored.
    """
    for flag, value in changes.items():
        if flag == SHARE:
            if checked_share(value) > _stored_share(stored, default_share, unreadable=0) and not may_raise:
                raise FlagError(f"{SHARE}: may only be lowered here; raising it is 'gnomon promote'")
        elif flag not in SWITCHES:
            raise FlagError(f"unknown flag {flag!r}; known are {', '.join([*SWITCHES, SHARE])}")
        elif not isinstance(value, bool):
            raise FlagError(f"{flag}: cannot use a {type(value).__name__}; expected True or False")
    return _next(stored, lowered=_lowers(stored, changes, default_share), flags={**stored.flags, **changes})


def _stored_share(stored: StoredFlags, default: float, *, unreadable: float) -> float:
    """Return the share in force; one that cannot be read lets nobody in, and may have been anything before."""
    share = stored.flags.get(SHARE, default)
    return float(share) if is_share(share) else unreadable


def _lowers(stored: StoredFlags, changes: Mapping[str, Any], default_share: float) -> bool:
    share = changes.get(SHARE, 100)
    return share < _stored_share(stored, default_share, unreadable=100) or any(
        value is False and stored.flags.get(flag) is not False for flag, value in changes.items()
    )


def _next(stored: StoredFlags, *, lowered: bool = False, **fields: Any) -> StoredFlags:
    version = stored.version + 1
    fields |= {"version": version, **({"lowered": version} if lowered else {})}
    return msgspec.structs.replace(stored, **fields)


def with_user(stored: StoredFlags, user: str, *, enabled: bool | None) -> StoredFlags:
    """Return the flags with `user` enabled, disabled or (None) neither; raises FlagError."""
    check_user(user)
    lists = {True: stored.enabled - {user}, False: stored.disabled - {user}}
    if enabled is not None:
        lists[enabled] |= {user}
        _check_room(len(lists[enabled]))
    return _next(stored, enabled=lists[True], disabled=lists[False])


def with_segment(stored: StoredFlags, name: str, users: Iterable[str]) -> StoredFlags:
    """Return the flags with the segment `name` holding `users`; none: without it. Raises FlagError."""
    if not isinstance(name, str) or not 0 < len(name) <= LONGEST_USER or has_surrogates(name):
        raise FlagError(f"a segment's name is text of 1 to {LONGEST_USER} characters, not a {type(name).__name__}")
    if isinstance(users, str) or not isinstance(users, Iterable):
        raise FlagError(f"segment {name!r}: takes a list of user ids, not a single {type(users).__name__}")
    listed = list(users)
    for user in listed:
        check_user(user)
    members = frozenset(listed)
    others = {known: held for known, held in stored.segments.items() if known != name}
    _check_room(sum(len(held) for held in others.values()) + len(members))
    return _next(stored, segments={**others, name: members} if members else others)


def with_epoch(stored: StoredFlags, epoch: int) -> StoredFlags:
    """Return the flags with a later epoch to stamp captures with; who is served by what stays as it is."""
    return _next(stored, epoch=epoch) if epoch > stored.epoch else stored


def check_user(user: object) -> None:
    """Raise FlagError for what is no user id."""
    if not isinstance(user, str) or not 0 < len(user) <= LONGEST_USER:
        found = f"text of {len(user)} characters" if isinstance(user, str) else f"a {type(user).__name__}"
        raise FlagError(f"a user id is text of 1 to {LONGEST_USER} characters, not {found}")
    if has_surrogates(user):
        raise FlagError("a user id has no lone surrogates: they have no form in JSON")


def has_surrogates(text: str) -> bool:
    """Tell whether `text` holds half a character, for which UTF-8 has no bytes."""
    return any("\ud800" <= character <= "\udfff" for character in text)


def _check_room(users: int) -> None:
    if users > MOST_USERS:
        raise FlagError(f"{users:,} users one by one are more than {MOST_USERS:,}; use the share")
