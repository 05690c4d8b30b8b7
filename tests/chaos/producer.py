"""`python -m tests.chaos.producer`: a live process that makes calls at a pace until told otherwise.

It answers questions, one line of JSON each way: `{"start": {…}}`, `{"stop": true}`, `{"each": {…}}`, `{"flush": 20}`,
and anything else with what it has counted. It must not notice what befalls Redis or the workers.
"""

import random
import threading
import time
from collections.abc import Sequence
from itertools import islice
from typing import Any

import msgspec

from bench.helper import serve
from gnomon.hashing import SHED_PLACES
from gnomon.live_call import Scribe
from gnomon.shedding import shed_place
from tests.chaos import application
from tests.chaos.traffic import ADD, Planned, Wish, plan

DEPTH = 10_000
CALLS = {False: application.look, True: application.add}
LOOK_S = 0.1
SLOWEST_S = 0.08  # between two calls: every lane must still get some, or nobody could tell how far it is
FLUSH_S = 20.0


class Counts:
    """What its callers saw."""

    def __init__(self) -> None:
        self.made = 0
        self.errors: list[str] = []
        self.slowest_ms = 0.0
        self.shed_least = self.shed_most = 0  # calls of users who were shed all the while, or at some time in it
        self._one_at_a_time = threading.Lock()  # a user's calls must not overlap

    def call(self, user: str, planned: Planned) -> None:
        """Make one call; nothing of ours may come out of it."""
        with self._one_at_a_time:
            self._call(user, planned)

    def _call(self, user: str, planned: Planned) -> None:
        args = {"text": planned.text} if planned.operation == ADD else {}
        before, began = _sheds(user), time.perf_counter()
        try:
            CALLS[planned.operation == ADD](user, wish=str(planned.wish), **args)
        except Exception as error:  # the promise is that there is none
            self.errors.append(type(error).__name__)
        self.slowest_ms = max(self.slowest_ms, (time.perf_counter() - began) * 1_000)
        self.made += 1
        after = _sheds(user)
        self.shed_least += before and after
        self.shed_most += before or after


def _sheds(user: str) -> bool:
    """Tell whether a user is shed by the share that this process acts upon."""
    share = application.gnomon.health().details["lanes"]["shed_share"]
    return shed_place(user) < round(share * SHED_PLACES)


class Traffic(threading.Thread):
    """Makes the planned calls of its users, in turns drawn by chance, `rate` a second."""

    def __init__(self, counts: Counts, *, users: Sequence[str], seed: int, rate: float, each: int | None) -> None:
        super().__init__(daemon=True)
        self._counts = counts
        self._plans = {user: iter(islice(plan(user, seed), each)) for user in users}
        self._chance = random.Random(f"{seed}:{users[0]}")
        self._users = list(users)
        self._period_s = 1 / rate
        self._told = threading.Event()

    def run(self) -> None:
        due = time.perf_counter()
        while self._users and not self._told.is_set():
            self._one()
            due = max(due + self._period_s, time.perf_counter() - 1.0)  # behind by a second at most: no bursts
            if (ahead := due - time.perf_counter()) > 0:
                time.sleep(ahead)

    def _one(self) -> None:
        place = self._chance.randrange(len(self._users))
        user = self._users[place]
        if (planned := next(self._plans[user], None)) is None:
            self._users[place] = self._users[-1]
            self._users.pop()
        else:
            self._counts.call(user, planned)

    def stop(self) -> None:
        self._told.set()
        self.join()

    def slow_down(self) -> None:
        self._period_s = min(2 * self._period_s, SLOWEST_S)


class Stalls(threading.Thread):
    """Knows for how long at most this process did nothing, ever."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.longest_s = 0.0
        self.start()

    def run(self) -> None:
        while True:
            began = time.monotonic()
            time.sleep(LOOK_S)
            self.longest_s = max(self.longest_s, time.monotonic() - began - LOOK_S)


class Live:
    """The live process, as it is asked."""

    def __init__(self) -> None:
        self.counts = Counts()
        self.traffic: Traffic | None = None
        self.stalls = Stalls()

    def answer(self, question: dict[str, Any]) -> dict[str, Any]:
        match question:
            case {"start": options}:
                self.traffic = Traffic(self.counts, **options)
                self.traffic.start()
            case {"stop": _} if self.traffic:
                self.traffic.stop()
            case {"slow_down": _} if self.traffic:
                self.traffic.slow_down()
            case {"each": users, "operation": operation, "wish": wish}:
                for user in users:
                    self.counts.call(user, Planned(operation, Wish(wish), f"{user} once more"))
            case {"flush": timeout_s}:
                return {"flushed": application.gnomon.flush(timeout_s)}
        return self._counted()

    def _counted(self) -> dict[str, Any]:
        counts, running = self.counts, self.traffic is not None and self.traffic.is_alive()
        said: dict[str, Any] = {
            "made": counts.made,
            "errors": sorted(set(counts.errors)),
            "slowest_ms": round(counts.slowest_ms, 3),
            "stalled_s": round(self.stalls.longest_s, 3),
            "shed_least": counts.shed_least,
            "shed_most": counts.shed_most,
        }
        return {**said, "running": running, "metrics": application.gnomon.metrics()}


def _as_wished(line: bytes) -> bytes:
    """Return a capture as a client of another version would have written it, where the caller wished that."""
    match msgspec.json.decode(line)["args"]["wish"]:
        case Wish.MINOR:
            return line[:-1] + b',"colour":{"of":[1,2,{"all":null}]},"later":true}'
        case Wish.MAJOR:
            return line.replace(b'"v":1', b'"v":2', 1)
        case Wish.RUBBISH:
            return b"\xff\x00 no capture \xfe"
        case Wish.DEEP_CAPTURE:
            return line.replace(b'"wish":', b'"deep":' + b"[" * DEPTH + b"]" * DEPTH + b',"wish":', 1)
        case _:
            return line


def _speak_other_versions() -> None:
    said = Scribe.line
    Scribe.line = lambda self, producer, item: _as_wished(said(self, producer, item))


if __name__ == "__main__":
    _speak_other_versions()
    serve(Live().answer)
    application.gnomon.close(FLUSH_S)
