"""What an enhanced callable can learn about the call it serves: the contextvar behind `gnomon.call()`."""

from collections.abc import Callable
from contextvars import ContextVar, Token
from dataclasses import dataclass, field
from typing import Any, Final


@dataclass(slots=True, kw_only=True)
class Call:
    """One live call as its enhanced callable sees it.

    `capture_id` is the idempotency key of the call, `shadow` whether the answer goes to no user, `origin` what legacy
    returned for it (None where legacy returned nothing, or did not run first).
    """

    capture_id: str
    shadow: bool
    origin: Any = None
    _context: list[str] = field(default_factory=list, repr=False)

    def add_context(self, *texts: str) -> None:
        """Note texts that the answer was given to draw on, so that what it says beyond legacy can be checked."""
        self._context.extend(texts)

    @property
    def context(self) -> tuple[str, ...]:
        """The texts noted so far, in order."""
        return tuple(self._context)


CURRENT: Final[ContextVar[Call | None]] = ContextVar("gnomon_call", default=None)


#: `call` for the live path: the contextvar's own method
current_call: Final[Callable[[], Call | None]] = CURRENT.get


def call() -> Call | None:
    """Return the call that the running enhanced callable serves; None outside of one.

    A legacy callable sees one only where a worker asks it for a pair: nobody waits for that answer (`shadow`).
    """
    return CURRENT.get()


class calling:  # noqa: N801 — used like a function; a generator would take three times as long
    """Makes `current` what `call()` returns, for the time of a block."""

    __slots__ = ("_made", "_token")

    def __init__(self, current: Call) -> None:
        self._made = current
        self._token: Token[Call | None] | None = None

    def __enter__(self) -> Call:
        self._token = CURRENT.set(self._made)
        return self._made

    def __exit__(self, *_: object) -> None:
        assert self._token is not None
        CURRENT.reset(self._token)
