"""One fault from beginning to end: traffic, the fault, its end, the time to recover, and what must hold then."""

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Final

from tests.chaos.checks import NOTHING, Account, Allowed, counted_twice, violations
from tests.chaos.evidence import Evidence
from tests.chaos.processes import LiveProcess
from tests.chaos.rig import QUIET_S, Rig, Spec, eventually
from tests.chaos.table import Row
from tests.chaos.traffic import ADD, LOOK
from tests.chaos.truth import Truth

SETTLE_S: Final = 60.0
SWEEP_S: Final = 0.3
KEEP_UP_S: Final = 15.0
STARVED_S: Final = 2.0  # of the 10 s that a heartbeat lives
UNASKED_S: Final = 30.0  # beat asks every 2 s; a busy machine takes its time


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much of everything: users and calls a second of each live process, seconds that a fault is held, repetitions.

    `hurried` runs wait for no lease and no heartbeat of the dead.
    """

    users: int
    rate: float
    warm: int
    hold_s: float
    times: int
    hurried: bool


SHORT: Final = Size(users=20, rate=100, warm=60, hold_s=1.5, times=1, hurried=True)
LONG: Final = Size(users=150, rate=300, warm=2_000, hold_s=10, times=6, hurried=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A way to break things. `inflicted` holds for the time of its block; what it costs it tells the trial."""

    name: str
    done: str
    inflicted: Callable[["Trial"], AbstractContextManager[None]]
    spec: Spec
    patience_s: float = SETTLE_S  #: how long recovering may take


@dataclass(slots=True)
class Trial:
    """A fault on a rig."""

    rig: Rig
    fault: Fault
    size: Size
    seed: int = 1
    allowed: Allowed = NOTHING
    at_risk: list[str] = field(default_factory=list)  #: users whose live process was killed
    notes: list[str] = field(default_factory=list)  #: what was seen beside the figures
    unmet: list[str] = field(default_factory=list)  #: promises of this fault alone that did not hold

    def allow(
        self, *, reasons: str = "", more_failed: int = 0, exactly: dict[str, int] | None = None, **most: float
    ) -> None:
        """Let the fault cost something."""
        more = Allowed(most=most, exactly=exactly or {}, reasons=frozenset(reasons.split()), more_failed=more_failed)
        self.allowed |= more

    def insist(self, holds: bool, otherwise: str) -> None:
        """Demand something that only this fault can tell."""
        if not holds:
            self.unmet.append(otherwise)

    def note(self, text: str) -> None:
        """Say what was seen."""
        self.notes.append(text)

    def hold(self, seconds: float | None = None) -> None:
        """Let traffic run into the fault for a while: that is the fault."""
        time.sleep(self.size.hold_s if seconds is None else seconds)

    def brings(self, condition: Callable[[], Any], *, within_s: float) -> None:
        """Wait for what traffic brings about, no longer than there is any: the planned calls of a soak come to an end.

        Raises AssertionError where it goes on and does not.
        """
        assert eventually(lambda: condition() or not self.rig.calling, within_s=within_s)


@dataclass(slots=True)
class Runner:
    """Runs faults on one rig, one after another; what was counted before one is not told as its own."""

    rig: Rig
    size: Size
    allowed: Allowed = NOTHING
    at_risk: int = 0
    seed: int = 0
    patience_s: float = SETTLE_S
    broken: list[str] = field(default_factory=list)

    def run(self, fault: Fault) -> Row:
        """Break it, wait until it has recovered, and say what came of it."""
        self.seed += 1
        self.patience_s = max(self.patience_s, fault.patience_s)
        trial = Trial(self.rig, fault, self.size, self.seed)
        before, books = self.rig.witness.evidence(), Truth.of(self.rig.folder)
        self._start()
        warm = self._while_more_ends(lambda: self._ended() >= before.ended + self.size.warm)
        with contextlib.ExitStack() as stack:
            stack.enter_context(fault.inflicted(trial))
        lifted, lifted_us = time.monotonic(), self.rig.now_us()
        self.at_risk += Truth.of(self.rig.folder).in_last_second(trial.at_risk) if trial.at_risk else 0
        least = self._least()
        recovered = self._while_more_ends(
            slowing(self.rig, lambda: self.rig.drained_us() >= lifted_us and self._ended() >= least)
        )
        recovered_s = time.monotonic() - lifted if recovered else float("nan")
        self._stop()
        settled = self.settle()
        swept = self._swept_unasked()
        judged = self._give_everybody_another_call()
        self._excuse_the_starved(trial)
        self.allowed |= trial.allowed
        account = self.account()
        found = violations(account)
        found += [] if warm else ["nothing was judged before the fault"]
        found += [] if recovered else ["not recovered in time"]
        found += [f"a worker ended by itself, {ended} times"] if (ended := self.rig.ended) else []
        found += [] if settled else ["not settled in time"]
        found += [] if swept else [f"nobody swept unasked within {UNASKED_S:g} s"]
        found += judged + trial.unmet
        fresh = [said for said in found if said not in self.broken]
        self.broken += fresh
        return self._row(trial, account, before, books, recovered_s, fresh)

    def _excuse_the_starved(self, trial: Trial) -> None:
        """Allow for what a live process costs that this machine gave no processor, until it was taken for dead."""
        stalled_s = max(live.ask()["stalled_s"] for live in self.rig.alive)
        if stalled_s > STARVED_S and self.rig.witness.deaths():
            trial.note(f"a live process stood still for {stalled_s:.1f} s")
            trial.allow(excluded=float("inf"), reasons="causal late")

    # --- traffic

    def _start(self) -> None:
        for live in self.rig.alive:
            live.start(seed=self.seed, rate=self.size.rate)

    def _stop(self) -> None:
        for live in self.rig.alive:
            live.stop()

    def _flush(self) -> bool:
        return [live.flush() for live in self.rig.alive] == [True] * len(self.rig.alive)

    # --- waiting

    def _eventually(self, condition: Callable[[], bool], every_s: float = SWEEP_S) -> bool:
        def tended() -> bool:
            self.rig.supervise()
            if self.size.hurried:
                self.rig.hurry()
            return condition()

        return bool(eventually(tended, within_s=self.patience_s, every_s=every_s))

    def _while_more_ends(self, condition: Callable[[], bool]) -> bool:
        """Wait for as long as more calls come to their end: a busy machine may take its time, if it gets on."""
        ended = -1
        while not self._eventually(condition):
            before, ended = ended, eventually(self._ended, within_s=SETTLE_S) or 0
            if ended <= before:
                return False
        return True

    def _ended(self) -> int:
        """Return how many calls have come to their end, as far as the ledger knows."""
        self.rig.sweep()
        found = self.rig.witness.sums()
        return found.eligible - found.outcomes["pending"]

    def _least(self) -> int:
        """Return how many calls must be known of: all that were made, but for what killed processes took with them."""
        return Truth.of(self.rig.folder).made.total() - self.at_risk

    def settle(self) -> bool:
        """Wait until nothing is pending and all that was counted is in the ledger; False where that takes too long."""
        if not self._flush():
            return False
        least = self._least()

        def settled() -> bool:
            self.rig.sweep()
            sums = self.rig.witness.sums()
            return sums.eligible >= least and not sums.imbalance and sums.outcomes["pending"] == 0

        if not self._while_more_ends(settled):
            return False
        if self.at_risk:  # how many of those arrived nobody knows
            time.sleep(QUIET_S)
            return bool(self._eventually(settled))
        return True

    def _swept_unasked(self) -> bool:
        """Tell whether sweeps go on that this test does not ask for; looked at where it costs nobody's patience."""
        if self.size.hurried and not self.rig.spec.clocks:
            return True
        time.sleep(SWEEP_S)  # those asked for are through
        before = self.rig.sweeps()
        return bool(eventually(lambda: self.rig.sweeps() > before, within_s=UNASKED_S))

    # --- afterwards

    def _give_everybody_another_call(self) -> list[str]:
        """Close every gap by one call of each user; then another write and read of each must simply match."""
        self._everybody(LOOK)
        if not self.settle():
            return ["one more call of each user did not come to an end"]
        before, reasons = self.rig.witness.sums().outcomes, self.rig.witness.evidence().reasons
        self._everybody(ADD)
        self._flush()  # a live process whose buffer is small
        self._everybody(LOOK)
        settled = self.settle()
        outcomes = self.rig.witness.sums().outcomes
        fresh = {name: count - before[name] for name, count in outcomes.items() if count != before[name]}
        wanted = {"match": 2 * (sum(len(live.users) for live in self.rig.lives) + len(self.rig.roamers))}
        why = self.rig.witness.evidence().reasons
        more = {f"{outcome}: {reason}": count for (outcome, reason), count in (why - reasons).items() if reason}
        return [] if settled and fresh == wanted else [f"afterwards {wanted} was expected, and {fresh} came, {more}"]

    def _everybody(self, operation: str) -> None:
        heir = self.rig.alive[-1]
        for live in self.rig.lives:
            (heir if live.killed else live).each(operation, live.users)
        if self.rig.roamers:
            heir.each(operation, self.rig.roamers)

    # --- what came of it

    def account(self) -> Account:
        """Put together what really happened and what the ledger says of it."""
        lives = self.rig.alive
        return Account(
            truth=Truth.of(self.rig.folder),
            evidence=self.rig.witness.evidence(),
            allowed=self.allowed,
            at_risk=self.at_risk,
            live_errors=[name for live in lives for name in live.ask()["errors"]],
            engine_errors=self.rig.errors(),
        )

    def _row(
        self, trial: Trial, account: Account, before: Evidence, books: Truth, recovered_s: float, found: list[str]
    ) -> Row:
        truth, evidence = account.truth, account.evidence
        places = evidence.dropped + evidence.outcomes - before.dropped - before.outcomes
        return Row(
            fault=trial.fault.name,
            done=trial.fault.done,
            captures=evidence.captured - before.captured,
            replays=truth.replays - books.replays,
            outcomes=Counter({name: count for name, count in places.items() if count}),
            exact=evidence.exact,
            in_order=not truth.out_of_order(),
            twice=counted_twice(truth, evidence),
            false=len(evidence.false) - len(before.false),
            recovered_s=recovered_s,
            slowest_ms=max(live.ask()["slowest_ms"] for live in self.rig.alive),
            notes=trial.notes,
            violations=found,
        )


def slowing(rig: Rig, condition: Callable[[], bool]) -> Callable[[], bool]:
    """Halve the traffic now and then while a condition does not hold: on a busy machine nobody could keep up."""
    next_at = time.monotonic() + KEEP_UP_S

    def held() -> bool:
        nonlocal next_at
        if time.monotonic() >= next_at:
            next_at = time.monotonic() + KEEP_UP_S
            for live in rig.alive:
                live.slow_down()
        return condition()

    return held


def killed(trial: Trial, live: LiveProcess) -> None:
    """Kill a live process; what it made last may be gone."""
    live.kill()
    trial.at_risk += live.users
    if trial.size.hurried:
        trial.rig.bury(live)


@contextlib.contextmanager
def lasting(trial: Trial, each_s: float) -> Iterator[Callable[[], bool]]:
    """Give a clock that says whether it is still time, and waits a little whenever it is asked."""
    until = time.monotonic() + trial.size.hold_s

    def still() -> bool:
        time.sleep(each_s)
        return time.monotonic() < until

    yield still
