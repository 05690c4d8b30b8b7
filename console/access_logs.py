"""Lines of a web server's access log, in combined form or as JSON, read as requests."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum
from typing import Any, Final, NoReturn

import msgspec

from console.errors import UsageError


class Form(StrEnum):
    """How a run's lines are to be read."""

    TRAFFIC = "traffic"  #: traffic files: at, operation, user_id, args
    COMBINED = "combined"  #: access logs as Apache and nginx write them; the shorter common form, too
    JSON = "json"  #: access logs with a JSON object a line


class Field(StrEnum):
    """What is read of a request."""

    REQUEST = "request"  #: the request line: method, target, protocol
    METHOD = "method"
    TARGET = "target"  #: path and query, as requested
    STATUS = "status"
    AT = "at"
    USER = "user"  #: who the server says it was


class NotALogLineError(ValueError):
    """A line that is not of the log's form; its message names what is wrong and holds nothing of the line."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it was logged; what the server could not read as one has no method and no target."""

    method: str
    target: str
    status: int
    at: datetime
    user: str  #: empty where the log says that there was none


Reader = Callable[[bytes], Request]

_COMBINED: Final = re.compile(
    r"^\S+ \S+ (?P<user>\S.*?) \[(?P<at>[^][]{1,40})\] "
    r'"(?P<request>[^"\\]*(?:\\.[^"\\]*)*)" (?P<status>\d{3}) (?:\d+|-)(?: |$)'
)
_LOGGED_AT: Final = re.compile(r"^(\d\d)/(\w{3})/(\d{4}):(\d\d):(\d\d):(\d\d) ([+-])(\d\d)(\d\d)$")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_REQUEST: Final = re.compile(r"^([A-Z]+) (\S+)(?: HTTP/[\d.]+)?$")
_ESCAPED: Final = re.compile(r'\\(x[0-9A-Fa-f]{2}|["\\])')
_NOBODY: Final = ("-", '""', "")
_MILLISECONDS_FROM: Final = 1e11  # seconds since 1970 until the year 5138
#: where servers put it: nginx as its documentation's examples name it, Caddy, Traefik, Envoy, Google's load balancers
FIELDS: Final[Mapping[Field, tuple[str, ...]]] = {
    Field.REQUEST: ("request",),
    Field.METHOD: ("method", "request_method", "request.method", "RequestMethod", "httpRequest.requestMethod"),
    Field.TARGET: ("target", "request_uri", "uri", "path", "request.uri", "RequestPath", "httpRequest.requestUrl"),
    Field.STATUS: ("status", "response_code", "DownstreamStatus", "httpRequest.status"),
    Field.AT: ("at", "time_iso8601", "time", "timestamp", "@timestamp", "ts", "time_local", "start_time", "StartUTC"),
    Field.USER: ("user", "remote_user", "user_id", "ClientUsername"),
}


def read_combined(line: bytes) -> Request:
    """Read a line of the combined or the common form; raises NotALogLineError."""
    found = _COMBINED.match(line.decode("utf-8", "surrogateescape").strip())
    if found is None:
        raise NotALogLineError("is no line of an access log in combined form")
    method, target = _requested(_unescaped(found["request"]))
    user = _unescaped(found["user"])
    return Request(method, target, int(found["status"]), _logged_at(found["at"]), "" if user in _NOBODY else user)


def _requested(line: str) -> tuple[str, str]:
    found = _REQUEST.match(line)
    return (found[1], found[2]) if found else ("", "")


def _unescaped(text: str) -> str:
    """Take back what servers escape; bytes that are no UTF-8 stay what they are."""
    if "\\" not in text:
        return text
    plain = _ESCAPED.sub(lambda m: chr(int(m[1][1:], 16)) if m[1][0] == "x" else m[1], text)
    try:
        return plain.encode("latin-1").decode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # escaped and plain bytes in one line: none of ours
        return plain


def _logged_at(text: str) -> datetime:
    found = _LOGGED_AT.match(text)
    try:
        if found is None:
            _bad_time()
        day, month, year, hour, minute, second, sign, off_h, off_min = found.groups()
        offset = timedelta(hours=int(off_h), minutes=int(off_min))
        zone = timezone(offset if sign == "+" else -offset)
        number = _MONTHS.index(month) + 1
        return datetime(int(year), number, int(day), int(hour), int(minute), int(second), tzinfo=zone)
    except ValueError:
        _bad_time()


def _bad_time() -> NoReturn:
    raise NotALogLineError("says no time that can be read")


def json_reader(fields: Mapping[str, str] | None = None) -> Reader:
    """Return what reads JSON lines; `fields` names where a field lies, `a.b` for one within another.

    Raises UsageError for a field that there is not.
    """
    if unknown := sorted(set(fields or {}) - set(Field)):
        raise UsageError(f"fields: unknown field {unknown[0]!r}; known are {', '.join(Field)}")
    places = {**FIELDS, **{Field(name): (place,) for name, place in (fields or {}).items()}}
    paths = {name: [tuple(place.split(".")) for place in found] for name, found in places.items()}

    def read(line: bytes) -> Request:
        try:
            document = msgspec.json.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise NotALogLineError("is not JSON") from None
        if not isinstance(document, dict):
            raise NotALogLineError("is no JSON object")
        return _request({name: _first(document, found) for name, found in paths.items()})

    return read


def _first(document: dict[str, Any], paths: list[tuple[str, ...]]) -> Any:
    for path in paths:
        value: Any = document
        for name in path:
            value = value.get(name) if isinstance(value, dict) else None
        if value is not None and not isinstance(value, dict | list):
            return value
    return None


def _request(found: Mapping[Field, Any]) -> Request:
    method, target = str(found[Field.METHOD] or ""), str(found[Field.TARGET] or "")
    if not (method and target) and isinstance(found[Field.REQUEST], str):
        method, target = _requested(found[Field.REQUEST])
    try:
        status = int(found[Field.STATUS])
    except (TypeError, ValueError, OverflowError):
        raise NotALogLineError("says no status that can be read") from None
    user = "" if found[Field.USER] in (None, *_NOBODY) else str(found[Field.USER])
    return Request(method, target, status, _moment(found[Field.AT]), user)


def _moment(value: Any) -> datetime:
    """Read a time: RFC 3339, as a combined log has it, or seconds or milliseconds since 1970."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _since_1970(float(value))
    if isinstance(value, str):
        if _LOGGED_AT.match(value):
            return _logged_at(value)
        try:
            moment = msgspec.convert(value, datetime)
        except msgspec.ValidationError:
            return _since_1970(_number(value))
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    _bad_time()


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        _bad_time()


def _since_1970(seconds: float) -> datetime:
    try:
        return datetime.fromtimestamp(seconds / 1_000 if abs(seconds) >= _MILLISECONDS_FROM else seconds, UTC)
    except (ValueError, OverflowError, OSError):
        _bad_time()
