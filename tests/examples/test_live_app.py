"""The example application answers after the migration's import as it did before it, in every phase of the migration."""

import asyncio
import difflib
import json
import re
import threading
from pathlib import Path
from types import SimpleNamespace

import httpx
import msgspec
import pytest
import redis

from examples.live_app import app as app_module
from examples.live_app.app import create_app
from gnomon.hashing import BUCKETS
from gnomon.keys import Keys
from gnomon.readiness import Readiness
from gnomon.scripts import STORE
from gnomon.switchboard import store_flags

pytestmark = pytest.mark.safe_migration

EXAMPLE = Path(app_module.__file__).parent
README = (EXAMPLE.parents[1] / "README.md").read_text()
NOWHERE = "postgresql+psycopg://nobody:secret@127.0.0.1:1/nothing"
ON = {"enhanced_memory_enabled": True, "rental_memory_architecture_enabled": True, "rollout_percentage": 100}
MINTED = re.compile(
    r"(?P<id>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"
    r"|\d{4}-\d\d-\d\d(?:T\d\d:\d\d:\d\d\.\d{6}\+00:00| \d\d:\d\d)"
)

SENTENCE = re.compile(r"missing: [a-z_, ]+|[a-z_]+ must be [^\n]{1,100}|the body (?:must be|may hold) [^\n]{1,100}")

ZOE = {"user_id": "zoë"}
AREA = {"slot": "area", "value": "Porto"}
HOME = {"price": 950.0, "rooms": 2, "garage": True, "pets": None, "photos": ["a", {"b": []}]}
GOOD = [
    ("GET", "/healthz", {}),
    ("GET", "/memories", {"params": ZOE}),
    ("GET", "/memories/panel", {"params": ZOE}),
    ("POST", "/memories", {"json": {**ZOE, "memory_type": "preference", "content": "area: Porto", "metadata": AREA}}),
    ("POST", "/memories", {"json": {**ZOE, "memory_type": "🏠", "content": '<b>Łódź</b> & "more"', "metadata": HOME}}),
    ("POST", "/memories", {"json": {**ZOE, "memory_type": "note", "content": "", "metadata": None}}),
    ("POST", "/memories", {"json": {"user_id": "ann", "memory_type": "note", "content": "x" * 100_000}}),
    ("POST", "/chat", {"json": {**ZOE, "message": "I need a flat.", "conversation_id": "talk"}}),
    ("POST", "/chat", {"json": {**ZOE, "message": "In Lisbon, with 2 bedrooms.", "conversation_id": "talk"}}),
    ("POST", "/chat", {"json": {**ZOE, "message": "", "conversation_id": None}}),
    ("GET", "/chat/widget", {"params": {**ZOE, "conversation_id": "talk"}}),
    ("GET", "/chat/widget", {"params": {**ZOE, "conversation_id": "<no such talk>"}}),
    ("GET", "/memories", {"params": ZOE}),
    ("GET", "/memories", {"params": {**ZOE, "limit": "3"}}),
    ("GET", "/memories", {"params": {**ZOE, "type": "🏠", "limit": "10000"}}),
    ("GET", "/memories", {"params": {**ZOE, "type": "", "limit": ""}}),
    ("GET", "/memories", {"params": {**ZOE, "type": "no such type"}}),
    ("GET", "/memories", {"params": {"user_id": "ann"}}),
    ("GET", "/memories/panel", {"params": {**ZOE, "type": "conversation"}}),
    ("GET", "/memories/panel", {"params": {**ZOE, "limit": "2"}}),
]

SAVE = {"user_id": "u", "memory_type": "note", "content": "text"}
MESSAGE = {"user_id": "u", "message": "Hello"}
BAD_BODIES = ["", "{", "\xff", "[]", '"text"', "null", "5", "NaN", "[" * 100_000, "9" * 5_000, "{}", '{"user_id": "u"}']
BAD_KEYS = ["", None, 5, 1.5, True, ["u"], {"u": 1}, "k" * 257, "a\x00b", "\ud800"]
BAD_TEXTS = [None, 5, ["text"], "a\x00b", "\udfff"]
BAD_METADATA = ["text", 5, ["a"], {"a": float("nan")}, {"a\x00": 1}, {"a": "\ud800"}]
BAD_LIMITS = ["0", "-1", "10001", "9" * 30, "9" * 5_000, "1.5", "ten", "None", "\x00"]
BAD = [
    *(("POST", path, body) for path in ("/memories", "/chat") for body in BAD_BODIES),
    *(("POST", "/memories", {**SAVE, name: bad}) for name in ("user_id", "memory_type") for bad in BAD_KEYS),
    *(("POST", "/memories", {**SAVE, "content": bad}) for bad in BAD_TEXTS),
    *(("POST", "/memories", {**SAVE, "metadata": bad}) for bad in BAD_METADATA),
    ("POST", "/memories", {**SAVE, "metdata": {}}),
    *(("POST", "/chat", {**MESSAGE, "user_id": bad}) for bad in BAD_KEYS),
    *(("POST", "/chat", {**MESSAGE, "message": bad}) for bad in BAD_TEXTS),
    *(("POST", "/chat", {**MESSAGE, "conversation_id": bad}) for bad in BAD_KEYS if bad is not None),
    ("POST", "/chat", {**MESSAGE, "conversation": "talk"}),
    *(("GET", path, {}) for path in ("/memories", "/memories/panel", "/chat/widget")),
    *(("GET", "/memories", {"user_id": bad}) for bad in ("", "u" * 257, "\x00")),
    *(("GET", "/memories", {"user_id": "u", "type": bad}) for bad in ("t" * 257, "\x00")),
    *(("GET", path, {"user_id": "u", "limit": bad}) for path in ("/memories", "/memories/panel") for bad in BAD_LIMITS),
    ("GET", "/chat/widget", {"user_id": "u"}),
    ("GET", "/chat/widget", {"user_id": "", "conversation_id": "talk"}),
]


def refused(web, method, path, given):
    """Ask for something bad: a query, or a body, which need not be JSON that httpx would write."""
    if method == "GET":
        return web.ask(method, path, params=given)
    content = given.encode("latin-1") if isinstance(given, str) else json.dumps(given)
    return web.ask(method, path, content=content)


def play(web):
    """Ask for everything, one after another; a conversation that the app begins is gone on with."""
    answers = [web.ask(method, path, **given) for method, path, given in GOOD]
    begun = web.ask("POST", "/chat", json={**ZOE, "message": "Can you find me a house?"})
    talk = {**ZOE, "conversation_id": begun.json()["conversation_id"]}
    again = web.ask("POST", "/chat", json={**talk, "message": "How much is it?"})
    answers += [begun, again, web.ask("GET", "/chat/widget", params=talk)]
    answers += [refused(web, *request) for request in BAD]
    answers += [web.ask("GET", "/no/such/page"), web.ask("DELETE", "/memories")]
    return comparable(answers)


def comparable(answers):
    """Leave out times, and name what was minted by the order in which it is first seen."""
    seen = {}

    def named(found):
        return seen.setdefault(found["id"], f"ID {len(seen)}") if found["id"] else "TIME"

    return [(a.status_code, a.headers["content-type"], MINTED.sub(named, a.text)) for a in answers]


def in_shadow(_server, _memory): ...


def in_dual(server, memory):
    store_flags(server, Keys("default"), ON, may_raise=True)
    until_phase(memory, "dual")


def in_served(server, memory):
    readiness, keys = Readiness(version=1, dual_below=BUCKETS, ready_below=BUCKETS), Keys("default")
    assert server.eval(STORE, 1, keys.readiness, 0, 1, msgspec.json.encode(readiness), keys.changes) == 1
    store_flags(server, keys, ON, may_raise=True)
    until_phase(memory, "served")


def until_phase(memory, phase):
    never = threading.Event()
    for _ in range(500):
        found = {str(memory.client.flags.for_user(user)["enhanced_memory_enabled"].phase) for user in ("zoë", "ann")}
        if found == {phase}:
            return
        never.wait(0.02)
    pytest.fail(f"still {found}")


def stored(system):
    return {user: system.get_recent_memories(user, limit=1_000) for user in ("zoë", "ann")}


def test_the_import_is_all_that_changes():
    """Between the two deployments one line differs: the import. The README shows that line, and how to run it."""
    before, after = ((EXAMPLE / f"{name}.py").read_text().splitlines() for name in ("before", "after"))
    changed = [line for line in difflib.ndiff(before, after) if line[0] in "+-"]
    assert changed == [
        "- from gnomon_memory import legacy_service as memory",
        "+ from gnomon_memory import safe_migration_service as memory",
    ]
    [shown] = re.findall(r"^```diff\n(.*?)^```", README, flags=re.DOTALL | re.MULTILINE)
    assert [line for line in shown.splitlines() if line[0] in "+-"] == [line.replace(" ", "", 1) for line in changed]
    assert "uvicorn examples.live_app.after:app" in README


def test_answers_are_the_same_without_redis(deploy):
    """Every request, good or bad, is answered with the same status and the same text, but for ids and times."""
    with deploy("before") as before:
        expected = play(before)
    with deploy("after") as after:
        assert play(after) == expected
        assert [status for status, *_ in expected[: len(GOOD) + 3] if status not in {200, 201}] == []


@pytest.mark.slow
@pytest.mark.parametrize("phase", [in_shadow, in_dual, in_served])
def test_answers_are_the_same_in_every_phase(deploy, valkey_url, phase):
    """With a Redis: captured, written to both, and read from enhanced; the answers do not change, nor the memories."""
    with deploy("before") as before:
        expected = play(before)
    with deploy("after", GNOMON_REDIS_URL=valkey_url) as after, redis.Redis.from_url(valkey_url) as server:
        phase(server, after.memory)
        assert play(after) == expected
        assert after.memory.client.flush(20)
        counted = after.memory.get_metrics()
        assert counted["captured"] > 0
        assert counted["errors_by_kind"].keys() <= {"InvalidArgumentError"}  # of reads that legacy refuses too
        if phase is not in_shadow:
            assert stored(after.memory.legacy) == stored(after.memory.enhanced)
        assert (after.memory.get_enhancement_adoption() > 0) is (phase is in_served)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["before", "after", "capturing"])
def test_answers_are_the_same_by_uvicorn(deploy, serve, request, name):
    """The same over real HTTP, from a process of its own; what it captured lies in the lanes when it has ended."""
    with deploy("before") as before:
        expected = play(before)
    if name != "capturing":
        with serve(name) as served:
            assert play(served) == expected
        return
    url = request.getfixturevalue("valkey_url")
    with serve("after", GNOMON_REDIS_URL=url) as served:
        assert play(served) == expected
    with redis.Redis.from_url(url) as server:
        assert sum(server.xlen(Keys("default").lane(lane).stream) for lane in range(64)) > 0
        assert server.exists(Keys("default").producers) == 0


def test_bad_requests_are_told_what_is_wrong(web):
    """400 and a sentence about what was given; nothing of the program, nothing of the value, and nothing is kept."""
    for request in BAD:
        answer = refused(web, *request)
        assert (answer.status_code, list(answer.json())) == (400, ["error"]), request
        assert SENTENCE.fullmatch(answer.json()["error"]), answer.text
    assert web.ask("GET", "/memories", params={"user_id": "u"}).json() == {"memories": []}


def test_a_store_that_is_down(deploy):
    """503 and a plain sentence, before and after: nothing of the database reaches the user."""
    answers = []
    for name in ("before", "after"):
        with deploy(name, GNOMON_MEMORY_LEGACY_URL=NOWHERE) as web:
            answers.append(comparable([web.ask(method, path, **given) for method, path, given in GOOD]))
    assert answers[0] == answers[1]
    assert {status for status, *_ in answers[0][1:]} <= {503, 200}
    refusal = '{"error":"the memory is not available, try again later"}'
    assert {text for status, _, text in answers[0] if status == 503} == {refusal}


def test_many_at_once(deploy):
    """Users who chat at the same time are answered each in their own conversation."""
    with deploy("after") as web:
        app_client = client_of(create_app(web.memory))

        async def talk(number):
            user = {"user_id": f"user-{number}"}
            begun = await app_client.post("/chat", json={**user, "message": f"Hello from {number}."})
            params = {**user, "conversation_id": begun.json()["conversation_id"]}
            return (await app_client.get("/chat/widget", params=params)).text

        async def talks():
            return await asyncio.gather(*map(talk, range(40)))

        for number, shown in enumerate(asyncio.run(talks())):
            assert re.findall(r"Hello from (\d+)\.", shown) == [str(number)]
            assert shown.count("<li") == 2


def test_the_event_loop_waits_for_no_store():
    """While a store hangs, other requests are answered: memory calls run on threads of the pool."""
    released, entered, threads = threading.Event(), threading.Event(), []

    def get_recent_memories(_user_id, _memory_type=None, _limit=10):
        threads.append(threading.current_thread())
        entered.set()
        released.wait(10)
        return []

    async def ask_beside():
        async with client_of(create_app(SimpleNamespace(get_recent_memories=get_recent_memories))) as client:
            hanging = asyncio.create_task(client.get("/memories", params=ZOE))
            assert await asyncio.to_thread(entered.wait, 10)
            health = await client.get("/healthz")
            assert not hanging.done()
            released.set()
            return health, await hanging

    try:
        health, read = asyncio.run(ask_beside())
    finally:
        released.set()
    assert (health.json(), read.json()) == ({"status": "ok"}, {"memories": []})
    assert threading.main_thread() not in threads


def client_of(app):
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://app")
