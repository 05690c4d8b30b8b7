"""The report: what was captured, what became of it, what differs and why, and what the gate makes of it."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from console.pairs import pairs_as_json
from gnomon import Kind
from ledger import COUNTED, Failure, Group, Ledger, Loss, OperationSums, Outcome, PairSums
from rollout import Decision, Policy, decide
from rollout.gathering import gather


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """Where every eligible call and every captured one is; `done` is counted apart from the outcomes."""

    operations: dict[str, OperationSums]
    done: int

    @property
    def eligible(self) -> int:
        """Every live call with a user."""
        return sum(sums.eligible for sums in self.operations.values())

    @property
    def funnel(self) -> dict[str, int]:
        """Where the eligible calls ended, all six places."""
        totals = sum((sums.funnel for sums in self.operations.values()), Counter())
        return {str(place): totals[place] for place in Loss}

    @property
    def outcomes(self) -> dict[str, int]:
        """Where the captured calls ended, all twelve places."""
        totals = sum((sums.outcomes for sums in self.operations.values()), Counter())
        pending = self.funnel[Loss.CAPTURED] - self.done
        return {**{str(outcome): totals[outcome] for outcome in COUNTED}, str(Outcome.PENDING): pending}

    @property
    def failures(self) -> dict[str, int]:
        """How the failed calls failed, all five ways."""
        return _failures(sum((sums.failures for sums in self.operations.values()), Counter()))

    @property
    def imbalance(self) -> list[str]:
        """What does not add up: one sentence for each sum that is not exact."""
        found = []
        if (off := self.eligible - sum(self.funnel.values())) != 0:
            found.append(f"eligible calls and where they ended differ by {off}")
        if (off := self.funnel["captured"] - sum(self.outcomes.values())) != 0:
            found.append(f"captured calls and their outcomes differ by {off}")
        return found

    def sums_as_json(self) -> dict[str, Any]:
        """Return the sums under the names that every `--json` shares."""
        return {
            "eligible": self.eligible,
            "funnel": self.funnel,
            "outcomes": self.outcomes,
            "failures": self.failures,
            "operations": {name: _operation(sums) for name, sums in self.operations.items()},
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Report(Sums):
    """Everything that `report` and `run` say, before it is put into words or JSON."""

    groups: list[Group]
    reasons: list[tuple[str, str, str, int]]
    decision: Decision
    pairs: dict[str, PairSums] = field(default_factory=dict)  #: by operation that has any
    seconds: float | None = None

    @property
    def comparisons(self) -> int:
        """How many pairs of outcomes were judged."""
        return sum(self.outcomes[outcome] for outcome in ("match", "ignored", "diverged", "failed"))

    def as_json(self) -> dict[str, Any]:
        """Return the contract of `--json`."""
        seconds = self.seconds
        return {
            **self.sums_as_json(),
            "groups": [group_as_json(group) for group in self.groups],
            "gate": self.decision.as_json(),
            "pairs": pairs_as_json(self.pairs),
            "seconds": None if seconds is None else round(seconds, 3),
            "comparisons_per_s": None if not seconds else round(self.comparisons / seconds, 1),
        }


def _operation(sums: OperationSums) -> dict[str, Any]:
    counted = {str(outcome): sums.outcomes[outcome] for outcome in COUNTED}
    return {
        "eligible": sums.eligible,
        "outcomes": {**counted, str(Outcome.PENDING): sums.pending},
        "failures": _failures(sums.failures),
    }


def _failures(counts: Counter[str]) -> dict[str, int]:
    return {str(failure): counts[failure] for failure in Failure}


def group_as_json(group: Group) -> dict[str, Any]:
    """Return one group as commands print it."""
    names = ("id", "operation", "severity", "kind", "path", "count", "users", "explanation")
    return {name: getattr(group, name) for name in names}


def build(
    ledger: Ledger,
    kinds: Mapping[str, Kind],
    policy: Policy,
    *,
    seconds: float | None = None,
    oldest_pending: datetime | None = None,
) -> Report:
    """Read the report, with what a policy makes of it, from the ledger; raises LedgerError where it does not answer."""
    with ledger.reading() as reading:
        return Report(
            operations=reading.sums(),
            groups=reading.groups(),
            reasons=reading.reasons(),
            decision=decide(gather(reading, kinds, oldest_pending=oldest_pending, policy=policy), policy),
            done=reading.done(),
            pairs=reading.pairs(),
            seconds=seconds,
        )
