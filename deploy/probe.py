"""Tells whether a container gets on with its work: the health checks of `docker-compose.yml` run it beside the service.

Each check looks at progress, for a process that answers a ping may long have stopped working. Exit code 0 or 1, and
one line that says what was seen.
"""
# ruff: noqa: INP001 — a script that the image holds beside the packages, not one of them

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple
from urllib.request import urlopen

STALL_S: Final = 120.0  # a slow replay (10 s) behind a live write that holds the watermark (30 s), with room
BEAT_S: Final = 300.0  # beat saves its schedule every 180 s
FLOWER: Final = "http://127.0.0.1:5555/healthcheck"
MEMORY: Final = Path(tempfile.gettempdir()) / "gnomon-probe.json"


class Unhealthy(Exception):  # noqa: N818 — a finding, not a fault of the probe
    """The service does not get on; the message says why."""


class Look(NamedTuple):
    """What a worker's probe saw: captures done, and since when (monotonic, s) that is so although entries wait."""

    done: int
    since: float


def worker() -> str:
    """See that captures are judged while entries wait."""
    waiting, done = _backlog()
    look = progress(_remembered(), waiting=waiting, done=done, now=time.monotonic())
    MEMORY.write_text(json.dumps(look), encoding="ascii")
    stalled = time.monotonic() - look.since
    if stalled > STALL_S:
        raise Unhealthy(f"{waiting} entries wait and nothing was judged for {stalled:.0f} s")
    return f"{waiting} entries wait, {done} captures done"


def progress(before: Look | None, *, waiting: int, done: int, now: float) -> Look:
    """Return what to remember: the earlier look where entries wait and nothing was done since, else this one."""
    if before is not None and waiting and before.done == done and before.since <= now:
        return before
    return Look(done, now)


def _backlog() -> tuple[int, int]:
    """Return the entries that wait in the lanes, and the captures that are done."""
    from gnomon.connecting import connect  # only the worker's probe pays for these imports
    from ledger import Ledger
    from worker.lanes import LaneStore
    from worker.settings import load

    settings = load()
    lanes = LaneStore(connect(settings.redis_url.get_secret_value()), settings.namespace)
    ledger = Ledger(settings.database_url.get_secret_value(), namespace=settings.namespace)
    try:
        with ledger.reading() as reading:
            return lanes.waiting(range(settings.lanes)), reading.done()
    finally:
        lanes.close()
        ledger.close()


def _remembered() -> Look | None:
    try:
        done, since = json.loads(MEMORY.read_text(encoding="ascii"))
        return Look(int(done), float(since))
    except (OSError, ValueError, TypeError):  # the first look
        return None


def beat(schedule: str) -> str:
    """See that beat's schedule file (its database may add an ending) was saved lately."""
    path = Path(schedule)
    saved = max((found.stat().st_mtime for found in path.parent.glob(f"{path.name}*")), default=None)
    if saved is None:
        raise Unhealthy(f"{schedule} is not there yet")
    age = time.time() - saved
    if age > BEAT_S:
        raise Unhealthy(f"{schedule} was saved {age:.0f} s ago")
    return f"{schedule} was saved {age:.0f} s ago"


def flower() -> str:
    """See that Flower answers."""
    with urlopen(FLOWER, timeout=5.0) as answer:
        return f"Flower answers {answer.status}"


CHECKS: Final[dict[str, Callable[..., str]]] = {"worker": worker, "beat": beat, "flower": flower}


def main(arguments: list[str]) -> int:
    """Run the check named, with its arguments; return the exit code."""
    try:
        seen, code = CHECKS[arguments[0]](*arguments[1:]), 0
    except Exception as error:  # a part that does not answer is as unhealthy as one that stands still
        seen, code = f"{type(error).__name__}: {error}", 1
    sys.stdout.write(f"{seen}\n")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
