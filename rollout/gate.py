"""The gate: a pure function from the evidence of an epoch to a decision.

On the data's way it comes last: tallies were gathered as evidence, and what it decides is shown to people and acted
upon elsewhere. It fails closed: what is missing keeps it collecting, what contradicts itself makes it hold, and it
raises nothing. It never latches, so an epoch is judged anew at every look; the tests are made to be peeked at.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final

from gnomon import Kind
from rollout import claims, limits
from rollout.decision import Criterion, Decision, Standing, State, worst_standing
from rollout.evidence import Evidence, Exposure, OperationEvidence
from rollout.harm import harm, harm_lately
from rollout.policy import Policy
from rollout.soundness import examine

__all__ = ["Criterion", "Decision", "Standing", "State", "decide"]

_SHOWN_PROBLEMS: Final = 3  # one broken counter makes many; the first few say where to look


def decide(evidence: Evidence, policy: Policy) -> Decision:
    """Return what the evidence allows under the policy, with every criterion it follows from."""
    named = limits.policy(evidence, policy)
    policy = policy.at(evidence.attempt)
    examination = examine(evidence)
    sound = examination.sound
    criteria = (
        _soundness(examination.problems),
        named,
        *(test(row, evidence, policy.of(row.operation)) for row in sound for test in (harm, harm_lately)),
        *_epoch_criteria(evidence, policy),
        *(
            criterion
            for operation in dict.fromkeys(evidence.required)
            for criterion in _waived(
                operation, _operation_criteria(operation, _of(operation, sound), evidence, policy.of(operation)), policy
            )
        ),
    )
    return Decision(_state(criteria, evidence, policy), criteria)


def _state(criteria: Iterable[Criterion], evidence: Evidence, policy: Policy) -> State:
    match worst_standing(criteria):
        case Standing.HARM:
            return State.ROLLBACK
        case Standing.BROKEN:
            return State.HOLD
        case Standing.PASSED:
            return State.ELIGIBLE
        case _:
            return State.INCONCLUSIVE if evidence.age_s / 3600 >= policy.deadline_h else State.COLLECTING


def _soundness(found: tuple[str, ...]) -> Criterion:
    if not found:
        return Criterion(name="evidence", standing=Standing.PASSED, why="the counters agree with each other", n=0)
    more = f"; and {len(found) - _SHOWN_PROBLEMS} more" if len(found) > _SHOWN_PROBLEMS else ""
    why = f"the evidence cannot be used: {'; '.join(found[:_SHOWN_PROBLEMS])}{more}"
    return Criterion(name="evidence", standing=Standing.BROKEN, why=why, n=len(found))


def _epoch_criteria(evidence: Evidence, policy: Policy) -> Iterator[Criterion]:
    yield limits.paused(evidence)
    yield limits.rolled_back(evidence)
    yield limits.settled(evidence, policy)
    epoch = (limits.dwell, limits.hours_with_data, limits.users, limits.sample_ratio, limits.lag, limits.complaints)
    for criterion in epoch:
        yield criterion(evidence, policy)


def _operation_criteria(
    operation: str, rows: tuple[OperationEvidence, ...], evidence: Evidence, policy: Policy
) -> Iterator[Criterion]:
    on_trial = tuple(row for row in rows if _on_trial(row, evidence.share))
    yield limits.traffic(operation, on_trial)
    yield limits.served_calls(operation, rows, evidence, policy)
    for row in on_trial:
        yield from _row_criteria(row, evidence, policy)
    if rows:
        yield from _speed_criteria(rows, evidence, policy)


def _waived(operation: str, criteria: Iterable[Criterion], policy: Policy) -> Iterator[Criterion]:
    """Yield criteria, with a person's word where evidence is missing; a limit that is not kept stays so."""
    for criterion in criteria:
        waiver = policy.waiver(operation, criterion.name.partition(":")[0])
        if waiver is None or criterion.standing is not Standing.OPEN:
            yield criterion
        else:
            why = f"waived by {waiver.author} until {waiver.until}: {waiver.reason} ({criterion.why})"
            yield replace(criterion, standing=Standing.NOT_APPLICABLE, why=why)


def _row_criteria(row: OperationEvidence, evidence: Evidence, policy: Policy) -> Iterator[Criterion]:
    yield claims.success(row, evidence, policy)
    yield claims.error(row, evidence, policy)
    yield claims.divergence(row, evidence, policy)
    yield limits.coverage(row, policy)
    yield limits.excluded(row, policy)


def _speed_criteria(rows: tuple[OperationEvidence, ...], evidence: Evidence, policy: Policy) -> Iterator[Criterion]:
    if rows[0].kind is Kind.READ:
        yield claims.performance(rows, evidence, policy)
        yield limits.tail(rows, policy)
    else:
        yield limits.latency(rows, evidence, policy)


def _on_trial(row: OperationEvidence, share: float) -> bool:
    """Tell whether a row has to prove something at this share of users.

    With nobody served by share, single enabled users are too few to prove anything; with everybody served, so are the
    disabled ones left in the shadow. Legacy answers every write, so writes are on trial whatever the exposure.
    """
    if row.kind is Kind.WRITE:
        return True
    return share > 0 if row.exposure is Exposure.SERVED else share < 1


def _of(operation: str, rows: Iterable[OperationEvidence]) -> tuple[OperationEvidence, ...]:
    return tuple(row for row in rows if row.operation == operation)
