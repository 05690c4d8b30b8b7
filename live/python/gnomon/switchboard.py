"""The flags as an application meets them: read from memory, changed in Redis for every process at once."""

import contextlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

import msgspec
import redis

from gnomon.connecting import connect
from gnomon.errors import FlagError
from gnomon.flags import (
    LONGEST_USER,
    SHARE,
    SWITCHES,
    FlagDecision,
    FlagState,
    StoredFlags,
    changed,
    is_share,
    with_segment,
    with_user,
)
from gnomon.keys import Keys
from gnomon.scripts import STORE
from gnomon.settings import ClientSettings

Change = Callable[[StoredFlags], StoredFlags]
_ANY = StoredFlags(flags={SHARE: 100})


class Flags:
    """The flags: read from memory, changed in Redis. A change is in force in every live process within 2 s."""

    def __init__(self, settings: ClientSettings, state: FlagState, read: Callable[[], None]) -> None:
        self._settings = settings
        self._state = state
        self._read = read  # sees that the flags are read in this process, and waits shortly for the first time

    def for_user(self, user: object) -> dict[str, FlagDecision]:
        """Return, for each flag, whether `user` is inside its rollout, why, and the phase; never raises.

        What a live call would take for nobody (None, an id beyond 1,024 characters) is nobody here, and a number is
        the user that its digits name.
        """
        self._read()
        known = "" if user is None or len(str(user)) > LONGEST_USER else str(user)
        return {flag: self._state.decide(flag, known) for flag in SWITCHES}

    def update_flags(self, **changes: Any) -> StoredFlags:
        """Store changed flags for every process; returns what is stored now.

        Raises FlagError for an unknown flag, a wrong value, a raised share, or an unreachable Redis.
        """
        share = self._state.value(SHARE)
        default = float(share) if is_share(share) else 0.0
        return self._store(lambda stored: changed(stored, changes, default_share=default))

    def enable_user(self, user: str) -> StoredFlags:
        """Put `user` inside the rollout, whatever the share; the global flags stay above. Raises FlagError."""
        return self._store(lambda stored: with_user(stored, user, enabled=True))

    def disable_user(self, user: str) -> StoredFlags:
        """Serve `user` from legacy, whatever else says otherwise. Raises FlagError."""
        return self._store(lambda stored: with_user(stored, user, enabled=False))

    def reset_user(self, user: str) -> StoredFlags:
        """Treat `user` as everybody else again. Raises FlagError."""
        return self._store(lambda stored: with_user(stored, user, enabled=None))

    def define_segment(self, name: str, users: Iterable[str]) -> StoredFlags:
        """Put a named list of users (staff, testers) inside the rollout together; an empty list takes it away again.

        Raises FlagError.
        """
        one_text = isinstance(users, str) or not isinstance(users, Iterable)
        members = users if one_text else list(users)  # an iterator gives its users but once
        return self._store(lambda stored: with_segment(stored, name, members))

    def _store(self, change: Change) -> StoredFlags:
        change(_ANY)  # a wrong value is refused before anybody is asked
        if self._settings.redis_url is None:
            raise FlagError("flags cannot be stored: GNOMON_REDIS_URL is not set")
        with contextlib.closing(connect(self._settings.redis_url)) as server:
            try:
                return change_flags(server, Keys(self._settings.namespace), change)
            except (redis.RedisError, OSError) as error:
                raise FlagError(f"flags cannot be stored: Redis does not answer ({type(error).__name__})") from error


def read_flags(server: "redis.Redis", keys: Keys) -> StoredFlags:
    """Return the flags as stored, the first version where none are; raises FlagError where they cannot be read."""
    version, document = cast("list[bytes | None]", server.hmget(keys.flags, ["version", "document"]))
    try:
        stored = msgspec.json.decode(document, type=StoredFlags) if document else StoredFlags()
        if stored.version == int(version or 0):  # else no compare-and-set would ever succeed
            return stored
    except ValueError:
        pass
    raise FlagError(f"what is stored under {keys.flags} are no flags")


def store_flags(
    server: "redis.Redis", keys: Keys, changes: Mapping[str, Any], *, may_raise: bool = False
) -> StoredFlags:
    """Change stored flags; `may_raise` also the share upwards. Raises FlagError."""
    return change_flags(server, keys, lambda stored: changed(stored, changes, may_raise=may_raise))


def change_flags(server: "redis.Redis", keys: Keys, change: Change) -> StoredFlags:
    """Change stored flags by compare-and-set, again until nobody else was faster; every live process is told."""
    while True:
        stored = read_flags(server, keys)
        wanted = change(stored)
        document = msgspec.json.encode(wanted)
        if server.eval(STORE, 1, keys.flags, stored.version, wanted.version, document, keys.changes):
            return wanted
