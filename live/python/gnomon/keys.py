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
    def senders(self) -> str:
        """Sorted set: producer → when it last appended, in ms and three digits of its batch; kept for a day."""
        return f"{self.prefix}:senders"

    @property
    def scheduled(self) -> str:
        """Set while a drain hint is under way."""
        return f"{self.prefix}:scheduled"

    @property
    def lease(self) -> str:
        """The token of the worker that holds the lane: the process id on its host, `:`, and what is drawn by chance."""
        return f"{self.prefix}:lease"

    @property
    def journal(self) -> str:
        """A hash capture id → finding: what a drain has found and not yet committed."""
        return f"{self.prefix}:journal"

    @property
    def attempts(self) -> str:
        """A hash: `at` and `n`, the attempts at the batch under way; and capture id → attempts, after a crash."""
        return f"{self.prefix}:attempts"

    @property
    def forgot(self) -> str:
        """A string: when, µs, a process found that Redis had forgotten captures it sent, and maybe the journal."""
        return f"{self.prefix}:forgot"

    @property
    def gaps(self) -> str:
        """A hash user digest (`*` for everybody) → µs: since when writes of a user may be missing from the lane."""
        return f"{self.prefix}:gaps"

    @property
    def writes(self) -> str:
        """Sorted set: user digest and producer → end of their last write done, µs; of a minute before the cut."""
        return f"{self.prefix}:writes"

    def users(self, producer: str) -> str:
        """Sorted set: user digest → when `producer` last appended a capture of theirs, ms; kept for two hours."""
        return f"{self.prefix}:users:{producer}"

    def sender(self, producer: str) -> str:
        """What `producer` has sent: a hash of `batch` and `entries`, the last numbers, and all that it ever counted.

        Its counters are `operation|epoch|counter` → calls: where every eligible call ended. It expires after a day.
        """
        return f"{self.prefix}:sender:{producer}"


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
        """The stored flags: a hash of `version` and `document`."""
        return f"{{gnomon:{self.namespace}}}:flags"

    @property
    def readiness(self) -> str:
        """Who may be served by enhanced: a hash of `version` and `document`."""
        return f"{{gnomon:{self.namespace}}}:readiness"

    @property
    def readiness_lease(self) -> str:
        """The token of the worker that writes the readiness; expires."""
        return f"{{gnomon:{self.namespace}}}:readiness:lease"

    @property
    def unready(self) -> str:
        """The exceptions: a hash user digest → µs, since when enhanced may lack a write; `version` grows with it."""
        return f"{{gnomon:{self.namespace}}}:unready"

    @property
    def dead(self) -> str:
        """A hash producer → what it last said, as JSON: live processes that ended without saying goodbye."""
        return f"{{gnomon:{self.namespace}}}:dead"

    @property
    def resting(self) -> str:
        """A hash operation → µs: until when workers ask its legacy side for no pairs; expires with the last of them."""
        return f"{{gnomon:{self.namespace}}}:resting"

    @property
    def metrics(self) -> str:
        """A hash of what all live processes counted together."""
        return f"{{gnomon:{self.namespace}}}:metrics"

    @property
    def stock(self) -> str:
        """A hash of the bytes that lie in lanes: by lane's number, and `total`."""
        return f"{{gnomon:{self.namespace}}}:stock"

    @property
    def oldest(self) -> str:
        """Sorted set: lane's number → when the oldest entry that lies in it was appended, ms; without empty lanes."""
        return f"{{gnomon:{self.namespace}}}:oldest"

    @property
    def heard(self) -> str:
        """When anybody's beat or look was taken last, ms."""
        return f"{{gnomon:{self.namespace}}}:heard"

    @property
    def pressure(self) -> str:
        """A hash of the last step of shedding: when (`at`, ms), `below` which place users are shed, and its figures."""
        return f"{{gnomon:{self.namespace}}}:pressure"

    @property
    def rollback(self) -> str:
        """What the last rollback says of itself, as JSON: by whom, why, and which flags it switched off."""
        return f"{{gnomon:{self.namespace}}}:rollback"

    @property
    def complaints(self) -> str:
        """A list of users' complaints, oldest first, each one JSON document."""
        return f"{{gnomon:{self.namespace}}}:complaints"

    @property
    def workers(self) -> str:
        """A set: the worker processes that lately told how the targets are that they ask."""
        return f"{{gnomon:{self.namespace}}}:workers"

    def targets(self, worker: str) -> str:
        """What one worker process knows of its targets, as JSON; it expires."""
        return f"{{gnomon:{self.namespace}}}:targets:{worker}"

    @property
    def changes(self) -> str:
        """The channel that tells live processes to look at flags, readiness and exceptions at once."""
        return f"{{gnomon:{self.namespace}}}:changes"

    @property
    def queue(self) -> str:
        """The Celery queue that drain hints are pushed to."""
        return "gnomon" if self.namespace == "default" else f"gnomon.{self.namespace}"
