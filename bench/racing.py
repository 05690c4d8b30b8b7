"""The application that is raced: live processes call its operations, workers load it (`GNOMON_OPERATIONS`).

Every spacing and mode has a write and a read of its own name, over the same notes. `RACES_STORES` says which systems
keep these: `notes`, shared memory in the folder `RACES_FOLDER`, or `memory`, the two memory systems in their databases.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

from bench.heats import Mode, operations_of
from bench.notes import EnhancedNotes, LegacyNotes, Shelf
from gnomon import Gnomon

__all__ = ["OPERATIONS", "SYSTEMS", "Raced", "client"]

FLAG: Final = "enhanced_memory_enabled"
_TIMEOUT_S: Final = 10.0  # a busy machine is no failing system


class System(Protocol):
    """One of the two systems."""

    def save(self, user: str, number: int) -> Any:
        """Keep a note and return it."""

    def listed(self, user: str) -> Any:
        """Return a user's newest notes."""


class Raced(NamedTuple):
    """The wrapped operations of one spacing and mode."""

    save: Callable[[str, int], Any]
    listed: Callable[[str], Any]


class Memories:
    """A memory system under the names of the notes."""

    def __init__(self, memory: Any) -> None:
        self._memory = memory

    def save(self, user: str, number: int) -> Any:
        """Keep a note as a memory."""
        return self._memory.save_chat_memory(user, "note", str(number))

    def listed(self, user: str) -> Any:
        """Return a user's newest memories."""
        return self._memory.get_recent_memories(user)


def _notes() -> tuple[System, System]:
    folder, users = Path(os.environ["RACES_FOLDER"]), int(os.environ["RACES_USERS"])
    return LegacyNotes(Shelf(folder / "legacy", users)), EnhancedNotes(Shelf(folder / "enhanced", users))


def _memory() -> tuple[System, System]:
    from gnomon_memory.enhanced import EnhancedMemory  # nobody else carries them
    from gnomon_memory.legacy import LegacyMemory
    from gnomon_memory.user_data import UserData

    legacy, enhanced = LegacyMemory(), EnhancedMemory()
    client.verification(UserData(legacy.store, enhanced.service))
    return Memories(legacy), Memories(enhanced)


def _register(mode: Mode, spacing_us: int, legacy: System, enhanced: System) -> Raced:
    save_name, list_name = operations_of(mode, spacing_us)
    timeout_s = _TIMEOUT_S if _STORES == "memory" else None

    # each wrapped under functions of its own: an operation is registered once
    def save(user: str, number: int) -> Any:
        return legacy.save(user, number)

    def listed(user: str) -> Any:
        return legacy.listed(user)

    saved = client.operation(save_name, kind="write", user="user", flag=FLAG, timeout_s=timeout_s)(save)
    listing = client.operation(list_name, kind="read", user="user", flag=FLAG, timeout_s=timeout_s)(listed)
    saved.enhanced(enhanced.save)
    listing.enhanced(enhanced.listed)
    return Raced(saved, listing)


def _all() -> dict[tuple[Mode, int], Raced]:
    spacings_us = [int(text) for text in os.environ["RACES_SPACINGS_US"].split(",")]
    return {(mode, spacing): _register(mode, spacing, *SYSTEMS) for mode in Mode for spacing in spacings_us}


_STORES: Final = os.environ.get("RACES_STORES", "notes")
client = Gnomon.from_env()
SYSTEMS: Final = _memory() if _STORES == "memory" else _notes()
OPERATIONS: Final = _all()
