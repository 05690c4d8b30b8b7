"""Every Redis key of Gnomon, in one place: what producers write and workers read.

All keys of one lane share a hash tag, so that lanes can be spread over a cluster; what belongs to the namespace as a
whole shares another.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LaneKeys:
    """The keys of one lane."""

    prefix: str

    @property
    def stream(self) -> str:
        """The captures, oldest first."""
        return f"{self.prefix}:stream"

    @property
    def state(self) -> str:
        """A hash of cumulative figures: `appended` and `trimmed` bytes, `captured` captures."""
        return f"{self.prefix}:state"

    @property
    def funnel(self) -> str:
        """A hash `operation|epoch|counter` → calls: where every eligible call ended."""
        return f"{self.prefix}:funnel"

    @property
    def scheduled(self) -> str:
        """Set while a drain hint is under way."""
        return f"{self.prefix}:scheduled"

    @property
    def lease(self) -> str:
        """The token of the worker that holds the lane."""
        return f"{self.prefix}:lease"

    @property
    def journal(self) -> str:
        """A hash capture id → finding: what a drain has found and not yet committed."""
        return f"{self.prefix}:journal"

    def high_water(self, producer: str) -> str:
        """The sequence number of the last batch taken from `producer`."""
        return f"{self.prefix}:high:{producer}"


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of one namespace: one migration on one Redis."""

    namespace: str

    def lane(self, number: int) -> LaneKeys:
        """Return the keys of lane `number`."""
        return LaneKeys(f"{{gnomon:{self.namespace}:{number}}}")

    def producer(self, producer: str) -> str:
        """The heartbeat hash of one live process; it expires."""
        return f"{{gnomon:{self.namespace}}}:producer:{producer}"

    @property
    def producers(self) -> str:
        """Sorted set: live process → when its heartbeat expires, ms."""
        return f"{{gnomon:{self.namespace}}}:producers"

    @property
    def watermarks(self) -> str:
        """Sorted set: live process → its low watermark, µs."""
        return f"{{gnomon:{self.namespace}}}:watermarks"

    @property
    def flags(self) -> str:
        """The stored flags, one JSON document."""
        return f"{{gnomon:{self.namespace}}}:flags"

    @property
    def queue(self) -> str:
        """The Celery queue that drain hints are pushed to."""
        return "gnomon" if self.namespace == "default" else f"gnomon.{self.namespace}"
