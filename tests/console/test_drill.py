"""`gnomon drill`: known faults planted into copies of real pairs."""

import contextlib
import itertools
import json
import os
import random

import pytest

from console.drilling import Pairs, _shown, drill
from console.sources import Line
from gnomon import Gnomon
from gnomon.settings import ClientSettings

TEXTS = ("I can show you Bel Air on Tuesday.", "It is not furnished.", "It rents for $1,200 a month at 3 pm.")


def client(*, forgetful=False):
    """An application of three operations; enhanced may lose the newest memory."""
    made, kept = Gnomon(ClientSettings()), {"legacy": [], "enhanced": []}

    def saving(side):
        def save(user_id, content):
            memory = {"id": f"m{len(kept[side])}", "user_id": user_id, "content": content, "metadata": None}
            kept[side].insert(0, memory)
            return memory

        return save

    def reading(side):
        lost = forgetful and side == "enhanced"

        def recent(user_id, limit=100):
            found = [memory for memory in kept[side] if memory["user_id"] == user_id][:limit]
            return found[lost:]

        return recent

    async def send(user_id, message):
        return {"reply": TEXTS[len(message) % 3], "conversation_id": "c1"}

    for name, kind, make in (("memory.save", "write", saving), ("memory.recent", "read", reading)):
        made.operation(name, kind=kind, user="user_id")(make("legacy"))
        made.operations[name].enhanced = make("enhanced")
    made.operation("chat.send", kind="generate", user="user_id")(send)
    made.operations["chat.send"].enhanced = send
    return made


def lines():
    for number, user in itertools.product(range(8), ("ann", "ben")):
        at, content = f"2026-03-02T08:{number:02d}:00Z", f"{user} wants {number} beds in Hayward"
        yield {"at": at, "operation": "memory.save", "user_id": user, "args": {"content": content}}
        yield {"at": at, "operation": "memory.recent", "user_id": user, "args": {}}
        asked = {"at": at, "operation": "chat.send", "user_id": user, "args": {"message": "x" * number}}
        yield {**asked, "written": f"Yes, Anna has {number + 2} homes. She is here on Monday."}


def made(of=None, *, most=100, seed=3, replies="", entries=None):
    pairs = Pairs((of or client()).operations, most=most, chance=random.Random(seed), replies=replies)
    numbered = (Line(number, json.dumps(entry).encode()) for number, entry in enumerate(entries or lines(), start=1))
    assert list(pairs.take(numbered)) == []
    return pairs


def test_every_fault_is_planted_and_found_and_nothing_alarms_falsely():
    """All of them but those that have nothing to change here, on pairs of both systems."""
    drilled = drill(made(), 1)
    assert drilled.calls == 48
    assert set(drilled.differing.values()) == {0}
    assert drilled.rate(harmful=True, chat=False) == drilled.rate(harmful=True, chat=True) == 1
    assert drilled.rate(harmful=False) == 0
    assert {tried.mutation.name for tried in drilled.tried if not tried.planted} <= {"instants", "new ids"}


def test_the_same_seed_is_the_same_drill():
    """Which pairs are kept, what is planted where, what is missed."""
    assert drill(made(most=5), 4).as_json() == drill(made(most=5), 4).as_json()
    assert {len(kept) for kept in made(most=5).kept.values()} == {5}


def test_pairs_that_differ_by_themselves_are_counted_and_left_out():
    """A fault would be found in them for the wrong reason."""
    drilled = drill(made(client(forgetful=True)), 1)
    assert drilled.differing == {"memory.save": 0, "memory.recent": 16, "chat.send": 0}
    assert next(tried for tried in drilled.tried if tried.mutation.name == "drop").planted == 0


def test_recorded_outcomes_and_written_replies_stand_for_a_system():
    """A recorded outcome is legacy's; a reply that a person wrote is both sides'."""
    entry = {"at": "2026-03-02T08:00:00Z", "operation": "memory.recent", "user_id": "ann", "args": {}}
    raised = {**entry, "raised": {"type": "Gone", "message": "no"}}
    kept = made(entries=[{**entry, "returned": [7]}, raised]).kept["memory.recent"]
    assert kept[0].legacy.value == [7]
    assert kept[1].legacy.exception.type == "Gone"
    written = made(replies="written").kept["chat.send"]
    assert written[0].legacy.value["reply"] == written[0].enhanced.value["reply"]
    assert written[0].legacy.value["reply"].startswith("Yes, Anna")


def test_what_is_wrong_is_listed_masked():
    """Every miss and every false alarm, without what is private in it."""
    entries = [{**entry, "written": "Mail ann@example.com."} for entry in lines() if entry["operation"] == "chat.send"]
    pair = made(replies="written", entries=entries).kept["chat.send"][0]
    assert "ann@example.com" in str(pair.legacy.value)
    assert "ann@example.com" not in str(_shown(pair, pair.enhanced))


@pytest.mark.slow
def test_the_command_drills_without_redis_or_a_ledger(gnomon, traffic):
    """A table for people, JSON for programs; exit code 0, and nothing is left behind."""
    before = {entry.name for entry in gnomon.folder.iterdir()}
    ran = gnomon("drill", traffic, "--seed", "7", "--json", GNOMON_REDIS_URL="redis://127.0.0.1:1/0")
    assert ran.code == 0
    assert ran.json["structural_caught"] == 1
    assert ran.json["chat_caught"] >= 0.99
    assert ran.json["false_alarms"] == 0
    told = gnomon("drill", traffic, "--seed", "7")
    assert "structural faults found: 100.00 %" in told.out
    assert {entry.name for entry in gnomon.folder.iterdir()} == before


@pytest.mark.slow
def test_bad_lines_are_named_and_a_file_without_calls_is_refused(gnomon, traffic):
    """Exit codes 1 and 2."""
    path = gnomon.folder / traffic
    path.write_text("nonsense\n" + path.read_text())
    ran = gnomon("drill", traffic, "--most", "5")
    assert (ran.code, "gnomon: line 1: is not JSON" in ran.err) == (1, True)
    path.write_text("nonsense\n")
    ran = gnomon("drill", traffic)
    assert (ran.code, "no line of it is a call" in ran.err) == (2, True)


def test_the_environment_is_put_back():
    """Whatever happens in a drill."""
    from console.commands.drill import _stores_of_its_own

    before = dict(os.environ)
    with contextlib.suppress(ZeroDivisionError), _stores_of_its_own():
        assert os.environ["GNOMON_MEMORY_LEGACY_URL"].startswith("sqlite:///")
        raise ZeroDivisionError
    assert dict(os.environ) == before
