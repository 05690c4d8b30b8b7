"""Puts HTTP targets in the place of enhanced callables, and a guard before every operation's enhanced side.

On the data's way this happens once in each worker process, when its engine is made.
"""

import contextlib
import inspect
import ipaddress
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Protocol

import httpcore
import httpx

from gnomon.operation import Binding
from gnomon.wire import Kind
from worker.targets.description import Described, check_arguments, read, url_of, with_secrets
from worker.targets.errors import TargetError
from worker.targets.events import tell
from worker.targets.guard import Guard, Guards, python_guards
from worker.targets.http import Bounds, Clients, HttpOperation, open_clients, timeout_of
from worker.targets.network import Network, exchanging

SHARE_OF_REPLAY: Final = 0.5  #: of what a replay may take is a call's own bound unless told otherwise
MOST_OF_REPLAY: Final = 0.9  #: a call ends before its thread is given up
HEALTH_S: Final = 2.0


class Limits(Protocol):
    """What of the worker's settings bounds a call."""

    @property
    def replay_timeout_s(self) -> float:
        """A replay that takes longer has failed."""

    @property
    def answer_bytes(self) -> int:
        """The largest answer."""

    @property
    def threads(self) -> int:
        """Replays side by side in one process."""

    @property
    def targets(self) -> Path | None:
        """The file."""


@dataclass(slots=True)
class Bound:
    """All operations with what is called as their enhanced side, who guards them, and what to close."""

    operations: dict[str, Binding]
    guards: Guards
    clients: list[Clients] = field(default_factory=list)

    def close(self) -> None:
        """Close all connections to HTTP targets."""
        for clients in self.clients:
            clients.close()


def bind(operations: Mapping[str, Binding], limits: Limits) -> Bound:
    """Return the operations as workers call them; raises ConfigurationError naming a place in the file of targets."""
    described = read(limits.targets) if limits.targets else None
    reached = _Targets(described, limits) if described else None
    bound = dict(operations)
    for name in described.operations if described else ():
        assert reached is not None
        bound[name] = reached.bound(name, operations)
    guards = python_guards((name for name in bound if not reached or name not in reached.guarded), limits.threads, tell)
    if reached:
        guards |= reached.guarded
    return Bound(bound, Guards(guards), reached.clients if reached else [])


class _Targets:
    """The targets of one file, each opened when the first operation names it."""

    def __init__(self, described: Described, limits: Limits) -> None:
        self._described = described
        self._limits = limits
        self._allowed = _networks(described)
        self._opened: dict[str, _Target] = {}
        self.guarded: dict[str, Guard] = {}
        for name in described.targets:
            self._opened[name] = _Target(described, name, limits, self._allowed)

    @property
    def clients(self) -> list[Clients]:
        return [target.clients for target in self._opened.values()]

    def bound(self, name: str, operations: Mapping[str, Binding]) -> Binding:
        described, table = self._described, self._described.operations[name]
        binding = operations.get(name)
        if binding is None:
            known = ", ".join(sorted(operations))
            raise described.wrong(f'operations."{name}"', "", "no such operation", f"one of GNOMON_OPERATIONS: {known}")
        named = inspect.Parameter.VAR_KEYWORD
        parameters = binding.signature.parameters.values()
        check_arguments(
            described,
            name,
            (each.name for each in parameters if each.kind is not named),
            writes=binding.kind is Kind.WRITE,
            open_ended=any(each.kind is named for each in parameters),
        )
        target = self._opened[table.target]
        self.guarded[name] = target.guard
        return replace(binding, enhanced=target.operation(name, binding))


class _Target:
    """One HTTP service: its URL, its headers with their secrets, its connections and its guard."""

    def __init__(self, described: Described, name: str, limits: Limits, allowed: tuple[Network, ...]) -> None:
        self._described, self._name = described, name
        self._place, self._table = f"targets.{name}", described.targets[name]
        cap = self._table.concurrency or limits.threads
        self._url = url_of(described, self._place, self._filled("url", self._table.url))
        self._headers = {key: self._filled(f"headers.{key}", text) for key, text in self._table.headers.items()}
        self._bounds = self._bounded(limits)
        secure = self._url.scheme == "https"
        self.clients = open_clients(self._context() if secure else None, allowed, cap)
        self.guard = Guard(name, cap, health=self._health() if self._table.health else None, listener=tell)

    def operation(self, name: str, binding: Binding) -> HttpOperation:
        """Return what calls it for one operation."""
        return HttpOperation(
            name,
            binding.kind,
            self._described.operations[name],
            url=self._url,
            headers=self._headers,
            bounds=self._bounds,
            clients=self.clients,
            repeatable=binding.idempotent,
        )

    def _filled(self, key: str, text: str) -> str:
        return with_secrets(self._described, self._place, key, text)

    def _bounded(self, limits: Limits) -> Bounds:
        table = self._table
        most_s = MOST_OF_REPLAY * limits.replay_timeout_s
        total_s = table.timeout_s or SHARE_OF_REPLAY * limits.replay_timeout_s
        if total_s > most_s:
            expected = f"at most {most_s:g}: a replay may take {limits.replay_timeout_s:g} s (GNOMON_REPLAY_TIMEOUT_S)"
            raise self._described.wrong(self._place, "timeout_s", f"is {total_s:g}", expected)
        return Bounds(
            connect_s=min(table.connect_timeout_s, total_s),
            read_s=min(table.read_timeout_s, total_s),
            total_s=total_s,
            answer_bytes=table.answer_bytes or limits.answer_bytes,
            answer_depth=table.answer_depth,
        )

    def _context(self) -> ssl.SSLContext:
        table = self._table
        key = "ca_file"
        try:
            context = ssl.create_default_context(cafile=table.ca_file or None)
            key = "client_cert"
            if table.client_cert:
                context.load_cert_chain(table.client_cert, table.client_key)
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            said = (
                f"cannot be used ({error.strerror or type(error).__name__})"
                if isinstance(error, OSError)
                else "is none"
            )
            raise self._described.wrong(self._place, key, said, "a file in PEM form") from None
        return context

    def _health(self) -> Callable[[], bool]:
        url = self._url.copy_with(raw_path=self._url.raw_path.rstrip(b"/") + self._table.health.encode())
        bounds, transport = self._bounds, self.clients.fresh
        timeouts = {"timeout": timeout_of(bounds)}

        def healthy() -> bool:
            with exchanging(time.monotonic() + min(HEALTH_S, bounds.total_s)):
                try:
                    request = httpx.Request("GET", url, headers=self._headers, extensions=timeouts)
                    response = transport.handle_request(request)
                except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError, TargetError):
                    return False
                with contextlib.suppress(Exception):
                    response.close()
                return response.is_success

        return healthy


def _networks(described: Described) -> tuple[Network, ...]:
    found: list[Network] = []
    for text in described.allow_networks:
        try:
            found.append(ipaddress.ip_network(text))
        except ValueError:
            raise described.wrong("", "allow_networks", f"holds {text!r}", "networks such as 169.254.10.0/24") from None
    return tuple(found)
