"""Calls out of an access log: templates, users, types; what is no call is counted, and named without a name in it."""

import enum
from datetime import UTC, datetime

import pytest

from console.access_logs import Form
from console.errors import UsageError
from console.log_traffic import log_traffic, template_file
from console.sources import BadLine, Line
from console.traffic import TrafficCall
from gnomon import Gnomon
from gnomon.settings import ClientSettings

AT = datetime(2026, 10, 10, 20, 55, 36, tzinfo=UTC)
RECENT = "GET /users/{user_id}/memories?limit={limit}&type={memory_type} = memory.recent"


class Order(enum.Enum):
    NEWEST = "newest"
    OLDEST = "oldest"


@pytest.fixture
def operations():
    client = Gnomon(ClientSettings())

    @client.operation("memory.recent", kind="read", user="user_id")
    def recent(user_id: str, memory_type: str | None = None, limit: int = 10, order: Order = Order.NEWEST):
        return [user_id, memory_type, limit, order]

    @client.operation("memory.find", kind="read", user="user_id")
    def find(user_id: str, words: list[str], exact: bool = False, since: datetime | None = None, nearest=None):
        return [user_id, words, exact, since, nearest]

    @client.operation("memory.save", kind="write", user="user_id")
    def save(user_id: str, content: str):
        return [user_id, content]

    @client.operation("chat.send", kind="generate", user="user_id")
    def send(user_id: str, message: str):
        return [user_id, message]

    return client.operations


def line(target="/users/ann/memories", user="-", status=200, method="GET") -> bytes:
    return f'h - {user} [10/Oct/2026:13:55:36 -0700] "{method} {target} HTTP/1.1" {status} 5 "-" "-"\n'.encode()


@pytest.fixture
def run(operations):
    """Make calls of lines; gives them and what was passed over."""

    def made(lines, *maps):
        log = log_traffic(Form.COMBINED, maps or [RECENT])
        numbered = [Line(number, text) for number, text in enumerate(lines, start=1)]
        return list(log.calls(numbered, operations)), log.passed_over

    return made


@pytest.fixture
def arguments(run):
    """Give the arguments of the one call that a target is."""

    def of(target, *maps, user="-"):
        [call], _ = run([line(target, user)], *maps)
        assert isinstance(call, TrafficCall), call
        return call.args

    return of


def test_a_request_becomes_the_call_that_it_was(run):
    """Operation, user, time; arguments in the types that the callable declares; what was not asked for is left out."""
    calls, _ = run([line("/users/ann/memories?limit=5")])
    expected = TrafficCall(operation="memory.recent", user="ann", at=AT, args={"user_id": "ann", "limit": 5})
    assert calls == [expected]


@pytest.mark.parametrize(
    ("target", "user", "memory_type"),
    [
        ("/users/b%C3%A9n/memories?type=caf%C3%A9+noir", "bén", "café noir"),
        ("/users/a%2Fb/memories?type=1%2B1%26x%3D2", "a/b", "1+1&x=2"),
        ("/users/a+b/memories?type=null", "a+b", "null"),
        ("https://example.org/users/ann/memories?type=a&other=b", "ann", "a"),
        ("/users/ann/memories?type=first&type=last#part", "ann", "last"),
        ("/users/%7Bx%7D/memories?limit=&type=x%0A", "{x}", "x\n"),
    ],
)
def test_paths_and_queries_are_decoded(arguments, target, user, memory_type):
    """Percent signs, plus signs in a query alone; a slash within a segment; the last value, none that is empty."""
    assert arguments(target) == {"user_id": user, "memory_type": memory_type}


def test_values_take_the_types_that_the_callable_declares(arguments):
    """Lists of all that is given, booleans, times, enums; what is not declared stays text."""
    find = "GET /find/{user_id}?q={words}&exact={exact}&since={since}&near={nearest} = memory.find"
    assert arguments("/find/ann?q=a&q=b+c&exact=true&since=2026-01-05T08:00:00Z&near=3", find) == {
        "user_id": "ann",
        "words": ["a", "b c"],
        "exact": True,
        "since": datetime(2026, 1, 5, 8, tzinfo=UTC),
        "nearest": "3",
    }
    assert arguments("/find/ann?q=a&near=3", find.replace("{nearest}", "{nearest:int}"))["nearest"] == 3
    assert arguments("/u/ann?o=oldest", "GET /u/{user_id}?o={order} = memory.recent")["order"] is Order.OLDEST


def test_arguments_may_stand_fixed_and_parts_of_a_segment_count(arguments):
    """A page of notes is a call with the type note; a suffix belongs to the path, not to the user."""
    notes = "GET /users/{user_id}/notes.json = memory.recent memory_type='a note' limit=3"
    assert arguments("/users/ann/notes.json", notes) == {"user_id": "ann", "memory_type": "a note", "limit": 3}
    assert arguments("/users/ann.json", "GET /users/{user_id}.json = memory.recent") == {"user_id": "ann"}


def test_where_no_template_names_the_user_it_is_who_the_server_says(run):
    """And where the server says nobody, the request is counted."""
    me = "GET /me/memories?limit={limit} = memory.recent"
    calls, passed = run([line("/me/memories?limit=2", "ann"), line("/me/memories", "-")], me)
    assert [call.args for call in calls] == [{"user_id": "ann", "limit": 2}]
    assert passed.no_user == 1


def test_the_first_template_that_matches_is_taken(arguments):
    """A fixed value in the query tells requests apart; one that must be there, too."""
    maps = (
        "GET /m/{user_id}?view=notes = memory.recent memory_type=note",
        "GET /m/{user_id}?q={words} = memory.find",
        "GET /m/{user_id} = memory.recent",
    )
    assert arguments("/m/ann?view=notes", *maps) == {"user_id": "ann", "memory_type": "note"}
    assert arguments("/m/ann?view=all&q=x", *maps) == {"user_id": "ann", "words": ["x"]}
    assert arguments("/m/ann?view=all", *maps) == {"user_id": "ann"}


def test_what_matches_nothing_is_counted_by_what_it_looks_like(run):
    """With the first line of each kind; words of a path only where a template has them: the rest may be a name."""
    lines = [
        line("/users/ann/memories", method="POST"),
        line("/users/ben/memories", method="POST"),
        line("/users/ann/secret"),
        line("/favicon.ico"),
        line("/users/ann/memories/"),
        line("*", method="OPTIONS"),
        line("/users/ann/memories", method="BREW"),
        line("/" + "a/" * 40),
    ]
    calls, passed = run(lines)
    assert calls == []
    assert passed.unmatched == {
        "POST /users/*/memories": 2,
        "GET /users/*/*": 1,
        "GET /*": 1,
        "GET /users/*/memories/*": 1,
        "no request that can be read": 1,
        "other methods /users/*/memories": 1,
        "GET /*/*/*/*/*/*/*/*/*/*/*/*/…": 1,
    }
    assert passed.first["POST /users/*/memories"] == 1
    assert passed.first["GET /*"] == 4


def test_kinds_of_unmatched_requests_are_bounded(run, monkeypatch):
    """However many there are, they are counted."""
    monkeypatch.setattr("console.log_traffic.MOST_SHAPES", 3)
    _, passed = run([line("/" + "x/" * depth) for depth in range(9)])
    assert passed.unmatched.total() == 9
    assert (len(passed.unmatched), passed.unmatched["others"]) == (4, 6)


def test_only_what_succeeded_is_made(run):
    """Redirects, refusals and failures are counted by class; what the server refused need not be readable."""
    statuses = (200, 204, 206, 301, 304, 404, 400, 500)
    calls, passed = run(
        [*(line(status=status) for status in statuses), line("/users/ann/memories?limit=x", status=422)]
    )
    assert len(calls) == 3
    assert passed.as_json() == {"unmatched": 0, "not_2xx": {"3xx": 2, "4xx": 3, "5xx": 1}, "no_user": 0}


def test_a_request_that_cannot_be_a_call_is_a_bad_line_without_a_word_of_it(run):
    """A value of another type, one that is no UTF-8, an enum's unknown name; the rest is run."""
    lines = [
        line("/users/ann/memories?limit=secret"),
        line("/users/%FF%FE/memories"),
        b"secret\n",
        b"  \n",
        line("/users/ann/memories"),
    ]
    bad = [
        BadLine(1, "limit cannot be read as int"),
        BadLine(2, "user_id is not UTF-8"),
        BadLine(3, "is no line of an access log in combined form"),
    ]
    *found, last = run(lines)[0]
    assert found == bad
    assert last.args == {"user_id": "ann"}


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ("GET /users/{user_id}/memories", "expected METHOD /path"),
        ("get /users/{user_id} = memory.recent", "expected METHOD /path"),
        ("GET users/{user_id} = memory.recent", "expected METHOD /path"),
        ("GET /u/{user_id} = memory.forget", "unknown operation 'memory.forget'; known are chat.send, memory.find"),
        ("POST /u/{user_id}?c={content} = memory.save", "memory.save is a write operation"),
        ("POST /u/{user_id}?m={message} = chat.send", "chat.send is a generate operation"),
        ("GET /u/{user} = memory.recent", "memory.recent takes no argument 'user'"),
        ("GET /u/{user_id} = memory.recent colour=red", "memory.recent takes no argument 'colour'"),
        ("GET /u/{user_id} = memory.find", "memory.find needs 'words'"),
        ("GET /u/{user_id} = memory.recent limit=many", "limit cannot be read as int"),
        ("GET /u/{user_id}?l={limit:integer} = memory.recent", "unknown type 'integer'; known are str, int"),
        ("GET /u/{user_id}{limit} = memory.recent", "nothing between them"),
        ("GET /u/{user id} = memory.recent", "expected METHOD /path"),
        ("GET /u/{user_id = memory.recent", "a place is written {argument}"),
        ("GET /u/{user_id}?{limit} = memory.recent", "expected name=value"),
        ("GET /u/{user_id}?l={limit} = memory.recent limit=3", "limit is given twice"),
        ("GET /u/{user_id} = memory.recent 'limit=3", "No closing quotation"),
        ("GET /u/{user_id} = memory.recent 3", "expected argument=value"),
    ],
)
def test_a_template_that_cannot_be_used_is_named_before_anything_is_run(operations, template, problem):
    """With what is wrong, what is known, and what is expected."""
    with pytest.raises(UsageError) as refused:
        log_traffic(Form.COMBINED, [RECENT, template]).calls([], operations)
    assert str(refused.value).startswith(f"template {template!r}: ")
    assert problem in str(refused.value)


def test_a_template_file_says_form_maps_and_fields(tmp_path, operations):
    """As TOML; the maps and fields are used as those on the command line."""
    file = tmp_path / "log.toml"
    file.write_text(f'format = "json"\nmap = ["{RECENT}"]\n[fields]\nuser = "auth.sub"\n')
    found = template_file(file)
    log = log_traffic(found.format, found.map, found.fields)
    text = b'{"method": "GET", "path": "/users/ann/memories", "status": 200, "time": 1791665736}'
    assert [call.user for call in log.calls([Line(1, text)], operations)] == ["ann"]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ('map = "x"', "Expected `array`"),
        ('format = "apache"\nmap = []', "Invalid enum value"),
        ('format = "traffic"\nmap = []', "combined or json"),
        ("map = []\ncolour = 1", "unknown field `colour`"),
        ("map =", "Invalid value"),
        (None, "No such file"),
    ],
)
def test_a_template_file_that_cannot_be_used_is_named(tmp_path, content, problem):
    """The file, and what is wrong with it."""
    file = tmp_path / "log.toml"
    if content is not None:
        file.write_text(content)
    with pytest.raises(UsageError, match=str(file)) as refused:
        template_file(file)
    assert problem in str(refused.value)


def test_a_log_without_a_template_is_refused():
    """Nothing would be a call."""
    with pytest.raises(UsageError, match="--format combined needs at least one --map"):
        log_traffic(Form.COMBINED, [])
