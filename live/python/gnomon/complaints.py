"""A user's complaint on its way to the people who decide: kept in Redis, and the user is served by legacy at once."""

import time
from typing import Final
from uuid import uuid4

import msgspec
import redis

from gnomon.errors import FlagError
from gnomon.flags import check_user, has_surrogates, with_user
from gnomon.keys import Keys
from gnomon.switchboard import change_flags

LONGEST_TEXT: Final = 10_000
LONGEST_CONVERSATION: Final = 200


class Complaint(msgspec.Struct, frozen=True):
    """What a user complained of; `epoch` says at which stage, `filed_by` who wrote it down, where that was a person."""

    id: str
    user: str
    text: str
    at_us: int
    epoch: int
    conversation: str = ""
    filed_by: str = ""


def check_complaint(user: object, text: object, conversation: object = "") -> None:
    """Raise FlagError where there is nobody, or nothing, to complain, or what cannot be a conversation's id."""
    check_user(user)
    if not isinstance(text, str) or not 0 < len(text) <= LONGEST_TEXT:
        found = f"{len(text)} characters" if isinstance(text, str) else f"a {type(text).__name__}"
        raise FlagError(f"a complaint is text of 1 to {LONGEST_TEXT:,} characters, not {found}")
    if has_surrogates(text):
        raise FlagError("a complaint has no lone surrogates: they have no form in JSON")
    if not isinstance(conversation, str) or len(conversation) > LONGEST_CONVERSATION or has_surrogates(conversation):
        size = f" of {len(conversation)}" if isinstance(conversation, str) else ""
        raise FlagError(
            f"a conversation's id is text of at most {LONGEST_CONVERSATION} characters, without lone surrogates, "
            f"not a {type(conversation).__name__}{size}"
        )


def keep_complaint(
    server: "redis.Redis", keys: Keys, user: str, text: str, *, conversation: str = "", filed_by: str = ""
) -> Complaint:
    """Keep a complaint for review, and take the user out of the rollout."""
    stored = change_flags(server, keys, lambda flags: with_user(flags, user, enabled=False))
    complaint = Complaint(str(uuid4()), user, text, time.time_ns() // 1_000, stored.epoch, conversation, filed_by)
    server.rpush(keys.complaints, msgspec.json.encode(complaint))
    return complaint
