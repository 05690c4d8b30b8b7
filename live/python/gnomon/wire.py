"""The wire format, version 1: one capture as one line of JSON, packed by user into lane entries.

Described in `docs/wire.md`, with vectors in `live/wire/` that every client passes. Never pickle: what a lane holds is
data, whoever wrote it.
"""

import zlib
from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import Annotated, Any, Final, Literal

import msgspec

from gnomon.errors import WireError

VERSION: Final = 1
COMPRESSION_LEVEL: Final = 1  # level 6 saves 8 % more on packs of real traffic, at three times the cost
MAX_PACK_BYTES: Final = 64 * 1024 * 1024  # what one entry may decompress to: a bomb is refused, not read
_HARMLESS_BYTES: Final = (
    MAX_PACK_BYTES // 1032
)  # zlib makes nothing more than 1,032 times as large (zlib.net/zlib_tech)


class Kind(StrEnum):
    """What a live call does."""

    READ = "read"  #: looks at stored state
    WRITE = "write"  #: changes stored state; always replayed
    GENERATE = "generate"  #: has no stored side effects, costs money and varies


class Phase(StrEnum):
    """How far a user has been moved; decides which sides a live call invokes, and which one answers."""

    OFF = "off"  #: legacy alone, nothing captured
    SHADOW = "shadow"  #: legacy; enhanced in the worker
    DUAL = "dual"  #: legacy answers; writes go to both, live
    SERVED = "served"  #: enhanced answers reads and generate calls, legacy is the fallback; writes go to both
    RETIRED = "retired"  #: enhanced alone


MOMENT_LIMIT: Final = 253_402_300_799_000_000  # µs: the end of the year 9999, the last that databases take
Moment = Annotated[int, msgspec.Meta(ge=0, le=MOMENT_LIMIT)]
CaptureId = Annotated[str, msgspec.Meta(pattern=r"^[0-9A-Za-z._:-]{1,64}$")]
Name = Annotated[str, msgspec.Meta(pattern=r"^[^\x00]{1,200}$")]


class Raised(msgspec.Struct, frozen=True, omit_defaults=True):
    """An exception as data.

    `interrupted` where the call was cancelled or the process was ending; `rejected` where a write said no on purpose.
    """

    type: str
    message: str
    interrupted: bool = False
    rejected: bool = False


class Side(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What one side did live: exactly one of `returned` and `raised`, and how long it took.

    `context` is what an enhanced chat was given to draw on.
    """

    duration_us: Annotated[int, msgspec.Meta(ge=0)]
    returned: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    raised: Raised | msgspec.UnsetType = msgspec.UNSET
    context: tuple[str, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether it returned or raised, one of the two; asked of what was read, for a check costs a live call."""
        return (self.returned is msgspec.UNSET) != (self.raised is msgspec.UNSET)


class Capture(msgspec.Struct, frozen=True, omit_defaults=True):
    """One live call. `start` and `end` are µs on a clock aligned with Redis's; sides not invoked live are absent."""

    v: int
    id: CaptureId
    op: Name
    kind: Kind
    user: str
    start: Moment
    end: Moment
    args: msgspec.Raw
    epoch: Annotated[int, msgspec.Meta(ge=0, le=2**31)]
    legacy: Side | msgspec.UnsetType = msgspec.UNSET
    enhanced: Side | msgspec.UnsetType = msgspec.UNSET
    serving: Literal["legacy", "enhanced"] = "legacy"
    phase: Phase = Phase.SHADOW
    flags: int = 0
    build: str = ""
    sample: float = 1.0
    recorded: bool = False

    @property
    def order(self) -> tuple[int, str]:
        """The place of this call among all calls: its end, then its id."""
        return (self.end, self.id)


class _Header(msgspec.Struct):
    v: int


#: what encoding raises for a value that has no JSON form
NO_JSON_FORM: Final = (TypeError, ValueError, OverflowError, RecursionError)

_encoder = msgspec.json.Encoder()
# what a side returned: sets have no order of their own, so they are given one
_value_encoder = msgspec.json.Encoder(order="deterministic")
#: encodes a returned value; raises `NO_JSON_FORM`. The encoder's own method: both are called on the live path
encode_value: Final[Callable[[Any], bytes]] = _value_encoder.encode
#: encodes arguments, by name or in their order
encode_args: Final[Callable[[dict[str, Any] | tuple[Any, ...]], bytes]] = _encoder.encode
_decoder = msgspec.json.Decoder(Capture)
_header_decoder = msgspec.json.Decoder(_Header)


def encode(capture: Capture) -> bytes:
    """Encode one capture as one line, without its line end."""
    return _encoder.encode(capture)


def decode(line: bytes) -> Capture:
    """Decode one capture; raises WireError with the reason."""
    try:
        capture = _decoder.decode(line)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        raise WireError(_why_unreadable(line)) from None
    if capture.v != VERSION:
        raise WireError("unknown_version")
    legacy, enhanced = capture.legacy, capture.enhanced
    if not ((legacy is msgspec.UNSET or legacy.whole) and (enhanced is msgspec.UNSET or enhanced.whole)):
        raise WireError("malformed")
    return capture


def _why_unreadable(line: bytes) -> str:
    try:
        return "malformed" if _header_decoder.decode(line).v == VERSION else "unknown_version"
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return "malformed"


def pack(lines: Iterable[bytes]) -> bytes:
    """Pack captures of one user, as lines, into the payload of a lane entry."""
    return zlib.compress(b"\n".join(lines), COMPRESSION_LEVEL)


def unpack(payload: bytes) -> list[bytes]:
    """Return the lines of a payload; raises WireError where it is none, or would grow beyond all measure."""
    try:
        text = zlib.decompress(payload) if len(payload) <= _HARMLESS_BYTES else _decompressed(payload)
    except zlib.error:
        raise WireError("malformed") from None
    return text.split(b"\n")


def _decompressed(payload: bytes) -> bytes:
    """Decompress what may be a bomb."""
    inflater = zlib.decompressobj()
    text = inflater.decompress(payload, MAX_PACK_BYTES)
    if not inflater.eof:
        raise WireError("malformed")
    return text
