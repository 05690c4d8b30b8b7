"""A live call under way, and the capture that becomes of it once the caller has gone.

On the caller's thread only snapshots are taken; putting them together is left to the daemon thread.
"""

from typing import TYPE_CHECKING, Final

import msgspec

from gnomon.flags import LONGEST_USER
from gnomon.hashing import LANE_SALT, lane_of, stable_hash
from gnomon.wire import VERSION, Capture, Kind, Phase, Side, encode, encode_args

if TYPE_CHECKING:
    from gnomon.operation import Binding
    from gnomon.serving import Outcome
    from gnomon.settings import ClientSettings
    from gnomon.usual import Mark

_in_order = msgspec.json.Decoder(list[msgspec.Raw])

ENVELOPE_BYTES: Final = 512  # what a capture takes beside arguments and results, in memory and as a line


class LiveCall(msgspec.Struct, eq=False, gc=False):
    """A live call that is captured, or served by enhanced, or both.

    A struct, like all that is made on the caller's thread: it takes a third of the time where caches are cold, and the
    garbage collector need not walk through what waits in the buffer. `asked` is emptied when the call is over, for an
    outcome may hold an exception that holds this call.
    """

    binding: "Binding"
    user: str
    lanes: int  #: how many there are
    epoch: int = 0
    flags: int = 0
    args: bytes | msgspec.Raw | None = None  #: by name, as JSON has them; as bytes: in their order, without names
    number: int = 0  #: its number in this process; 0: not captured
    started_ns: int = 0
    start: int = 0
    phase: Phase = Phase.SHADOW
    willing: bool = False  #: whether the flags want the user inside; one who is dual against them has no patience
    alone: bool = True  #: whether legacy alone is invoked
    stored: bool = True  #: whether legacy may have stored a write: it did not say no on purpose
    shed: bool = False  #: whether its user is shed: it goes into no lane, and a write opens the user's gap
    asked: "tuple[Outcome, ...]" = ()

    @property
    def lane(self) -> int:
        """The lane that it goes to; worked out only when asked for, which is seldom on the caller's thread."""
        if len(self.user) > LONGEST_USER:
            return stable_hash(LANE_SALT, self.user, self.lanes)  # remembered nowhere
        return lane_of(self.user, self.lanes)

    def move(self, phase: Phase, *, willing: bool) -> None:
        """Make it the call of a user in `phase`."""
        self.phase = phase
        self.willing = willing
        self.alone = phase is Phase.SHADOW or (phase is Phase.DUAL and self.binding.kind is not Kind.WRITE)

    @property
    def served(self) -> bool:
        """Whether enhanced is to answer it; the answer to a write is legacy's."""
        return self.phase is Phase.SERVED and self.binding.kind is not Kind.WRITE

    @property
    def captured(self) -> bool:
        """Whether it goes into a lane."""
        return self.number > 0


class Buffered(msgspec.Struct, frozen=True, eq=False, gc=False):
    """A capture on its way to its lane; `low` is what it holds the watermark to, µs.

    What legacy alone returned is kept as JSON, with the moment at which it did: whatever is made on the caller's thread
    costs the caller, and an observation can be made of it later.
    """

    live: LiveCall
    end: int
    low: int
    size_bytes: int
    answer: (
        Side | msgspec.UnsetType | bytes
    )  #: what came of it at legacy's side; as bytes: the JSON of what it returned
    ended_ns: int = 0
    enhanced: Side | msgspec.UnsetType = msgspec.UNSET
    serving: str = "legacy"
    recorded: bool = False

    @property
    def legacy(self) -> Side | msgspec.UnsetType:
        """What came of it at legacy's side."""
        if isinstance(self.answer, bytes):
            return Side((self.ended_ns - self.live.started_ns) // 1_000, msgspec.Raw(self.answer))
        return self.answer

    def shifted(self, by_us: int, unsure_us: int = 0) -> "Buffered":
        """Return it as it would have been stamped by a clock that was so much ahead; its call is moved along.

        `unsure_us`: how far off it may seem beside what others appended by the clock of before. It begins so much
        earlier then, so that nobody takes it to have come before or after that.
        """
        self.live.start += by_us - unsure_us
        return msgspec.structs.replace(self, end=self.end + by_us, low=self.low + by_us - unsure_us)


def live_of(call: "LiveCall | Mark") -> LiveCall:
    """Return a usual call as any other; another one as it is."""
    if isinstance(call, LiveCall):
        return call
    stored, way = call.stored, call.way
    return LiveCall(
        way.binding,
        call.user,
        way.lanes,
        stored.epoch,
        stored.version,
        call.args,
        call.number,
        call.started_ns,
        call.start,
        call.phase,
    )


def buffered_of(call: "Buffered | Mark") -> Buffered:
    """Return what waits of a usual call as of any other; of another one as it is."""
    if isinstance(call, Buffered):
        return call
    assert call.answer is not None
    return Buffered(live_of(call), call.end, call.low, call.size_bytes, call.answer, call.ended_ns)


class Scribe:
    """Writes captures as lines, in the name of one producer."""

    def __init__(self, settings: "ClientSettings") -> None:
        self._build = settings.build
        self._sample = settings.sample

    def rate_of(self, binding: "Binding") -> float:
        """Return the sampling rate in force for an operation."""
        if binding.kind is Kind.WRITE:
            return 1.0
        return binding.sample if self._sample is None else self._sample

    def line(self, producer: str, item: Buffered) -> bytes:
        """Return one capture as one line; raises what `wire.NO_JSON_FORM` holds."""
        live = item.live
        return encode(
            Capture(
                v=VERSION,
                id=capture_id(producer, live.number),
                op=live.binding.name,
                kind=live.binding.kind,
                user=live.user,
                start=live.start,
                end=item.end,
                args=_named(live),
                epoch=live.epoch,
                legacy=item.legacy,
                enhanced=item.enhanced,
                serving=item.serving,  # type: ignore[arg-type]  # one of the two, as System spells them
                phase=live.phase,
                flags=live.flags,
                build=self._build,
                sample=self.rate_of(live.binding),
                recorded=item.recorded,
            )
        )


def _named(live: LiveCall) -> msgspec.Raw:
    """Return the arguments by name."""
    args = live.args
    assert args is not None
    if isinstance(args, msgspec.Raw):
        return args
    return msgspec.Raw(encode_args(dict(zip(live.binding.parameters, _in_order.decode(args), strict=True))))


def capture_id(producer: str, number: int) -> str:
    """Return the idempotency key of a captured call."""
    return f"{producer}-{number}"
