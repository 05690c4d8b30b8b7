"""One look at a rollout: its evidence, what the gate makes of it, and what people have still to decide."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import msgspec
import redis

from gnomon import Kind
from gnomon.flags import StoredFlags
from gnomon.keys import Keys
from gnomon.operation import Binding
from gnomon.switchboard import read_flags
from ledger import Group, Ledger, Opened, Review, Stand, undecided
from rollout.canonical_json import digest
from rollout.decision import Decision
from rollout.evidence import Evidence
from rollout.flags import share_of
from rollout.gate import decide
from rollout.gathering import gather
from rollout.policy import Policy
from rollout.policy_file import policy_in_force


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """What a rollout is of, and where: operations with their kinds and flags, the ledger, the flags, the policy.

    `oldest_pending` asks since when captures wait. `server` is None where no Redis is left to ask: then nothing can be
    promoted, and what the flags were is taken from the ledger.
    """

    ledger: Ledger
    server: "redis.Redis | None"
    keys: Keys
    kinds: Mapping[str, Kind]
    flags: tuple[str, ...]
    policy_of: Callable[[date], Policy]
    oldest_pending: Callable[[], datetime | None]

    @classmethod
    def of(
        cls,
        bindings: Mapping[str, Binding],
        *,
        ledger: Ledger,
        server: "redis.Redis | None",
        namespace: str,
        policy: Path | None,
        oldest_pending: Callable[[], datetime | None],
    ) -> "Deployment":
        """Return the deployment of these operations; `policy` is a file, None: the migration plan's."""
        return cls(
            ledger=ledger,
            server=server,
            keys=Keys(namespace),
            kinds={name: binding.kind for name, binding in bindings.items()},
            flags=tuple(dict.fromkeys(binding.flag for binding in bindings.values() if binding.flag is not None)),
            policy_of=lambda day: policy_in_force(policy, day),
            oldest_pending=oldest_pending,
        )

    def policy(self) -> Policy:
        """Return what a candidate must prove today; raises ConfigurationError."""
        return self.policy_of(datetime.now(UTC).date())


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What was seen at one moment; all but the flags is of one snapshot of the ledger."""

    policy: Policy
    evidence: Evidence
    decision: Decision
    opened: Opened
    stand: Stand
    stored: StoredFlags | None
    undecided: list[tuple[Group, str]]
    review: str  #: the digest of what people have decided, under which rules and policy

    def body(self) -> dict[str, Any]:
        """Return what the decision was made from and what it is, so that it can be made again."""
        return {
            "evidence": msgspec.to_builtins(self.evidence),
            "policy": msgspec.to_builtins(self.policy),
            "decision": self.decision.as_json(),
            "digest": self.evidence.digest(),
        }


def look(deployment: Deployment) -> Look:
    """Look once; raises LedgerError, redis.RedisError, FlagError, ConfigurationError."""
    policy = deployment.policy()
    stored = None if deployment.server is None else read_flags(deployment.server, deployment.keys)
    oldest = deployment.oldest_pending()
    share = None if stored is None else share_of(stored)
    waiting = 0 if deployment.server is None else deployment.server.llen(deployment.keys.complaints)
    with deployment.ledger.reading() as reading:
        evidence = gather(reading, deployment.kinds, oldest_pending=oldest, policy=policy, share=share)
        evidence = msgspec.structs.replace(evidence, open_complaints=evidence.open_complaints + waiting)
        opened, stand, reviews = reading.rollout.opened(), reading.rollout.standing(), reading.reviews()
        groups = reading.groups()
    return Look(
        policy=policy,
        evidence=evidence,
        decision=decide(evidence, policy),
        opened=opened,
        stand=stand,
        stored=stored,
        undecided=undecided(groups, reviews, opened.epoch),
        review=_review(evidence, policy, groups, reviews),
    )


def _review(evidence: Evidence, policy: Policy, groups: list[Group], reviews: Mapping[str, Review]) -> str:
    epoch = evidence.epoch.number
    of_epoch = [group.id for group in groups if group.last_epoch >= epoch]
    decided = {
        group: [str(reviews[group].decision), reviews[group].at.isoformat()] for group in of_epoch if group in reviews
    }
    rules = evidence.epoch.rule_set
    return digest({"epoch": epoch, "rules": rules, "policy": policy.digest(), "decided": decided})


def again(body: Mapping[str, Any]) -> Decision:
    """Make a decision again from what was kept of it; raises msgspec.ValidationError where that cannot be read."""
    evidence = msgspec.convert(body["evidence"], Evidence)
    return decide(evidence, msgspec.convert(body["policy"], Policy))
