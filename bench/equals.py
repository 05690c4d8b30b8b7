"""Two equal systems, timed side by side as a worker does: how often enhanced comes out the faster one of a pair.

Half of the time, if timing is fair. Beside it the shorter way, which asks enhanced once: the run that legacy's second
one is held against is then the first of its own, and what a first run warms is taken for legacy's speed.
"""

import random
import time
from collections import Counter
from typing import Final

import msgspec

from bench.memories import answer, user_of
from gnomon import Gnomon
from gnomon.serving import System
from gnomon.wire import Capture, Kind, Side, encode_value
from worker.entries import LaneItem
from worker.pairs import Allowance, Course, Pairs
from worker.replay import Replayer
from worker.selection import Due

_SHORTER: Final = (System.LEGACY, System.LEGACY, System.ENHANCED)


class AskedOnce(Pairs):
    """Asks legacy twice and enhanced once, in any order."""

    def order(self, kind: Kind) -> list[System]:  # noqa: ARG002 — as it is asked for
        """Return an order of the three."""
        return self.chance.sample(_SHORTER, len(_SHORTER))


def faster_percent(kind: type[Pairs], count: int) -> float:
    """Return in how many percent of the pairs that were won by either side it was enhanced; equal systems: 50."""
    client = Gnomon.from_env({})
    client.operation("memory.recent", kind="read", user="user_id")(_recent).enhanced(_recent)
    replayer = Replayer(client.operations, timeout_s=10.0)
    pairs = kind(share=1.0, allowance=Allowance(1e9), now_us=_now_us, chance=random.Random())
    counts: Counter[str] = Counter()
    for number in range(count):
        due = Due(_item(number), late=False)
        replayed = replayer.replay(due)
        assert replayed is not None
        course = Course(pairs, replayer, [due], [replayed.finding], against=None)
        course.run(lambda: None, lambda: True)
        for pair in course.made:
            counts.update(pair.counts())
    return 100 * counts["wins"] / max(1, counts["wins"] + counts["losses"])


def _recent(user_id: str, number: int) -> object:
    return answer(user_id, number)


def _item(number: int) -> LaneItem:
    user, now_us = user_of(number), _now_us()
    capture = Capture(
        v=1,
        id=f"bench-{number}",
        op="memory.recent",
        kind=Kind.READ,
        user=user,
        start=now_us,
        end=now_us,
        args=msgspec.Raw(encode_value({"user_id": user, "number": number})),
        epoch=1,
        legacy=Side(20, returned=msgspec.Raw(encode_value(answer(user, number)))),
    )
    return LaneItem(capture.order, b"", capture)


def _now_us() -> int:
    return time.time_ns() // 1_000
