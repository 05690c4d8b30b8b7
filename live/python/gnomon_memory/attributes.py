"""The facts in a memory's metadata, and how facts are told to a chat model. Pure.

Nothing here knows a slot by name: traffic brings its own. A memory that names its slot (`slot`, `value`) states that
one fact; any other states one for each plain value of its metadata.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any, NamedTuple

from gnomon_memory.checks import is_key
from gnomon_memory.memory import CONVERSATION

__all__ = ["MAX_ATTRIBUTES", "Known", "as_texts", "attributes_of", "conversation_of"]

MAX_ATTRIBUTES = 100  # of one memory; the metadata itself is kept whole


class Known(NamedTuple):
    """One attribute of one memory, as the store returns it."""

    origin_id: str
    memory_type: str
    name: str
    value: str


def conversation_of(metadata: Mapping[str, Any]) -> str | None:
    """Return the conversation a memory belongs to, if it names one that can be looked up."""
    conversation_id = metadata.get("conversation_id")
    return conversation_id if is_key(conversation_id) else None


def attributes_of(memory_type: str, metadata: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the facts in a memory as names and values, in the order they were given; a turn of a chat has none."""
    if memory_type == CONVERSATION:
        return []
    named = metadata.get("slot")
    if isinstance(named, str) and "value" in metadata:
        return list(_plain({named: metadata["value"]}))
    return list(_plain(metadata))[:MAX_ATTRIBUTES]


def as_texts(known: Iterable[Known], *, most: int) -> list[str]:
    """Tell attributes, those of a memory together and the newest memory first, as at most `most` texts.

    `preference: area = San Jose` — of memories that state a single fact, only the newest of each name is told.
    """
    texts: dict[str, None] = {}
    settled: set[tuple[str, str]] = set()
    for _, of_one in groupby(known, key=lambda attribute: attribute.origin_id):
        attributes = list(of_one)
        first = attributes[0]
        if len(attributes) == 1 and (first.memory_type, first.name) in settled:
            continue
        settled.add((first.memory_type, first.name))
        texts[_told(first.memory_type, attributes)] = None
    return list(texts)[:most]


def _plain(metadata: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in metadata.items():
        if name == "conversation_id" or not is_key(name) or isinstance(value, dict | list):
            continue
        yield name, value if isinstance(value, str) else json.dumps(value)


def _told(memory_type: str, attributes: list[Known]) -> str:
    return f"{memory_type}: " + "; ".join(f"{name} = {value}" for _, _, name, value in attributes)
