"""One look at a migration: what its Redis and its ledger say, each on its own, so that either may be down."""

import contextlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final, cast

import msgspec
import redis

from console.options import Place
from console.pairs import pairs_as_json
from console.producers import Ended, Producer, ended_producers, live_producers, server_ms
from console.report import Sums
from gnomon import FlagError
from gnomon.connecting import connect
from gnomon.flags import SHARE, SWITCHES, StoredFlags
from gnomon.keys import Keys
from gnomon.lane_figures import NO_LANES, LaneFigures, read_lanes
from gnomon.metrics import read_metrics, summary
from gnomon.switchboard import read_flags
from ledger import Ledger, LedgerError, Outcome, PairSums, Position, Stand
from worker.arbiter import status
from worker.lanes import LaneStore
from worker.reconciliation import Reconciliation, reconcile
from worker.steps import HELD
from worker.targets.board import Telling, targets_of, tellings

AGAIN_S: Final = 0.6  # two heartbeats
OK: Final = "ok"
GONE: Final = "gone, the run has ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class InRedis:
    """What Redis says: flags and readiness, the live processes, what they counted, what waits."""

    at_ms: int  #: by Redis's clock
    flags: StoredFlags | None  #: None: what is stored cannot be read
    live: tuple[Producer, ...]
    ended: tuple[Ended, ...]
    readiness: dict[str, Any] | None  #: None: the same
    metrics: dict[str, Any]
    complaints: int
    entries: int
    oldest: datetime | None
    lanes: LaneFigures = NO_LANES
    targets: tuple[Telling, ...] = ()  #: what worker processes tell of the systems that they ask

    @property
    def version(self) -> int:
        """The version of the flags in force."""
        return self.flags.version if self.flags else 0

    @property
    def unacknowledged(self) -> list[Producer]:
        """The live processes that do not know the flags in force."""
        return [producer for producer in self.live if producer.flags < self.version]

    @property
    def oldest_s(self) -> float | None:
        """How long the oldest entry has waited."""
        return None if self.oldest is None else max(0.0, self.at_ms / 1_000 - self.oldest.timestamp())

    @property
    def at(self) -> datetime:
        """When it was looked at."""
        return datetime.fromtimestamp(self.at_ms / 1_000, UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class InLedger:
    """What the ledger says: both sums, how far each lane is drained, and whether that fits what lies in Redis."""

    sums: Sums
    lanes: dict[int, Position]
    losses: int = 0  #: captures booked as lost with Redis
    parked: Mapping[str, int] = field(default_factory=dict)  #: captures that could not be replayed, by reason
    retrying: int = 0  #: of those, how many are to be replayed again
    reconciliation: Reconciliation | None = None  #: None: Redis does not answer
    pairs: dict[str, PairSums] = field(default_factory=dict)  #: reads made of both systems, by operation
    stand: Stand = Stand()  #: where the gate has left the rollout
    complaints: int = 0  #: that nobody has decided
    evaluated_s: float | None = None  #: since the gate last looked; None: it never has


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """What was seen; a part that did not answer is None, with the reason in `redis` or `ledger`."""

    of: str
    redis: str = OK
    ledger: str = OK
    in_redis: InRedis | None = None
    in_ledger: InLedger | None = None
    unsent: Mapping[str, int] = field(default_factory=dict)  #: calls by live process: counted there, and gone
    seen_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def as_json(self) -> dict[str, Any]:
        """Return all of it; what is not known is null."""
        return {
            **_sums(self.in_ledger),
            **_queue(self),
            **_live_side(self.in_redis),
            **self._balance(),
            "complaints": self._complaints(),
            "gate": _gate(self.in_ledger),
        }

    @property
    def alerts(self) -> list[str]:
        """What does not add up, a sentence each with its size."""
        known = self.in_ledger
        gone = [
            f"{count:,} calls of live process {name} were counted and not sent" for name, count in self.unsent.items()
        ]
        return [*known.sums.imbalance, *_off(known.reconciliation), *gone] if known else []

    def _complaints(self) -> int | None:
        """Return how many nobody has decided: those that wait in Redis, and those in the ledger."""
        known = [found.complaints for found in (self.in_redis, self.in_ledger) if found is not None]
        return sum(known) if self.in_redis is not None else None

    def _balance(self) -> dict[str, Any]:
        found = self.in_ledger.reconciliation if self.in_ledger else None
        if found is None:
            return {"alerts": self.alerts, "reconciliation": None}
        lanes = {"missing": found.off, "unchecked": found.unchecked, "checked": len(found.balances)}
        return {"alerts": self.alerts, "reconciliation": {**lanes, "waiting": found.waiting, "unsent": self.unsent}}


def look(found: Place) -> Picture:
    """Look at Redis, then at the ledger with what Redis has of the sums; never raises for one that does not answer."""
    picture = _looked(found)
    if not picture.unsent:
        return picture
    time.sleep(AGAIN_S)  # what is on its way is there by then
    again = _looked(found)
    return replace(again, unsent={name: count for name, count in again.unsent.items() if name in picture.unsent})


def _looked(found: Place) -> Picture:
    redis_says, in_redis = _asked_redis(found)
    ledger_says, in_ledger = _asked_ledger(found, fold=in_redis is not None)
    return Picture(
        of=found.name,
        redis=redis_says,
        ledger=ledger_says,
        in_redis=in_redis,
        in_ledger=in_ledger,
        unsent=_unsent(in_redis, in_ledger),
    )


def _unsent(in_redis: InRedis | None, in_ledger: InLedger | None) -> dict[str, int]:
    """Return, by live process, the calls it has counted, and neither sent nor waiting in it."""
    found = in_ledger.reconciliation if in_ledger else None
    if found is None or found.unchecked or in_redis is None:
        return {}
    told = {one.id: one.eligible - found.sent.get(one.id, 0) for one in in_redis.live if not one.buffered}
    return {name: count for name, count in told.items() if count > 0}


def _asked_redis(found: Place) -> tuple[str, InRedis | None]:
    if found.ended:
        return GONE, None
    try:
        with contextlib.closing(connect(found.settings.redis_url.get_secret_value())) as server:
            return OK, _in_redis(server, found)
    except (redis.RedisError, OSError) as error:
        return f"does not answer ({type(error).__name__})", None


def _in_redis(server: "redis.Redis", found: Place) -> InRedis:
    keys, lanes = Keys(found.settings.namespace), LaneStore(server, found.settings.namespace)
    return InRedis(
        at_ms=server_ms(server),
        flags=_flags(server, keys),
        live=live_producers(server, keys),
        ended=ended_producers(server, keys),
        readiness=readiness(server, keys, found.all_lanes),
        metrics=summary(read_metrics(server, keys)),
        complaints=int(server.llen(keys.complaints)),
        entries=lanes.waiting(found.all_lanes),
        oldest=lanes.oldest(found.all_lanes),
        lanes=read_lanes(server, keys),
        targets=tuple(tellings(server, keys)),
    )


def _flags(server: "redis.Redis", keys: Keys) -> StoredFlags | None:
    try:
        return read_flags(server, keys)
    except FlagError:  # live processes serve legacy meanwhile
        return None


def readiness(server: "redis.Redis", keys: Keys, lanes: range) -> dict[str, Any] | None:
    """Return how far users are on their way to enhanced; None where what is stored cannot be read.

    Of the exceptions, `held` are users whom people took out one by one: nothing is wrong with those.
    """
    try:
        said = status(server, keys, lanes=lanes)
    except (FlagError, msgspec.MsgspecError):
        return None
    since = cast("list[bytes]", server.hvals(keys.unready))
    return {**said, "held": sum(at == str(HELD).encode() for at in since)}


def _asked_ledger(found: Place, *, fold: bool) -> tuple[str, InLedger | None]:
    try:
        with contextlib.closing(found.ledger()) as ledger:
            reconciliation = _reconciled(found, ledger) if fold else None
            with ledger.reading() as reading:
                sums = Sums(operations=reading.sums(), done=reading.done())
                losses = sum(captures for _, _, captures, _ in reading.losses())
                pairs = reading.pairs()
                lanes, parked, retrying = reading.positions(), reading.why_parked(), reading.retrying()
                stand, complaints, now = reading.rollout.standing(), reading.open_complaints(), reading.now()
            return OK, InLedger(
                sums=sums,
                lanes=lanes,
                losses=losses,
                parked=parked,
                retrying=retrying,
                reconciliation=reconciliation,
                pairs=pairs,
                stand=stand,
                complaints=complaints,
                evaluated_s=None if stand.evaluated_at is None else (now - stand.evaluated_at).total_seconds(),
            )
    except LedgerError as error:
        return str(error), None


def _reconciled(found: Place, ledger: Ledger) -> Reconciliation | None:
    with contextlib.closing(found.lanes()) as lanes, contextlib.suppress(redis.RedisError, OSError):
        ledger.fold(lanes.senders.changed(found.all_lanes).sent)
        return reconcile(lanes, ledger, found.all_lanes)
    return None


# --- as JSON


def _off(found: Reconciliation | None) -> Iterator[str]:
    """Yield what the lanes hold too few of, or too many."""
    off = found.off if found else {}
    missing = {lane: count for lane, count in off.items() if count > 0}
    surplus = {lane: -count for lane, count in off.items() if count < 0}
    for lanes, what in ((missing, "are neither done nor in a lane"), (surplus, "are done or in a lane and nobody's")):
        if lanes:
            yield f"{sum(lanes.values()):,} captures {what} (lanes {', '.join(map(str, lanes))})"


def _sums(found: InLedger | None) -> dict[str, Any]:
    if found is None:
        of_sums = ("eligible", "funnel", "outcomes", "failures", "operations", "imbalance")
        return dict.fromkeys((*of_sums, "lanes", "losses", "parked", "pairs"))
    lanes = {
        lane: {"read": "{}-{}".format(*position.read), "done_until_us": position.cut[0]}
        for lane, position in found.lanes.items()
    }
    parked = {"reasons": found.parked, "retrying": found.retrying}
    own = {"imbalance": found.sums.imbalance, "lanes": lanes, "losses": found.losses, "parked": parked}
    own["pairs"] = pairs_as_json(found.pairs)
    return {**found.sums.sums_as_json(), **own}


def _queue(picture: Picture) -> dict[str, Any]:
    found = picture.in_redis
    return {
        "redis": picture.redis,
        "ledger": picture.ledger,
        "waiting_entries": found.entries if found else 0,
        "producers": [producer.said for producer in found.live] if found else [],
        "backlog": {
            "captures": picture.in_ledger.sums.outcomes[Outcome.PENDING] if picture.in_ledger else None,
            "entries": found.entries if found else None,
            "oldest_s": found.oldest_s if found else None,
            **(lanes_as_json(found.lanes) if found else dict.fromkeys(lanes_as_json(NO_LANES))),
        },
    }


def _gate(found: InLedger | None) -> dict[str, Any] | None:
    if found is None:
        return None
    stand = found.stand
    return {
        "state": stand.state or None,
        "summary": stand.summary or None,
        "evaluated_s_ago": found.evaluated_s,
        "rolled_back": stand.rolled_back,
        "open_complaints": found.complaints,
    }


def lanes_as_json(lanes: LaneFigures) -> dict[str, Any]:
    """Return what lies in the lanes, in all and by lane, and which share of users is shed for it."""
    by_lane = sorted({*lanes.sizes_bytes, *lanes.lags_s})
    return {
        "bytes": lanes.size_bytes,
        "cap_bytes": lanes.cap_bytes or None,
        "lag_s": round(lanes.lag_s, 3),
        "shed_share": lanes.shed_share,
        "lanes": {
            lane: {"bytes": lanes.sizes_bytes.get(lane, 0), "lag_s": round(lanes.lags_s.get(lane, 0.0), 3)}
            for lane in by_lane
        },
    }


def _live_side(found: InRedis | None) -> dict[str, Any]:
    if found is None:
        names = ("flags", "readiness", "metrics", "complaints", "live", "unacknowledged", "ended", "possible_loss")
        return dict.fromkeys((*names, "targets"))
    return {
        "flags": found.flags and flags_as_json(found.flags),
        "readiness": found.readiness,
        "metrics": found.metrics,
        "complaints": found.complaints,
        "live": [producer.as_json(found.version) for producer in found.live],
        "unacknowledged": [producer.id for producer in found.unacknowledged],
        "ended": [
            {"id": one.id, "host": one.host, "pid": one.pid, "buffered": one.buffered, "s_ago": one.noticed_s_ago}
            for one in found.ended
        ],
        "targets": {target.name: target.as_json() for target in targets_of(found.targets)},
        "possible_loss": {"processes": len(found.ended), "captures": sum(one.buffered for one in found.ended)},
    }


def flags_as_json(stored: StoredFlags) -> dict[str, Any]:
    """Return stored flags; of users one by one only how many, for who they are is personal."""
    return {
        "version": stored.version,
        "epoch": stored.epoch,
        "share": stored.flags.get(SHARE),
        "switches": {name: stored.flags.get(name) for name in SWITCHES},
        "enabled_users": len(stored.enabled),
        "disabled_users": len(stored.disabled),
        "segments": {name: len(users) for name, users in sorted(stored.segments.items())},
        "lowered": stored.lowered,
        "retired": stored.retired,
    }
