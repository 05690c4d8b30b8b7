"""What a side did, as it is captured: its value as bytes, or its exception as data.

On the caller's own thread, when the side has ended: the snapshot is taken before anybody can change what it returned.
"""

from typing import Final

import msgspec

from gnomon.serving import Outcome
from gnomon.wire import Raised, Side, encode_value

MESSAGE_CHARS: Final = 500  # of an exception's message; enough to compare, too little to carry a document
_INTERRUPTIONS: Final = frozenset({"CancelledError", "KeyboardInterrupt", "SystemExit", "GeneratorExit"})


def side_of(outcome: Outcome, rejects: tuple[type[BaseException], ...]) -> Side:
    """Return what an invoked side did as it is captured."""
    context = tuple(map(_plain, outcome.context))
    if outcome.error is not None:
        return Side(outcome.duration_us, raised=raised_of(outcome.error, rejects), context=context)
    return Side(outcome.duration_us, returned=msgspec.Raw(encode_value(outcome.value)), context=context)


def bytes_of(side: Side) -> int:
    """Return about how much memory what a side did takes."""
    returned = 0 if side.returned is msgspec.UNSET else len(side.returned)
    return returned + MESSAGE_CHARS + sum(map(len, side.context))


def raised_of(error: BaseException, rejects: tuple[type[BaseException], ...] = ()) -> Raised:
    """Return an exception as data, its message shortened."""
    name = type(error).__name__
    try:
        message = _plain(error)[:MESSAGE_CHARS]
    except Exception:  # an exception that cannot say what it is
        message = ""
    return Raised(name, message, interrupted=name in _INTERRUPTIONS, rejected=isinstance(error, rejects))


def _plain(said: object) -> str:
    """Return text that UTF-8 has bytes for: a lone surrogate, as in the name of a file, would cost the capture."""
    return str(said).encode("utf-8", "replace").decode()
