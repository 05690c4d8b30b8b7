"""`gnomon health`: whether every part answers, and whether what answers is as it should be."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import redis
import typer
from rich.text import Text

from console.ending import exiting
from console.errors import EXIT_FINDINGS, EXIT_OK
from console.facts import age, counted, outage, processes, shed
from console.options import Json, Live, Place, RunName, place
from console.output import out, print_json
from console.picture import GONE, readiness
from console.producers import await_acknowledged, server_ms
from gnomon import FlagError, GnomonError
from gnomon.connecting import connect
from gnomon.keys import Keys
from gnomon.lane_figures import LaneFigures, read_lanes
from gnomon.switchboard import read_flags
from ledger import LedgerError
from worker.targets.board import targets_of, tellings
from worker.targets.breaker import BreakerState

NO_EVICTION: Final = "noeviction"
_MEBIBYTE: Final = 1024 * 1024
PING_S: Final = 2.0
SETTLE_S: Final = 2.0  # a change of the flags is in force everywhere by then
OLD_S: Final = 300.0  # drains begin within a second; five minutes is a backlog that does not get less


class State(StrEnum):
    """How a part is, and the whole: as its worst part."""

    HEALTHY = "healthy"  #: as it should be
    DEGRADED = "degraded"  #: it answers, and something about it wants a person's look
    UNHEALTHY = "unhealthy"  #: it does not answer


_STYLES: Final = {State.HEALTHY: "green", State.DEGRADED: "yellow", State.UNHEALTHY: "red"}
_WORST: Final = (State.UNHEALTHY, State.DEGRADED, State.HEALTHY)


@dataclass(frozen=True, slots=True)
class Finding:
    """How one part is, and what there is to say of it."""

    state: State
    detail: str

    def as_json(self) -> dict[str, Any]:
        """Return it as `--json` prints it."""
        return {"ok": self.state is State.HEALTHY, "status": self.state, "detail": self.detail}


Check = Callable[[Place], Finding]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("health")(exiting(health))


def health(*, run: RunName = None, live: Live = False, json: Json = False) -> int:
    """Check each part: exit code 0 when all is healthy, 1 otherwise.

    Unhealthy: Redis, ledger, operations or workers do not answer. Degraded: Redis may throw captures away or has less
    room than was set, a live process acts upon old flags or a kill file, captures wait for more than five minutes, some
    users are shed, a target is down, or enhanced lacks a write of some users.

    Example: gnomon health --json
    """
    found = place(run, live=live)
    findings = {name: _outcome(name, check, found) for name, check in _CHECKS.items()}
    overall = min((finding.state for finding in findings.values()), key=_WORST.index)
    if json:
        print_json({"status": overall, "details": {name: finding.as_json() for name, finding in findings.items()}})
    else:
        for name, finding in findings.items():
            word = "ok" if finding.state is State.HEALTHY else finding.state.upper()
            out.print(
                Text(f"{name:<11}{word:<10}", style=_STYLES[finding.state]).append(f" {finding.detail}", "default")
            )
    return EXIT_OK if overall is State.HEALTHY else EXIT_FINDINGS


def _outcome(name: str, check: Check, found: Place) -> Finding:
    if found.ended and name not in _LASTING:
        return Finding(State.UNHEALTHY, GONE)
    try:
        return check(found)
    except (GnomonError, LedgerError) as error:
        return Finding(State.UNHEALTHY, str(error))
    except Exception as error:  # whatever is wrong with one part, the others are looked at
        return Finding(State.UNHEALTHY, f"does not answer ({type(error).__name__})")


def _judged(detail: str, *problems: str) -> Finding:
    return Finding(State.DEGRADED, "; ".join(problems)) if problems else Finding(State.HEALTHY, detail)


# --- the parts


def _redis(found: Place) -> Finding:
    with _server(found) as server:
        server.ping()
        lanes = read_lanes(server, Keys(found.settings.namespace))
        return _judged("answers", *_memory(server, lanes))


def _memory(server: "redis.Redis", lanes: LaneFigures) -> Iterator[str]:
    """Yield what is wrong with Redis's memory, where it tells."""
    try:
        memory = server.info("memory")
    except redis.ResponseError:  # managed ones may refuse
        return
    most, policy = int(memory.get("maxmemory", 0)), str(memory.get("maxmemory_policy", NO_EVICTION))
    if most and policy != NO_EVICTION:
        yield f"maxmemory-policy is {policy}: it may throw captures away; set {NO_EVICTION}"
    if lanes.cap_bytes < lanes.set_bytes:
        room = f"{lanes.cap_bytes / _MEBIBYTE:,.0f} MiB of the {lanes.set_bytes / _MEBIBYTE:,.0f} MiB"
        yield f"has room for {room} that the lanes may hold (GNOMON_TOTAL_BYTES): users are shed from half of it on"


def _ledger(found: Place) -> Finding:
    ledger = found.ledger()
    with contextlib.closing(ledger), ledger.reading() as reading:
        return _judged(f"{counted(reading.done(), 'capture')} judged")


def _operations(found: Place) -> Finding:
    return _judged(", ".join(found.kinds()))


def _workers(found: Place) -> Finding:
    from celery import Celery  # a second of start-up that only this check needs

    app = Celery(broker=found.settings.broker_url, broker_connection_retry=False)
    app.conf.broker_transport_options = {"socket_connect_timeout": PING_S, "max_retries": 0}
    answered = app.control.ping(timeout=PING_S)
    if not answered:
        raise LookupError("no worker")
    return _judged(", ".join(name for answer in answered for name in answer))


def _processes(found: Place) -> Finding:
    keys = Keys(found.settings.namespace)
    with _server(found) as server:
        try:
            version = read_flags(server, keys).version
        except FlagError as error:
            return _judged("", f"{error}: legacy serves everybody")
        seen = await_acknowledged(server, keys, version, within_s=SETTLE_S)
    problems = [f"{one.name} acts upon flags of version {one.flags}, not {version}" for one in seen.missing]
    problems += [f"{one.name} is killed by its kill file" for one in seen.live if one.killed]
    return _judged(f"{processes(len(seen.live))} with flags of version {version}", *problems)


def _backlog(found: Place) -> Finding:
    with _server(found) as server, contextlib.closing(found.lanes()) as lanes:
        waiting, oldest, now_s = (
            lanes.waiting(found.all_lanes),
            lanes.oldest(found.all_lanes),
            server_ms(server) / 1_000,
        )
        filled = read_lanes(server, Keys(found.settings.namespace))
    waits_s = 0.0 if oldest is None else max(0.0, now_s - oldest.timestamp())
    entries = f"{counted(waiting, 'entry', 'entries')} waiting"
    detail = f"{entries}, the oldest for {age(waits_s)}" if waiting else entries
    problems = [detail] if waits_s > OLD_S else []
    return _judged(detail, *problems, *([shed(filled)] if filled.shed_share else []))


def _exceptions(found: Place) -> Finding:
    with _server(found) as server:
        said = readiness(server, Keys(found.settings.namespace), found.all_lanes)
    if said is None:
        return _judged("", "what is stored of flags or readiness cannot be read: legacy serves everybody")
    if said["everybody_excepted"]:
        return _judged("", "legacy serves everybody: too many users lack a write, or Redis has lost its data")
    lacking = said["exceptions"] - said["held"]
    detail = f"none; {counted(said['held'], 'user')} held back on purpose" if said["held"] else "none"
    return _judged(detail, *([f"{counted(lacking, 'user')} served by legacy: enhanced lacks a write"] * bool(lacking)))


def _targets(found: Place) -> Finding:
    with _server(found) as server:
        targets = targets_of(tellings(server, Keys(found.settings.namespace)))
    down = ["; ".join(outage(target)) for target in targets if target.state is not BreakerState.CLOSED]
    asked = ", ".join(f"{target.name} ({target.limit} of {target.cap} side by side)" for target in targets)
    return _judged(asked or "none was asked lately", *down)


def _server(found: Place) -> "contextlib.closing[redis.Redis]":
    return contextlib.closing(connect(found.settings.redis_url.get_secret_value()))


_CHECKS: Final[dict[str, Check]] = {
    "redis": _redis,
    "ledger": _ledger,
    "operations": _operations,
    "workers": _workers,
    "processes": _processes,
    "backlog": _backlog,
    "targets": _targets,
    "exceptions": _exceptions,
}
_LASTING: Final = {"ledger", "operations"}  # what is there when a run has ended
