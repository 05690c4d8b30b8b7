"""`python -m bench.caller WAY REDIS_URL [SETTING=VALUE…]`: the live process, which makes calls when asked to.

Every call is timed on its own. Paced calls come at their times, as in a live process: between two of them the core
sleeps or does something else, so each finds its caches cold. Settings are those of our own client.
"""

import contextlib
import logging
import sys
import time
from array import array
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from bench.helper import serve
from bench.measuring import percentile
from bench.memories import user_of
from bench.ways import MADE, MAKING, WAYS, Live, Way


def main() -> None:
    """Answer until nobody asks any more."""
    name, redis_url, *settings = sys.argv[1:]
    logging.getLogger("gnomon").setLevel(logging.ERROR)  # that Redis is away is no news here
    options = dict(setting.split("=", 1) for setting in settings)
    way_of = MAKING[name.removeprefix(MADE)] if name.startswith(MADE) else WAYS[name]
    with way_of(redis_url, **options) as way:
        serve(partial(_answer, way))


def _answer(way: Way, question: dict[str, Any]) -> dict[str, Any]:
    match question:
        case {"calls": count, "period_s": period_s}:
            return _summary(timed(way.call, count, period_s))
        case {"settle": True}:
            return {"seen": way.settled() if way.settled else None}
        case _:
            return {"counted": dict(way.counted()), "peak_bytes": _peak_bytes(), "cpu_s": time.process_time()}


def timed(call: Live, calls: int, period_s: float) -> "array[float]":
    """Make calls at their pace, or as fast as they go (0); returns what each took, µs."""
    taken, due = array("d", bytes(8 * calls)), time.perf_counter()
    for number in range(calls):
        if period_s:
            due = max(due + period_s, time.perf_counter())
            _sleep_until(due)
        user = user_of(number)
        started = time.perf_counter_ns()
        call(user, number)
        taken[number] = (time.perf_counter_ns() - started) / 1_000
    return taken


def _sleep_until(due: float) -> None:
    if (ahead := due - time.perf_counter()) > 0:
        time.sleep(ahead)


def _summary(taken: "array[float]") -> dict[str, float]:
    return {"p50": median(taken), "p99": percentile(taken, 99), "max": max(taken)}


def _peak_bytes() -> int | None:
    """Return the most memory that this process has ever had resident; None where the system does not tell."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return None


if __name__ == "__main__":
    main()
