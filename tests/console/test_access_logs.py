"""Access logs: the combined form as Apache and nginx write it, and JSON lines as the usual servers do."""

import json
from datetime import UTC, datetime

import pytest

from console.access_logs import NotALogLineError, Request, json_reader, read_combined
from console.errors import UsageError

AT = datetime(2026, 10, 10, 20, 55, 36, tzinfo=UTC)
EXPECTED = Request("GET", "/users/ann/memories?limit=5", 200, AT, "ann")


def combined(request='"GET /a HTTP/1.1"', user="ann", at="10/Oct/2026:13:55:36 -0700", rest=' "-" "curl/8"'):
    return f"203.0.113.9 - {user} [{at}] {request} 200 2326{rest}".encode()


@pytest.mark.parametrize("rest", ["", ' "-" "curl/8"', ' "-" "a \\"b\\" c" 0.012 upstream', ' "-" "\r\n'])
def test_the_combined_form_and_its_kin_are_read(rest):
    """The common form, the combined one, one with more at the end; with a line's end of any kind."""
    line = combined('"GET /users/ann/memories?limit=5 HTTP/1.1"', rest=rest)
    assert read_combined(line) == EXPECTED


@pytest.mark.parametrize(
    ("user", "expected"), [("-", ""), ('""', ""), ("ann lee", "ann lee"), ("b\\xc3\\xa9n", "bén"), ("bén", "bén")]
)
def test_the_remote_user_is_who_the_server_says(user, expected):
    """Nobody, a name with a space, one that the server escaped, one that it did not."""
    assert read_combined(combined(user=user)).user == expected


@pytest.mark.parametrize(
    ("request_line", "method", "target"),
    [
        ('"GET /a\\"b HTTP/2.0"', "GET", '/a"b'),
        ('"GET /a\\\\b HTTP/1.1"', "GET", "/a\\b"),
        ('"GET /old"', "GET", "/old"),
        ('"\\x16\\x03\\x01\\x00"', "", ""),
        ('"-"', "", ""),
        ('""', "", ""),
        ('"GET /with space HTTP/1.1"', "", ""),
    ],
)
def test_a_request_is_read_as_it_was_logged(request_line, method, target):
    """Escaped characters, HTTP/0.9; what is no request at all has no method."""
    found = read_combined(combined(request_line))
    assert (found.method, found.target) == (method, target)


@pytest.mark.parametrize(
    "line",
    [
        b"garbage",
        b"\xff\xfe\x00",
        combined()[:60],
        combined(at="yesterday"),
        combined(at="31/Feb/2026:13:55:36 -0700"),
        combined(at="10/Okt/2026:13:55:36 -0700"),
        combined(at="10/Oct/2026:13:55:36 -9900"),
    ],
)
def test_what_is_no_line_of_a_log_is_refused_without_a_word_of_it(line):
    """Damaged lines, times that do not exist."""
    with pytest.raises(NotALogLineError, match=r"^(is no line of an access log in combined form|says no time .*)$"):
        read_combined(line)


def test_a_hostile_line_costs_no_more_than_its_length():
    """A megabyte that nearly matches, in every way that a pattern may go back and forth."""
    for piece in (b"a ", b"[", b'"\\', b"- - - ["):
        with pytest.raises(NotALogLineError):
            read_combined(b"h - " + piece * (2**20 // len(piece)))


SERVERS = {
    "ours": {"method": "GET", "target": EXPECTED.target, "status": 200, "at": "2026-10-10T20:55:36Z", "user": "ann"},
    "nginx": {
        "time_iso8601": "2026-10-10T13:55:36-07:00",
        "request": f"GET {EXPECTED.target} HTTP/1.1",
        "status": "200",
        "remote_user": "ann",
    },
    "caddy": {
        "ts": 1791665736.0,
        "request": {"method": "GET", "uri": EXPECTED.target, "host": "example.org"},
        "status": 200,
        "user_id": "ann",
    },
    "traefik": {
        "RequestMethod": "GET",
        "RequestPath": EXPECTED.target,
        "DownstreamStatus": 200,
        "StartUTC": "2026-10-10T20:55:36Z",
        "ClientUsername": "ann",
    },
    "milliseconds": {"method": "GET", "path": EXPECTED.target, "status": 200, "time": 1791665736000, "user": "ann"},
    "a combined time": {
        "request_method": "GET",
        "request_uri": EXPECTED.target,
        "status": 200,
        "time_local": "10/Oct/2026:13:55:36 -0700",
        "remote_user": "ann",
    },
}


@pytest.mark.parametrize("server", SERVERS)
def test_json_lines_of_usual_servers_are_read_as_they_are(server):
    """Nothing has to be said of where fields lie."""
    assert json_reader()(json.dumps(SERVERS[server]).encode()) == EXPECTED


def test_fields_elsewhere_are_named():
    """Also within another object; the rest stays where it usually is."""
    line = {**SERVERS["ours"], "auth": {"sub": "ben"}}
    assert json_reader({"user": "auth.sub"})(json.dumps(line).encode()).user == "ben"
    with pytest.raises(UsageError, match="unknown field 'usr'"):
        json_reader({"usr": "auth.sub"})


@pytest.mark.parametrize("nobody", [None, "-", ""])
def test_nobody_has_no_name(nobody):
    """However a server writes it."""
    assert json_reader()(json.dumps({**SERVERS["ours"], "user": nobody}).encode()).user == ""


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{", "is not JSON"),
        ("[1]", "is no JSON object"),
        ("[" * 5_000, "is not JSON"),
        (json.dumps({**SERVERS["ours"], "status": None}), "says no status that can be read"),
        (json.dumps({**SERVERS["ours"], "status": "secret"}), "says no status that can be read"),
        (json.dumps({**SERVERS["ours"], "at": "secret"}), "says no time that can be read"),
        (json.dumps({**SERVERS["ours"], "at": True}), "says no time that can be read"),
        (json.dumps({**SERVERS["ours"], "at": 1e300}), "says no time that can be read"),
    ],
)
def test_json_lines_that_cannot_be_read_are_refused_without_a_word_of_them(line, problem):
    """What is wrong, and nothing of what is there."""
    with pytest.raises(NotALogLineError) as refused:
        json_reader()(line.encode())
    assert str(refused.value) == problem
