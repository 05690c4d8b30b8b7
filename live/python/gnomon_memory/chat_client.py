"""The chat client of either system: gathers what its memories know, and has the chat model answer.

Legacy gathers the turns of the conversation; enhanced also what it knows of the user from elsewhere, and reports those
texts on the running call, so that whoever compares the answers can tell what was known from what was made up.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import gnomon
from gnomon_memory.chat_ai import ChatAI, Turn
from gnomon_memory.checks import check_key, check_text
from gnomon_memory.identity import conversation_in_call, timestamp
from gnomon_memory.memory import Reply

__all__ = ["HISTORY_TURNS", "ChatClient"]

HISTORY_TURNS = 50  # the newest of a conversation; what a model reads again with every message


def _nothing(_user_id: str, _besides: str) -> list[str]:
    return []


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatClient:
    """Answers from `turns(user, conversation, limit)` and from `context(user, besides this conversation)`."""

    ai: ChatAI
    turns: Callable[[str, str, int], list[Turn]]
    context: Callable[[str, str], list[str]] = _nothing

    def send_message(self, user_id: str, message: str, conversation_id: str | None = None) -> Reply:
        """Answer `message`; without a conversation a new one begins. Nothing is stored."""
        check_key("user_id", user_id)
        check_text("message", message)
        if conversation_id is None:
            return self._reply(user_id, message, conversation_in_call(), [])
        check_key("conversation_id", conversation_id)
        return self._reply(user_id, message, conversation_id, self.turns(user_id, conversation_id, HISTORY_TURNS))

    def _reply(self, user_id: str, message: str, conversation_id: str, history: Sequence[Turn]) -> Reply:
        context = self.context(user_id, conversation_id)
        current = gnomon.call()
        if current is not None:
            current.add_context(*context)
        reply = self.ai.answer(message, history, context)
        return {"reply": reply, "conversation_id": conversation_id, "created_at": timestamp()}
