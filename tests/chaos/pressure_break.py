"""More is called than enhanced can bear, for a while: the lanes stay within bounds, and users are shed whole."""

import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, Self

from gnomon.hashing import SHED_PLACES
from gnomon.lane_figures import LaneFigures, read_lanes
from gnomon.shedding import shed_place
from tests.chaos.books import SLOW, Line, Mark, say
from tests.chaos.naming import fault
from tests.chaos.rig import Rig, eventually
from tests.chaos.trial import Trial
from tests.chaos.truth import Truth

RATE: Final = 400  # calls a second of each of two live processes
CALM_RATE: Final = 50  # afterwards
LAG_S: Final = 5.0  # what waits no longer has recovered
PAUSE_S: Final = 0.5  # 16 replays side by side: 32 of those a second get through, and the reads that expire
CAP_BYTES: Final = 1_500_000  # five seconds of that
EXPIRE_S: Final = 20  # what a busy machine never makes one call wait
OVERLOADS: Final = 12  # times as long as a state is held: two minutes
ENOUGH: Final = 0.5  # of the users are shed: in a short run that will do
PATIENCE_S: Final = 240.0
POLL_S: Final = 0.05


@fault(
    "ten times too much",
    f"enhanced takes {PAUSE_S:g} s while {2 * RATE} calls a second are made, and the lanes may hold "
    f"{CAP_BYTES / 1e6:g} MB; for two minutes",
    patience_s=PATIENCE_S,
    settings={"GNOMON_TOTAL_BYTES": str(CAP_BYTES), "GNOMON_EXPIRE_AFTER_S": str(EXPIRE_S)},
)
def _overload(trial: Trial) -> Iterator[None]:
    rig, slow = trial.rig, trial.rig.folder / SLOW
    with Observer(rig) as seen:
        say(slow, str(PAUSE_S))
        _call(trial, RATE, seed=trial.seed + 1_000)
        _hold(trial, seen)
        for live in rig.alive:
            live.stop()
        slow.unlink()
        if not trial.size.hurried:
            _call(trial, CALM_RATE, seed=trial.seed + 2_000)
        recovered = eventually(lambda: seen.share == 0 and seen.lag_s < LAG_S, within_s=PATIENCE_S)
    for live in rig.alive:
        live.stop()
        live.flush()
    trial.insist(recovered, "users are still shed, or the oldest capture waits for long")
    _look(trial, seen, _shed(rig))
    _call(trial, CALM_RATE, seed=trial.seed + 3_000)
    trial.allow(shed=float("inf"), expired=float("inf"), excluded=float("inf"), reasons="causal")
    yield


def _call(trial: Trial, rate: float, *, seed: int) -> None:
    for live in trial.rig.alive:
        live.stop()
        live.start(seed=seed, rate=rate)


def _hold(trial: Trial, seen: "Observer") -> None:
    if trial.size.hurried:
        eventually(lambda: seen.share >= ENOUGH, within_s=PATIENCE_S)
    else:
        trial.hold(OVERLOADS * trial.size.hold_s)


def _shed(rig: Rig) -> int:
    """Return how many calls were ever shed, once all that was called has come to its end."""

    def settled() -> bool:
        rig.sweep()
        sums = rig.witness.sums()
        return sums.eligible >= Truth.of(rig.folder).made.total() and sums.outcomes["pending"] == 0

    eventually(settled, within_s=PATIENCE_S, every_s=0.5)
    return rig.witness.evidence().dropped["shed"]


def _bounds(rig: Rig) -> tuple[int, int]:
    """Return how many calls live processes must, and may, ever have shed, by the share that each acted upon then."""
    told = [live.ask() for live in rig.alive]
    return sum(one["shed_least"] for one in told), sum(one["shed_most"] for one in told)


def _look(trial: Trial, seen: "Observer", shed: int) -> None:
    least, most = _bounds(trial.rig)
    trial.insist(
        0 < least <= shed <= most, f"{shed} calls were shed; by whose they are, {least} to {most} should have been"
    )
    trial.insist(seen.most_bytes <= CAP_BYTES, f"{seen.most_bytes:,} bytes lay in the lanes, {CAP_BYTES:,} may")
    more = seen.most_used - seen.used_before
    trial.insist(more <= 2 * CAP_BYTES, f"Redis took {more:,} bytes more")
    missed = seen.missed_of_others(Truth.of(trial.rig.folder))
    trial.insist(not missed, f"{missed} writes were not replayed of users who were never shed")
    trial.note(
        f"at most {seen.most_share:.0%} of users shed, {seen.most_bytes / 1e6:.2f} MB in lanes, "
        f"{seen.most_lag_s:.0f} s lag"
    )


@dataclass(slots=True)
class Observer:
    """Watches the lanes and the share of users that is shed."""

    rig: Rig
    below: int = 0  #: users whose place is below are shed
    most_below: int = 0
    most_bytes: int = 0
    most_lag_s: float = 0.0
    lag_s: float = 0.0
    used_before: int = 0
    most_used: int = 0
    _over: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        with self.rig.server() as server:
            self.used_before = server.info("memory")["used_memory"]
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        assert self._thread is not None
        self._thread.join()

    def _watch(self) -> None:
        with self.rig.server() as server:
            while not self._over.wait(POLL_S):
                self._take(read_lanes(server, self.rig.keys))
                self.most_used = max(self.most_used, server.info("memory")["used_memory"])

    def _take(self, found: LaneFigures) -> None:
        self.below = round(found.shed_share * SHED_PLACES)
        self.most_below = max(self.most_below, self.below)
        self.lag_s = found.lag_s
        self.most_lag_s = max(self.most_lag_s, found.lag_s)
        self.most_bytes = max(self.most_bytes, found.size_bytes)

    @property
    def share(self) -> float:
        return self.below / SHED_PLACES

    @property
    def most_share(self) -> float:
        return self.most_below / SHED_PLACES

    def missed_of_others(self, truth: Truth) -> int:
        """Return how many writes were not replayed of users who are shed only at a higher share than there ever was."""
        return sum(
            len(_numbers(lines, Mark.WRITTEN) - _numbers(truth.enhanced.get(user, ()), Mark.WRITTEN, Mark.AGAIN))
            for user, lines in truth.legacy.items()
            if shed_place(user) >= self.most_below
        )


def _numbers(lines: Iterable[Line], *marks: Mark) -> set[int]:
    return {line.number for line in lines if line.mark in marks}
