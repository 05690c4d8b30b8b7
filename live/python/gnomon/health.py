"""How a live process is doing, from what it knows itself; nobody is asked."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from gnomon.buffer import Buffer
    from gnomon.flags import FlagState
    from gnomon.pressure import Pressure
    from gnomon.publisher import Publisher
    from gnomon.shedding import Shedding

NEARLY_FULL: Final = 0.8


@dataclass(frozen=True, slots=True)
class Health:
    """`healthy`; `degraded`: something is wrong, users are served; `unhealthy`: captures are lost; or `off`."""

    status: str
    details: dict[str, Any] = field(default_factory=dict)


def without_redis(*, capture: bool) -> Health:
    """Return the health of a client that captures nothing."""
    return Health("off", {"reason": "no Redis configured" if capture else "capture is off"})


def _lanes(pressure: "Pressure", shedding: "Shedding") -> dict[str, Any]:
    """Return what lies in all lanes, as the last beat told, and what follows from it for this process's users."""
    return {
        "bytes": pressure.told.size_bytes,
        "cap_bytes": pressure.cap_bytes,
        "lag_s": round(pressure.lag_s, 1),
        "shed_share": shedding.share,
        "full": shedding.closed_lanes,
    }


def health_of(publisher: "Publisher", buffer: "Buffer", flags: "FlagState", breakers: Mapping[str, str]) -> Health:
    """Return the health of a client that captures."""
    fill = buffer.fill
    problems = {
        "redis": publisher.failing,
        "flags": (flags.known and flags.stale) or flags.malformed,
        "readiness": flags.standing.malformed,
        "buffer": fill > NEARLY_FULL,
        "shedding": buffer.shedding.active,
        "breakers": any(state != "closed" for state in breakers.values()),
    }
    details = {
        "redis": "unreachable" if publisher.failing else ("ok" if publisher.began else "not asked yet"),
        "flags_age_s": round(flags.age_s, 1) if flags.known else None,
        "flags_version": flags.stored.version,
        "killed": flags.killed,
        "buffer": {"captures": buffer.captures, "bytes": buffer.size_bytes, "fill": round(fill, 3)},
        "backlog": publisher.backlog,
        "lanes": _lanes(publisher.pressure, buffer.shedding),
        "breakers": dict(breakers),
        "problems": [name for name, wrong in problems.items() if wrong],
    }
    if fill >= 1:
        return Health("unhealthy", details)
    return Health("degraded" if details["problems"] else "healthy", details)
