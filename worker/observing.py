"""What a side did, as it was captured and as its replay comes back: what it returned is a line of JSON.

Nine answers of ten are the same to the byte on both sides, so a line is read only where somebody has to look into it.
"""

from typing import Any, Final

import msgspec

from comparators import Observation, identical
from comparators.observations import Raised
from gnomon.calling import Call
from gnomon.wire import Side, encode_value
from worker.failures import GARBAGE, OVERSIZE

_NO_ANSWER: Final = (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError)


class Observed(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What one side did: it returned `line`, or raised `exception`.

    `replayed`: by us, so a line that nobody can read is no answer.
    """

    duration_ms: float
    line: bytes | msgspec.Raw | None = None
    exception: Raised | None = None
    context: tuple[str, ...] = ()
    replayed: bool = False

    @classmethod
    def of(cls, side: Side | msgspec.UnsetType) -> "Observed":
        """Return what a side did live."""
        assert side is not msgspec.UNSET
        duration_ms = side.duration_us / 1_000
        if side.raised is not msgspec.UNSET:
            raised = Raised(side.raised.type, side.raised.message)
            return cls(duration_ms=duration_ms, exception=raised)
        line = b"null" if side.returned is msgspec.UNSET else side.returned
        return cls(duration_ms=duration_ms, line=line, context=side.context)

    @classmethod
    def returned(cls, value: Any, duration_ms: float, context: tuple[str, ...], most_bytes: int) -> "Observed":
        """Return what a replay did that returned `value`: brought into the form that live outcomes come in."""
        try:
            line = encode_value(value)
        except _NO_ANSWER as error:
            return cls.garbage(error, duration_ms)
        if len(line) > most_bytes:
            said = f"returned {len(line):,} bytes of JSON"
            return cls(duration_ms=duration_ms, exception=Raised(OVERSIZE, said), replayed=True)
        return cls(duration_ms=duration_ms, line=line, context=context, replayed=True)

    @classmethod
    def garbage(cls, error: Exception, duration_ms: float) -> "Observed":
        """Return what a replay did whose answer has no JSON form."""
        said = f"returned what has no JSON form: {type(error).__name__}"
        return cls(duration_ms=duration_ms, exception=Raised(GARBAGE, said), replayed=True)

    def is_identical(self, other: "Observed") -> bool:
        """Tell whether both returned the same to the byte, and nothing more is to be looked at; False tells nothing."""
        return self.line is not None and other.line is not None and identical(bytes(self.line), bytes(other.line))

    def read(self) -> Observation:
        """Return it as comparators see it, its value read anew: what a replay did to its own is no evidence."""
        if self.line is None:
            return Observation(exception=self.exception, duration_ms=self.duration_ms)
        try:
            value = msgspec.json.decode(self.line)
        except _NO_ANSWER as error:
            if not self.replayed:
                raise
            return Observed.garbage(error, self.duration_ms).read()
        return Observation.returned(value, duration_ms=self.duration_ms, context=self.context)


class ReplayedCall(Call):
    """The call that a replay of enhanced serves; what legacy returned is read when it is asked for: few reads do."""

    __slots__ = ("_line", "_origin")

    def __init__(self, capture_id: str, legacy: Side | msgspec.UnsetType) -> None:
        self.capture_id = capture_id
        self.shadow = True
        self._context = []
        self._line = msgspec.UNSET if legacy is msgspec.UNSET else legacy.returned

    @property
    def origin(self) -> Any:
        """What legacy returned; None where it raised or was not asked."""
        if self._line is not msgspec.UNSET:
            self._origin, self._line = msgspec.json.decode(self._line), msgspec.UNSET
        return getattr(self, "_origin", None)
