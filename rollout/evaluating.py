"""The gate at work: every minute it takes complaints in, looks, rolls back where there is harm, and keeps what it saw.

It acts first and records after: a rollback is a change of flags in Redis, and stands whether or not the ledger can be
told of it. What could not be recorded is found out, and recorded, by a later look.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final, cast

import msgspec
import structlog

from gnomon.complaints import Complaint
from ledger import GATE, Evaluation, Filed, LedgerError
from rollout.decision import Criterion, Standing, State
from rollout.flags import RolledBack, last_rollback, roll_back, share_of
from rollout.looking import Deployment, Look, look

log = structlog.get_logger()

_SETTLED: Final = "settled"  # the criterion that says how long a hold takes to wear off: no reason of its own


def evaluate(deployment: Deployment) -> Look:
    """Look once, and act; returns what was seen.

    Nothing is written before it was looked for harm: a ledger that takes nothing keeps nobody with enhanced. Raises
    LedgerError, redis.RedisError, FlagError, ConfigurationError.
    """
    seen = look(deployment)
    if not _took_back(deployment, seen):
        _keep_house(deployment, seen)
        seen = look(deployment)
        _took_back(deployment, seen)
    _keep(deployment, seen)
    log.info("gate.evaluated", epoch=seen.opened.epoch, share=seen.opened.share, state=str(seen.decision.state))
    return seen


def _keep_house(deployment: Deployment, seen: Look) -> None:
    """Take complaints in, see that the epoch is of this policy and build, and record what the flags say."""
    take_complaints(deployment)
    deployment.ledger.rollout.put_under(seen.policy.digest(), msgspec.to_builtins(seen.policy))
    if build := _live_build(deployment):
        deployment.ledger.rollout.put_build(build)
    if _was_rolled_back(seen):
        with deployment.ledger.reading() as reading:
            epoch = reading.rollout.opened().epoch
        _record(deployment, seen, _said(deployment, seen), epoch)


def _live_build(deployment: Deployment) -> str | None:
    """Return the build of enhanced that all live processes name; None while they differ, or name none."""
    server, keys = deployment.server, deployment.keys
    if server is None:
        return None
    seconds, _ = server.time()
    alive = cast("list[bytes]", server.zrangebyscore(keys.producers, seconds * 1_000, "+inf"))
    pipeline = server.pipeline(transaction=False)
    for name in alive:
        pipeline.hget(keys.producer(name.decode()), "build")
    builds = {found.decode(errors="replace") if isinstance(found, bytes) else "" for found in pipeline.execute()}
    return builds.pop() if len(builds) == 1 else None


# --- harm


def _took_back(deployment: Deployment, seen: Look) -> bool:
    """Roll back where harm is proven, first by the flags, then in the ledger; tells whether it was so."""
    if deployment.server is None or seen.decision.state is not State.ROLLBACK or seen.stand.rolled_back:
        return False
    said = last_rollback(deployment.server, deployment.keys)
    if said is None or seen.stored is None or said.version != seen.stored.version:  # else it was, and is not recorded
        why, build = seen.decision.summary, seen.opened.build
        _, said = roll_back(deployment.server, deployment.keys, by=GATE, why=why, barred=build)
        log.warning("gate.rolled_back", epoch=seen.opened.epoch, share=seen.opened.share, build=build)
    _record(deployment, seen, said, seen.opened.epoch)
    return True


def _record(deployment: Deployment, seen: Look, said: RolledBack, epoch: int) -> None:
    try:
        deployment.ledger.rollout.rolled_back(
            epoch=epoch,
            by=said.by,
            why=said.why,
            barred=said.barred,
            switched_off=said.switched_off,
            body=seen.body(),
        )
    except LedgerError as error:  # the flags say it; the next look finds that out
        log.error("gate.rollback_not_recorded", epoch=seen.opened.epoch, error=type(error).__name__)  # noqa: TRY400
        raise


def _was_rolled_back(seen: Look) -> bool:
    """Tell whether the flags were lowered since the stage was opened, and the ledger has not heard of it.

    Flags that are older than the stage are those of a promotion that is not in force yet, or of a Redis that lost them.
    """
    stored, opened = seen.stored, seen.opened
    return stored is not None and share_of(stored) < opened.share and stored.version > opened.flags >= 0


def _said(deployment: Deployment, seen: Look) -> RolledBack:
    assert seen.stored is not None
    found = None if deployment.server is None else last_rollback(deployment.server, deployment.keys)
    if found is not None and found.version > seen.opened.flags:
        return found
    version = seen.stored.version
    return RolledBack(version=version, by="flags", why="the share was lowered", at=datetime.now(UTC))


# --- the history


def _keep(deployment: Deployment, seen: Look) -> None:
    state, before = str(seen.decision.state), seen.stand
    found = Evaluation(
        epoch=seen.opened.epoch,
        share=seen.opened.share,
        state=state,
        clean=_clean(seen),
        digest=seen.evidence.digest(),
        summary=seen.decision.summary,
    )
    changed = (before.state, before.epoch) != (state, found.epoch)
    hourly = before.evaluated_at is None or before.evaluated_at.hour != datetime.now(UTC).hour
    deployment.ledger.rollout.evaluated(found, seen.body() if changed or hourly else None)


def _clean(seen: Look) -> int | None:
    """Return how many looks in a row gave no reason to hold, this one included; None where nothing wears off."""
    if any(_holds(criterion) for criterion in seen.decision.criteria):
        return 0
    if seen.evidence.clean is None or seen.evidence.clean + 1 >= seen.policy.clean_looks:
        return None
    return seen.evidence.clean + 1


def _holds(criterion: Criterion) -> bool:
    return criterion.standing in (Standing.BROKEN, Standing.HARM) and criterion.name != _SETTLED


# --- complaints


def take_complaints(deployment: Deployment) -> None:
    """Take users' complaints out of Redis into the ledger, each once; none is gone before it is kept."""
    if deployment.server is None:
        return
    found = cast("list[bytes]", deployment.server.lrange(deployment.keys.complaints, 0, -1))
    deployment.ledger.rollout.take_complaints(_filed(found))
    for document in found:
        deployment.server.lrem(deployment.keys.complaints, 1, cast("str", document))


def _filed(documents: list[bytes]) -> Iterator[Filed]:
    for document in documents:
        try:
            made = msgspec.json.decode(document, type=Complaint)
        except msgspec.MsgspecError:  # whoever wrote it: somebody complained
            name = sha256(document).hexdigest()[:36]
            yield Filed(id=name, user="", text="a complaint that cannot be read", at=datetime.now(UTC), epoch=0)
            continue
        yield Filed(
            id=made.id,
            user=made.user,
            text=made.text,
            at=datetime.fromtimestamp(made.at_us / 1_000_000, UTC),
            epoch=made.epoch,
            conversation=made.conversation,
            filed_by=made.filed_by,
        )
