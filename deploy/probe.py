"""Tells whether beat and Flower get on: the health checks of `docker-compose.yml` run it beside them.

Each check looks at progress, for a process that answers a ping may long have stopped working. Exit code 0 or 1, and
one line that says what was seen.
"""
# ruff: noqa: INP001 — a script that the image holds beside the packages, not one of them

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.request import urlopen

BEAT_S: Final = 300.0  # beat saves its schedule every 180 s
FLOWER: Final = "http://127.0.0.1:5555/healthcheck"


class Unhealthy(Exception):  # noqa: N818 — a finding, not a fault of the probe
    """The service does not get on; the message says why."""


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


CHECKS: Final[dict[str, Callable[..., str]]] = {"beat": beat, "flower": flower}


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
