"""A user complains of enhanced: it is kept for people to see, and legacy serves that user at once."""

import msgspec
import pytest

from gnomon import FlagError, Gnomon, UnreachableError
from gnomon.complaints import LONGEST_TEXT, Complaint
from gnomon.flags import Reason
from gnomon.keys import Keys
from gnomon.wire import Phase

MEMORY = "enhanced_memory_enabled"
KEYS = Keys("default")


def kept(server):
    return [msgspec.json.decode(raw, type=Complaint) for raw in server.lrange(KEYS.complaints, 0, -1)]


@pytest.mark.slow
def test_a_complaint_is_kept_and_legacy_serves(phased, make, sync_pair, server, eventually):
    """In this process and every other; who was written to both still is, so that nothing is lost."""
    one = phased("served")
    other = phased("served", client=make())
    read = sync_pair(other, "read")
    assert read("ann") == "new"
    before, _ = server.time()
    one.complain("ann", "it has forgotten my dog 🐕")
    assert eventually(lambda: read("ann") == "old")
    assert other.flags.for_user("ann")[MEMORY].reason is Reason.USER_DISABLED
    assert read.phase() is Phase.DUAL
    assert read("ben") == "new"
    [complaint] = kept(server)
    assert (complaint.user, complaint.text, complaint.epoch) == ("ann", "it has forgotten my dog 🐕", 1)
    assert abs(complaint.at_us / 1_000_000 - before) < 60
    assert one.metrics()["complaints"] == 1


@pytest.mark.slow
def test_every_complaint_is_kept(make, server):
    """In order, each with an id of its own, also of one user."""
    client = make()
    for n in range(3):
        client.complain("ann", f"again {n}")
    assert [complaint.text for complaint in kept(server)] == ["again 0", "again 1", "again 2"]
    assert len({complaint.id for complaint in kept(server)}) == 3


@pytest.mark.parametrize("user", ["", None, 42, "x" * 10_240])
def test_nobody_cannot_complain(user):
    """Refused before Redis is asked."""
    with pytest.raises(FlagError, match="a user id"):
        Gnomon.from_env({"GNOMON_REDIS_URL": "redis://127.0.0.1:1/0"}).complain(user, "it is wrong")


@pytest.mark.parametrize("text", ["", None, 42, b"wrong", "x" * (LONGEST_TEXT + 1), "half \udcff"])
def test_nothing_cannot_be_complained_of(text):
    """A complaint is text that can be written down, of a length that people read; it is never told in the error."""
    with pytest.raises(FlagError, match="a complaint") as caught:
        Gnomon.from_env({"GNOMON_REDIS_URL": "redis://127.0.0.1:1/0"}).complain("ann", text)
    assert "xxx" not in str(caught.value)


@pytest.mark.parametrize("conversation", [0, 42, b"c-1", "x" * 201, "half \udcff"])
def test_a_conversation_has_an_id_that_can_be_written_down(conversation):
    """Refused before anything is kept; it is never told in the error."""
    client = Gnomon.from_env({"GNOMON_REDIS_URL": "redis://127.0.0.1:1/0"})
    with pytest.raises(FlagError, match="a conversation's id is text of at most 200 characters") as caught:
        client.complain("ann", "it is wrong", conversation_id=conversation)
    assert "xxx" not in str(caught.value)


@pytest.mark.parametrize("environ", [{}, {"GNOMON_REDIS_URL": "redis://127.0.0.1:1/0"}])
def test_what_cannot_be_kept_is_told(environ):
    """Whoever complains must know; nothing was counted."""
    client = Gnomon.from_env(environ)
    with pytest.raises(UnreachableError, match="a complaint cannot be kept"):
        client.complain("ann", "it is wrong")
    assert client.metrics()["complaints"] == 0
