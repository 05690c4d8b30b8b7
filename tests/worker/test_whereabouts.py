"""Where an error of ours was raised, told without a word of what it says."""

import re

import pytest

from ledger import Position
from worker.entries import entry_of
from worker.lane_entries import LaneEntries
from worker.whereabouts import raised_at


def test_the_line_of_ours_that_raised_is_named():
    """As the last that was at work."""
    with pytest.raises(ValueError, match="not an id") as caught:
        entry_of(b"not an id", {})
    assert re.fullmatch(r"worker\.entries:\d+", raised_at(caught.value))


def test_what_a_library_raised_stands_behind_the_line_of_ours():
    """No part of a message, which may be personal, is in it."""

    def library():
        yield from ()
        raise ValueError("secret")

    with pytest.raises(ValueError, match="secret") as caught:
        LaneEntries({}, Position()).take(library())
    place = re.fullmatch(r"worker\.lane_entries:\d+ > (\S+):\d+", raised_at(caught.value))
    assert place is not None
    assert place[1] == __name__


def test_what_was_never_raised_is_nowhere():
    """It has no line to be found by."""
    assert raised_at(ValueError("secret")) == ""
