"""The usual live call: legacy alone answers it, it is captured, and its user's phase is known.

Between two live calls caches grow cold, and then each step costs more than what it does. So what such a call needs lies
together on a `Board`, and it takes two steps of ours: `Way.begin` before legacy is called, `Way.end` after it returned.
Whatever is not usual about a call takes the long way, through `gnomon.tap`, which comes to the same.

There are two makes of this: the one below, and the same in C (`_usual.c`), which takes a fraction of the time and is
there where a compiler was at hand when gnomon was installed. `GNOMON_COMPILED=off` does without it.
"""

import itertools
import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from time import monotonic_ns
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from gnomon.flags import LONGEST_USER, StoredFlags
from gnomon.live_call import ENVELOPE_BYTES
from gnomon.wire import Phase

if TYPE_CHECKING:
    from gnomon.operation import Binding
    from gnomon.tap import Tap

FAR: Final = 2**63 - 1  #: later than everything, and more
MOST_PHASES: Final = 32_768  # 5 MB of users; whoever is not among them costs what a decision does


class Board:
    """What a usual call looks at and what it changes, in one place; one for a process.

    Looked at without a lock: `open`, whether captures are taken; `quiet`, whether everybody is in shadow; `phases`, in
    which phase users were found, by flag: in shadow or dual, forgotten whenever one might have moved; `known`, whether
    flags were ever read; `shedding`, whether anybody is shed; `stored`, the flags that a capture is stamped with;
    `left`, whether this is the child of the process that it was of. Changed under `lock`: the clock (`offset_us`,
    `last_us`, `shifted_ns`, as `AlignedClock` has them), what waits (`items`; `captures` and `size_bytes` with what is
    taken and not yet acknowledged; `low`, the lowest mark of `items`), and writes in flight by number.
    """

    __slots__ = (
        "captures", "items", "known", "largest", "last_us", "left", "lock", "low", "max_bytes", "max_captures",
        "numbers", "offset_us", "open", "phases", "quiet", "shedding", "shifted_ns", "size_bytes", "stored", "writes",
    )  # fmt: skip

    stored: StoredFlags

    def __init__(
        self,
        *,
        lock: threading.Lock,
        numbers: Iterator[int],
        max_captures: int,
        max_bytes: int,
        largest: int,
    ) -> None:
        self.open = self.quiet = self.known = self.shedding = self.left = False
        self.phases: dict[str, dict[str, Phase]] = {}
        self.lock = lock
        self.numbers = numbers
        self.items: list[Any] = []
        self.writes: dict[int, Any] = {}
        self.offset_us = self.last_us = self.shifted_ns = self.captures = self.size_bytes = 0
        self.low = FAR
        self.max_captures = max_captures
        self.max_bytes = max_bytes
        self.largest = largest


class Mark(msgspec.Struct, eq=False, gc=False):
    """A usual call under way, and what waits of it once it is over; arguments and answer as JSON."""

    way: "Way"
    user: str
    stored: StoredFlags
    phase: Phase
    args: bytes  #: in their order, without names
    number: int
    started_ns: int = 0
    start: int = 0
    answer: bytes | None = None
    ended_ns: int = 0
    end: int = 0
    low: int = 0
    size_bytes: int = 0


class Way:
    """The usual way of one operation in one process."""

    __slots__ = (
        "_current", "_defaults", "_encode_args", "_encode_value", "_flag", "_parameters", "_user_at", "_writes",
        "binding", "board", "lanes", "tap",
    )  # fmt: skip

    def __init__(
        self,
        *,
        board: Board,
        binding: "Binding",
        tap: "Tap",
        parameters: tuple[str, ...],
        defaults: tuple[Any, ...],
        user_at: int,
        writes: bool,
        flag: str | None,
        lanes: int,
        encode_args: Callable[[Any], bytes],
        encode_value: Callable[[Any], bytes],
        current: ContextVar[Any],
        shadow: Phase,
    ) -> None:
        assert shadow is Phase.SHADOW  # C is told what stands for it
        self.board = board
        self.binding = binding
        self.tap = tap
        self.lanes = lanes
        self._parameters = parameters
        self._defaults = defaults  # of the last parameters
        self._user_at = user_at
        self._writes = writes
        self._flag = flag  # None: nobody is ever elsewhere than in shadow
        self._encode_args = encode_args
        self._encode_value = encode_value
        self._current = current

    def begin(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Mark | None:
        """Take the snapshot of the arguments, number the call and stamp its start; None for what is not usual."""
        board = self.board
        stored = board.stored  # before what is decided by it: it may be newer than what the call is stamped with
        if not board.open or board.shedding or (self._writes and not board.known):
            return None
        every = args if not kwargs and len(args) == len(self._parameters) else self._in_order(args, kwargs)
        if every is None or type(user := every[self._user_at]) is not str or not 0 < len(user) <= LONGEST_USER:
            return None
        phase: Phase | None = Phase.SHADOW
        if not board.quiet and self._flag is not None:
            phase = board.phases.get(self._flag, {}).get(user)
        if phase is None or (self._writes and phase is not Phase.SHADOW):  # a write of who is dual goes to both sides
            return None
        if self._current.get(None) is not None:  # an enhanced callable calls
            return None
        try:
            mark = Mark(self, user, stored, phase, self._encode_args(every), next(board.numbers))
        except Exception:  # the long way says what is wrong with it
            return None
        if self._writes:
            self._hold(mark)
        else:
            mark.started_ns = monotonic_ns()
            mark.start = max(mark.started_ns // 1_000 + board.offset_us, board.last_us)
        return mark

    def _in_order(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...] | None:
        parameters, defaults = self._parameters, self._defaults
        rest = parameters[len(args) :]
        if len(args) > len(parameters) or not kwargs.keys() <= set(rest):
            return None
        filled = {**dict(zip(parameters[len(parameters) - len(defaults) :], defaults, strict=True)), **kwargs}
        return (*args, *(filled[name] for name in rest)) if all(name in filled for name in rest) else None

    def _hold(self, mark: Mark) -> None:
        """Stamp the start of a write, which holds the watermark from then on."""
        board = self.board
        with board.lock:
            mark.started_ns = monotonic_ns()
            mark.start = board.last_us = max(mark.started_ns // 1_000 + board.offset_us, board.last_us + 1)
            board.writes[mark.number] = mark

    def end(self, mark: Mark, value: object) -> bool | Exception | None:
        """Take the snapshot of what legacy returned, stamp the end, and take the capture.

        True where it is the first that waits, None for any other. False where it was not taken: for want of room, for
        its size, or because the clock was set meanwhile; the exception where the answer has no JSON form.
        """
        ended_ns, board = monotonic_ns(), self.board
        if board.left:
            return None
        mark.ended_ns = ended_ns
        try:
            mark.answer = self._encode_value(value)
        except Exception as error:
            return error
        mark.size_bytes = ENVELOPE_BYTES + len(mark.args) + len(mark.answer)
        if mark.size_bytes > board.largest:
            return False
        with board.lock:
            full = board.captures >= board.max_captures or board.size_bytes + mark.size_bytes > board.max_bytes
            if full or mark.started_ns < board.shifted_ns:
                return False
            mark.end = mark.low = board.last_us = max(ended_ns // 1_000 + board.offset_us, board.last_us + 1)
            if self._writes and board.writes.pop(mark.number, None) is not None:
                mark.low = mark.start
            board.captures += 1
            board.size_bytes += mark.size_bytes
            board.low = min(board.low, mark.low)
            board.items.append(mark)
            return True if len(board.items) == 1 else None


def remember(phases: dict[str, Phase], user: str, phase: Phase) -> None:
    """Keep the phase of a user, so that the next call takes the usual way."""
    if len(phases) >= MOST_PHASES:
        phases.clear()
    phases[user] = phase


class Make(NamedTuple):
    """One of the two makes of the usual way."""

    board: type[Board]
    way: type[Way]


PLAIN: Final = Make(Board, Way)
COMPILED: Make | None = None  #: None where it was not built
try:
    from gnomon import _usual

    COMPILED = Make(_usual.Board, _usual.Way)
except ImportError:  # no compiler was at hand, or it is of another Python
    pass


def make_of(*, compiled: bool) -> Make:
    """Return the make to be used: the compiled one where it is wanted and there."""
    return COMPILED if compiled and COMPILED is not None else PLAIN


def new_board(make: Make = PLAIN, *, max_captures: int = FAR, max_bytes: int = FAR, largest: int = FAR) -> Board:
    """Return an empty board for one process."""
    made = make.board(
        lock=threading.Lock(),
        numbers=itertools.count(1),
        max_captures=max_captures,
        max_bytes=max_bytes,
        largest=largest,
    )
    made.stored = StoredFlags()
    return made
