"""What a comparator is given to judge: what each side did, and the call that they answered."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

from comparators.verdicts import ABSENT


@dataclass(frozen=True, slots=True)
class Raised:
    """An exception as it was observed: its class by name, and its message."""

    type: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What one side did: it returned `value`, or raised `exception`.

    `context` holds the texts that an enhanced chat was given to draw on.
    """

    value: Any = ABSENT
    exception: Raised | None = None
    duration_ms: float | None = None
    context: tuple[str, ...] = ()

    @classmethod
    def returned(cls, value: Any, *, duration_ms: float | None = None, context: Iterable[str] = ()) -> Self:
        """Observe a side that returned `value`."""
        return cls(value=value, duration_ms=duration_ms, context=tuple(context))

    @classmethod
    def raised(cls, type: str, message: str = "", *, duration_ms: float | None = None) -> Self:  # noqa: A002 -- the field's word
        """Observe a side that raised an exception of class `type`."""
        return cls(exception=Raised(type, message), duration_ms=duration_ms)


@dataclass(frozen=True, slots=True)
class Call:
    """The call that both sides answered: whose it was, with which arguments, and when."""

    user: str
    args: Mapping[str, Any] = field(default_factory=dict)
    at: datetime | str | None = None
