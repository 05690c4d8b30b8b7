"""The soak: the same traffic twice, once untouched and once under fire, must come to the same tallies.

What makes that a fair demand: each user's calls are made one after another by one live process, planned in advance,
so no two of them overlap and none can be excluded as `concurrent`; nobody is written to both sides live, so none can be
`superseded`; and only faults are applied that may lose nothing, so none can be `causal` or `late`. What is left does
not depend on time: every call has one right outcome, and whoever counts it twice, loses it or replays it in the wrong
place shows in the tallies of its operation and cluster of users, or in what enhanced holds in the end.
"""

import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tests.chaos.checks import violations
from tests.chaos.naming import FAULTS
from tests.chaos.rig import Rig, Store
from tests.chaos.traffic import expected
from tests.chaos.trial import Runner, Size, Trial

#: what is applied while traffic runs: all that may cost nothing
LIVE: Final = (
    "pool child killed",
    "worker killed",
    "worker frozen past its lease",
    "Valkey killed",
    "Valkey stopped",
    "Valkey frozen",
    "Valkey full",
    "clients thrown out",
    "network late",
    "connections reset",
    "half-open connections",
    "entries twice",
    "entries shuffled",
    "hints doubled and dropped",
)
OF_STORE: Final = {
    Store.SQLITE: ("SQLite locked",),
    Store.POSTGRES: ("PostgreSQL stopped", "PostgreSQL row locked", "PostgreSQL table locked"),
}
POLL_S: Final = 0.2
SAME: Final = ("outcomes", "funnel", "clusters", "notes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Came:
    """What a run came to; everything but `seconds`, `replays` and `blows` must be the same of every run."""

    outcomes: dict[str, Counter[str]]
    funnel: dict[str, Counter[str]]
    clusters: Counter[tuple[str, int]]
    notes: dict[str, dict[int, str]]
    violations: Sequence[str]
    seconds: float
    replays: int
    blows: Sequence[str] = ()

    @property
    def captures(self) -> int:
        return sum(funnel["captured"] for funnel in self.funnel.values())


def run(rig: Rig, size: Size, *, seed: int, each: int, blow_every_s: float = 0) -> Came:
    """Have the planned calls made, under fire where `blow_every_s` is given, and see all of them judged."""
    runner, began = Runner(rig, size, patience_s=300), time.monotonic()
    for live in rig.alive:
        live.start(seed=seed, rate=size.rate, each=each)
    blows = _fire(rig, size, random.Random(seed), blow_every_s) if blow_every_s else _wait(rig)
    settled = runner.settle()
    account = runner.account()
    found = violations(account) + ([] if settled else ["not settled in time"])
    operations = account.evidence.sums.operations
    return Came(
        outcomes={name: +sums.outcomes for name, sums in operations.items()},
        funnel={name: +sums.funnel for name, sums in operations.items()},
        clusters=account.evidence.clusters,
        notes=account.truth.kept(),
        violations=found,
        seconds=time.monotonic() - began,
        replays=account.truth.replays,
        blows=blows,
    )


def _wait(rig: Rig) -> list[str]:
    while rig.calling:
        time.sleep(POLL_S)
    return []


def _fire(rig: Rig, size: Size, chance: random.Random, every_s: float) -> list[str]:
    """Break something, drawn by chance, every so many seconds for as long as calls are made; return what."""
    blows: list[str] = []
    names = [*LIVE, *OF_STORE[rig.spec.store]]
    while rig.calling:
        if len(blows) % len(names) == 0:
            chance.shuffle(names)  # each once, then each once more in another order
        due = time.monotonic() + every_s
        fault = FAULTS[names[len(blows) % len(names)]]
        blows.append(fault.name)
        print(f"{time.strftime('%H:%M:%S')} {fault.name}", flush=True)
        with fault.inflicted(Trial(rig, fault, size)):
            rig.supervise()
        while time.monotonic() < due and rig.calling:
            time.sleep(POLL_S)
    return blows


def differences(one: Came, other: Came, users: Sequence[str], seed: int, each: int) -> list[str]:
    """Return in what two runs of the same traffic differ from each other, and from what was planned."""
    planned = expected(users, seed, each)
    found = [f"planned was {planned}, {came.outcomes} came" for came in (one, other) if came.outcomes != planned]
    unlike = [name for name in SAME if getattr(one, name) != getattr(other, name)]
    return found + [f"{name} differ between the two runs" for name in unlike]


def report(seed: int, calm: Came, fire: Came) -> list[str]:
    """Return the soak in lines, for the end of the tests."""
    lines = [f"seed {seed}: {calm.captures:,} captures in {calm.seconds:.0f} s, untouched"]
    lines.append(f"the same under fire: {fire.captures:,} captures in {fire.seconds:.0f} s, {len(fire.blows)} faults")
    lines += [f"  {count} x {name}" for name, count in Counter(fire.blows).most_common()]
    for came in (calm, fire):
        sums = {name: dict(outcomes) for name, outcomes in came.outcomes.items()}
        lines.append(f"outcomes {sums}, {came.replays:,} replays")
    return lines
