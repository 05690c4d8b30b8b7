"""What the rollout does to the flags: raising the share, and taking everybody back. Redis alone is asked for it."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import msgspec
import redis

from gnomon.errors import FlagError
from gnomon.flags import NEEDED, SHARE, SWITCHES, StoredFlags, changed, is_share, with_epoch
from gnomon.keys import Keys
from gnomon.switchboard import change_flags

OFF: Final = {**dict.fromkeys(SWITCHES, False), SHARE: 0}


class FlagsMovedError(FlagError):
    """Somebody has changed the flags since they were read; nothing was changed."""


class RolledBack(msgspec.Struct, frozen=True, kw_only=True):
    """What a rollback says of itself, for whoever records it later.

    `switched_off` are the flags that were not off before; `barred` the build that harm was proven of, None: of none.
    """

    version: int
    by: str
    why: str
    at: datetime
    switched_off: tuple[str, ...] = ()
    barred: str | None = None


@dataclass(frozen=True, slots=True)
class Raised:
    """Flags with a raised share, and those of the operations' own that stay off."""

    stored: StoredFlags
    off: tuple[str, ...]


def share_of(stored: StoredFlags) -> float:
    """Return the share that stored flags give, percent: 0 where none is stored, or none that can be read."""
    share = stored.flags.get(SHARE, 0)
    return float(share) if is_share(share) else 0.0


def roll_back(
    server: "redis.Redis", keys: Keys, *, by: str, why: str, barred: str | None = None
) -> tuple[StoredFlags, RolledBack]:
    """Switch every flag off and the share to 0: legacy serves everybody, wherever the ledger is.

    Raises redis.RedisError and FlagError; then it is not known to be stored.
    """
    on: tuple[str, ...] = ()

    def off(stored: StoredFlags) -> StoredFlags:
        nonlocal on
        on = tuple(flag for flag in SWITCHES if stored.flags.get(flag) is not False)
        return changed(stored, OFF)

    stored = change_flags(server, keys, off)
    said = RolledBack(version=stored.version, by=by, why=why, at=datetime.now(UTC), switched_off=on, barred=barred)
    server.set(keys.rollback, msgspec.json.encode(said))
    return stored, said


def last_rollback(server: "redis.Redis", keys: Keys) -> RolledBack | None:
    """Return what the last rollback says of itself; None where there was none, or nobody can tell."""
    document = server.get(keys.rollback)
    try:
        return msgspec.json.decode(document, type=RolledBack) if isinstance(document, bytes) else None
    except msgspec.MsgspecError:
        return None


def raise_share(
    server: "redis.Redis", keys: Keys, share: int, *, epoch: int, version: int, flags: Iterable[str]
) -> Raised:
    """Raise the share and stamp captures with the stage's epoch, where the flags are still at `version`.

    `flags` are those of the operations: one that was never set is switched on, one that is off stays so. Raises
    FlagsMovedError where somebody was faster, FlagError and redis.RedisError.
    """
    wanted = tuple(dict.fromkeys(needed for flag in flags for needed in NEEDED.get(flag, (flag,))))

    def up(stored: StoredFlags) -> StoredFlags:
        if stored.version != version:
            raise FlagsMovedError(
                f"somebody has changed the flags meanwhile (version {version}, now {stored.version}); look again"
            )
        on = {flag: True for flag in wanted if stored.flags.get(flag) is None}
        return with_epoch(changed(stored, {SHARE: share, **on}, may_raise=True), epoch)

    stored = change_flags(server, keys, up)
    return Raised(stored, tuple(flag for flag in wanted if stored.flags.get(flag) is False))


def switch_on(server: "redis.Redis", keys: Keys, flags: Iterable[str]) -> StoredFlags:
    """Switch flags on again that a rollback has switched off; the share stays as it is."""
    return change_flags(server, keys, lambda stored: changed(stored, dict.fromkeys(flags, True)))
