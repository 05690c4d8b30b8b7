"""The usual way itself, in Python and in C: what it notes, bounds, stamps, threads, and what stays in memory."""

import gc
import sys
import threading
import tracemalloc
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from gnomon.buffer import Buffer
from gnomon.calling import CURRENT
from gnomon.flags import StoredFlags
from gnomon.live_call import ENVELOPE_BYTES, buffered_of, live_of
from gnomon.operation import Binding
from gnomon.usual import Make, Way, new_board, remember
from gnomon.wire import Kind, Phase, encode_args, encode_value
from tests.gnomon.conftest import MEMORY
from tests.gnomon.test_usual import CALLS, circular, recent


def way_of(
    made_by: Make,
    *,
    kind: str = "read",
    encode_args: Callable[[Any], bytes] = encode_args,
    encode_value: Callable[[Any], bytes] = encode_value,
    **bounds: int,
) -> Way:
    """An open way with a board of its own."""
    binding = Binding(name=f"memory.{kind}", kind=Kind(kind), user="user", legacy=recent)
    board = new_board(made_by, **bounds)
    board.open = board.quiet = board.known = True
    return made_by.way(
        board=board, binding=binding, tap=None, parameters=binding.parameters, defaults=("x",), user_at=0,
        writes=binding.writes, flag=MEMORY, lanes=7,
        encode_args=encode_args, encode_value=encode_value, current=CURRENT, shadow=Phase.SHADOW,
    )  # fmt: skip


def begun(way: Way, *args: Any) -> Any:
    """Begin a call that is usual."""
    mark = way.begin(args, {})
    assert mark is not None
    return mark


def test_a_mark_says_what_the_call_was(made_by):
    """Its user, arguments, answer, number and times, and from it a call and a capture as of any other way."""
    way = way_of(made_by)
    begun(way, "bob")
    mark = begun(way, "ann", [1])
    assert way.end(mark, {"b": 1, "a": 2}) is True
    assert (mark.user, mark.args, mark.answer, mark.number) == ("ann", b'["ann",[1]]', b'{"a":2,"b":1}', 2)
    assert mark.size_bytes == ENVELOPE_BYTES + len(mark.args) + len(mark.answer)
    assert mark.started_ns <= mark.ended_ns
    live, item = live_of(mark), buffered_of(mark)
    assert (live.user, live.args, live.number, live.lanes, live.alone) == ("ann", mark.args, 2, 7, True)
    assert (live.started_ns, live.start, live.binding) == (mark.started_ns, mark.start, way.binding)
    assert (item.end, item.low, item.size_bytes, item.ended_ns) == (mark.end, mark.end, mark.size_bytes, mark.ended_ns)
    assert (live_of(live), buffered_of(item)) == (live, item)


def test_the_bounds_hold_to_the_byte(made_by):
    """The last that fits is taken, the next one refused: by count, by bytes, and by its own size."""
    size = ENVELOPE_BYTES + len(b'["ann","x"]') + len(b'"x"')
    for bounds, fit in (({"max_captures": 2}, 2), ({"max_bytes": 3 * size}, 3), ({"max_bytes": 3 * size - 1}, 2)):
        way = way_of(made_by, **bounds)
        told = [way.end(begun(way, "ann", "x"), "x") for _ in range(fit + 1)]
        assert (told, way.board.captures, way.board.size_bytes) == ([True, *[None] * (fit - 1), False], fit, fit * size)
    assert way_of(made_by, largest=size).board.largest == size
    for largest, expected in ((size, True), (size - 1, False)):
        way = way_of(made_by, largest=largest)
        assert way.end(begun(way, "ann", "x"), "x") is expected


@pytest.mark.parametrize("error", [KeyboardInterrupt, RecursionError])
def test_only_what_ends_the_program_gets_through(made_by, error):
    """A signal while something is written down is the caller's; an error of ours or of a value is not."""

    def broken(_: object) -> bytes:
        raise error

    way, ending = way_of(made_by, encode_args=broken), way_of(made_by, encode_value=broken)
    if error is KeyboardInterrupt:
        for call in (lambda: way.begin(("ann",), {}), lambda: ending.end(begun(ending, "ann"), "x")):
            with pytest.raises(KeyboardInterrupt):
                call()
    else:
        assert way.begin(("ann",), {}) is None
        assert isinstance(ending.end(begun(ending, "ann"), "x"), error)


def test_a_call_is_stamped_with_the_flags_that_it_was_routed_by(made_by):
    """Not with those that come while its arguments are written down: who acknowledged them may act upon it."""
    before = StoredFlags(version=1)

    def slow(args: object) -> bytes:
        way.board.stored, way.board.phases = StoredFlags(version=2), {}
        return encode_args(args)

    way = way_of(made_by, encode_args=slow)
    way.board.quiet, way.board.stored, way.board.phases = False, before, {MEMORY: {"ann": Phase.DUAL}}
    mark = begun(way, "ann")
    assert (mark.stored, mark.phase, live_of(mark).flags) == (before, Phase.DUAL, 1)
    assert way.begin(("ann",), {}) is None


def test_no_more_phases_are_remembered_than_there_is_room_for(monkeypatch):
    """Then all are forgotten but the last: each costs one decision."""
    monkeypatch.setattr("gnomon.usual.MOST_PHASES", 2)
    phases: dict[str, Phase] = {}
    for user in ("ann", "bob", "cy"):
        remember(phases, user, Phase.SHADOW)
    assert phases == {"cy": Phase.SHADOW}


def test_a_write_holds_the_watermark_until_it_is_over(made_by):
    """From its start; one that was let go meanwhile holds nothing any more."""
    way = way_of(made_by, kind="write")
    buffer = Buffer(way.board)
    mark = begun(way, "ann")
    assert buffer.low_watermark(None) == mark.start
    assert way.end(mark, None) is True
    assert (mark.low, way.board.low, buffer.writing) == (mark.start, mark.start, False)
    buffer.take()
    late = begun(way, "ann")
    way.board.writes.clear()
    way.end(late, None)
    assert late.low == late.end > late.start


def test_a_clock_that_was_set_meanwhile_is_seen_to(made_by):
    """The stamps are of another time: the long way makes them anew."""
    way = way_of(made_by)
    mark = begun(way, "ann")
    way.board.shifted_ns = mark.started_ns + 1
    assert way.end(mark, "x") is False
    assert (way.board.items, mark.answer) == ([], b'"x"')


def test_nothing_starts_before_what_was_stamped_last(made_by):
    """Also where the clock was set back: a read would seem to have begun before the write that it follows ended."""
    for kind in ("read", "write"):
        way = way_of(made_by, kind=kind)
        way.board.last_us = far = 2**60
        mark = begun(way, "ann")
        assert mark.start - far == (1 if kind == "write" else 0)
        way.end(mark, None)
        assert mark.end == way.board.last_us > far


@pytest.fixture
def restless() -> Iterator[None]:
    """Have the interpreter change threads as often as it can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("restless")
@pytest.mark.parametrize("kind", ["read", "write"])
def test_threads_lose_and_double_nothing_and_no_watermark_is_broken(made_by, kind):
    """Eight threads call, one takes: every call is there once, and nothing comes in below a watermark told before."""
    way, calls, threads = way_of(made_by, kind=kind), 2_000, 8
    buffer = Buffer(way.board)
    seen: list[Any] = []
    told = 0

    def work(number: int) -> None:
        for turn in range(calls):
            way.end(begun(way, f"{number}", turn), turn)

    workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    while any(worker.is_alive() for worker in workers) or buffer.waiting:
        watermark = buffer.low_watermark(None)
        items = buffer.take().items
        buffer.acknowledge(len(items), sum(item.size_bytes for item in items))
        assert told <= min((item.low for item in items), default=told)
        told = max(told, watermark)
        seen += items
    assert len({item.live.number for item in seen}) == len({item.end for item in seen}) == len(seen) == calls * threads
    assert Counter(item.live.user for item in seen) == {f"{number}": calls for number in range(threads)}
    assert (buffer.idle, buffer.writing, buffer.size_bytes) == (True, False, 0)
    assert buffer.answered()[f"memory.{kind}"].calls == calls * threads


def failing(made_by: Make) -> None:
    """Go through every end that a call can come to."""
    for kind in ("read", "write"):
        way = way_of(made_by, kind=kind, max_captures=2, largest=2_000)
        for args, kwargs in CALLS.values():
            way.begin(args, kwargs)
        for value in ("x", circular(), object(), "x" * 3_000, {"x": [1]}, "x"):
            way.end(begun(way, "ann"), value)
        way.board.left = True
        way.end(begun(way, "ann"), "x")
        way.board.writes.clear()
        Buffer(way.board).take()  # who waits is known to no garbage collector


def test_nothing_of_a_call_stays_in_memory(made_by):
    """Not after a thousand times everything that can come of one."""
    failing(made_by)
    tracemalloc.start()
    try:
        failing(made_by)
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(200):
            failing(made_by)
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 20_000


def test_a_way_and_its_board_can_be_forgotten(made_by):
    """Though each holds what holds it: the garbage collector walks through both."""

    class Holder:
        """Stands for what a client is to its ways."""

    holder = Holder()
    way = way_of(made_by)
    way.board.stored = holder  # type: ignore[assignment]
    holder.way = way  # type: ignore[attr-defined]
    gone = weakref.ref(holder)
    del holder, way
    gc.collect()
    assert gone() is None
