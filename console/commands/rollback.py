"""`gnomon rollback`: legacy serves everybody, or one user, at once."""

import contextlib
import getpass
import os
from collections.abc import Iterator
from typing import Annotated, Any, Final

import redis
import typer

from console.ending import exiting
from console.errors import EXIT_FINDINGS, EXIT_OK, StuckError
from console.options import Json
from console.output import note, print_json
from console.producers import Acknowledgement, await_acknowledged
from console.rollouts import LONGEST_WHY, said, words
from gnomon.connecting import connect
from gnomon.flags import STALE_S, StoredFlags, check_user, with_user
from gnomon.keys import Keys
from gnomon.switchboard import change_flags
from rollout.flags import roll_back
from worker.settings import load

WAIT_S: Final = 3.0  # in force everywhere within 2 s is promised


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("rollback")(exiting(rollback))


def rollback(
    *,
    user: Annotated[
        str | None, typer.Option("--user", metavar="ID", help="Take this user out alone; everybody else stays.")
    ] = None,
    by: Annotated[
        str | None, typer.Option("--by", metavar="NAME", help="Who decides; default: the login name.")
    ] = None,
    why: Annotated[str, typer.Option("--why", metavar="TEXT", help="Why; kept for good.")] = "",
    json: Json = False,
) -> int:
    """Switch every flag off and the share to 0, or take one user out, where the GNOMON_* variables point.

    The gate records it when it looks next, and nothing is promoted before gnomon resume. In force in every live process
    within 2 s; waits up to 3 s to see it. Needs neither the gate nor the database. Where
    Redis does not answer, the kill file (GNOMON_KILL_FILE) does the same on each host. Exit code 0 when in force
    everywhere, 1 when stored and a live process has not acknowledged it, 2 when it could not be stored.

    Example: gnomon rollback --user 4711
    """
    if user is not None:
        check_user(user)
    name = said(by or getpass.getuser())
    because = words(why, "--why", "a reason", LONGEST_WHY, optional=True) or "gnomon rollback"
    settings = load(database_url="sqlite:///unused")  # the ledger may be down: a rollback must not need it
    keys = Keys(settings.namespace)
    with contextlib.closing(connect(settings.redis_url.get_secret_value())) as server:
        with _or_the_kill_file():
            stored = _store(server, keys, user, by=name, why=because)
        seen = _await(server, keys, stored.version)
    if json:
        print_json(_document(stored, user, seen))
    else:
        _tell(stored, user, seen)
    return EXIT_OK if _in_force(stored, seen) else EXIT_FINDINGS


def _store(server: "redis.Redis", keys: Keys, user: str | None, *, by: str, why: str) -> StoredFlags:
    if user is None:
        stored, _ = roll_back(server, keys, by=by, why=why)
        return stored
    return change_flags(server, keys, lambda stored: with_user(stored, user, enabled=False))


@contextlib.contextmanager
def _or_the_kill_file() -> Iterator[None]:
    """Say what helps where Redis does not."""
    try:
        yield
    except (redis.RedisError, OSError) as error:
        down = isinstance(error, redis.ConnectionError | redis.TimeoutError | OSError)
        problem = "Redis does not answer" if down else "Redis does not take it"
        path = os.environ.get("GNOMON_KILL_FILE", "").strip()
        raise StuckError(
            f"GNOMON_REDIS_URL: {problem} ({type(error).__name__}); the change is not known to be stored. On each host "
            f"make the kill file ({f'touch {path}' if path else 'the one that GNOMON_KILL_FILE names'}): while it is "
            f"there, legacy serves everybody of that host. A live process that cannot read the flags serves legacy "
            f"after {STALE_S:g} s by itself"
        ) from None


def _await(server: "redis.Redis", keys: Keys, version: int) -> Acknowledgement | None:
    """Return who has acknowledged; None where Redis has not answered any more."""
    try:
        return await_acknowledged(server, keys, version, within_s=WAIT_S)
    except (redis.RedisError, OSError):
        return None


def _in_force(stored: StoredFlags, seen: Acknowledgement | None) -> bool:
    return seen is not None and not seen.missing and not stored.retired


def _document(stored: StoredFlags, user: str | None, seen: Acknowledgement | None) -> dict[str, Any]:
    version = stored.version
    return {
        "version": version,
        "flags": stored.flags,
        "user": user,
        "in_force": _in_force(stored, seen),
        "live": None if seen is None else len(seen.live),
        "seconds": None if seen is None else round(seen.seconds, 3),
        "unacknowledged": None if seen is None else [producer.as_json(version) for producer in seen.missing],
    }


def _tell(stored: StoredFlags, user: str | None, seen: Acknowledgement | None) -> None:
    if user is None:
        note(f"Rolled back: every flag is off, the share 0, since version {stored.version}; legacy serves everybody.")
    else:
        note(f"Taken out: legacy serves user {user!r} since version {stored.version} of the flags.")
    if stored.retired:
        note("But legacy is retired: enhanced serves alone, whatever the flags say, until legacy is restored.")
    for line in _who_knows(seen):
        note(line)


def _who_knows(seen: Acknowledgement | None) -> Iterator[str]:
    if seen is None:
        yield "Redis has stopped answering: who has taken it in is not known."
    elif not seen.live:
        yield "No live process is up; those that start will read it first."
    elif not seen.missing:
        yield f"In force in {_processes(len(seen.live))} after {seen.seconds:.1f} s."
    else:
        known = len(seen.live) - len(seen.missing)
        yield f"In force in {known} of {_processes(len(seen.live))} after {seen.seconds:.1f} s; not acknowledged by"
        for producer in seen.missing:
            yield f"  {producer.name}, unheard of for {producer.silent_s:.1f} s, at version {producer.flags}"
        yield (
            f"One that is cut off from Redis serves legacy {STALE_S:g} s after it last read the flags; "
            "the kill file (GNOMON_KILL_FILE) on its host takes a second."
        )


def _processes(count: int) -> str:
    return f"{count} live process{'' if count == 1 else 'es'}"
