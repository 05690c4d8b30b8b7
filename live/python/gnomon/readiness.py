"""Who may be served by enhanced: kept in Redis by the worker, read from memory on the live path.

A user goes shadow → dual → served. Enhanced answers a user once every live process writes theirs to both sides, what
was written before is replayed, and their data was verified: then the user is *ready*. Ready are whole buckets, users
one by one where they were enabled one by one, and nobody among the exceptions: those of whom enhanced may lack a write.
Dual is kept after a rollback, so that nothing is lost; ready is not: a promotion after it goes the whole way again.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Protocol

import msgspec

from gnomon.hashing import bucket_of, user_digest

MOST_EXCEPTIONS: Final = 10_000  # beyond, nobody is served: something is wrong with enhanced as a whole
EVERYBODY: Final = "*"  # the digest that stands for every user


class Readiness(msgspec.Struct, frozen=True, omit_defaults=True):
    """The document in Redis; `version` grows with every change.

    Buckets below `dual_below` and users in `dual` are written to both sides, whatever the flags say by now. Buckets
    below `ready_below` and users in `ready` were verified, for as long as the flags have not been lowered since:
    `lowered` is the version at which they were last lowered when this was written. The rest is how far the worker has
    come with those that are dual and not ready yet.
    """

    version: int = 0
    lowered: int = 0
    dual_below: int = 0
    ready_below: int = 0
    dual: frozenset[str] = frozenset()
    ready: frozenset[str] = frozenset()
    asked: int = 0  #: the version that live processes must know to write all dual users to both; 0: none waits for it
    acknowledged_us: int = 0  #: since when all live processes write the present dual users to both; 0: not yet
    cursor: str = ""  #: users up to this one were verified

    @property
    def anybody(self) -> bool:
        """Whether anybody is written to both sides."""
        return self.dual_below > 0 or bool(self.dual)

    def is_dual(self, user: str) -> bool:
        """Tell whether `user` is written to both sides, whatever the flags say."""
        return (self.dual_below > 0 and bucket_of(user) < self.dual_below) or (
            bool(self.dual) and user_digest(user) in self.dual
        )

    def is_ready(self, user: str) -> bool:
        """Tell whether the data of `user` was verified."""
        return (self.ready_below > 0 and bucket_of(user) < self.ready_below) or (
            bool(self.ready) and user_digest(user) in self.ready
        )


class UserData(Protocol):
    """What the memory systems offer so that a user's data can be verified; registered by `Gnomon.verification`."""

    def verify(self, user: str, before: datetime | None = None) -> bool:
        """Tell whether enhanced holds what legacy holds of `user`; of what is older than `before` where given."""

    def repair(self, user: str, before: datetime | None = None) -> int:
        """Bring enhanced to what legacy holds of `user`; return how much was added or changed."""

    def users(self, after: str = "", limit: int = 500) -> list[str]:
        """Return up to `limit` users of legacy that sort behind `after`, in order."""


@dataclass(slots=True)
class Standing:
    """The readiness as one live process knows it, and the exceptions it has found itself."""

    shared: Readiness = field(default_factory=Readiness)
    exceptions: Mapping[str, int] = field(default_factory=dict)
    exceptions_version: int = 0
    own: dict[str, int] = field(default_factory=dict)  #: digest → µs, known to nobody else yet
    malformed: bool = False  #: whether what is stored of the shared readiness cannot be read

    def take(self, document: bytes) -> None:
        """Replace the shared readiness; raises msgspec.MsgspecError where it cannot be read."""
        self.shared = msgspec.json.decode(document, type=Readiness)

    def lose(self) -> None:
        """Keep who is dual, and serve nobody: Redis has lost what it knew."""
        self.shared = msgspec.structs.replace(self.shared, version=0, ready_below=0, ready=frozenset())

    def take_exceptions(self, version: int, fields: Iterable[bytes]) -> None:
        """Replace the shared exceptions with a hash's fields and values in turn; unreadable ones except everybody."""
        try:
            parts = [part.decode() for part in fields]
            pairs = zip(parts[::2], parts[1::2], strict=True)
            self.exceptions = {digest: int(since) for digest, since in pairs if digest != "version"}
        except ValueError:
            self.exceptions = {EVERYBODY: 0}
        self.exceptions_version = version

    def except_for(self, user: str, since_us: int) -> None:
        """Serve `user` from legacy from now on: enhanced lacks a write of theirs until the worker has replayed it."""
        self.own[user_digest(user) if len(self.own) < MOST_EXCEPTIONS else EVERYBODY] = since_us

    def told(self, marks: Mapping[str, int]) -> None:
        """Forget exceptions of our own that have come back with the shared ones; one that is younger now stays."""
        for digest, since in marks.items():
            known = self.own.pop(digest, 0)
            if known > since:
                self.own.setdefault(digest, known)

    def is_ready(self, user: str, lowered: int) -> bool:
        """Tell whether `user` may be served now; `lowered` is the version at which the flags were last lowered."""
        if self.shared.lowered != lowered or not self.shared.is_ready(user):
            return False
        if not self.exceptions and not self.own:
            return True
        if EVERYBODY in self.own or EVERYBODY in self.exceptions:
            return False
        digest = user_digest(user)
        return digest not in self.exceptions and digest not in self.own
