"""What lies in the lanes, for how long, and who is shed for it: as Redis has it at one moment, for whoever shows it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from gnomon.hashing import SHED_PLACES

if TYPE_CHECKING:
    import redis

    from gnomon.keys import Keys


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneFigures:
    """By lane, empty ones left out, and of all together.

    `lags_s`: how long a lane's oldest entry has waited since it was appended. `cap_bytes` and `shed_share` are those of
    the last step of shedding (0 before the first), `set_bytes` the cap that was set in the process that took it.
    """

    sizes_bytes: Mapping[int, int]
    lags_s: Mapping[int, float]
    cap_bytes: int
    set_bytes: int
    shed_share: float

    @property
    def size_bytes(self) -> int:
        """What lies in all of them."""
        return sum(self.sizes_bytes.values())

    @property
    def lag_s(self) -> float:
        """How long the oldest entry of all has waited; 0 where none does."""
        return max(self.lags_s.values(), default=0.0)


NO_LANES: Final = LaneFigures(sizes_bytes={}, lags_s={}, cap_bytes=0, set_bytes=0, shed_share=0.0)


def read_lanes(server: "redis.Redis", keys: "Keys") -> LaneFigures:
    """Ask Redis; raises what it answers."""
    pipeline = server.pipeline(transaction=False)
    pipeline.time()
    pipeline.hgetall(keys.stock)
    pipeline.zrange(keys.oldest, 0, -1, withscores=True)
    pipeline.hgetall(keys.pressure)
    (seconds, micros), stock, oldest, step = pipeline.execute()
    now_ms = seconds * 1_000 + micros // 1_000
    sizes = {int(lane): int(size) for lane, size in stock.items() if lane.isdigit() and int(size) > 0}
    return LaneFigures(
        sizes_bytes=sizes,
        lags_s={int(lane): max(0.0, (now_ms - ms) / 1_000) for lane, ms in oldest if lane.isdigit()},
        cap_bytes=_number(step, b"cap_bytes"),
        set_bytes=_number(step, b"total_bytes"),
        shed_share=_number(step, b"below") / SHED_PLACES,
    )


def _number(step: Mapping[bytes, bytes], name: bytes) -> int:
    found: Any = step.get(name, b"")
    return int(found) if found.isdigit() else 0
