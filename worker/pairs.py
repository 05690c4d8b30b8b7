"""Takes pairs: on a sample of reads both systems are asked anew, in random order, in one process.

Both are asked in a first round, which opens and warms whatever a first run does on either side, and then once more:
enhanced's second run is held against legacy's, a fair coin having said which came first. So of two equal systems each
is the faster one half of the time, and that is what the gate's sign test rests on. Legacy's two runs say what it
differs from itself in. Of generate calls no times are compared: there enhanced is asked once.

On the data's way this comes after a user's captures of a batch are all replayed, so that enhanced holds every write
that legacy does, as far as it is known here; whether another one came in between is found out before anything is
committed (`settled`). Runs of a pair are compared only with each other, and change nothing of what was found for the
capture.
"""

import random
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, Protocol

import msgspec
import structlog

from comparators import Call, Observation, Verdict, judge
from gnomon.hashing import SAMPLES, stable_hash
from gnomon.serving import System
from gnomon.wire import Capture, Kind
from ledger import Comparison, Field, Finding, Outcome, PairedRuns, Standing, Unpaired
from worker.resting import Resting
from worker.selection import Due

log = structlog.get_logger()

SALT: Final = "gnomon.pairs"  # of its own, so that it is no matter of who is captured or served
_TAKEN: Final = (Outcome.MATCH, Outcome.IGNORED, Outcome.DIVERGED, Outcome.FAILED, Outcome.INCONCLUSIVE)
_ROUND: Final = (System.LEGACY, System.ENHANCED)
_ONCE: Final = (*_ROUND, System.LEGACY)  # legacy twice, enhanced once


def paired(user: str, share: float) -> bool:
    """Tell whether reads of `user` are within the `share` (0 to 1) that is timed; raising it only adds users."""
    return share >= 1 or (share > 0 and stable_hash(SALT, user, SAMPLES) < share * SAMPLES)


class Runner(Protocol):
    """Asks one side a captured question again."""

    def run(self, system: System, capture: Capture) -> Observation:
        """Return what it did."""


class Allowance:
    """So many a second, and as many at once as one second allows; used by many threads."""

    def __init__(self, per_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_s = per_s
        self._most = max(1.0, per_s)
        self._clock = clock
        self._left = self._most
        self._at = clock()
        self._lock = threading.Lock()

    def take(self) -> bool:
        """Take one; False where there is none left for now."""
        with self._lock:
            now = self._clock()
            self._left = min(self._most, self._left + (now - self._at) * self._per_s)
            self._at = now
            if self._left < 1:
                return False
            self._left -= 1
            return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """Which reads are taken, and how; one for a process, used by many threads. By itself it takes none."""

    share: float = 0.0  #: of users
    allowance: Allowance = field(default_factory=lambda: Allowance(1.0))
    generate: bool = False
    now_us: Callable[[], int] = int  #: Redis's time
    resting: Resting = field(default_factory=Resting)
    chance: random.Random = field(default_factory=random.Random)

    def wants(self, due: Due, finding: Finding) -> bool:
        """Tell whether a pair belongs to a capture: one in the sample that it was fair to compare.

        What legacy once did with a recorded call is all that is known of it: it is not asked again.
        """
        capture = due.item.capture
        assert capture is not None
        timed = capture.kind is Kind.READ or (capture.kind is Kind.GENERATE and self.generate)
        fair = finding.outcome in _TAKEN and not due.late and not due.unfair
        return timed and fair and not capture.recorded and paired(capture.user, self.share)

    def order(self, kind: Kind) -> list[System]:
        """Return in which order the two systems are asked."""
        if kind is Kind.GENERATE:
            return self.chance.sample(_ONCE, len(_ONCE))
        return [*self.chance.sample(_ROUND, 2), *self.chance.sample(_ROUND, 2)]

    def reason_against(self, capture: Capture) -> Unpaired | None:
        """Return why legacy can't be asked now what a capture asked; None where it can."""
        legacy = capture.legacy
        if legacy is not msgspec.UNSET and legacy.raised is not msgspec.UNSET:
            return Unpaired.LEGACY_FAILED
        allowed = not self.resting.is_resting(capture.op) and self.allowance.take()
        return None if allowed else Unpaired.CAPPED


NO_PAIRS: Final = Pairs()


@dataclass(frozen=True, slots=True)
class Around:
    """What is known of a lane around a batch.

    `followed`: users of whom a write waits that is not of this batch: legacy has it, and enhanced has not. `behind`:
    the lane was not read to its end, so nobody knows of whom one does.
    """

    followed: Collection[str] = ()
    behind: bool = False

    def reason_against(self, user: str, standing: Standing | None) -> Unpaired | None:
        """Return why both sides can't be known to hold the same of a user once the batch is replayed; None: they do."""
        if self.behind:
            return Unpaired.BEHIND
        gap = standing is not None and standing.is_open
        return Unpaired.SUPERSEDED if gap or user in self.followed else None


NOTHING_AROUND: Final = Around()


class Course:
    """One user's pairs of a batch: made in a thread of the pool, and given up by the drain where one hangs."""

    def __init__(
        self,
        pairs: Pairs,
        runner: Runner,
        dues: Sequence[Due],
        findings: Sequence[Finding],
        *,
        against: Unpaired | None,
    ) -> None:
        self._pairs = pairs
        self._runner = runner
        self._against = against
        first = dues[0].item.capture
        wanted = zip(dues, findings, strict=True) if first and paired(first.user, pairs.share) else ()
        self._wanted = [
            (due.item.capture, found) for due, found in wanted if due.item.capture and pairs.wants(due, found)
        ]
        self._made: list[PairedRuns] = []
        self._lock = threading.Lock()
        self._at: System | None = None
        self._given_up = False

    def run(self, begin: Callable[[], None], going: Callable[[], bool]) -> None:
        """Take them one after another; `begin` is called before each run, so that it may take as long as a replay."""
        for capture, finding in self._wanted:
            if not going():
                break
            reason = self._against or self._pairs.reason_against(capture)
            pair = self._unpaired(capture, finding, reason) if reason else self._taken(capture, finding, begin)
            if pair is None or not self._keep(pair):
                break

    @property
    def made(self) -> list[PairedRuns]:
        """What came of those taken so far, and of those that were none."""
        with self._lock:
            return list(self._made)

    def give_up(self) -> None:
        """Leave the run under way to itself: it took longer than a replay may."""
        with self._lock:
            self._given_up = True
            hung, left = self._at, self._wanted[len(self._made) :]
            for capture, finding in left:
                # legacy returned live: an enhanced system that hangs is no faster
                loss = hung is System.ENHANCED and capture is left[0][0]
                lost = self._pair(capture, finding, failed=True) if loss else None
                self._made.append(lost or self._unpaired(capture, finding, Unpaired.GIVEN_UP))
        if left and hung is System.LEGACY:
            self._pairs.resting.rest(left[0][0].op)

    def _keep(self, pair: PairedRuns) -> bool:
        with self._lock:
            if not self._given_up:
                self._made.append(pair)
            return not self._given_up

    def _taken(self, capture: Capture, finding: Finding, begin: Callable[[], None]) -> PairedRuns | None:
        runs: dict[System, list[Observation]] = {System.LEGACY: [], System.ENHANCED: []}
        wait_us = self._pairs.now_us() - capture.end
        try:
            for system in self._pairs.order(capture.kind):
                begin()
                self._at = system
                runs[system].append(self._runner.run(system, capture))
                if self._given_up:
                    return None
                if system is System.LEGACY and runs[system][-1].exception is not None:
                    self._pairs.resting.failed(capture.op)
                    return self._unpaired(capture, finding, Unpaired.LEGACY_FAILED)
            self._pairs.resting.answered(capture.op)
            first, legacy = runs[System.LEGACY]
            return self._judged(capture, finding, first, legacy, runs[System.ENHANCED][-1], wait_us=wait_us)
        except Exception as error:  # of ours, and its message may hold a payload: it costs a sample, nothing else
            log.warning("pair.failed", error=type(error).__name__)
            return self._unpaired(capture, finding, Unpaired.GIVEN_UP)
        finally:
            self._at = None

    def _judged(
        self,
        capture: Capture,
        finding: Finding,
        first: Observation,
        legacy: Observation,
        enhanced: Observation,
        *,
        wait_us: int,
    ) -> PairedRuns:
        failed = enhanced.exception is not None
        return self._pair(
            capture,
            finding,
            failed=failed,
            timed=capture.kind is Kind.READ,
            wait_us=max(0, wait_us),
            first_ns=_ns(first),
            legacy_ns=_ns(legacy),
            enhanced_ns=0 if failed else _ns(enhanced),
            repeated=_compared(capture, first, legacy),
            compared=None if failed else _compared(capture, legacy, enhanced),
        )

    def _unpaired(self, capture: Capture, finding: Finding, reason: Unpaired) -> PairedRuns:
        return self._pair(capture, finding, unpaired=reason)

    def _pair(self, capture: Capture, finding: Finding, **more: object) -> PairedRuns:
        return PairedRuns(
            capture_id=capture.id,
            operation=capture.op,
            epoch=capture.epoch,
            exposure=finding.exposure,
            user=capture.user,
            ended_us=0 if "unpaired" in more else self._pairs.now_us(),
            **more,  # type: ignore[arg-type]
        )


def _ns(run: Observation) -> int:
    return round((run.duration_ms or 0) * 1_000_000)


def _compared(capture: Capture, one: Observation, other: Observation) -> Comparison | None:
    at = datetime.fromtimestamp(capture.start / 1_000_000, UTC)
    call = Call(user=capture.user, args=msgspec.json.decode(capture.args), at=at)
    judgement = judge(capture.op, one, other, call=call)
    if judgement.verdict is Verdict.INCONCLUSIVE:
        return None
    if judgement.verdict is not Verdict.DIVERGED:
        return Comparison(diverged=False)
    fields = sorted(
        (Field.of(capture.op, found) for found in judgement.differences), key=lambda field: field.severity.rank
    )
    return Comparison(diverged=True, fields=tuple({field.group: field for field in fields}.values()))


def settled(
    pairs: Iterable[PairedRuns],
    writes: Mapping[str, Sequence[Capture]],
    done: Collection[str],
    lost_us: Callable[[str], float],
    error_us: int,
) -> list[PairedRuns]:
    """Return pairs with those apart whose runs may not all have seen the same.

    `writes` are all that began before the runs ended, by user, `done` the ids of those replayed before the runs began:
    one that is not done may be in legacy and not in enhanced, or have come between two runs. `lost_us` tells since
    when a user may have writes that nobody knows. Decided without a look at what the runs did.
    """
    return [_settled(pair, writes.get(pair.user, ()), done, lost_us(pair.user), error_us) for pair in pairs]


def _settled(
    pair: PairedRuns, writes: Sequence[Capture], done: Collection[str], lost_us: float, error_us: int
) -> PairedRuns:
    before_us = pair.ended_us + error_us
    between = any(write.id not in done and write.start < before_us for write in writes)
    return _apart(pair) if between or lost_us < before_us else pair


def doubted(pairs: Iterable[PairedRuns]) -> list[PairedRuns]:
    """Return pairs of which nobody will know in time whether their runs saw the same: they count as if they had not."""
    return [_apart(pair) for pair in pairs]


def _apart(pair: PairedRuns) -> PairedRuns:
    if pair.unpaired is not None:
        return pair
    bare = {name: getattr(pair, name) for name in ("capture_id", "operation", "epoch", "exposure", "user")}
    return PairedRuns(**bare, unpaired=Unpaired.SUPERSEDED)
