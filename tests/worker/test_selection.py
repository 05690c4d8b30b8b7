"""What of a lane may be replayed now: below the cut, in order of end, each capture once, late ones named."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gnomon.wire import Capture, Kind, Side
from ledger import Position
from worker.entries import LaneEntry, LaneItem
from worker.lane_entries import LaneEntries
from worker.selection import select


def item(end: int, user: str = "ann", name: str | None = None) -> LaneItem:
    capture = Capture(
        v=1,
        id=name or f"c-{end}",
        op="memory.save",
        kind=Kind.WRITE,
        user=user,
        start=end - 1,
        end=end,
        args=msgspec.Raw(b"{}"),
        epoch=1,
        legacy=Side(1, returned=msgspec.Raw(b"1")),
    )
    return LaneItem(capture.order, b"", capture)


def entry(number: int, *ends: int, user: str = "ann", watermark: int = 0) -> LaneEntry:
    return LaneEntry((number, 0), watermark, number * 100, tuple(item(end, user) for end in ends))


def ends(selection) -> dict[str, list[int]]:
    return {user: [due.item.order[0] for due in dues] for user, dues in selection.by_user.items()}


def test_only_what_lies_below_the_cut_is_due():
    """An entry above the watermark waits, and keeps the stream from being cut off before it."""
    selection = select([entry(1, 10), entry(2, 30), entry(3, 20)], Position(), 25)
    assert ends(selection) == {"ann": [10, 20]}
    assert selection.after == Position((3, 0), (20, "c-20"))
    assert [held.id for held in selection.held] == [(2, 0)]
    assert selection.trim == ((2, 0), 100)


def test_a_user_is_replayed_in_order_of_end():
    """Arrival does not matter: the order is that of the calls."""
    assert ends(select([entry(1, 30, 10), entry(2, 20)], Position(), 100)) == {"ann": [10, 20, 30]}


def test_a_pack_is_split_at_the_cut_and_each_part_done_once():
    """One entry, two commits: what was done with the first is not done again."""
    pack = entry(1, 10, 20)
    first = select([pack], Position(), 15)
    assert (ends(first), first.trim) == ({"ann": [10]}, None)
    second = select([replace(pack, known=True)], first.after, 25)
    assert ends(second) == {"ann": [20]}
    assert second.trim == ((1, 1), 100)


def test_behind_the_cut_is_late():
    """A newer entry below the cut could not be replayed in its place, and says so."""
    selection = select([entry(5, 10), entry(5 + 1, 40)], Position((4, 0), (30, "")), 50)
    assert {due.item.order[0]: due.late for due in selection.by_user["ann"]} == {10: True, 40: False}


def test_the_cut_never_goes_back():
    """A watermark that falls (a process joined late) does not reopen what is done."""
    assert select([], Position((4, 0), (30, "")), 10).after == Position((4, 0), (30, ""))


@given(
    st.lists(st.lists(st.integers(1, 60), min_size=1, max_size=3), max_size=12),
    st.lists(st.integers(1, 70), min_size=1, max_size=6),
    st.randoms(),
)
def test_every_capture_is_done_exactly_once(packs, cuts, random):
    """However entries arrive between drains and whatever the watermark does, nothing is lost or done twice."""
    numbered = iter(range(10_000))
    stream = [
        LaneEntry(
            (n + 1, 0), 0, n, tuple(item(end, f"u{random.randint(0, 2)}", f"c{next(numbered):05}") for end in pack)
        )
        for n, pack in enumerate(packs)
    ]
    position, done, arrived = Position(), [], 0
    for cut in [*cuts, 10**6]:
        arrived = len(stream) if cut == 10**6 else min(len(stream), arrived + random.randint(0, 4))
        entries = LaneEntries({}, position)  # each time another worker, which sees everything that was not trimmed
        entries.take(stream[:arrived])
        selection = select(entries.waiting, position, cut)
        done += [due.item.capture.id for dues in selection.by_user.values() for due in dues]
        position = selection.after
    assert sorted(done) == sorted(found.capture.id for made in stream for found in made.items)
