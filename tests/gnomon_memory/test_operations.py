"""The operations: what is registered, under which name, and that an application is served as by legacy."""

import inspect
import os
import subprocess
import sys

import pytest

from gnomon import Gnomon, Kind, OperationError
from gnomon_memory.errors import InvalidArgumentError
from gnomon_memory.registering import register

pytestmark = pytest.mark.safe_migration

APPLICATION = """
from gnomon_memory.safe_migration_service import chat_client, get_recent_memories, save_chat_memory

saved = save_chat_memory("zoë", "preference", "area: Porto", metadata={"slot": "area", "value": "Porto"})
assert get_recent_memories("zoë", limit=5) == [saved]
reply = chat_client.send_message("zoë", "I need a flat.")
assert reply["reply"] == "I can help with that. Which area are you looking in?", reply
from pathlib import Path
assert [path.name for path in Path(".gnomon/memory").glob("*.sqlite3")] == ["legacy.sqlite3"]
"""


def test_what_is_registered(systems):
    """Three operations, with their kinds, flags, samples and time limits, each with both callables."""
    client = Gnomon.from_env({})
    register(client, systems.legacy, systems.enhanced)
    facts = {
        name: (one.kind, one.user, one.flag, one.sample, one.timeout_s, one.rejects, one.enhanced is not None)
        for name, one in client.operations.items()
    }
    memory, chat = "enhanced_memory_enabled", "enhanced_chat_client_enabled"
    assert facts == {
        "memory.save": (Kind.WRITE, "user_id", memory, 1.0, 2.0, (InvalidArgumentError,), True),
        "memory.recent": (Kind.READ, "user_id", memory, 1.0, 2.0, (), True),
        "chat.send": (Kind.GENERATE, "user_id", chat, 0.05, 30.0, (), True),
    }
    with pytest.raises(OperationError):
        register(client, systems.legacy, systems.enhanced)


def test_users_data_is_verified(systems):
    """What verifies a user's data is registered with the operations; not for a system that keeps it elsewhere."""
    client, another = Gnomon.from_env({}), Gnomon.from_env({})
    register(client, systems.legacy, systems.enhanced)
    systems.save("u", "note", "both")
    assert client.user_data.verify("u")
    systems.legacy.save_chat_memory("u", "note", "legacy alone")
    assert not client.user_data.verify("u")
    register(another, systems.legacy, systems.legacy)
    assert another.user_data is None


def test_signatures_are_legacys(systems):
    """The wrapped callables are called as legacy's are, and so is the enhanced side."""
    client = Gnomon.from_env({})
    operations = register(client, systems.legacy, systems.enhanced)
    legacy = systems.legacy
    for wrapped, original in (
        (operations.save, legacy.save_chat_memory),
        (operations.recent, legacy.get_recent_memories),
        (operations.send, legacy.chat_client.send_message),
    ):
        assert inspect.signature(original) == inspect.signature(wrapped)
    for bound in client.operations.values():
        assert inspect.signature(bound.legacy) == inspect.signature(bound.enhanced)


def test_the_drop_in(tmp_path):
    """An application that imports the safe migration service is served by legacy, and enhanced is not even opened."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GNOMON_")}
    command = [sys.executable, "-W", "error", "-c", APPLICATION]
    done = subprocess.run(command, cwd=tmp_path, env=kept, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
