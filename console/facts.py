"""What a picture says, fact by fact, in words that fit a line each."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from console.pairs import pairs_in_words
from console.picture import GONE, OK, InLedger, InRedis, Picture
from console.producers import Ended
from console.report import Sums
from gnomon.flags import SHARE, SWITCHES, StoredFlags, is_share
from gnomon.hashing import BUCKETS
from gnomon.lane_figures import LaneFigures
from ledger import Loss, Outcome
from worker.steps import Step
from worker.targets.board import Target, targets_of
from worker.targets.breaker import BreakerState

ALARM: Final = "bold red"
WARNING: Final = "yellow"
MOST_NAMED: Final = 4  # kinds of error, segments: the rest is counted
NAME_CHARS: Final = 24
_SWITCH_NAMES: Final = dict(zip(SWITCHES, ("memory", "rental", "chat"), strict=True))
_PERCENT: Final = 100
_MINUTE_S: Final = 60
_HOUR_S: Final = 3_600
_MEBIBYTE: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Fact:
    """A name, and parts that may stand on one line or on several."""

    name: str
    parts: tuple[str, ...]
    style: str = ""


def facts(picture: Picture) -> Iterator[Fact]:
    """Yield what is to be said, alarms first."""
    at = picture.in_redis.at if picture.in_redis else picture.seen_at
    yield Fact("gnomon", (f"{picture.of} at {at:%Y-%m-%d %H:%M:%S} UTC",))
    for name, said in (("redis", picture.redis), ("ledger", picture.ledger)):
        if said != OK:
            yield Fact(name, (said,), "" if said == GONE else ALARM)
    sums = picture.in_ledger.sums if picture.in_ledger else None
    for line in picture.alerts:
        yield Fact("sums", (f"not exact: {line}",), ALARM)
    if picture.in_redis:
        yield from _of_flags(picture.in_redis)
        yield _readiness(picture.in_redis.readiness)
        yield from _of_calls(picture.in_redis)
    if picture.in_ledger:
        yield from _gate(picture.in_ledger)
    if sums:
        yield _captured(sums)
    yield from _waiting(picture, sums)
    yield from _asked(picture)
    yield from _parked(picture.in_ledger)
    yield from _gone(picture)
    if picture.in_redis:
        yield loss(picture.in_redis.ended)


def _asked(picture: Picture) -> Iterator[Fact]:
    """Yield what workers find of the two systems that they ask."""
    if picture.in_ledger and picture.in_ledger.pairs:
        yield Fact("pairs", pairs_in_words(picture.in_ledger.pairs))
    if picture.in_redis:
        yield from _targets(picture.in_redis)


def _of_flags(found: InRedis) -> Iterator[Fact]:
    if found.flags is None:
        yield Fact("flags", ("what is stored cannot be read: legacy serves everybody",), ALARM)
        return
    yield Fact("stage", tuple(_stage(found.flags)))
    known, live = len(found.live) - len(found.unacknowledged), len(found.live)
    said = f"version {found.version}, " + (
        f"acknowledged by {known} of {processes(live)}" if live else "no live process"
    )
    yield Fact("flags", (said,), WARNING if known < live else "")
    yield Fact("users", tuple(_one_by_one(found.flags)))


def _stage(stored: StoredFlags) -> Iterator[str]:
    share = stored.flags.get(SHARE)
    if stored.retired:
        yield "retired: enhanced serves alone"
    elif stored.version == 0:
        yield "nothing stored: the environment of each process decides"
    else:
        yield f"{share:g} % of users" if is_share(share) else "no share stored"
    yield f"epoch {stored.epoch}"
    for flag, name in _SWITCH_NAMES.items():
        if flag in stored.flags:
            yield f"{name} {'on' if stored.flags[flag] is True else 'off'}"


def _one_by_one(stored: StoredFlags) -> Iterator[str]:
    yield f"one by one {len(stored.enabled):,} enabled, {len(stored.disabled):,} disabled"
    if stored.segments:
        sizes = {name: len(users) for name, users in stored.segments.items()}
        yield f"{counted(len(sizes), 'segment')}: {_largest(sizes)}"


def _readiness(said: Mapping[str, Any] | None) -> Fact:
    if said is None:
        return Fact("readiness", ("not known: what is stored cannot be read",), ALARM)
    dual, ready = said["dual_below"] / BUCKETS * _PERCENT, said["ready_below"] / BUCKETS * _PERCENT
    parts = [
        f"dual {dual:g} % and {counted(said['dual_users'], 'user')}",
        f"ready {ready:g} % and {counted(said['ready_users'], 'user')}",
        counted(said["exceptions"], "exception") + (f", {said['held']:,} held" if said["held"] else ""),
    ]
    if said["waiting"] != Step.NONE:
        parts.append(f"waiting for {said['waiting']}")
    if said["everybody_excepted"]:
        return Fact("readiness", ("nobody is served: everybody is excepted", *parts), ALARM)
    return Fact("readiness", tuple(parts), WARNING if said["exceptions"] > said["held"] else "")


def _of_calls(found: InRedis) -> Iterator[Fact]:
    metrics = found.metrics
    parts = [f"legacy {metrics['legacy_calls']:,}", f"enhanced {metrics['enhanced_calls']:,}"]
    if metrics["enhanced_calls"]:
        parts += [
            f"success {_floored(metrics['success_rate'])} %",
            f"adoption {_floored(metrics['adoption'])} %",
            f"average gain {metrics['average_performance_gain']:+.1f} %",
        ]
    yield Fact("calls", tuple(parts))
    yield _trouble(metrics, found.complaints)


def _trouble(metrics: Mapping[str, Any], complaints: int) -> Fact:
    parts = (
        _kinds(metrics["errors"], metrics["errors_by_kind"]),
        f"fallbacks {_kinds(metrics['fallbacks'], metrics['fallbacks_by_reason'])}",
        f"complaints {complaints:,}",
    )
    return Fact("errors", parts, WARNING if metrics["errors"] or metrics["fallbacks"] or complaints else "")


_STYLES: Final = {"hold": WARNING, "inconclusive": WARNING, "rollback": ALARM}
_LATE_S: Final = 300.0  # it looks every minute


def _gate(found: InLedger) -> Iterator[Fact]:
    """Say what the gate made of its last look, and how long ago that was; that it collects is no news."""
    stand, ago = found.stand, found.evaluated_s
    if ago is None or (stand.state == "collecting" and ago <= _LATE_S and not found.complaints):
        return
    parts = [stand.state, *(["rolled back"] if stand.rolled_back else []), f"looked {age(max(0.0, ago))} ago"]
    parts += [counted(found.complaints, "open complaint")] if found.complaints else []
    yield Fact("gate", tuple(parts), ALARM if ago > _LATE_S else _STYLES.get(stand.state, ""))


def _kinds(total: int, kinds: Mapping[str, int]) -> str:
    return f"{total:,} ({_largest(kinds)})" if kinds else f"{total:,}"


def _captured(sums: Sums) -> Fact:
    lost = [f"{count:,} {place}" for place, count in sums.funnel.items() if count and place != Loss.CAPTURED]
    captured = f"{sums.funnel[Loss.CAPTURED]:,} of {sums.eligible:,} eligible"
    return Fact("captured", (captured, *lost))


def _waiting(picture: Picture, sums: Sums | None) -> Iterator[Fact]:
    parts = [f"{counted(sums.outcomes[Outcome.PENDING], 'capture')} pending"] if sums else []
    found = picture.in_redis
    if found:
        parts.append(f"{counted(found.entries, 'entry', 'entries')} waiting")
        if found.oldest_s is not None:
            parts.append(f"the oldest for {age(found.oldest_s)}")
        parts += lanes_filled(found.lanes)
    if parts:
        yield Fact("backlog", tuple(parts))
    if found and found.lanes.shed_share:
        yield Fact("shed", (shed(found.lanes),), WARNING)


def lanes_filled(lanes: LaneFigures) -> list[str]:
    """Say how full the lanes are, where that is worth a word."""
    if not lanes.cap_bytes or lanes.size_bytes < lanes.cap_bytes / 10:
        return []
    return [f"{lanes.size_bytes / _MEBIBYTE:,.1f} MiB, {lanes.size_bytes / lanes.cap_bytes:.0%} of what may lie there"]


def shed(lanes: LaneFigures) -> str:
    """Say how many users are shed."""
    return f"{lanes.shed_share:.1%} of users are not captured until less waits"


def _targets(found: InRedis) -> Iterator[Fact]:
    """Yield what is amiss: a target that is asked as usual needs no line."""
    for target in targets_of(found.targets):
        if target.state is not BreakerState.CLOSED:
            yield Fact("target", outage(target), WARNING)
        elif target.limit < target.cap / 2:
            parts = (f"{target.limit} of {target.cap} calls side by side", f"{target.latency_ms:,.0f} ms each")
            yield Fact("target", (f"{target.name} is slow", *parts), WARNING)


def outage(target: Target) -> tuple[str, ...]:
    """Return what there is to say of a target that is not asked, and whose captures wait."""
    return (
        f"{target.name} is down for {age(target.open_s)}: {target.reason}",
        f"found by {target.open_in} of {counted(target.processes, 'worker process', 'worker processes')}",
        f"next try in {target.retry_s:.0f} s; what is for it waits",
    )


def _parked(known: InLedger | None) -> Iterator[Fact]:
    if known and known.parked:
        again = [f"{known.retrying:,} to be replayed again"] if known.retrying else []
        yield Fact("parked", (_kinds(sum(known.parked.values()), known.parked), *again), WARNING)


def _gone(picture: Picture) -> Iterator[Fact]:
    known = picture.in_ledger
    if known and known.losses:
        yield Fact("lost", (f"{counted(known.losses, 'capture')} gone with Redis",), WARNING)
    if known and known.reconciliation and known.reconciliation.unchecked:
        lanes = counted(len(known.reconciliation.unchecked), "lane")
        yield Fact("sums", (f"{lanes} not counted: too much waits, or it moved all the time",), WARNING)


def loss(ended: Sequence[Ended]) -> Fact:
    """Return what may be lost with processes that ended without saying goodbye."""
    if not ended:
        return Fact("loss", ("none known: no live process ended without goodbye",))
    buffered = sum(one.buffered for one in ended)
    who, whose = ("1 live process", "its") if len(ended) == 1 else (f"{len(ended):,} live processes", "their")
    at_most = f"up to {counted(buffered, 'capture')} buffered at {whose} last word"
    return Fact("loss", (f"possible loss: {who} ended without goodbye; {at_most}",), WARNING)


def processes(count: int) -> str:
    """Return so many live processes, in words."""
    return counted(count, "live process", "live processes")


def counted(count: int, one: str, many: str = "") -> str:
    """Return a number with what it counts."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def age(seconds: float) -> str:
    """Return a time in the unit that fits."""
    if seconds < _MINUTE_S:
        return f"{seconds:.0f} s"
    return f"{seconds / _MINUTE_S:.0f} min" if seconds < _HOUR_S else f"{seconds / _HOUR_S:.1f} h"


def _largest(counts: Mapping[str, int]) -> str:
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    named = [f"{_cut(name)} {count:,}" for name, count in ordered[:MOST_NAMED]]
    rest = sum(count for _, count in ordered[MOST_NAMED:])
    return ", ".join([*named, f"others {rest:,}"] if rest else named)


def _cut(name: str) -> str:
    return name if len(name) <= NAME_CHARS else f"{name[: NAME_CHARS - 1]}…"


def _floored(percent: float) -> str:
    """Never say 100 of 99.96: one failure in thousands is worth a look."""
    return f"{math.floor(percent * 10) / 10:g}"
