import random

import pytest

from comparators import Call, Observation, judge
from comparators.memories import SCHEMA
from comparators.mutations import MUTATIONS, Setting

BY_NAME = {mutation.name: mutation for mutation in MUTATIONS}
REPLY = {
    "reply": "Anna can't show Bel Air on Tuesday, it is open on March 3rd at 3 pm. It rents for $1,200.",
    "conversation_id": "c1",
    "created_at": "2026-01-05T08:00:00Z",
}
OTHER = {"id": "b1", "user_id": "ben", "memory_type": "x", "content": "Ben wants 4 beds in Hayward", "metadata": None}
OF_LISTS = ["drop", "duplicate", "swap order", "edit a field", "leak", "truncate"]
OF_REPLIES = [mutation.name for mutation in MUTATIONS if mutation.chat and mutation.harmful]
SAME = [mutation.name for mutation in MUTATIONS if not mutation.harmful]


def planted(name, value, seed=1, foreign=(OTHER,)):
    return BY_NAME[name].plant(value, Setting(random.Random(seed), SCHEMA, foreign))


def verdict(operation, value, observed):
    call = Call("ann", {"limit": 100}, "2026-03-01T00:00:00Z")
    return judge(operation, Observation.returned(value), observed, call=call).verdict


@pytest.mark.parametrize("name", [*OF_LISTS, "error"])
def test_a_fault_in_a_list_is_found_whatever_chance_picks(page, name):
    """Each of them, in a page of memories."""
    value = page()
    for seed in range(30):
        assert verdict("memory.recent", value, planted(name, value, seed)) in ("diverged", "failed")
    assert value == page()


@pytest.mark.parametrize("name", OF_REPLIES)
def test_a_fault_in_a_reply_is_found_whatever_chance_picks(name):
    """Each of them, in a reply that has everything in it."""
    for seed in range(30):
        observed = planted(name, REPLY, seed)
        assert observed.value["reply"] != REPLY["reply"]
        assert verdict("chat.send", REPLY, observed) == "diverged", observed.value
        assert planted(name, REPLY["reply"], seed).value == observed.value["reply"]


@pytest.mark.parametrize("name", SAME)
def test_what_means_the_same_raises_no_alarm(page, name):
    """In a page and in a reply, where there is something to write in another form."""
    for operation, value in (("memory.recent", page()), ("chat.send", REPLY)):
        observed = planted(name, value)
        assert observed is None or verdict(operation, value, observed) in ("match", "ignored")


@pytest.mark.parametrize("mutation", [mutation for mutation in MUTATIONS if mutation.name not in ("error", "copy")])
def test_nothing_is_planted_where_there_is_nothing_to_change(mutation):
    """An empty list, nothing at all, an empty reply."""
    for value in ([], None, {"reply": None}, 7):
        assert planted(mutation.name, value, foreign=()) is None


def test_a_day_a_name_and_a_denial_change_as_they_say():
    """And nothing else does."""
    assert planted("reply: name", "We met Anna there.").value.startswith("We met ")
    assert planted("reply: name", "You may visit on Tuesday.") is None
    assert planted("reply: negation", "They don't allow pets.").value == "They do allow pets."
    assert planted("reply: negation", "It is open.").value == "It is not open."
    assert planted("reply: negation", "Is it open?") is None
    assert planted("reply: day", "You may come in March.").value != "You may come in March."
    assert planted("reply: format", "It's at 3 pm for $1,200.").value == "It is at 15:00 for $1200."


def test_one_seed_is_one_drill(page):
    """The same choices."""
    assert planted("drop", page(), 7) == planted("drop", page(), 7)
