"""Calls an HTTP target for one operation: builds the request, reads the answer within bounds, tells failures apart.

On the data's way this is an enhanced callable like any other; it is handed the capture, for what was captured is sent
as it was, whatever types the legacy callable declares.
"""

import contextlib
import hashlib
import logging
import random
import ssl
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlencode

import httpcore
import httpx
import msgspec

from gnomon.calling import Call
from gnomon.calling import call as current_call
from gnomon.wire import Capture, Kind, encode_value
from worker.targets.answers import at, decoded, pointer_of, read_body
from worker.targets.description import BODILESS, OperationTable
from worker.targets.errors import (
    BadAnswerError,
    DisconnectedError,
    RedirectedError,
    TargetError,
    UnsendableError,
    raised_by_target,
    status_error,
)
from worker.targets.network import Backend, Exchange, Network, exchanging
from worker.targets.templates import OURS, Template, filled, query_of

KEEPALIVE_S: Final = 4.0  # uvicorn closes idle connections after 5 s: whoever writes to one at that moment gets nothing
MESSAGE_BYTES: Final = 64 * 1024  # of an error's body: its message is shortened to far less
LONGEST_WAIT_S: Final = 300.0
_ALWAYS: Final = {"Accept-Encoding": "gzip", "X-Gnomon-Shadow": "1"}
_NO_CONTENT: Final = 204
_TRACE: Final = "00-{}-{}-01"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What one call may take."""

    connect_s: float
    read_s: float
    total_s: float
    answer_bytes: int
    answer_depth: int


class _Body(httpx.SyncByteStream):
    def __init__(self, response: httpcore.Response) -> None:
        self._response = response

    def __iter__(self) -> Iterator[bytes]:
        yield from self._response.iter_stream()

    def close(self) -> None:
        self._response.close()


class _Transport(httpx.BaseTransport):
    """Sends through connections of ours; httpx's own transport takes no network backend."""

    def __init__(self, pool: httpcore.ConnectionPool) -> None:
        self._pool = pool

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = self._pool.handle_request(
            httpcore.Request(
                method=request.method,
                url=httpcore.URL(
                    scheme=request.url.raw_scheme,
                    host=request.url.raw_host,
                    port=request.url.port,
                    target=request.url.raw_path,
                ),
                headers=request.headers.raw,
                content=request.stream,
                extensions=request.extensions,
            )
        )
        return httpx.Response(
            response.status, headers=response.headers, stream=_Body(response), extensions=response.extensions
        )

    def close(self) -> None:
        self._pool.close()


@dataclass(frozen=True, slots=True)
class Clients:
    """What requests to a target are sent by: connections that are used again, and such that are not."""

    pooled: httpx.BaseTransport
    fresh: httpx.BaseTransport  #: for writes that can't be repeated: no connection that may be closing already

    def close(self) -> None:
        """Close all connections."""
        self.pooled.close()
        self.fresh.close()


def open_clients(context: ssl.SSLContext | None, allowed: tuple[Network, ...], connections: int) -> Clients:
    """Return the clients of a target.

    Transports, without httpx's client around them: it would follow redirects, keep cookies, ask the environment for
    proxies, and log every URL, with the user's id in it.
    """
    logging.getLogger("httpcore").setLevel(logging.INFO)  # its debugging output shows headers

    def client(kept: int) -> httpx.BaseTransport:
        pool = httpcore.ConnectionPool(
            ssl_context=context,
            max_connections=2 * connections,  # the limiter bounds calls; one that was given up may still hold its own
            max_keepalive_connections=kept,
            keepalive_expiry=KEEPALIVE_S,
            network_backend=Backend(allowed),
        )
        return _Transport(pool)

    return Clients(client(connections), client(0))


class HttpOperation:
    """The enhanced side of one operation, as replays call it."""

    def __init__(
        self,
        name: str,
        kind: Kind,
        table: OperationTable,
        *,
        url: httpx.URL,
        headers: Mapping[str, str],
        bounds: Bounds,
        clients: Clients,
        repeatable: bool = True,
    ) -> None:
        self.name = name
        self._kind = kind
        self._table = table
        self._url = url
        self._headers = httpx.Headers({"Accept": "application/json", "User-Agent": "gnomon-worker"})
        self._headers.update({**headers, **_ALWAYS})
        self._bounds = bounds
        self._timeout = timeout_of(bounds)
        self._transport = clients.pooled if repeatable else clients.fresh
        self._repeatable = repeatable
        self._value = pointer_of(table.value)
        self._context = None if table.context is None else pointer_of(table.context)
        self._message = pointer_of(table.message)
        self._used = frozenset(name for template in table.templates for name in template.arguments)
        self._origin_placed = any(
            place.startswith(f"{OURS}.origin") for template in table.templates for place in template.names
        )

    def __call__(self, **args: Any) -> Any:
        """Call with arguments as they are, outside of a replay: the current `gnomon.call()` tells the rest."""
        current = current_call() or Call(capture_id=f"unknown-{random.getrandbits(64):016x}", shadow=True)
        return self._ask(args, current, "", float("inf"))

    def replaying(self, capture: Capture, current: Call, until: float) -> "_Replay":
        """Return the callable for one capture; `until`, on the monotonic clock, bounds its calls together."""
        return _Replay(self, capture, current, until)

    def _ask(self, args: Mapping[str, Any], current: Call, traceparent: str, until: float) -> Any:
        request = self._request(args, current, traceparent)
        with exchanging(min(until, time.monotonic() + self._bounds.total_s)) as exchange:
            return self._answer(request, exchange, current)

    # --- the request

    def _request(self, args: Mapping[str, Any], current: Call, traceparent: str) -> httpx.Request:
        table = self._table
        ours = {"origin": current.origin, "capture_id": current.capture_id, "operation": self.name}
        given = {**args, OURS: ours}
        rest = {name: value for name, value in args.items() if name not in self._used}
        query, body = self._query(given, rest), self._body(given, rest, current)
        url = self._url.raw_path.rstrip(b"/").decode("ascii") + Template(table.path).path(given)
        target = self._url.copy_with(raw_path=(url or "/").encode("ascii"))
        headers = self._headers.copy()
        headers.update({name: Template(text).header(given) for name, text in table.headers.items()})
        headers["Idempotency-Key"] = current.capture_id
        headers["traceparent"] = traceparent or traceparent_of(current.capture_id)
        if body is not None:
            headers.setdefault("Content-Type", "application/json")
        return httpx.Request(
            table.method,
            target.copy_with(query=urlencode(query, quote_via=quote).encode()) if query else target,
            headers=headers,
            content=body,
            extensions={"timeout": self._timeout},
        )

    def _query(self, given: Mapping[str, Any], rest: Mapping[str, Any]) -> list[tuple[str, str]]:
        if self._table.query is not None:
            return query_of(filled(self._table.query, given))
        return query_of(rest) if self._table.method in BODILESS else []

    def _body(self, given: Mapping[str, Any], rest: Mapping[str, Any], current: Call) -> bytes | None:
        table = self._table
        if table.method in BODILESS:
            return None
        body: dict[str, Any] = filled(table.body, given) if table.body is not None else dict(rest)
        if self._kind is Kind.WRITE and table.origin and not self._origin_placed:
            body[table.origin] = current.origin
        return encode_value(body)

    # --- the answer

    def _answer(self, request: httpx.Request, exchange: Exchange, current: Call) -> Any:
        response = self._sent(request, exchange)
        try:
            return self._read(response, current)
        except httpcore.RemoteProtocolError:  # less than it announced, or no HTTP in the middle of it
            raise BadAnswerError("its answer broke off") from None
        finally:
            with contextlib.suppress(Exception):  # what was not read is not waited for
                response.close()

    def _sent(self, request: httpx.Request, exchange: Exchange) -> httpx.Response:
        """Send; once more where a connection was used again that the target had closed meanwhile."""
        try:
            return self._sent_once(request, exchange)
        except (DisconnectedError, httpcore.ReadError, httpcore.WriteError):
            if exchange.connected or exchange.heard or not self._repeatable:
                raise
        return self._sent_once(request, exchange)

    def _sent_once(self, request: httpx.Request, exchange: Exchange) -> httpx.Response:
        try:
            return self._transport.handle_request(request)
        except httpcore.RemoteProtocolError:
            if exchange.heard:
                raise BadAnswerError("answered with no HTTP") from None
            raise DisconnectedError("the connection ended before an answer") from None
        except httpcore.LocalProtocolError:
            raise UnsendableError("a request that is no HTTP") from None

    def _read(self, response: httpx.Response, current: Call) -> Any:
        status = response.status_code
        named = self._table.raises.get(str(status))
        if named is not None:
            raise raised_by_target(named, self._message_in(response))
        if status in self._table.null_on or status == _NO_CONTENT:
            return None
        if response.has_redirect_location or 300 <= status < 400:  # noqa: PLR2004 — HTTP's own
            raise RedirectedError(f"HTTP {status}: redirects are not followed")
        if not response.is_success:
            raise status_error(status, _retry_after(response))
        value = decoded(self._bytes_of(response, self._bounds.answer_bytes), self._bounds.answer_depth)
        if self._context is not None:
            current.add_context(*_texts(value, self._context))
        return _found(value, self._value)

    def _bytes_of(self, response: httpx.Response, limit: int) -> bytes:
        return read_body(
            response.iter_raw(),
            encoding=response.headers.get("content-encoding", ""),
            declared=response.headers.get("content-length", ""),
            limit=limit,
        )

    def _message_in(self, response: httpx.Response) -> str:
        """Return what a target says to an exception; its status, where it says nothing that can be read."""
        with contextlib.suppress(TargetError, KeyError):
            said = at(decoded(self._bytes_of(response, MESSAGE_BYTES), self._bounds.answer_depth), self._message)
            if isinstance(said, str):
                return said
        return f"HTTP {response.status_code}"


class _Replay:
    """One capture's call; made again, it is the same call."""

    def __init__(self, operation: HttpOperation, capture: Capture, current: Call, until: float) -> None:
        self._operation = operation
        self._capture = capture
        self._current = current
        self._until = until

    def __call__(self, **_typed: Any) -> Any:
        args = msgspec.json.decode(self._capture.args)
        trace = getattr(self._capture, "traceparent", "") or ""
        return self._operation._ask(args, self._current, trace, self._until)  # noqa: SLF001 — of one piece with it


def timeout_of(bounds: Bounds) -> dict[str, float | None]:
    """Return bounds as httpx hands them to a transport."""
    return httpx.Timeout(bounds.read_s, connect=bounds.connect_s, pool=bounds.total_s).as_dict()


def traceparent_of(capture_id: str) -> str:
    """Return a `traceparent` (W3C Trace Context, version 00) that is the same for every replay of a capture."""
    digest = hashlib.sha256(capture_id.encode()).hexdigest()
    return _TRACE.format(digest[:32], digest[32:48])


def _found(value: Any, pointer: tuple[str, ...]) -> Any:
    try:
        return at(value, pointer)
    except KeyError:
        raise BadAnswerError(f"its answer has nothing at /{'/'.join(pointer)}") from None


def _texts(value: Any, pointer: tuple[str, ...]) -> tuple[str, ...]:
    try:
        texts = at(value, pointer)
    except KeyError:
        return ()
    if texts is None:
        return ()
    if isinstance(texts, list) and all(isinstance(text, str) for text in texts):
        return tuple(texts)
    raise BadAnswerError(f"its context at /{'/'.join(pointer)} is no list of texts")


def _retry_after(response: httpx.Response) -> float:
    text = response.headers.get("retry-after", "")
    return min(float(text), LONGEST_WAIT_S) if text.isdigit() else 0.0
