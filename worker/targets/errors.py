"""What can go wrong between a replay and an HTTP target; each knows in which way that failed.

Exception
├── UnsendableError         the call has no form that can be sent: ours, so nothing is held against the target
└── TargetError             the target's: `failure` is the way, `status` the HTTP status where there was one
    ├── HttpStatusError     a status that is no answer; each status has a class of its own: Http500
    ├── RedirectedError     it sent us elsewhere: never followed
    ├── AddressError        its name leads to an address that nothing is sent to
    ├── DisconnectedError   the connection ended before an answer began
    ├── ResponseTooLarge    more bytes, or deeper, than anybody reads
    ├── BadAnswerError      what came is no answer: no HTTP, no JSON, no such place in it
    └── RaisedByTarget      a status that the operation's table names: its class has the name given there
"""

from functools import cache
from typing import Any, Final

from ledger import Failure

_TURNED_AWAY: Final = frozenset({429, 503})  # nothing was done
_TOOK_TOO_LONG: Final = frozenset({408, 504})


class UnsendableError(Exception):
    """A call whose arguments cannot be put where the operation's table wants them; never says which value."""


class TargetError(Exception):
    """The root of what a target does wrong."""

    failure: Failure = Failure.ERROR
    status: int = 0
    retry_after_s: float = 0.0  #: what a target that turns calls away asks for


class HttpStatusError(TargetError):
    """A status that is no answer."""

    def __init__(self, status: int, retry_after_s: float = 0.0) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status
        self.retry_after_s = retry_after_s
        if status in _TURNED_AWAY:
            self.failure = Failure.REFUSED
        elif status in _TOOK_TOO_LONG:
            self.failure = Failure.TIMEOUT


class RedirectedError(TargetError):
    """A redirect."""


class AddressError(TargetError):
    """A name that leads to addresses to which nothing is sent, or to none."""

    failure = Failure.REFUSED


class DisconnectedError(TargetError):
    """A connection that ended before the answer began."""


class ResponseTooLarge(TargetError):  # noqa: N818 — the name by which people know it
    """An answer that is longer, or deeper, than anybody reads."""

    failure = Failure.OVERSIZE


class BadAnswerError(TargetError):
    """What came is no answer."""

    failure = Failure.GARBAGE


class RaisedByTarget(TargetError):  # noqa: N818 — it has the name of what it stands for
    """An exception that a target tells by its status."""


def status_error(status: int, retry_after_s: float = 0.0) -> HttpStatusError:
    """Return the error of a status, of a class named after it: that is what a person reads in the groups."""
    made: HttpStatusError = _class_of(f"Http{status}", HttpStatusError)(status, retry_after_s)
    return made


def raised_by_target(name: str, message: str) -> RaisedByTarget:
    """Return an error of a class of this name."""
    made: RaisedByTarget = _class_of(name, RaisedByTarget)(message)
    return made


@cache
def _class_of(name: str, base: type) -> Any:
    return type(name, (base,), {"__module__": __name__})
