"""Where races are run: live processes, real workers and a ledger on one Redis; the referee reads the ledger."""

import contextlib
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Final

import redis

from bench.heats import Heat, Made, Mode
from bench.helper import Helper
from bench.measuring import BenchError
from bench.workers import ROOT, standing_by
from console.processes import WorkerProcess
from gnomon.connecting import connect
from gnomon.flags import SHARE, SWITCHES
from gnomon.keys import Keys
from gnomon.switchboard import store_flags
from ledger import Ledger
from worker.looking import Lookout

NAMESPACE: Final = "races"
LANES: Final = 64
LEAD_S: Final = 0.7  # for everybody to work out their part
PATIENCE_S: Final = 120.0
LOST_S: Final = 30.0
WATCH_S: Final = 0.2
FLIPS: Final = 6  # of the share, in a heat of users who change

NOTHING: Final[Mapping[str, str]] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """Who and what is on the course; a live process and a worker for each environment that is given to them alone."""

    stores: str = "notes"
    users: int
    spacings_us: tuple[int, ...]
    racers: Sequence[Mapping[str, str]] = (NOTHING,) * 4
    workers: Sequence[Mapping[str, str]] = (NOTHING,) * 2
    children: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """A heat that was run, and in what conditions."""

    made: Sequence[Made]
    clock_error_us: int  #: how far off the live processes' clocks may be, by their own word: the largest
    waits_s: float  #: how long the oldest capture in a lane has been there: the median of many looks


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What the ledger says of one operation."""

    eligible: int
    captured: int
    pending: int
    outcomes: Counter[str]
    excluded: Counter[str]  #: by reason


class Course:
    """A field that is up."""

    def __init__(self, server: "redis.Redis", ledger: Ledger, join: Callable[[Mapping[str, str]], Helper]) -> None:
        self._server = server
        self._ledger = ledger
        self._join = join
        self._keys = Keys(NAMESPACE)
        self.racers: list[Helper] = []

    def join(self, own: Mapping[str, str] = NOTHING) -> Helper:
        """Start one more live process; it is unheard of until its first call."""
        self.racers.append(self._join(own))
        return self.racers[-1]

    def run(self, heat: Heat) -> Ran:
        """Race once; returns all calls as they were made. Raises BenchError where one raised."""
        if heat.mode is Mode.CHANGING:
            beside: AbstractContextManager[None] = self._changing(heat.seconds)
        else:
            self.stand(heat)
            beside = contextlib.nullcontext()
        with beside, self._watching() as waits_s:
            made = self._raced(heat)
        return Ran(made=made, clock_error_us=self._clock_error_us(), waits_s=median(waits_s or [0.0]))

    def _clock_error_us(self) -> int:
        beats = Lookout(self._server, self._keys).producers()
        return max((int(beat["clock_error_us"]) for beat in beats if "clock_error_us" in beat), default=0)

    @contextlib.contextmanager
    def _watching(self) -> Iterator[list[float]]:
        """Collect, while a heat is run, how long captures have been in their lanes."""
        waits_s: list[float] = []
        stop = threading.Event()

        def watch() -> None:
            while not stop.wait(WATCH_S):
                waits_s.extend(self._waiting_s())

        with ThreadPoolExecutor(1) as beside:
            under_way = beside.submit(watch)
            try:
                yield waits_s
            finally:
                stop.set()
            under_way.result()

    def _waiting_s(self) -> list[float]:
        """Return, of each lane that holds anything, how long its oldest entry has been there."""
        pipeline = self._server.pipeline(transaction=False)
        pipeline.time()
        for lane in range(LANES):
            pipeline.xrange(self._keys.lane(lane).stream, count=1)
        (seconds, micros), *entries = pipeline.execute()
        oldest_ms = [int(entry[0][0].split(b"-")[0]) for entry in entries if entry]
        return [seconds + micros / 1e6 - ms / 1e3 for ms in oldest_ms]

    def _raced(self, heat: Heat) -> list[Made]:
        begin_ns = time.monotonic_ns() + int(LEAD_S * 1e9)

        def race(process: int) -> list[Made]:
            said = self.racers[process].ask(heat=asdict(heat), process=process, begin_ns=begin_ns)
            return [Made(*call) for call in said["made"]]

        with ThreadPoolExecutor(len(self.racers)) as beside:
            return [made for of_one in beside.map(race, range(heat.processes)) for made in of_one]

    def stand(self, heat: Heat) -> None:
        """Bring everybody to where a mode wants them; a rollback follows a promotion, else nobody would be dual."""
        if heat.mode is Mode.SHADOW:
            return
        self.share(100.0 if heat.mode is Mode.SERVED else 0.0)
        for racer in self.racers:
            self.wait(partial(_all_stand, racer, heat), f"not everybody is {heat.mode}")

    @contextlib.contextmanager
    def _changing(self, seconds: float) -> Iterator[None]:
        """Promote and roll back, by turns."""

        def change() -> None:
            for number in range(FLIPS):
                self.share(0.0 if number % 2 else 100.0)
                time.sleep(seconds / FLIPS)

        with ThreadPoolExecutor(1) as beside:
            under_way = beside.submit(change)
            yield
            under_way.result()

    def share(self, percent: float) -> None:
        """Let so many users be served, as `gnomon promote` and `gnomon rollback` do."""
        changes = {**dict.fromkeys(SWITCHES, True), SHARE: percent}
        store_flags(self._server, self._keys, changes, may_raise=True)

    def found(self, calls: int) -> dict[str, Found]:
        """Wait until so many calls have come to their end, and return what the ledger says, by operation."""
        for racer in self.racers:
            if not racer.ask(flush=LOST_S)["flushed"]:
                raise BenchError("a live process cannot get rid of its captures")
        self.wait(lambda: self._settled(calls), "something is still pending")
        return self._read()

    def _settled(self, calls: int) -> bool:
        found = self._read().values()
        waiting = any(self._server.xlen(self._keys.lane(lane).stream) for lane in range(LANES))
        return not waiting and sum(one.outcomes.total() for one in found) >= calls and not any(o.pending for o in found)

    def _read(self) -> dict[str, Found]:
        with self._ledger.reading() as reading:
            sums, reasons = reading.sums(), reading.reasons()
        excluded: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for operation, outcome, reason, count in reasons:
            if outcome == "excluded":
                excluded[operation][reason] += count
        return {
            name: Found(
                eligible=of.funnel["eligible"],
                captured=of.funnel["captured"],
                pending=of.pending,
                outcomes=+of.outcomes,
                excluded=excluded[name],
            )
            for name, of in sums.items()
        }

    def wait(self, done: Callable[[], bool], what: str) -> None:
        """Wait for what others do; raises BenchError when it takes too long."""
        until = time.monotonic() + PATIENCE_S
        while not done():
            if time.monotonic() > until:
                raise BenchError(f"after {PATIENCE_S:g} s {what}")
            time.sleep(0.1)


def _all_stand(racer: Helper, heat: Heat) -> bool:
    return racer.ask(phases=asdict(heat)) == {"phases": [heat.mode]}


@contextlib.contextmanager
def course(folder: Path, redis_url: str, field: Field) -> Iterator[Course]:
    """Bring a field up and down again; all it writes lies in `folder`."""
    environment = _environment(folder, redis_url, field)
    with contextlib.ExitStack() as stack:
        ledger = Ledger(environment["GNOMON_DATABASE_URL"], namespace=NAMESPACE)
        stack.callback(ledger.close)
        ledger.migrate()
        server = stack.enter_context(contextlib.closing(connect(redis_url)))
        for number, own in enumerate(field.workers):
            place = folder / f"worker-{number}"
            place.mkdir()
            stack.enter_context(standing_by(WorkerProcess({**environment, **own}, place / "worker.log")))

        def join(own: Mapping[str, str]) -> Helper:
            return stack.enter_context(contextlib.closing(Helper("bench.racer", environment={**environment, **own})))

        on = Course(server, ledger, join)
        for own in field.racers:
            on.join(own)
        yield on


def _environment(folder: Path, redis_url: str, field: Field) -> dict[str, Any]:
    return {
        "GNOMON_REDIS_URL": redis_url,
        "GNOMON_DATABASE_URL": f"sqlite:///{folder}/ledger.sqlite3",
        "GNOMON_NAMESPACE": NAMESPACE,
        "GNOMON_OPERATIONS": "bench.racing",  # not imported here: it opens what it keeps
        "GNOMON_CONCURRENCY": str(field.children),
        "GNOMON_LANES": str(LANES),
        "GNOMON_DUAL_TIMEOUT_S": "10",  # a busy machine is no failing system
        "GNOMON_MEMORY_LEGACY_URL": f"sqlite:///{folder}/legacy.sqlite3",
        "GNOMON_MEMORY_ENHANCED_URL": f"sqlite:///{folder}/enhanced.sqlite3",
        "RACES_STORES": field.stores,
        "RACES_FOLDER": str(folder),
        "RACES_USERS": str(field.users),
        "RACES_SPACINGS_US": ",".join(map(str, field.spacings_us)),
        "PYTHONPATH": str(ROOT),
    }
