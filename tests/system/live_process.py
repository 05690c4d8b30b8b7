"""A live process of the rental app, as the system tests start it: it imports the safe migration service, and obeys.

Each line on stdin is a command, each line on stdout its answer. What is acknowledged to its users it writes down in a
Redis database of the tests' own, so that other live processes can tell what they must be able to read.
"""

import json
import os
import random
import sys
import time
from typing import Any

import redis

from gnomon_memory.operations import client, operations
from gnomon_memory.safe_migration_service import get_recent_memories, save_chat_memory

OWN_DATABASE = 1
FLAG = "enhanced_memory_enabled"

book = redis.Redis.from_url(os.environ["GNOMON_REDIS_URL"].rpartition("/")[0] + f"/{OWN_DATABASE}")


def save(user: str, content: str) -> str:
    """Save a memory, and write down that it was acknowledged."""
    memory = save_chat_memory(user, "preference", content, {"topic": "rent"})
    book.rpush(f"saved:{user}", memory["id"])
    return memory["id"]


def missing(user: str) -> list[str]:
    """Read a user's memories; return those acknowledged before the read that it does not show."""
    acknowledged = [name.decode() for name in book.lrange(f"saved:{user}", 0, -1)]
    found = {memory["id"] for memory in get_recent_memories(user, limit=10_000)}
    return [name for name in acknowledged if name not in found]


def roam(users: int, seconds: float, pause_s: float, seed: int) -> dict[str, Any]:
    """Save and read for random users; return what went wrong."""
    chance, until = random.Random(seed), time.monotonic() + seconds
    counts = {"calls": 0, "missing": 0, "failed": 0}
    errors: set[str] = set()
    while time.monotonic() < until:
        user = f"user-{chance.randrange(users)}"
        try:
            if chance.random() < 0.4:
                save(user, f"memory {counts['calls']}")
            else:
                counts["missing"] += len(missing(user))
        except Exception as error:  # the promise is that there is none
            counts["failed"] += 1
            errors.add(f"{type(error).__name__}: {error}")
        counts["calls"] += 1
        time.sleep(pause_s)
    return {**counts, "errors": sorted(errors), "metrics": client.metrics()}


def decisions(users: list[str]) -> dict[str, list[str]]:
    """Return, by user, whether the flags want them inside, and why."""
    found = {user: client.flags.for_user(user)[FLAG] for user in users}
    return {user: [str(decision.enabled), str(decision.reason)] for user, decision in found.items()}


def phases(users: list[str]) -> dict[str, str]:
    """Return, by user, the phase."""
    return {user: str(client.flags.for_user(user)[FLAG].phase) for user in users}


def saves(users: list[str], each: int, *, then: str = "") -> dict[str, list[str]]:
    """Save so many memories for each user; `then` "die" ends the process in the next instant, its buffer lost."""
    kept = {user: [save(user, f"memory {number}") for number in range(each)] for user in users}
    if then == "die":
        os.kill(os.getpid(), 9)
    return kept


def reads(users: list[str], each: int) -> int:
    """Read so often for each user; return how many acknowledged memories were not shown."""
    return sum(len(missing(user)) for _ in range(each) for user in users)


def flush() -> bool:
    """Wait until all captures are in their lanes."""
    return client.flush(20)


def knows() -> bool:
    """Tell whether this process has heard from Redis whom to serve from where."""
    client.flags.for_user("nobody")  # what begins to ask
    return client.health().details["redis"] == "ok"


def metrics() -> dict[str, Any]:
    """Return what this process counted."""
    return client.metrics()


COMMANDS = {function.__name__: function for function in (roam, decisions, phases, saves, reads, flush, knows, metrics)}


def main() -> None:
    """Obey until stdin ends."""
    assert operations.save is save_chat_memory
    for line in sys.stdin:
        order = json.loads(line)
        print(json.dumps(COMMANDS[order.pop("command")](**order)), flush=True)
    client.close(10)


if __name__ == "__main__":
    main()
