"""The inline client: an application's own tests fail where enhanced does otherwise, and only there."""

import asyncio
import subprocess
import sys
from datetime import UTC, datetime
from uuid import UUID

import pytest

from examples.variants.demo_defect import LosesCurrency
from gnomon import Gnomon, call
from gnomon.settings import ClientSettings
from gnomon.testing import DivergenceError, InlineGnomon, inline
from gnomon_memory.enhanced import EnhancedMemory
from gnomon_memory.errors import InvalidArgumentError
from gnomon_memory.legacy import LegacyMemory, legacy_store
from gnomon_memory.registering import register
from gnomon_memory.rental_service import RentalMemoryService, rental_store


class RefusalError(Exception):
    """What the operations below say no with."""


@pytest.fixture
def client() -> InlineGnomon:
    return InlineGnomon()


def operation(client, legacy, enhanced, *, kind="read", name="note.list", **options):
    wrapped = client.operation(name, kind=kind, user="user", **options)(legacy)
    wrapped.enhanced(enhanced)
    return wrapped


def verdicts(found) -> list[str]:
    return [str(judged.judgement.verdict) for judged in found.judgements]


# --- the two memory systems


@pytest.fixture
def stores(tmp_path):
    legacy = legacy_store(f"sqlite:///{tmp_path}/legacy.sqlite3")
    enhanced = rental_store(f"sqlite:///{tmp_path}/enhanced.sqlite3")
    yield legacy, enhanced
    legacy.close()
    enhanced.close()


def memories(client, stores, kind=EnhancedMemory):
    legacy, enhanced = stores
    return register(client, LegacyMemory(legacy), kind(RentalMemoryService(enhanced)))


def test_two_memory_systems_that_agree(client, stores):
    """Saves, reads and messages through the safe migration service's operations: all match, answers are legacy's."""
    use = memories(client, stores)
    saved = use.save("zoë", "property", "a flat", {"price": 900, "currency": "EUR"})
    assert use.recent("zoë", limit=5) == [saved]
    assert use.recent("zoë", "note") == []
    assert use.send("zoë", "I need a flat.")["reply"]
    with pytest.raises(InvalidArgumentError):
        use.save("zoë", "", "refused by both")
    assert set(verdicts(client)) == {"match"}
    assert len(client.judgements) == 5


def test_a_planted_defect_raises(client, stores):
    """The demo's defect: the read that lost a currency raises, and says what is lost, where, and in which call."""
    use = memories(client, stores, LosesCurrency)
    use.save("zoë", "property", "a flat", {"price": 900, "currency": "EUR"})
    with pytest.raises(DivergenceError) as caught:
        use.recent("zoë", limit=5)
    said = str(caught.value)
    assert said.startswith("memory.recent(user_id='zoë', memory_type=None, limit=5) diverged: 1 lost")
    assert "at $[0].metadata.currency: metadata.currency is missing from enhanced's answer" in said
    assert "'EUR'" in said
    assert verdicts(client) == ["match", "diverged"]
    assert caught.value.judged is client.judgements[1]


def test_an_existing_client_for_a_block(stores):
    """`inline(client)` judges the calls of the block, and leaves the client as it was."""
    client = Gnomon(ClientSettings())
    use, before = memories(client, stores), (client.tap, client.invoker)
    use.save("ann", "note", "before")  # legacy alone
    with inline(client) as found:
        use.save("ann", "note", "within")
        with pytest.raises(DivergenceError, match="lost"):
            use.recent("ann")
    assert verdicts(found) == ["match", "diverged"]
    assert (client.tap, client.invoker) == before
    use.recent("ann")
    assert len(found.judgements) == 2


def test_a_block_that_fails_leaves_the_client_as_it_was():
    """Whatever ends the block; of nested blocks the inner one judges."""
    client = Gnomon(ClientSettings())
    listed, before = operation(client, lambda user: [user], lambda user: []), client.tap
    with inline(client) as outer:
        with pytest.raises(DivergenceError), inline(client) as inner:
            listed("ann")
        with pytest.raises(DivergenceError):
            listed("bob")
    assert (len(outer.judgements), len(inner.judgements)) == (1, 1)
    assert client.tap is before


# --- what enhanced is given


def test_enhanced_is_called_as_by_a_worker(client):
    """Under `gnomon.call()`, in shadow, with a copy of what legacy returned, and arguments in their declared types."""
    given, stored = [], {"id": "m-1", "tags": ["a"]}

    def legacy(user: str, at: datetime, tags: tuple[str, ...], key: UUID) -> dict:
        return stored

    def enhanced(user, at, tags, key):
        given.append((call(), user, at, tags, key))
        call().origin["tags"].append("spoilt")
        return stored

    save = operation(client, legacy, enhanced, kind="write", name="note.save")
    args = ("ann", datetime(2026, 1, 2, 3, 4, tzinfo=UTC), ("x", "y"), UUID(int=7))
    assert save(*args) is stored
    assert save(*args) is stored
    [(current, *first), (other, *_)] = given
    assert tuple(first) == args
    assert current.shadow
    assert current.origin == {"id": "m-1", "tags": ["a", "spoilt"]}
    assert stored["tags"] == ["a"]
    assert current.capture_id != other.capture_id


def test_what_enhanced_does_to_the_arguments_is_seen_by_nobody(client):
    """The caller's list stays as it is."""
    tags = ["a"]
    operation(client, lambda user, tags: len(tags), lambda user, tags: [tags.pop(), 1][1])("ann", tags)
    assert tags == ["a"]


def test_what_legacy_returned_is_kept_before_enhanced_runs(client):
    """An enhanced that changes what both share cannot change what legacy did."""
    shared = {"notes": ["one"]}

    def enhanced(user):
        shared["notes"].clear()
        return shared

    with pytest.raises(DivergenceError, match="lost"):
        operation(client, lambda user: shared, enhanced)("ann")


def test_an_operation_called_by_enhanced_is_part_of_it(client):
    """Only the application's own calls are judged."""
    listed = operation(client, lambda user: [user], lambda user: [user])
    sent = operation(client, lambda user: 1, lambda user: len(listed(user)), kind="generate", name="note.count")
    assert sent("ann") == 1
    assert [judged.operation for judged in client.judgements] == ["note.count"]


# --- how it is judged


def test_an_enhanced_that_raises_has_failed(client):
    """The error of enhanced is the cause, so that its traceback is shown."""
    error = LookupError("no such note")

    def enhanced(user):
        raise error

    with pytest.raises(DivergenceError, match=r"note\.list\(user='ann'\) failed: enhanced alone raised") as caught:
        operation(client, lambda user: 1, enhanced)("ann")
    assert caught.value.__cause__ is error
    assert str(caught.value).splitlines()[2:] == [
        "    legacy    answered",
        "    enhanced  {'type': 'LookupError', 'message': 'no such note'}",
    ]


def test_a_read_that_legacy_refuses_too(client):
    """Both raise alike: a match, and the caller gets legacy's very exception; otherwise it diverges."""
    error = LookupError("no such note")

    def legacy(user):
        raise error

    def alike(user):
        raise LookupError("no such note")

    with pytest.raises(LookupError) as caught:
        operation(client, legacy, alike)("ann")
    assert caught.value is error
    with pytest.raises(DivergenceError, match="legacy alone raised") as otherwise:
        operation(client, legacy, lambda user: 1, name="note.find")("ann")
    assert otherwise.value.__cause__ is error
    assert verdicts(client) == ["match", "diverged"]


@pytest.mark.parametrize("rejects", [(), (RefusalError,)])
def test_a_write_that_legacy_refuses(client, rejects):
    """Declared in `rejects` both must refuse; else nothing was written, and enhanced is not asked."""
    asked = []

    def legacy(user):
        raise RefusalError("no")

    def enhanced(user):
        asked.append(user)

    save = operation(client, legacy, enhanced, kind="write", name="note.save", rejects=rejects)
    with pytest.raises(DivergenceError if rejects else RefusalError):
        save("ann")
    assert (verdicts(client), asked) == ((["diverged"], ["ann"]) if rejects else (["excluded"], []))


def test_what_cannot_be_judged_raises(client):
    """No JSON form on legacy's side is inconclusive, on enhanced's a failure."""
    with pytest.raises(DivergenceError, match="inconclusive: what legacy returned has no JSON form"):
        operation(client, lambda user: object(), lambda user: 1)("ann")
    with pytest.raises(DivergenceError, match="inconclusive: an argument has no JSON form"):
        operation(client, lambda user, x: 1, lambda user, x: 1, name="note.x")("ann", object())
    with pytest.raises(DivergenceError, match="failed"):
        operation(client, lambda user: 1, lambda user: object(), name="note.y")("ann")
    assert verdicts(client) == ["inconclusive", "inconclusive", "failed"]


def test_supported_added_context_passes(client):
    """A reply that adds what enhanced was told is `ignored: enriched`."""
    reply = {"conversation_id": "c", "created_at": "2026-01-01T00:00:00Z"}

    def enhanced(user, message):
        call().add_context("The flat has 3 rooms.")
        return {**reply, "reply": "It costs 900 EUR. The flat has 3 rooms."}

    legacy = {**reply, "reply": "It costs 900 EUR."}
    options = {"kind": "generate", "name": "chat.send"}
    assert operation(client, lambda user, message: legacy, enhanced, **options)("ann", "how much?") is legacy
    assert verdicts(client) == ["ignored"]


@pytest.mark.parametrize("user", ["", None])
def test_without_a_user_nothing_is_judged(client, user):
    """As on the live path: legacy's alone."""
    assert operation(client, lambda user: 1, lambda user: 2)(user) == 1
    assert client.judgements == []


def test_without_an_enhanced_callable_nothing_is_judged(client):
    """There is nobody to ask."""
    assert client.operation("note.list", kind="read", user="user")(lambda user: 1)("ann") == 1
    assert client.judgements == []


def test_a_wrong_call_raises_what_legacy_raises(client):
    """TypeError, from legacy's own signature."""
    with pytest.raises(TypeError):
        operation(client, lambda user: 1, lambda user: 1)()


def test_what_an_application_swallows_is_kept(client):
    """A divergence that the application's own `except` caught is among the divergences."""
    with inline(client) as found, pytest.raises(DivergenceError):
        operation(client, lambda user: 1, lambda user: 2)("ann")
    assert found.divergences == found.judgements
    with inline(client) as fine:
        operation(client, lambda user: 1, lambda user: 1, name="note.same")("ann")
    assert fine.divergences == []


def test_five_failures_in_a_row_are_five(client):
    """No breaker stands between a test and enhanced, however often it fails."""
    listed = operation(client, lambda user: 1, lambda user: 1 / 0, flag="enhanced_memory_enabled", timeout_s=0.01)
    for _ in range(8):
        with pytest.raises(DivergenceError, match="failed"):
            listed("ann")


def test_what_ends_the_test_passes_through(client):
    """Ctrl-C in enhanced is no divergence."""

    def enhanced(user):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        operation(client, lambda user: 1, enhanced)("ann")


def test_long_values_and_long_lists_are_shortened(client):
    """What is told of one call stays readable."""
    legacy = {f"field{n}": "x" * 1_000 for n in range(40)}
    with pytest.raises(DivergenceError) as caught:
        operation(client, lambda user, text: legacy, lambda user, text: {})("ann", "y" * 1_000)
    lines = str(caught.value).splitlines()
    assert lines[-1] == "  and 20 more"
    assert len(lines) == 1 + 20 * 3 + 1
    assert max(map(len, lines)) < 250


# --- async


def test_async_operations(client):
    """Both sides are awaited in the caller's loop, and judged all the same."""
    loops = []

    async def legacy(user: str) -> list[str]:
        loops.append(asyncio.get_running_loop())
        return [user]

    async def same(user: str) -> list[str]:
        await asyncio.sleep(0)
        loops.append(asyncio.get_running_loop())
        assert call().origin == [user]
        return [user]

    async def other(user: str) -> list[str]:
        return []

    flag = "enhanced_memory_enabled"
    listed = operation(client, legacy, same, flag=flag)
    found = operation(client, legacy, other, name="note.find", flag=flag)

    async def use():
        assert await listed("ann") == ["ann"]
        with pytest.raises(DivergenceError, match="lost"):
            await found("ann")

    asyncio.run(use())
    assert verdicts(client) == ["match", "diverged"]
    assert loops[0] is loops[1]


def test_an_async_enhanced_of_a_sync_legacy(client):
    """As a worker does: in a loop of its own, also where the caller's thread runs one."""

    async def enhanced(user):
        await asyncio.sleep(0)
        return call().origin

    async def use():
        return listed("ann")

    listed = operation(client, lambda user: [user], enhanced)
    assert listed("ann") == ["ann"]
    assert asyncio.run(use()) == ["ann"]
    assert verdicts(client) == ["match", "match"]


def test_a_sync_enhanced_of_an_async_legacy(client):
    """A worker calls it as it is."""

    async def legacy(user):
        return [user]

    assert asyncio.run(operation(client, legacy, lambda user: [user])("ann")) == ["ann"]
    assert verdicts(client) == ["match"]


# --- the distribution it needs


def test_importing_it_needs_no_worker():
    """Neither `gnomon` nor `gnomon.testing` imports the comparators."""
    code = "import sys, gnomon, gnomon.testing; assert 'comparators' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_gnomon_worker_it_says_what_is_missing(monkeypatch):
    """One clear error, from the client and from the block, that leaves the client alone."""
    monkeypatch.setitem(sys.modules, "comparators", None)
    client = Gnomon(ClientSettings())
    before = client.tap
    with pytest.raises(ModuleNotFoundError, match="gnomon-worker, which is not installed"):
        InlineGnomon()
    with pytest.raises(ModuleNotFoundError, match="gnomon-worker, which is not installed"), inline(client):
        pass
    assert client.tap is before


def test_it_ignores_the_environment(monkeypatch):
    """A developer's Redis is not written to, and flags change nothing."""
    monkeypatch.setenv("GNOMON_REDIS_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("ENHANCED_MEMORY", "false")
    client = InlineGnomon()
    assert client.health().status == "off"
    operation(client, lambda user: 1, lambda user: 1, flag="enhanced_memory_enabled")("ann")
    assert verdicts(client) == ["match"]
