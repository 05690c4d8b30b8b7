"""What must hold whatever was broken: pure, from what really happened and what the ledger says of it.

eligible = not_sampled + unserialisable + oversize + shed + publish_failed + captured
captured = match + ignored + diverged + failed + inconclusive + excluded + parked + expired + discarded + erased
           + lost + pending
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from tests.chaos.evidence import PLANTED_ERROR, Evidence
from tests.chaos.traffic import Wish
from tests.chaos.truth import Truth

#: where a call may never end in these tests, whatever is broken
NEVER: Final = ("not_sampled", "oversize", "ignored", "discarded", "erased")
#: where one may end only if what was broken explains it
CAUSED: Final = ("unserialisable", "shed", "publish_failed", "inconclusive", "excluded", "parked", "expired", "lost")
UNREADABLE: Final = "unknown"  # the operation of captures that do not say theirs
MOST_NAMED: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """What a fault may cost: how many calls may end in each place at most, and why they may be excluded.

    `exactly` is what must end there. `more_failed` are failures that the fault really makes, beside the planted ones.
    """

    most: Mapping[str, float] = field(default_factory=dict)
    exactly: Mapping[str, int] = field(default_factory=dict)
    reasons: frozenset[str] = frozenset()
    more_failed: int = 0

    @property
    def nothing(self) -> bool:
        """Whether it may cost nothing at all."""
        return not self.most and not self.exactly

    def limits(self, name: str) -> tuple[float, float]:
        """Return how many calls must, and may, end in a place."""
        exactly = self.exactly.get(name, 0)
        return exactly, exactly + self.most.get(name, 0)

    def __or__(self, other: "Allowed") -> "Allowed":
        return Allowed(
            most=_added(self.most, other.most),
            exactly=_added(self.exactly, other.exactly),
            reasons=self.reasons | other.reasons,
            more_failed=self.more_failed + other.more_failed,
        )


def _added(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    return {name: one.get(name, 0) + other.get(name, 0) for name in {*one, *other}}


NOTHING: Final = Allowed()


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """All that is known at the end of a fault."""

    truth: Truth
    evidence: Evidence
    allowed: Allowed
    at_risk: int = 0  #: calls that killed live processes may have taken with them
    live_errors: Sequence[str] = ()
    engine_errors: Sequence[str] = ()
    restored: bool = True  #: after it all users were given one more call, so that every gap is closed


def violations(account: Account) -> list[str]:
    """Return what does not hold, a sentence each."""
    return [
        *_sums(account),
        *_places(account),
        *_verdicts(account),
        *_books(account),
        *(f"a live call raised {name}" for name in account.live_errors),
        *(f"the engine had an error of its own: {name}" for name in account.engine_errors),
    ]


def _sums(account: Account) -> Iterator[str]:
    truth, evidence = account.truth, account.evidence
    yield from evidence.sums.imbalance
    if pending := evidence.outcomes["pending"]:
        yield f"{pending} captures are pending"
    made, eligible = truth.made.total(), evidence.sums.eligible
    if not made - account.at_risk <= eligible <= made:
        at_risk = f", of which {account.at_risk} at risk" if account.at_risk else ""
        yield f"{made} calls were made{at_risk}, {eligible} are eligible"
    if twice := counted_twice(truth, evidence):
        yield f"{twice} captures were counted twice"


def counted_twice(truth: Truth, evidence: Evidence) -> int:
    """Return by how much the outcomes of an operation and cluster of users exceed the calls that were made there."""
    known = Counter({key: count for key, count in evidence.clusters.items() if key[0] != UNREADABLE})
    return (known - truth.clusters).total()


def _places(account: Account) -> Iterator[str]:
    found = account.evidence.dropped + account.evidence.outcomes
    for name in (*NEVER, *CAUSED):
        least, most = account.allowed.limits(name)
        if not least <= found[name] <= most:
            yield f"{found[name]} calls ended as {name}, " + (
                f"at least {least:g}" if found[name] < least else f"at most {most:g}"
            )
    for (outcome, reason), count in account.evidence.reasons.items():
        if outcome == "excluded" and reason not in account.allowed.reasons:
            yield f"{count} calls were excluded as {reason}"


def _verdicts(account: Account) -> Iterator[str]:
    evidence, truth = account.evidence, account.truth
    for outcome in ("diverged", "failed"):
        if evidence.verdicts[outcome] != evidence.outcomes[outcome]:
            yield f"{evidence.outcomes[outcome]} calls {outcome}, {evidence.verdicts[outcome]} rows say so"
    if evidence.false:
        yield f"{len(evidence.false)} divergences are false: {'; '.join(evidence.false[:MOST_NAMED])}"
    refused = evidence.reasons["failed", PLANTED_ERROR]
    if (more := evidence.outcomes["failed"] - refused) != account.allowed.more_failed:
        yield f"{more} calls failed that nobody had planted, allowed are {account.allowed.more_failed}"
    missed = {
        "diverged": truth.planted(Wish.WRONG) - evidence.outcomes["diverged"] + len(evidence.false),
        "failed": truth.planted(Wish.REFUSE) - refused,
    }
    unjudged = account.at_risk + sum(evidence.dropped.values()) + _unjudged(evidence.outcomes)
    for outcome, count in missed.items():
        if not 0 <= count <= unjudged:
            yield f"{count} planted calls did not end as {outcome}, {unjudged} were not judged at all"


def _unjudged(outcomes: Counter[str]) -> int:
    return sum(outcomes[name] for name in ("excluded", "parked", "expired", "lost", "inconclusive", "pending"))


def _books(account: Account) -> Iterator[str]:
    truth = account.truth
    if users := truth.twice():
        yield f"enhanced holds something twice of {_some(users)}"
    if users := truth.out_of_order():
        yield f"writes were replayed out of order of {_some(users)}"
    if account.restored and (users := truth.unlike()):
        yield f"enhanced holds something else than legacy of {_some(users)}"
    if truth.mended and account.allowed.nothing:
        yield f"{truth.mended} notes came by a repair although nothing may be missing"


def _some(users: Sequence[str]) -> str:
    more = f" and {len(users) - MOST_NAMED} more" if len(users) > MOST_NAMED else ""
    return ", ".join(sorted(users)[:MOST_NAMED]) + more
