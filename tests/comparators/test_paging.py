import pytest

from comparators import Call

FULL = Call("ann", {"limit": 10}, None)


def recent(told, legacy, enhanced, call=FULL):
    return told("memory.recent", legacy, enhanced, call=call)


@pytest.mark.parametrize("lost", [0, 4, 9])
def test_what_a_loss_pulls_in_is_not_told(told, page, copied, lost):
    """On a full page an older memory takes the place of a lost one: exactly one loss, even of the last."""
    memories = page(11)
    enhanced = copied(memories)
    del enhanced[lost]
    assert recent(told, memories[:10], enhanced) == ("diverged", [("lost", "critical", f"$[{lost}]")])


def test_what_an_insertion_pushes_out_is_not_told(told, page):
    """The mirror: exactly one addition."""
    memories = page(11)
    assert recent(told, memories[1:], memories[:10]) == ("diverged", [("added", "major", "$[0]")])


def test_two_losses_pull_in_two(told, page):
    """As many as were lost."""
    memories = page(12)
    enhanced = [memory for index, memory in enumerate(memories) if index not in (2, 5)]
    losses = [("lost", "critical", "$[2]"), ("lost", "critical", "$[5]")]
    assert recent(told, memories[:10], enhanced) == ("diverged", losses)


def test_a_loss_above_the_edge_is_never_excused(told, page, copied):
    """A memory lost in the middle and a strange one at the head are both told."""
    memories = page(11)
    enhanced = [memories[0], *copied(memories[1:5]), *copied(memories[6:])]
    told_both = [("lost", "critical", "$[4]"), ("added", "major", "$[0]")]
    assert recent(told, memories[1:], enhanced) == ("diverged", told_both)


def test_a_page_that_is_not_full_excuses_nothing(told, page):
    """With another limit, or without one, every difference is told."""
    memories = page(11)
    enhanced = memories[:4] + memories[5:]
    for call in (Call("ann", {"limit": 20}, None), Call("ann", {}, None), None):
        assert len(recent(told, memories[:10], enhanced, call)[1]) == 2


def test_without_times_nothing_is_excused(told, page):
    """Which of two memories came over the edge only their times can tell."""
    memories = [{**memory, "created_at": None} for memory in page(11)]
    assert len(recent(told, memories[:10], memories[:4] + memories[5:])[1]) == 2


def test_a_wholly_different_page_excuses_nothing(told, page):
    """Without a single pair there is no edge."""
    assert len(recent(told, page(20)[:10], page(20)[10:])[1]) == 20


def test_a_leak_in_the_place_of_a_lost_memory_hides_nothing(told, page, copied):
    """On a full page another user's memory is told, and so is the one that is missing: no edge is left to look for."""
    enhanced = copied(page(10))
    enhanced[4] = {**page(1, user="ben")[0], "id": "b1"}
    told_both = [("leak", "critical", "$[4]"), ("lost", "critical", "$[4]")]
    assert recent(told, page(10), enhanced) == ("diverged", told_both)
