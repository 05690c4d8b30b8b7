"""A live call under way, and the capture that becomes of it once the caller has gone.

On the caller's thread only snapshots are taken; putting them together is left to the daemon thread.
"""

from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from gnomon.wire import VERSION, Capture, Kind, Phase, Side, encode

if TYPE_CHECKING:
    from gnomon.operation import Binding
    from gnomon.serving import Outcome
    from gnomon.settings import ClientSettings

ENVELOPE_BYTES: Final = 512  # what a capture takes beside arguments and results, in memory and as a line


class LiveCall:
    """A live call that is captured, or served by enhanced, or both."""

    __slots__ = (
        "alone", "args", "asked", "binding", "epoch", "flags", "lane", "number", "phase", "shed", "start",
        "started_ns", "stored", "user", "willing",
    )  # fmt: skip

    def __init__(self, binding: "Binding", user: str, lane: int) -> None:
        self.binding = binding
        self.user = user
        self.lane = lane
        self.phase = Phase.SHADOW
        self.willing = False  #: whether the flags want the user inside; one who is dual against them has no patience
        self.alone = True  #: whether legacy alone is invoked
        self.stored = True  #: whether legacy may have stored a write: it did not say no on purpose
        self.shed = False  #: whether its user is shed: it goes into no lane, and a write opens the user's gap
        self.args: msgspec.Raw | None = None
        self.number = 0  #: its number in this process; 0: not captured
        self.epoch = self.flags = self.start = self.started_ns = 0
        self.asked: list[Outcome] = []

    def move(self, phase: Phase, *, willing: bool) -> None:
        """Make it the call of a user in `phase`."""
        self.phase = phase
        self.willing = willing
        self.alone = phase is Phase.SHADOW or (phase is Phase.DUAL and self.binding.kind is not Kind.WRITE)

    @property
    def captured(self) -> bool:
        """Whether it goes into a lane."""
        return self.number > 0


class Buffered(NamedTuple):
    """A capture on its way to its lane; `low` is what it holds the watermark to, µs."""

    live: LiveCall
    end: int
    low: int
    size_bytes: int
    legacy: Side | msgspec.UnsetType
    enhanced: Side | msgspec.UnsetType
    serving: str
    recorded: bool

    def shifted(self, by_us: int) -> "Buffered":
        """Return it as it would have been stamped by a clock that was so much ahead; its call is moved along."""
        self.live.start += by_us
        return self._replace(end=self.end + by_us, low=self.low + by_us)


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
        assert live.args is not None
        return encode(
            Capture(
                v=VERSION,
                id=capture_id(producer, live.number),
                op=live.binding.name,
                kind=live.binding.kind,
                user=live.user,
                start=live.start,
                end=item.end,
                args=live.args,
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


def capture_id(producer: str, number: int) -> str:
    """Return the idempotency key of a captured call."""
    return f"{producer}-{number}"
