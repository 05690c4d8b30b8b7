"""The answers that every benchmark works on: a user's recent memories, the same on every machine and in every run.

One answer is 10 items of 6 fields, about 1.7 KB of JSON. In a tenth of the answers the enhanced side
has one item edited.
"""

from typing import Any, Final

ITEMS: Final = 10
USERS: Final = 256  # four a lane: users side by side within a drain, and packs of several captures
DIFFERS_EVERY: Final = 10
_TYPES: Final = ("conversation", "preference", "property", "viewing")
_VOCABULARY: Final = (
    "quiet flat near the park with balcony garden lift parking second floor budget viewing Tuesday landlord "
    "deposit contract pets allowed furnished kitchen renovated commute tram school bakery south facing available "
    "May rent includes heating bicycle cellar neighbours friendly agent called back tomorrow prefers "
    "mornings keys returned"
)
_WORDS: Final = tuple(_VOCABULARY.split())


def user_of(number: int, users: int = USERS) -> str:
    """Return whose call the `number`th is: users take turns."""
    return f"u-{number % users:04d}"


def differs(number: int) -> bool:
    """Tell whether enhanced answers the `number`th call otherwise; spread over all users."""
    return (number + number // USERS) % DIFFERS_EVERY == 0


def answer(user_id: str, number: int, items: int = ITEMS) -> list[dict[str, Any]]:
    """Return what legacy answers the `number`th call with: a user's newest memories."""
    return [_memory(user_id, number, place) for place in range(items)]


def edited(memories: list[dict[str, Any]], number: int) -> list[dict[str, Any]]:
    """Return an answer with one of its items changed, in its text and below its metadata."""
    changed = list(memories)
    place = number % len(memories)
    memory = memories[place]
    metadata = {**memory["metadata"], "turn": memory["metadata"]["turn"] + 1}
    changed[place] = {**memory, "content": memory["content"].upper(), "metadata": metadata}
    return changed


# what an answer is made of lies ready: making it must not be what is measured
_CONTENTS: Final = [" ".join(_WORDS[seed * step % len(_WORDS)] for step in (1, 3)) for seed in range(len(_WORDS))]
_SLOTS: Final = [_WORDS[seed * 5 % len(_WORDS)] for seed in range(len(_WORDS))]
_PERIOD: Final = 840  # after so many, days, hours and minutes come again together
_MOMENTS: Final = [f"2026-01-{1 + seed % 28:02d}T{seed % 24:02d}:{seed % 60:02d}:00." for seed in range(_PERIOD)]


def _memory(user_id: str, number: int, place: int) -> dict[str, Any]:
    seed = number * 31 + place * 7
    word = seed % len(_WORDS)
    return {
        "id": f"m{number:x}-{place}",
        "user_id": user_id,
        "memory_type": _TYPES[seed % 4],
        "content": _CONTENTS[word],
        "metadata": {"slot": _SLOTS[word], "turn": seed % 40},
        "created_at": f"{_MOMENTS[seed % _PERIOD]}{seed % 1_000_000:06d}Z",
    }
