"""How a call of enhanced failed: pure. Five ways, each counted apart, so that a person knows whom to ask.

Told from the exception: its class and those it inherits from, by name, for what enhanced is built with is not imported
here; and the status of an answer, where it carries one. Of a live call only the name of the class is known.
"""

from typing import Final

from ledger import Failure

ANSWER_BYTES: Final = 4 * 1024 * 1024
GARBAGE: Final = "Garbage"  #: what a replay that answered with no JSON form is told to have raised
OVERSIZE: Final = "Oversize"  #: and one whose answer is larger than anybody reads

_TIMEOUTS: Final = (
    "Timeout",
    "TimeoutError",
    "TimeoutException",
    "TimeoutExpired",
    "TimeLimitError",
    "DeadlineExceeded",
)
_REFUSALS: Final = frozenset(
    {
        "ConnectError",  # httpx
        "ConnectionRefusedError",
        "NewConnectionError",  # urllib3
        "ServiceUnavailable",
        "TooManyRequests",
        "gaierror",  # the host's name is not known
    }
)
_GARBAGE: Final = frozenset({GARBAGE, "DecodeError", "InvalidResultError", "JSONDecodeError", "UnicodeDecodeError"})
_OVERSIZE: Final = frozenset({OVERSIZE, "PayloadTooLarge", "ResponseTooLarge"})
_TURNED_AWAY: Final = frozenset({429, 503})  # HTTP: nothing was done
#: a connection that broke, or a database that is not there: asking again at once helps nobody
_OUTAGES: Final = frozenset(
    {
        "ConnectionError",
        "DisconnectedError",
        "InterfaceError",  # the DB-API's, and SQLAlchemy's
        "NetworkError",  # httpx, httpcore
        "OperationalError",
        "ReadError",  # httpcore
        "WriteError",
    }
)
_SERVER_ERROR: Final = 500


def failure_of(name: str) -> Failure:
    """Return how a call failed that raised an exception of this class."""
    if name.endswith(_TIMEOUTS):
        return Failure.TIMEOUT
    for names, failure in ((_REFUSALS, Failure.REFUSED), (_GARBAGE, Failure.GARBAGE), (_OVERSIZE, Failure.OVERSIZE)):
        if name in names:
            return failure
    return Failure.ERROR


def failure_in(error: BaseException) -> Failure:
    """Return how a call failed that raised this: by its class, else by the nearest it inherits from that tells."""
    said = getattr(error, "failure", None)
    if isinstance(said, Failure):  # a target's own
        return said
    if _status(error) in _TURNED_AWAY:
        return Failure.REFUSED
    told = (failure_of(kind.__name__) for kind in type(error).__mro__)
    return next((failure for failure in told if failure is not Failure.ERROR), Failure.ERROR)


def is_outage(error: BaseException) -> bool:
    """Tell whether a call was not answered at all: there is no use in asking the next one at once.

    An exception of the enhanced system's own code is an answer, however bad: it is for people to see.
    """
    failure = failure_in(error)
    if failure is not Failure.ERROR:
        return failure in (Failure.TIMEOUT, Failure.REFUSED)
    return _status(error) >= _SERVER_ERROR or any(kind.__name__ in _OUTAGES for kind in type(error).__mro__)


def _status(error: BaseException) -> int:
    status = getattr(error, "status", None) or getattr(getattr(error, "response", None), "status_code", None)
    return status if isinstance(status, int) else 0
