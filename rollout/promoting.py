"""What people do to a rollout: approve what they have seen, promote, roll back, and begin again.

An approval is bound to the evidence that was seen and to what had been decided of the groups by then; it holds for an
hour, in its epoch, under its policy and rules, and as long as the gate stays eligible. So nobody promotes on a review
of something else.

RefusedError             nothing was changed, and why
├── NotEligibleError     the gate does not say so
├── UndecidedError       groups of divergences wait for a person
├── NotApprovedError     there is no approval that holds
└── LastStageError       there is no stage after this one
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gnomon import GnomonError
from gnomon.flags import StoredFlags
from ledger import Group, Opened
from rollout.decision import State
from rollout.flags import Raised, raise_share, roll_back, share_of, switch_on
from rollout.looking import Deployment, Look, look

APPROVED_S: Final = 3_600.0  #: for so long an approval holds
_SHOWN: Final = 3  # groups in one message; `gnomon groups` has them all


class RefusedError(GnomonError):
    """What was asked of the rollout is refused; nothing was changed."""


class NotEligibleError(RefusedError):
    """The gate does not say `eligible`."""

    def __init__(self, seen: Look) -> None:
        super().__init__(f"the gate does not allow it: {seen.decision.summary}")
        self.decision = seen.decision


class UndecidedError(RefusedError):
    """Groups of divergences wait for a person."""

    def __init__(self, groups: Sequence[tuple[Group, str]]) -> None:
        named = "; ".join(f"{group.id} is {why}" for group, why in groups[:_SHOWN])
        more = f"; and {len(groups) - _SHOWN} more" if len(groups) > _SHOWN else ""
        super().__init__(f"{len(groups)} group{'s' * (len(groups) > 1)} stand in the way: {named}{more}")
        self.groups = tuple(group.id for group, _ in groups)


class NotApprovedError(RefusedError):
    """There is no approval that holds."""


class LastStageError(RefusedError):
    """There is no stage after this one."""

    def __init__(self, share: int) -> None:
        super().__init__(f"{share} % is the last stage of the policy: there is nothing to promote to")
        self.share = share


@dataclass(frozen=True, slots=True, kw_only=True)
class Approved:
    """What was approved, by whom, and for how long that holds."""

    epoch: int
    to: int  #: the next stage, percent
    evidence: str
    by: str
    valid_s: float = APPROVED_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Promoted:
    """A stage that is in force: its epoch, its share, and flags of the operations that are off all the same."""

    epoch: int
    share: int
    was: int
    stored: StoredFlags
    off: tuple[str, ...]
    completed: bool = False  #: an earlier promotion had not reached the flags


def approve(deployment: Deployment, *, by: str, why: str) -> Approved:
    """Approve what a look shows now; raises RefusedError, LedgerError, redis.RedisError, FlagError."""
    seen = look(deployment)
    to = _next(seen)
    _check(seen)
    digest = seen.evidence.digest()
    deployment.ledger.rollout.approve(
        epoch=seen.opened.epoch, evidence=digest, review=seen.review, by=by, why=why, body=seen.body()
    )
    return Approved(epoch=seen.opened.epoch, to=to, evidence=digest, by=by)


def promote(deployment: Deployment, *, by: str, why: str) -> Promoted:
    """Raise the share to the next stage: in the ledger, then in the flags.

    Of two who promote at the same moment one is told that the epoch has moved on. Where the flags could not be reached
    after the ledger was, the stage is not in force, the gate holds, and promoting again completes it. Raises
    RefusedError, LedgerError, redis.RedisError, FlagError.
    """
    seen = look(deployment)
    if seen.stored is None or deployment.server is None:
        raise RefusedError("there are no flags to raise the share in: this run has ended")
    if _is_unfinished(seen.opened, seen.stored):
        return _in_force(deployment, seen.opened.epoch, seen.opened.share, seen.stored, was=0, completed=True)
    to = _next(seen)
    _check(seen)
    _check_approval(deployment, seen)
    epoch = deployment.ledger.rollout.promote(
        epoch=seen.opened.epoch,
        share=to,
        policy=seen.policy.digest(),
        flags=seen.stored.version,
        by=by,
        why=why,
        body=seen.body(),
    )
    return _in_force(deployment, epoch, to, seen.stored, was=seen.opened.share)


def _in_force(
    deployment: Deployment, epoch: int, share: int, stored: StoredFlags, *, was: int, completed: bool = False
) -> Promoted:
    assert deployment.server is not None
    flags, version = deployment.flags, stored.version
    raised: Raised = raise_share(deployment.server, deployment.keys, share, epoch=epoch, version=version, flags=flags)
    return Promoted(epoch=epoch, share=share, was=was, stored=raised.stored, off=raised.off, completed=completed)


def _is_unfinished(opened: Opened, stored: StoredFlags) -> bool:
    """Tell whether a stage was opened whose share never reached the flags, and nobody has changed them since."""
    return opened.flags == stored.version and share_of(stored) < opened.share


def _next(seen: Look) -> int:
    stages = [stage for stage in seen.policy.stages if stage > seen.opened.share]
    if not stages:
        raise LastStageError(seen.opened.share)
    return int(stages[0])


def _check(seen: Look) -> None:
    if seen.decision.state is not State.ELIGIBLE:
        raise NotEligibleError(seen)
    if seen.undecided:
        raise UndecidedError(seen.undecided)


def _check_approval(deployment: Deployment, seen: Look) -> None:
    with deployment.ledger.reading() as reading:
        found = reading.rollout.approval(seen.opened.epoch)
    if found is None:
        raise NotApprovedError("nobody has approved this epoch's evidence: gnomon approve")
    if not 0 <= found.age_s <= APPROVED_S:
        raise NotApprovedError(
            f"the approval by {found.by} is {found.age_s / 60:.0f} minutes old, and holds for {APPROVED_S / 60:.0f}"
        )
    if found.review != seen.review:
        raise NotApprovedError(
            f"groups, rules or policy have changed since {found.by} has approved: look again, then gnomon approve"
        )


def take_back(deployment: Deployment, *, by: str, why: str) -> StoredFlags:
    """Roll everybody back, and record it: the flags first, then the ledger. Raises as `roll_back`, and LedgerError."""
    assert deployment.server is not None
    stored, said = roll_back(deployment.server, deployment.keys, by=by, why=why)
    seen = look(deployment)
    deployment.ledger.rollout.rolled_back(
        epoch=seen.opened.epoch, by=by, why=why, barred=None, switched_off=said.switched_off, body=seen.body()
    )
    return stored


def resume(deployment: Deployment, *, by: str, why: str, build: str | None = None) -> int | None:
    """Let a paused rollout go on, or begin again at stage 0: after a rollback, or with another build.

    Returns the epoch that was opened; None where the one that was paused goes on. After harm was proven of a build,
    only another can be begun with. Raises RefusedError, PausedError, MovedOnError, redis.RedisError, FlagError.
    """
    seen = look(deployment)
    if not seen.stand.rolled_back and build in (None, seen.opened.build):
        deployment.ledger.rollout.resume(by=by, why=why)
        return None
    begun = seen.opened.build if build is None else build
    if seen.stand.rolled_back and seen.stand.barred == begun:
        raise RefusedError(
            f"harm was proven of build {begun!r}: begin again with the mended one, gnomon resume --build NAME"
        )
    if seen.opened.share:
        raise RefusedError(
            f"build {seen.opened.build!r} answers {seen.opened.share} % of the users: gnomon rollback first"
        )
    opened = deployment.ledger.rollout.begin_again(epoch=seen.opened.epoch, build=begun, by=by, why=why)
    if deployment.server is not None and seen.stand.switched_off:
        switch_on(deployment.server, deployment.keys, seen.stand.switched_off)
    return opened
