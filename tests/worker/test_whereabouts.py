"""Where an error of ours was raised, told without a word of what it says."""

import re

from ledger import Position
from worker.entries import entry_of
from worker.lane_entries import LaneEntries
from worker.whereabouts import raised_at


def test_the_line_of_ours_and_the_line_that_raised_are_named():
    """An error from within a library is found by where we called it."""
    try:
        entry_of(b"not an id", {})
    except ValueError as error:
        assert re.fullmatch(r"worker\.entries:\d+", raised_at(error))
    else:
        raise AssertionError


def test_what_a_library_raised_stands_behind_the_line_of_ours():
    """No part of a message, which may be personal, is in it."""

    def library():
        yield from ()
        raise ValueError("secret")

    try:
        LaneEntries({}, Position()).take(library())
    except ValueError as error:
        place = re.fullmatch(r"worker\.lane_entries:\d+ > (\S+):\d+", raised_at(error))
        assert place is not None
        assert place[1] == __name__
    else:
        raise AssertionError


def test_what_was_never_raised_is_nowhere():
    assert raised_at(ValueError("secret")) == ""
