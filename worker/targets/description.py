"""The file that `GNOMON_TARGETS` names: HTTP services, and which operation each call of enhanced goes to.

Read in two steps. Its shape is checked with the settings, wherever those are read; what it needs besides, such as
secrets and the operations' own parameters, where calls are made. What is wrong is named: file, table, key.
"""

import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

import httpx
import msgspec

from gnomon.errors import ConfigurationError
from worker.targets.answers import pointer_of
from worker.targets.templates import OURS, Template, templates_in

VARIABLE: Final = "GNOMON_TARGETS"
METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")
BODILESS: Final = ("GET",)
#: of every replay, or of the connection itself: nobody else's to set
RESERVED: Final = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-length",
        "host",
        "idempotency-key",
        "te",
        "traceparent",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "x-gnomon-shadow",
    }
)
_SECRET: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
_CLASS: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,99}\Z")
_SECRET_BYTES: Final = 64 * 1024
_LEAST_ERROR, _MOST_STATUS = 400, 599

_Seconds = float


class TargetTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One HTTP service: `[targets.NAME]`."""

    url: str
    headers: dict[str, str] = {}
    connect_timeout_s: _Seconds = 1.0
    read_timeout_s: _Seconds = 5.0  #: the longest silence
    timeout_s: _Seconds | None = None  #: of the whole call; None: half of what a replay may take
    answer_bytes: int | None = None  #: None: GNOMON_ANSWER_BYTES
    answer_depth: int = 64
    concurrency: int | None = None  #: calls of one worker process under way; None: GNOMON_THREADS
    health: str = ""  #: a path that answers 2xx where it is worth asking again; empty: a replay shows
    ca_file: str = ""
    client_cert: str = ""
    client_key: str = ""


class OperationTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How calls of one operation are put and their answers read: `[operations."NAME"]`."""

    target: str
    method: str = "POST"
    path: str = ""
    query: dict[str, Any] | None = None
    headers: dict[str, str] = {}
    body: dict[str, Any] | None = None
    origin: str = "origin"  #: the key of a write's body that holds what legacy returned; empty: it is not sent so
    value: str = ""
    context: str | None = None
    null_on: tuple[int, ...] = ()
    raises: dict[str, str] = {}
    message: str = ""

    @property
    def templates(self) -> list[Template]:
        """Every text of it with places for arguments."""
        texts = [self.path, *self.headers.values()]
        return [*map(Template, texts), *templates_in(self.query or {}), *templates_in(self.body or {})]


@dataclass(frozen=True, slots=True)
class Described:
    """The file, its shape checked."""

    file: str
    allow_hosts: tuple[str, ...] = ()
    allow_networks: tuple[str, ...] = ()
    targets: Mapping[str, TargetTable] = field(default_factory=dict)
    operations: Mapping[str, OperationTable] = field(default_factory=dict)

    def wrong(self, table: str, key: str, found: str, expected: str) -> ConfigurationError:
        """Return the error that names a place in the file."""
        return wrong(self.file, table, key, found, expected)


def wrong(file: str, table: str, key: str, found: str, expected: str) -> ConfigurationError:
    """Return the error that names a place in a file."""
    place = " ".join(part for part in (f"[{table}]" if table else "", key) if part)
    return ConfigurationError(VARIABLE, f"{file}: {place}: {found}" if place else f"{file}: {found}", expected)


def read(path: Path) -> Described:
    """Read a file; raises ConfigurationError naming the first place in it that cannot be used."""
    file = path.name
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise wrong(file, "", "", f"cannot be read ({error.strerror or type(error).__name__})", "a TOML file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise wrong(file, "", "", f"is no TOML: {error}", "a TOML file in UTF-8") from None
    return _described(file, document)


class _Head(msgspec.Struct, forbid_unknown_fields=True):
    allow_hosts: tuple[str, ...] = ()
    allow_networks: tuple[str, ...] = ()
    targets: dict[str, Any] = {}
    operations: dict[str, Any] = {}


def _described(file: str, document: dict[str, Any]) -> Described:
    head = _table(file, "", document, _Head)
    described = Described(
        file,
        head.allow_hosts,
        head.allow_networks,
        {name: _table(file, f"targets.{name}", table, TargetTable) for name, table in head.targets.items()},
        {name: _table(file, f'operations."{name}"', table, OperationTable) for name, table in head.operations.items()},
    )
    for name, target in described.targets.items():
        _check_target(described, f"targets.{name}", target)
    for name, operation in described.operations.items():
        _check_operation(described, f'operations."{name}"', operation)
    return described


T = TypeVar("T")
_AT: Final = re.compile(r"^(?P<said>.*?)(?: - at `\$\.?(?P<key>.*)`)?$", re.DOTALL)


def _table(file: str, table: str, found: Any, kind: type[T]) -> T:
    try:
        return msgspec.convert(found, kind)
    except msgspec.ValidationError as error:
        told = _AT.match(str(error))
        assert told is not None
        raise wrong(
            file, table, told["key"] or "", told["said"], f"the keys of docs/targets.md ({_keys(kind)})"
        ) from None


def _keys(kind: Any) -> str:
    return ", ".join(kind.__struct_fields__)


# --- targets


def _check_target(described: Described, table: str, target: TargetTable) -> None:
    for key in ("connect_timeout_s", "read_timeout_s", "timeout_s", "answer_bytes", "answer_depth", "concurrency"):
        value = getattr(target, key)
        if value is not None and not 0 < value < float("inf"):
            raise described.wrong(table, key, f"is {value}", "a number above 0")
    if target.health and not target.health.startswith("/"):
        raise described.wrong(table, "health", f"is {target.health!r}", "a path such as /healthz")
    if bool(target.client_cert) != bool(target.client_key):
        raise described.wrong(table, "client_cert", "without its other half", "client_cert and client_key, or neither")
    _check_headers(described, table, target.headers)
    if not _SECRET.search(target.url):
        url_of(described, table, target.url)


def url_of(described: Described, table: str, text: str) -> httpx.URL:
    """Return a target's URL; raises ConfigurationError where it is none, or of a host that is not allowed."""
    expected = "http:// or https://, a host, and maybe a path"
    try:
        url = httpx.URL(text)
    except (httpx.InvalidURL, UnicodeError, ValueError) as error:
        raise described.wrong(table, "url", f"is no URL ({error})", expected) from None
    if url.scheme not in ("http", "https") or not url.host:
        raise described.wrong(table, "url", f"has the scheme {url.scheme!r} and the host {url.host!r}", expected)
    if url.userinfo:
        raise described.wrong(table, "url", "holds a user or password", "a header Authorization that names a secret")
    if url.query or url.fragment:
        raise described.wrong(table, "url", "holds a query or fragment", "those of the operations' own tables")
    if not is_allowed(url, described.allow_hosts):
        named = f"{url.host}:{url.port}" if url.port else url.host
        raise described.wrong(
            "", "allow_hosts", f"does not name {named}, the host of [{table}]", "each host that is called"
        )
    return url


def is_allowed(url: httpx.URL, allow_hosts: Iterable[str]) -> bool:
    """Tell whether a host may be called: named without a port, any port of it is."""
    port = url.port or (443 if url.scheme == "https" else 80)
    host = url.host.lower()
    shown = f"[{host}]" if ":" in host else host
    return any(named.lower() in (host, shown, f"{shown}:{port}") for named in allow_hosts)


def _check_headers(described: Described, table: str, headers: Mapping[str, str]) -> None:
    for name, value in headers.items():
        key = f"headers.{name}"
        if not _TOKEN.match(name):
            raise described.wrong(table, key, "is no name of a header", "letters, digits and hyphens")
        if name.lower() in RESERVED:
            raise described.wrong(table, key, "is set by Gnomon itself", "another header")
        if not _is_line(value):
            raise described.wrong(table, key, "is no line of ASCII", "printable ASCII, one line")


def _is_line(value: str) -> bool:
    return value.isascii() and value.isprintable()


# --- operations


def _check_operation(described: Described, table: str, operation: OperationTable) -> None:
    if operation.target not in described.targets:
        known = ", ".join(sorted(described.targets)) or "none"
        raise described.wrong(table, "target", f"names {operation.target!r}", f"one of [targets.…]: {known}")
    if operation.method not in METHODS:
        raise described.wrong(table, "method", f"is {operation.method!r}", f"one of {', '.join(METHODS)}")
    if operation.path and not operation.path.startswith("/"):
        raise described.wrong(table, "path", f"is {operation.path!r}", "a path that begins with /")
    if "?" in operation.path or "#" in operation.path:
        raise described.wrong(table, "path", "holds a query or fragment", "the key query")
    if operation.method in BODILESS and operation.body is not None:
        raise described.wrong(table, "body", f"with method {operation.method}", "POST, PUT, PATCH or DELETE")
    _check_headers(described, table, operation.headers)
    for template in operation.templates:
        if problem := template.problem():
            raise described.wrong(table, "", f"{template.text!r}: {problem}", "places such as {user_id}")
    _check_answer(described, table, operation)


def _check_answer(described: Described, table: str, operation: OperationTable) -> None:
    for key in ("value", "context", "message"):
        try:
            pointer_of(getattr(operation, key) or "")
        except ValueError as error:
            raise described.wrong(table, key, f"is {getattr(operation, key)!r}", str(error)) from None
    statuses = [*map(str, operation.null_on), *operation.raises]
    for status in statuses:
        if not (status.isdigit() and _LEAST_ERROR <= int(status) <= _MOST_STATUS):
            key = "raises" if status in operation.raises else "null_on"
            raise described.wrong(table, key, f"names {status}", "HTTP statuses from 400 to 599")
    for status, name in operation.raises.items():
        if not _CLASS.match(name):
            raise described.wrong(table, f"raises.{status}", f"is {name!r}", "the name of an exception's class")


def check_arguments(
    described: Described, name: str, parameters: Iterable[str], *, writes: bool, open_ended: bool
) -> None:
    """Check an operation's table against what its calls have; raises ConfigurationError.

    `open_ended`: the operation takes any keyword, so any argument may be named.
    """
    table, operation = f'operations."{name}"', described.operations[name]
    known = set(parameters)
    if OURS in known:
        raise described.wrong(table, "", f"the operation has a parameter {OURS!r}", "another name: that one is taken")
    if writes and operation.method in BODILESS:
        raise described.wrong(
            table, "method", f"is {operation.method}, and {name} writes", "POST, PUT, PATCH or DELETE"
        )
    for template in operation.templates if not open_ended else ():
        if template.arguments - known:
            listed = ", ".join(sorted(known))
            raise described.wrong(table, "", f"{template.text!r} names no parameter of {name}", f"one of {listed}")
    if writes and operation.body is None and operation.origin in known:
        raise described.wrong(
            table, "origin", f"{name} has a parameter {operation.origin!r}", 'another key, or none: ""'
        )


# --- secrets


def with_secrets(described: Described, table: str, key: str, text: str, environ: Mapping[str, str] = os.environ) -> str:
    """Return a text with each `${NAME}` replaced by that variable, or by the file that `NAME_FILE` names."""

    def secret(found: re.Match[str]) -> str:
        return _secret(described, table, key, found.group(1), environ)

    return _SECRET.sub(secret, text)


def _secret(described: Described, table: str, key: str, name: str, environ: Mapping[str, str]) -> str:
    value = environ.get(name)
    if value is None and (path := environ.get(f"{name}_FILE")):
        try:
            value = Path(path).read_bytes()[:_SECRET_BYTES].decode("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            said = f"the file that {name}_FILE names cannot be read ({type(error).__name__})"
            raise described.wrong(table, key, said, "a file of text") from None
    if value is None:
        raise described.wrong(table, key, f"{name} is not set", f"the variable {name}, or {name}_FILE")
    if not _is_line(value):
        raise described.wrong(table, key, f"what {name} holds is no line of ASCII", "printable ASCII, one line")
    return value
