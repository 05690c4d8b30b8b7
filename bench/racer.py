"""`python -m bench.racer`: a live process that is raced; its environment is that of the deployment.

It works out its own part of a heat and makes each call at its time, told by the monotonic clock: it sleeps until just
before, and spins the rest of the way.
"""

import time
from collections.abc import Sequence
from typing import Any, Final

from bench.heats import Heat, Mode, PlannedCall, plan, user_of, users
from bench.helper import serve
from bench.racing import FLAG, OPERATIONS, SYSTEMS, client

SPIN_NS: Final = 200_000  # a sleep ends some 60 µs late, more under load


def main() -> None:
    """Answer until nobody asks any more, then flush and say goodbye. The stores are open before the first call."""
    for system in SYSTEMS:
        system.listed(user_of(0))
    try:
        serve(_answer)
    finally:
        client.close(20)


def _answer(question: dict[str, Any]) -> dict[str, Any]:
    match question:
        case {"heat": heat, "process": process, "begin_ns": begin_ns}:
            return {"made": _raced(_heat(heat), process, begin_ns)}
        case {"call": [mode, spacing_us, user, number]}:
            return {"returned": _call(Mode(mode), spacing_us, user, number)}
        case {"phases": heat}:
            return {"phases": sorted({str(client.flags.for_user(user)[FLAG].phase) for user in users(_heat(heat))})}
        case {"flush": timeout_s}:
            return {"flushed": client.flush(timeout_s)}
        case _:
            return {"counted": client.metrics(), "clock_s": time.time()}


def _heat(said: dict[str, Any]) -> Heat:
    return Heat(**{**said, "mode": Mode(said["mode"]), "spacings_us": tuple(said["spacings_us"])})


def _call(mode: Mode, spacing_us: int, user: str, number: int) -> Any:
    """Make one call: a write of a number, or a read where it is 0."""
    raced = OPERATIONS[mode, spacing_us]
    return raced.save(user, number) if number else raced.listed(user)


def _raced(heat: Heat, process: int, begin_ns: int) -> list[tuple[int, bool, int, int]]:
    own = [call for call in plan(heat) if call.process == process]
    return _make(heat.mode, own, begin_ns)


def _make(mode: Mode, calls: Sequence[PlannedCall], begin_ns: int) -> list[tuple[int, bool, int, int]]:
    """Make the calls; returns of each its pair, whether it came first, and when it began and ended, ns."""
    made = []
    for call in calls:
        _wait_until(begin_ns + call.at_us * 1_000)
        began = time.monotonic_ns()
        _call(mode, call.spacing_us, call.user, call.pair + 1 if call.writes else 0)
        made.append((call.pair, call.first, began, time.monotonic_ns()))
    return made


def _wait_until(moment_ns: int) -> None:
    if (ahead := moment_ns - time.monotonic_ns() - SPIN_NS) > 0:
        time.sleep(ahead / 1e9)
    while time.monotonic_ns() < moment_ns:
        pass


if __name__ == "__main__":
    main()
