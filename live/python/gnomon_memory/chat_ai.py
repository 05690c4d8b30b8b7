"""The one interface to a chat model: a message, the turns before it, and what is known of the user, to an answer."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from gnomon_memory.memory import Memory

__all__ = ["ChatAI", "Turn", "as_turns"]


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of a conversation; `role` is `user`, `assistant` or whatever else the application saved."""

    role: str
    content: str


class ChatAI(Protocol):
    """Answers a message. It keeps nothing: all it may draw on is in its arguments."""

    def answer(self, message: str, history: Sequence[Turn], context: Sequence[str]) -> str:
        """Answer `message` after `history`, oldest first; `context` are texts of what is known besides, newest first.

        Where no text of the context bears on the answer, the answer is the one without context.
        """


def as_turns(newest_first: Iterable[Memory], conversation_id: str) -> list[Turn]:
    """Read saved memories as the turns of a conversation, oldest first."""
    return [
        Turn(str(memory["metadata"].get("role", "")), memory["content"])
        for memory in reversed(list(newest_first))
        # databases compare JSON with text loosely (5 with "5"); the turns are the same on each
        if memory["metadata"].get("conversation_id") == conversation_id
    ]
