"""What a write overlapped or superseded, checked against looking at every pair of a call and a write."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.wire import Capture, Kind, Phase, Side
from ledger import Position
from worker.entries import LaneEntry, LaneItem
from worker.overlaps import LONGEST_US, DoneWrites, Overlaps, Span, producer_of
from worker.selection import select, with_fairness

RAW = msgspec.Raw(b"1")
SIDE = Side(1, returned=RAW)
MOMENTS = st.integers(0, 60)
START = Position()
PRODUCERS = st.sampled_from(["a", "b", ""])


def capture(start: int, end: int, *, kind=Kind.READ, producer="a", number=1, **more) -> Capture:
    made = {"v": 1, "op": "note.op", "user": "ann", "args": RAW, "epoch": 1, "legacy": SIDE}
    name = f"{producer}-{number}" if producer else f"n{number}"
    return Capture(id=name, kind=kind, start=start, end=end, **{**made, **more})


def spans(draw_from) -> st.SearchStrategy[list[Span]]:
    pairs = st.tuples(draw_from, draw_from).map(sorted)
    return st.lists(st.builds(lambda pair, p, dual: Span(*pair, p, dual), pairs, PRODUCERS, st.booleans()), max_size=12)


@given(spans(MOMENTS), MOMENTS, MOMENTS, PRODUCERS, st.integers(0, 5))
def test_concurrent_is_any_overlap_widened_between_clocks(found, one, other, producer, error_us):
    """As if every write were looked at; a call whose process is unknown shares its clock with nobody."""
    call = capture(min(one, other), max(one, other), producer=producer)

    def slack(span: Span) -> int:
        return 0 if span.producer and span.producer == producer else error_us

    expected = any(s.start < call.end + slack(s) and s.end > call.start - slack(s) for s in found)
    assert Overlaps(found, error_us).concurrent(call) is expected


@given(spans(MOMENTS), MOMENTS, MOMENTS, MOMENTS, st.booleans())
def test_superseded_is_any_write_that_counts_between_call_and_replay(found, one, other, replayed, served):
    """Any write where legacy is replayed, those of users who were dual where enhanced is."""
    sides = {"legacy": msgspec.UNSET, "enhanced": SIDE} if served else {}
    call = capture(min(one, other), max(one, other), **sides)
    expected = any(s.start < replayed and s.end > call.start for s in found if served or s.dual)
    assert Overlaps(found, 0).superseded(call, replayed) is expected


@given(spans(MOMENTS), spans(MOMENTS), MOMENTS, MOMENTS)
def test_more_writes_never_make_a_call_fairer(found, more, one, other):
    """Knowing more can only exclude more."""
    call = capture(min(one, other), max(one, other))
    assert Overlaps(found, 2).concurrent(call) <= Overlaps(found + more, 2).concurrent(call)


def test_a_call_of_more_than_a_minute_is_concurrent_by_itself():
    """Nobody remembers the writes of its beginning."""
    assert Overlaps([], 0).concurrent(capture(0, LONGEST_US + 1))
    assert not Overlaps([], 0).concurrent(capture(0, LONGEST_US))


def test_touching_in_one_process_is_no_overlap():
    """One clock orders the two; two clocks cannot."""
    before, after = Span(0, 10, "a"), Span(20, 30, "a")
    assert not Overlaps([before, after], 5).concurrent(capture(10, 20))
    assert Overlaps([before], 5).concurrent(capture(10, 20, producer="b"))


@pytest.mark.parametrize(("name", "producer"), [("a1b2-17", "a1b2"), ("a-b-17", "a-b"), ("17", ""), ("", "")])
def test_a_captures_process_is_in_its_id(name, producer):
    """Everything before the number."""
    assert producer_of(name) == producer


@pytest.mark.parametrize(
    ("more", "dual"),
    [
        ({}, False),
        ({"phase": Phase.DUAL}, True),
        ({"phase": Phase.SERVED}, True),
        ({"enhanced": SIDE}, True),
    ],
    ids=["shadow", "dual, enhanced not asked", "served", "enhanced asked"],
)
def test_a_write_of_a_dual_user_may_reach_enhanced_by_itself(more, dual):
    """Live, or by a repair that does not wait for the lane."""
    assert Span.of(capture(1, 2, kind=Kind.WRITE, **more)).dual is dual


def test_done_writes_are_remembered_by_user_and_process():
    """The latest of each; more of them than are worth keeping are forgotten by age."""
    done = DoneWrites({("d1", "a"): 10, ("d1", "b"): 12})
    done.add({("d1", "a"): 20, ("d2", "a"): 5}, 0)
    done.add({("d1", "a"): 15}, 0)
    assert sorted((span.end, span.producer) for span in done.spans("d1")) == [(12, "b"), (20, "a")]
    done.add({(f"u{n}", "a"): 3 for n in range(5_000)}, 4)
    assert [len(done.spans(digest)) for digest in ("d1", "d2", "u1")] == [2, 1, 0]


# --- in a lane


def entry(number: int, *captures: Capture, watermark: int = 0) -> LaneEntry:
    items = tuple(LaneItem(one.order, b"", one) for one in captures)
    return LaneEntry((number, 0), watermark, number, items, "d")


def unfair(entries: list[LaneEntry], cut: int, before: Position = START, done: tuple[Span, ...] = ()):
    selection = select(entries, before, cut)
    known = {"ann": [i.capture for e in entries for i in e.items if i.capture.kind is Kind.WRITE]}
    marked = with_fairness(selection, known, {"ann": done}, error_us=0, now_us=1_000)
    return {due.item.capture.id: due.unfair for due in marked.by_user.get("ann", [])}


@given(
    st.lists(st.tuples(st.booleans(), MOMENTS, MOMENTS), max_size=10),
    st.lists(st.integers(1, 70), max_size=4),
)
def test_however_a_lane_is_cut_the_same_calls_are_concurrent(calls, cuts):
    """Cut into batches at any watermarks, each known to what was appended by then: as if all were seen at once."""
    made = [
        capture(min(a, b), max(a, b) + 1, kind=Kind.WRITE if write else Kind.READ, number=n)
        for n, (write, a, b) in enumerate(calls)
    ]
    whole = unfair([entry(n + 1, one) for n, one in enumerate(made)], 1_000)
    position, found, done = Position(), {}, DoneWrites({})
    for cut in [*sorted(cuts), 1_000]:
        # a live process has appended what ended below its watermark, and each write that began below it
        there = [one for one in made if (one.start if one.kind is Kind.WRITE else one.end) <= cut]
        entries = [entry(made.index(one) + 1, one) for one in there if one.order > position.cut]
        selection = select(entries, Position((0, 0), position.cut), cut)
        found |= unfair(entries, cut, Position((0, 0), position.cut), tuple(done.spans("d")))
        dues = [due.item.capture for due in selection.by_user.get("ann", [])]
        done.add(
            {("d", "a"): max(w.end for w in dues if w.kind is Kind.WRITE)}
            if any(w.kind is Kind.WRITE for w in dues)
            else {},
            0,
        )
        position = selection.after
    assert found == whole


def test_a_write_above_the_cut_makes_a_call_below_it_concurrent():
    """It has begun, and is in the lane or holds the watermark."""
    read, write = capture(10, 20), capture(15, 40, kind=Kind.WRITE, number=2)
    assert unfair([entry(1, read), entry(2, write)], 25) == {"a-1": "concurrent"}


def test_a_write_of_an_earlier_batch_makes_a_call_concurrent():
    """It was trimmed long ago, and is remembered."""
    read = capture(10, 30)
    assert unfair([entry(2, read)], 35, Position((1, 0), (15, "a-0")), (Span(15, 15, "a"),)) == {"a-1": "concurrent"}


def test_a_served_read_is_superseded_by_what_is_known_already():
    """Then legacy need not be asked at all."""
    served = {"legacy": msgspec.UNSET, "enhanced": SIDE, "serving": "enhanced"}
    read, write = capture(10, 20, **served), capture(25, 30, kind=Kind.WRITE, number=2)
    assert unfair([entry(1, read), entry(2, write)], 22) == {"a-1": "superseded"}


def test_a_fallback_is_never_superseded():
    """Both sides answered live: nothing is replayed."""
    read = capture(10, 20, enhanced=SIDE, phase=Phase.SERVED)
    write = capture(25, 30, kind=Kind.WRITE, number=2, enhanced=SIDE)
    assert unfair([entry(1, read), entry(2, write)], 40) == {"a-1": "", "a-2": ""}


def test_writes_are_never_unfair():
    """They are judged by their own outcome."""
    one, other = capture(10, 20, kind=Kind.WRITE), capture(15, 40, kind=Kind.WRITE, number=2)
    assert unfair([entry(1, one), entry(2, other)], 50) == {"a-1": "", "a-2": ""}
