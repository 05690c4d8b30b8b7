"""What a target is asked, what of its answer is read, and how each way of not answering is told."""

import gzip
import socket
import threading
import time

import msgspec
import pytest

from comparators import Observation
from gnomon.wire import Capture, Kind, Raised, Side, encode_value
from ledger import Failure, Outcome
from tests.worker.targets.conftest import answering
from tests.worker.targets.hostile import HOSTILE, bomb
from worker.children import memory_kb
from worker.entries import LaneItem
from worker.replay import Replayer
from worker.selection import Due
from worker.targets.http import traceparent_of


def captured(operation="note.list", kind="read", legacy=None, **args) -> Capture:
    side = legacy if isinstance(legacy, Side) else Side(7, returned=msgspec.Raw(encode_value(legacy)))
    raw = msgspec.Raw(encode_value({"user": "ann", **args}))
    return Capture(1, "p-1", operation, Kind(kind), "ann", 1_790_000_000_000_000, 1_790_000_000_000_005, raw, 3, side)


@pytest.fixture
def replayed(make_bound):
    """Replay one capture against a service; returns the finding."""

    def run(port, capture, *, timeout_s=4.0, **places):
        bound = make_bound(port, operation=capture.op, **places)
        replayer = Replayer(bound.operations, timeout_s, 100_000)
        return replayer.replay(Due(LaneItem(capture.order, b"", capture), late=False)).finding

    return run


# --- the request


def test_a_read_is_asked_with_what_was_captured(service, replayed):
    """Its arguments in path and query, each in its place, and the headers that every replay carries."""
    service.answer = answering(["one"])
    capture = captured(legacy=["one"], limit=3, tags=["a b", "c&d"])
    table = 'method = "GET"\npath = "/users/{user}/notes"\nquery = { limit = "{limit}", tag = "{tags}", all = true }'
    assert replayed(service.port, capture, table=table, base="/v1").outcome == Outcome.MATCH
    [asked] = service.asked
    assert (asked.method, asked.path) == ("GET", "/v1/users/ann/notes?limit=3&tag=a%20b&tag=c%26d&all=true")
    assert asked.headers["x-gnomon-shadow"] == "1"
    assert asked.headers["idempotency-key"] == "p-1"
    assert asked.headers["traceparent"] == traceparent_of("p-1")
    assert asked.headers["host"] == f"127.0.0.1:{service.port}"
    assert asked.body == b""


def test_what_has_no_place_goes_into_query_or_body(service, replayed):
    """A GET has no body; nothing of a call is left out unasked."""
    replayed(service.port, captured(limit=3), table='method = "GET"\npath = "/{user}"')
    replayed(service.port, captured(limit=3, tags=["a"]), table='path = "/{user}"')
    first, second = service.asked
    assert (first.path, second.method, second.path) == ("/ann?limit=3", "POST", "/ann")
    assert second.json == {"limit": 3, "tags": ["a"]}
    assert second.headers["content-type"] == "application/json"


def test_a_write_says_what_legacy_returned(service, replayed):
    """Under a key of its own, unless it is placed by hand: that is the identity on both sides."""
    legacy = {"id": 41, "at": "noon"}
    capture = captured("note.save", "write", legacy, text="hello")
    replayed(service.port, capture)
    replayed(
        service.port, capture, table='origin = "legacy_said"\nbody = { note = { words = "{text}!", of = "{user}" } }'
    )
    replayed(
        service.port, capture, table='method = "PUT"\npath = "/notes/{gnomon.origin.id}"\nbody = { text = "{text}" }'
    )
    plain, named, placed = service.asked
    assert plain.json == {"user": "ann", "text": "hello", "origin": legacy}
    assert named.json == {"note": {"words": "hello!", "of": "ann"}, "legacy_said": legacy}
    assert (placed.method, placed.path, placed.json) == ("PUT", "/notes/41", {"text": "hello"})


def test_no_argument_leads_out_of_its_place(service, replayed):
    """Whatever users are called: a path keeps its segments, a header its line."""
    capture = captured(user="../../admin?x=1#y\r\nEvil: 1")
    table = 'method = "GET"\npath = "/users/{user}"\nquery = {}\nheaders = { X-User = "{user}" }'
    replayed(service.port, capture, table=table)
    [asked] = service.asked
    assert asked.path == "/users/..%2F..%2Fadmin%3Fx%3D1%23y%0D%0AEvil%3A%201"
    assert asked.headers["x-user"] == "../../admin?x=1#y%0D%0AEvil: 1"
    assert "evil" not in asked.headers


@pytest.mark.parametrize("user", ["", ".", "..", None, ["ann"]])
def test_a_call_that_cannot_be_put_is_not_held_against_enhanced(service, replayed, user):
    """Nobody was asked: inconclusive, not failed."""
    found = replayed(service.port, captured(user=user), table='path = "/users/{user}/notes"')
    assert (found.outcome, found.reason) == (Outcome.INCONCLUSIVE, "engine:UnsendableError")
    assert service.asked == []


def test_secrets_come_from_the_environment_or_from_files(service, replayed, monkeypatch, tmp_path):
    """As both are usual: a variable, or a variable with `_FILE` that names where it lies."""
    monkeypatch.setenv("NOTES_TOKEN", "open-sesame")
    (tmp_path / "key").write_text("from a file\n")
    monkeypatch.setenv("NOTES_KEY_FILE", str(tmp_path / "key"))
    target = 'headers = { Authorization = "Bearer ${NOTES_TOKEN}", X-Key = "${NOTES_KEY}", Accept = "text/json" }'
    replayed(service.port, captured(), target=target)
    [asked] = service.asked
    assert (asked.headers["authorization"], asked.headers["x-key"]) == ("Bearer open-sesame", "from a file")
    assert asked.headers["accept"] == "text/json"


def test_no_proxy_of_the_environment_is_asked(service, make_service, replayed, monkeypatch):
    """It would be handed what users wrote."""
    proxy = make_service()
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
    replayed(service.port, captured())
    assert (len(service.asked), len(proxy.asked)) == (1, 0)


def test_no_cookie_is_kept(service, make_bound):
    """What one user's answer set would be sent along with another's call."""
    service.answer = answering([], headers="Set-Cookie: who=ann; Path=/\r\n")
    enhanced = make_bound(service.port).operations["note.list"].enhanced
    enhanced(user="ann")
    enhanced(user="ben")
    assert [asked.headers.get("cookie") for asked in service.asked] == [None, None]
    assert [asked.number for asked in service.asked] == [1, 1]  # one connection for both


# --- the answer


def test_value_and_context_lie_where_the_table_says(service, make_bound):
    """A chat's reply, and what it was given to draw on."""
    service.answer = answering({"data": {"replies": ["hi", "hello"]}, "used": ["a memory", "another"]})
    table = 'value = "/data/replies/1"\ncontext = "/used"'
    bound = make_bound(service.port, operation="chat.send", table=table)
    capture = captured("chat.send", "generate", "hello", text="?")
    answer = Replayer(bound.operations, 4.0)._enhanced(capture, bound.operations["chat.send"])
    assert answer.observation.read().value == "hello"
    assert answer.observation.context == ("a memory", "another")


def test_empty_answers_and_statuses_that_say_nothing_is_there_are_null(service, replayed):
    """204, an empty body, and what the table names."""
    for answer in (b"HTTP/1.1 204 None\r\n\r\n", answering(body=b""), answering({"gone": 1}, status=404)):
        service.answer = answer
        assert replayed(service.port, captured(legacy=None), table="null_on = [404]").outcome == Outcome.MATCH


def test_a_status_may_stand_for_the_exception_that_legacy_raises(service, replayed):
    """Then both sides raising alike is a match, as between Python callables."""
    service.answer = answering({"detail": "no such user"}, status=422)
    legacy = Side(7, raised=Raised("UnknownUserError", "no such user"))
    table = 'message = "/detail"\n[operations."note.list".raises]\n422 = "UnknownUserError"'
    assert replayed(service.port, captured(legacy=legacy), table=table).outcome == Outcome.MATCH


def test_a_gzipped_answer_is_unpacked(service, replayed):
    """It was asked for."""
    service.answer = answering(body=gzip.compress(b'["one"]'), headers="Content-Encoding: gzip\r\n")
    assert replayed(service.port, captured(legacy=["one"])).outcome == Outcome.MATCH


def test_a_connection_that_was_closed_meanwhile_costs_nothing(service, make_bound):
    """Services close idle ones; the call is made again on a new one, and is judged by that."""
    service.answer = answering(["one"])
    enhanced = make_bound(service.port).operations["note.list"].enhanced
    assert enhanced(user="ann") == ["one"]
    service.answer = lambda connection, asked: (
        connection.shutdown(socket.SHUT_RDWR) if asked.number == 1 else connection.sendall(answering(["two"]))
    )
    assert enhanced(user="ann") == ["two"]
    assert [asked.number for asked in service.asked] == [1, 1, 2]


def test_a_write_that_cannot_be_repeated_never_is(service, make_bound):
    """Nobody knows whether it was made; and its connection is always a new one."""
    enhanced = make_bound(service.port, operation="mail.send").operations["mail.send"].enhanced
    enhanced(user="ann", text="hi")
    service.answer = lambda connection, asked: connection.shutdown(socket.SHUT_RDWR)
    with pytest.raises(Exception, match="ended before an answer"):
        enhanced(user="ann", text="hi")
    assert [asked.number for asked in service.asked] == [1, 2]


# --- what is no answer


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_answer_is_classified_and_costs_neither_memory_nor_time(service, replayed, name):
    """Failed, in the way that says whom to ask; the process keeps its size."""
    answer, failure, error = HOSTILE[name]
    service.answer = answer() if answer is bomb else answer
    before_kb, began = memory_kb(), time.monotonic()
    watch = Watch()
    timeout_s = 0.4 if failure is Failure.TIMEOUT else 3.5
    found = replayed(service.port, captured(legacy=["one"]), target=f"timeout_s = {timeout_s}")
    assert (found.outcome, found.failure, found.reason) == (Outcome.FAILED, failure, f"raised {error}")
    assert time.monotonic() - began < timeout_s + 3
    assert watch.most_kb() - before_kb < 32 * 1024


class Watch(threading.Thread):
    """Looks at this process's memory all the time."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._over = threading.Event()
        self._most_kb = 0
        self.start()

    def run(self) -> None:
        while not self._over.wait(0.005):
            self._most_kb = max(self._most_kb, memory_kb())

    def most_kb(self) -> int:
        self._over.set()
        self.join()
        return self._most_kb


def test_a_port_that_nobody_listens_on_refuses(service, replayed):
    """Told apart from a service that answers badly."""
    service.stop()
    found = replayed(service.port, captured(legacy=["one"]))
    assert (found.failure, found.reason) == (Failure.REFUSED, "raised ConnectError")


def test_a_missing_place_in_the_answer_is_garbage(service, replayed):
    """It is not taken for null: that would seem to be a divergence."""
    service.answer = answering({"data": []})
    found = replayed(service.port, captured(legacy=[]), table='value = "/memories"')
    assert (found.failure, found.reason) == (Failure.GARBAGE, "raised BadAnswerError")


def test_a_traceparent_is_valid_and_the_same_every_time():
    """As W3C Trace Context spells it."""
    version, trace, span, flags = traceparent_of("p-1").split("-")
    assert (version, len(trace), len(span), flags) == ("00", 32, 16, "01")
    assert traceparent_of("p-1") == traceparent_of("p-1") != traceparent_of("p-2")
    assert int(trace, 16)
    assert int(span, 16)


def test_an_observation_of_a_target_is_one_like_any_other(service, make_bound):
    """Its duration is what the caller would have waited."""
    service.answer = lambda connection, asked: (time.sleep(0.05), connection.sendall(answering([])))
    bound = make_bound(service.port)
    answer = Replayer(bound.operations, 4.0)._enhanced(captured(), bound.operations["note.list"])
    assert isinstance(answer.observation.read(), Observation)
    assert answer.observation.duration_ms >= 50
