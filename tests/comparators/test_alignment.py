import time

import pytest

from comparators.alignment import Entry, align


def entries(text):
    """Make entries of "content" or "content:identity" words."""
    split = [word.partition(":") for word in text.split()]
    return [Entry(content.encode(), identity.encode() or None) for content, _, identity in split]


def aligned(legacy, enhanced, alike=lambda i, j: True):
    found = align(entries(legacy), entries(enhanced), alike)
    return [*found.pairs], [*found.lost], [*found.added]


@pytest.mark.parametrize(
    ("legacy", "enhanced", "expected"),
    [
        ("a b c", "a b c", ([(0, 0), (1, 1), (2, 2)], [], [])),
        ("a b c", "a c", ([(0, 0), (2, 1)], [1], [])),
        ("a c", "a b c", ([(0, 0), (1, 2)], [], [1])),
        ("a b c", "c a b", ([(0, 1), (1, 2), (2, 0)], [], [])),
        ("", "a", ([], [], [0])),
    ],
)
def test_equal_contents_are_partners(legacy, enhanced, expected):
    """Wherever they stand; one lost or added leaves the others paired."""
    assert aligned(legacy, enhanced) == expected


def test_repeated_contents_count():
    """Of three equal items against two exactly one is left over, the one at its place."""
    assert aligned("a b a", "a b") == ([(0, 0), (1, 1)], [2], [])
    assert aligned("a b a", "b a") == ([(1, 0), (2, 1)], [0], [])
    assert aligned("a:1 x a:2 b a:3 y", "y a:1 b a:3 x")[1:] == ([2], [])


def test_edits_are_paired_by_identity():
    """The identity finds an edited item wherever it moved."""
    assert aligned("a:1 b:2 c:3", "c:3 B:2 A:1") == ([(0, 2), (1, 1), (2, 0)], [], [])


def test_a_shared_identity_also_tells_records_apart():
    """Another identity at the same place is one lost and one added, not an edit."""
    assert aligned("a:1 b:2", "a:1 c:3") == ([(0, 0)], [1], [1])


def test_identities_of_two_numberings_pair_nothing():
    """Where equal contents bear other identities, each side numbers by itself: one loss stays one loss."""
    assert aligned("a:1 b:2 c:3 d:4", "a:1 c:2 d:3") == ([(0, 0), (2, 1), (3, 2)], [1], [])


def test_edits_without_identity_are_paired_between_the_same_neighbours():
    """As many on either side, and alike; otherwise they are lost and added."""
    assert aligned("a b c", "a B c") == ([(0, 0), (1, 1), (2, 2)], [], [])
    assert aligned("a b c", "a B c", alike=lambda i, j: False) == ([(0, 0), (2, 2)], [1], [1])
    assert aligned("a b c d", "a B d") == ([(0, 0), (3, 2)], [1, 2], [1])


def test_a_repeat_is_no_edit_of_its_neighbour():
    """What repeats an item that the other side has is a duplicate, not what became of the missing one."""
    assert aligned("a b c", "a c c") == ([(0, 0), (2, 2)], [1], [1])


def test_aligning_is_linear():
    """Twenty thousand repeated, moved and edited items are aligned in well under a second."""
    legacy = " ".join(f"c{number % 700}:{number}" for number in range(20_000))
    enhanced = " ".join(f"c{number % 701}:{number}" for number in range(20_000, 0, -1))
    started = time.thread_time()
    aligned(legacy, enhanced)
    assert time.thread_time() - started < 1
