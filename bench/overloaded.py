"""`python -m bench.overloaded`: a live process that calls at a pace that it is told; workers load its operations.

Enhanced takes a time of its own for each replay, so what workers get through is known, whatever the machine. Both sides
answer from the arguments alone: what is not compared, or differs, is so because of the engine.
"""

import os
import random
import threading
import time
from datetime import datetime
from typing import Any, Final

from bench.helper import serve
from bench.memories import answer, user_of
from gnomon import Gnomon

ENHANCED_S: Final = 0.08
USERS: Final = 512
WRITES_EVERY: Final = 4
BEHIND_S: Final = 1.0  # at most: no bursts
CLOSE_S: Final = 10.0

client = Gnomon.from_env()


@client.operation("memory.save", kind="write", user="user_id")
def save(user_id: str, number: int) -> int:
    """Answer as legacy does; nothing is kept."""
    return number + len(user_id)


@save.enhanced
def _save(user_id: str, number: int) -> int:
    time.sleep(ENHANCED_S)
    return number + len(user_id)


@client.operation("memory.recent", kind="read", user="user_id")
def recent(user_id: str, number: int) -> list[dict[str, Any]]:
    """Answer as legacy does."""
    return answer(user_id, number)


@recent.enhanced
def _recent(user_id: str, number: int) -> list[dict[str, Any]]:
    time.sleep(ENHANCED_S)
    return answer(user_id, number)


class _NothingKept:
    """The data of users: none, on both sides, so that a gap is closed by a look."""

    def verify(self, user: str, before: datetime | None = None) -> bool:  # noqa: ARG002 — the interface
        return True

    def repair(self, user: str, before: datetime | None = None) -> int:  # noqa: ARG002
        return 0

    def users(self, after: str = "", limit: int = 500) -> list[str]:
        return [user for user in map(user_of, range(USERS)) if user > after][:limit]


client.verification(_NothingKept())


class Traffic(threading.Thread):
    """Makes calls of users drawn by chance, so many a second in all; 0 makes none."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.rate = 0.0
        self.made = 0
        self._changed = threading.Event()
        self._chance = random.Random(os.getpid())

    def pace(self, rate: float) -> None:
        """Call at another pace."""
        self.rate = rate
        self._changed.set()

    def run(self) -> None:
        """Call until the process ends."""
        due = time.perf_counter()
        while True:
            if not self.rate:
                self._changed.wait()
                due = time.perf_counter()
            self._changed.clear()
            if self.rate:
                self._call()
                due = max(due + 1 / self.rate, time.perf_counter() - BEHIND_S)
                self._changed.wait(max(0.0, due - time.perf_counter()))

    def _call(self) -> None:
        user = user_of(self._chance.randrange(USERS))
        (recent if self.made % WRITES_EVERY else save)(user, self.made)
        self.made += 1


def main() -> None:
    """Answer until nobody asks any more."""
    traffic = Traffic()
    traffic.start()

    def answered(question: dict[str, Any]) -> dict[str, Any]:
        if "pace" in question:
            traffic.pace(question["pace"])
        if "flush" in question:
            return {"made": traffic.made, "flushed": client.flush(question["flush"])}
        return {"made": traffic.made}

    serve(answered)
    client.close(CLOSE_S)


if __name__ == "__main__":
    main()
