"""The examples that stand on the memory systems: the built-in traffic, and the variants with a planted fault."""

import importlib
import json
from collections import Counter, defaultdict
from datetime import datetime
from itertools import islice

import pytest

from examples.traffic import conversations
from examples.variants.demo_defect import LosesCurrency
from examples.variants.drops_every_50th import EVERY, DropsEvery50th

ARGUMENTS = {
    "memory.save": {"memory_type", "content", "metadata"},
    "memory.recent": {"memory_type", "limit"},
    "chat.send": {"message", "conversation_id"},
}


def play(systems, enhanced, entries):
    """Yield each read of `entries` as legacy and `enhanced` answer it, after the saves before it."""
    for entry in entries:
        user, args = entry["user_id"], entry["args"]
        if entry["operation"] == "memory.save":
            systems.save(user, **args)
        elif entry["operation"] == "memory.recent":
            yield entry, systems.legacy.get_recent_memories(user, **args), enhanced.get_recent_memories(user, **args)


def dropped_by_count(entries):
    """Yield for each read how many memories are dropped of it, from nothing but the traffic."""
    types = defaultdict(list)
    for entry in entries:
        of_user, args = types[entry["user_id"]], entry["args"]
        if entry["operation"] == "memory.save":
            of_user.append(args["memory_type"])
        elif entry["operation"] == "memory.recent":
            wanted = [place for place, kind in enumerate(of_user, 1) if args["memory_type"] in {None, kind}]
            yield sum(place % EVERY == 0 for place in wanted[-args["limit"] :])


def test_traffic_is_as_a_traffic_file():
    """Each entry has a time, an operation, a user and just the operation's arguments, all of them JSON."""
    for entry in conversations(40, 10):
        assert list(entry) == ["at", "operation", "user_id", "args"]
        assert ARGUMENTS[entry["operation"]] == entry["args"].keys()
        assert datetime.fromisoformat(entry["at"]).tzinfo
        assert entry == json.loads(json.dumps(entry))


def test_traffic_is_the_same_every_time():
    """Two runs yield the same calls; a shorter one the beginning of a longer one with as many users."""
    first = list(conversations(40, 10))
    assert first == list(conversations(40, 10))
    assert first[:100] == list(islice(conversations(80, 10), 100))


def test_traffic_is_like_an_applications():
    """The default: some hundred conversations of users who come back, in order of time, names of many scripts."""
    entries = list(conversations())
    users, talks, last = set(), Counter(), ""
    for entry in entries:
        assert entry["at"] > last
        last = entry["at"]
        users.add(entry["user_id"])
        if entry["operation"] == "chat.send":
            talks[entry["args"]["conversation_id"]] += 1
    assert (len(users), len(talks)) == (60, 300)
    assert 12 <= len(entries) / 300 <= 20
    assert any(not user.isascii() for user in users)


def test_the_demo_defect_is_one_kind_of_difference(systems):
    """Reads differ by the currency of properties alone; the stores do not, and chat is answered as without defect."""
    planted = LosesCurrency(systems.enhanced.service)
    hit = 0
    for _, legacy, enhanced in play(systems, planted, conversations(20, 5)):
        for memory in legacy:
            if memory["memory_type"] == "property":
                del memory["metadata"]["currency"]
                hit += 1
        assert legacy == enhanced
    assert hit > 20
    assert planted.chat_client == type(planted.chat_client)(
        ai=planted.chat_client.ai, turns=systems.enhanced.service.turns, context=systems.enhanced.service.context
    )


def test_every_50th_is_dropped(systems):
    """Which reads are short can be counted from the traffic alone: by the places of the saves they would return."""
    entries = list(conversations(24, 3))
    planted = DropsEvery50th(systems.enhanced.service)
    actual = [len(legacy) - len(enhanced) for _, legacy, enhanced in play(systems, planted, entries)]
    expected = list(dropped_by_count(entries))
    assert expected == actual
    assert sum(short > 0 for short in expected) > 5


@pytest.mark.parametrize("name", ["demo_defect", "drops_every_50th"])
def test_a_variant_is_a_module_of_operations(name):
    """Each variant can be named by GNOMON_OPERATIONS: importing it registers all three operations, and users' data."""
    module = importlib.import_module(f"examples.variants.{name}")
    assert set(module.client.operations) == set(ARGUMENTS)
    assert module.client.user_data is not None
