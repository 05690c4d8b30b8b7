"""The client of a live process: `Gnomon` holds the operations, the flags and the way to the lanes."""

import contextlib
import os
import weakref
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, ParamSpec, TypeVar, cast

import msgspec
import redis

from gnomon.buffer import Buffer
from gnomon.errors import FlagError, OperationError
from gnomon.flags import SWITCHES, EnvironmentFlags, FlagDecision, FlagState, StoredFlags, changed
from gnomon.keys import Keys
from gnomon.operation import Binding, Operation, wrap
from gnomon.publisher import EXIT_DEADLINE_S, Publisher, connect
from gnomon.scripts import STORE_FLAGS
from gnomon.settings import ClientSettings
from gnomon.tap import NullTap, Tap
from gnomon.wire import Kind, Side

P = ParamSpec("P")
R = TypeVar("R")

_clients: "weakref.WeakSet[Gnomon]" = weakref.WeakSet()


@dataclass(frozen=True, slots=True)
class Health:
    """How the client itself is: `healthy`, `degraded` (captures wait or are lost) or `off`."""

    status: str
    details: dict[str, Any] = field(default_factory=dict)


class Gnomon:
    """One migration as a live process sees it. Safe to make at import: nothing is started before the first call."""

    def __init__(self, settings: ClientSettings, environment: EnvironmentFlags | None = None) -> None:
        self._settings = settings
        self._environment = environment or EnvironmentFlags()
        self._bindings: dict[str, Binding] = {}
        self._open()
        _clients.add(self)

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> "Gnomon":
        """Make a client from the environment; without `GNOMON_REDIS_URL` one that captures nothing.

        Never raises on an unreachable Redis; raises ConfigurationError for a malformed variable.
        """
        return cls(ClientSettings.from_env(environ), EnvironmentFlags.from_env(environ))

    def _open(self) -> None:
        self._state = FlagState(self._environment, self._settings.kill_file)
        self.flags = Flags(self._settings, self._state)
        self._publisher: Publisher | None = None
        self._tap = NullTap()
        self._tally: Counter[str] = Counter()
        if self._settings.redis_url is not None and self._settings.capture:
            buffer = Buffer(max_captures=self._settings.buffer_captures, max_bytes=self._settings.buffer_bytes)
            self._publisher = Publisher(self._settings, self._state, buffer)
            self._tap = Tap(self._settings, self._state, buffer, self._publisher)
            self._tally = self._tap.tally

    def _after_fork(self) -> None:
        """Begin anew in a child: the parent publishes what it had captured, under its own name."""
        self._open()

    @property
    def operations(self) -> Mapping[str, Binding]:
        """The operations registered so far, by name."""
        return MappingProxyType(self._bindings)

    def operation(
        self,
        name: str,
        *,
        kind: Kind | str,
        user: str,
        flag: str | None = None,
        timeout_s: float | None = None,
        sample: float = 1.0,
        rejects: tuple[type[BaseException], ...] = (),
    ) -> Callable[[Callable[P, R]], Operation[P, R]]:
        """Wrap a legacy callable, sync or async, as the operation `name`.

        `kind` is read, write or generate; `user` names the parameter that holds the user's id; `flag` the flag that
        decides who is served by enhanced (None: nobody, ever); `sample` the share of users captured, by user, for
        reads and generate calls; `rejects` the exceptions by which a write says no on purpose. Raises OperationError.
        """
        checked = _checked_kind(name, kind)
        if name in self._bindings:
            raise OperationError(name, "is registered already")
        if flag is not None and flag not in SWITCHES:
            raise OperationError(name, f"unknown flag {flag!r}; known are {', '.join(SWITCHES)}")

        def decorate(legacy: Callable[P, R]) -> Operation[P, R]:
            binding = Binding(
                name=name,
                kind=checked,
                user=user,
                legacy=legacy,
                flag=flag,
                timeout_s=timeout_s,
                sample=sample,
                rejects=rejects,
            )
            self._bindings[name] = binding
            binding.wrapped = wrap(binding, lambda: self._tap)
            return cast("Operation[P, R]", binding.wrapped)

        return decorate

    def record(self, name: str, args: dict[str, Any], outcome: Side) -> None:
        """Capture a call of `name` whose legacy outcome was recorded elsewhere; nothing is called."""
        if isinstance(self._tap, Tap):
            self._tap.record(self._bindings[name], args, outcome)

    def metrics(self) -> dict[str, int]:
        """Return what this process counted: eligible calls and where each went."""
        return dict(self._tally)

    def health(self) -> Health:
        """Return how capture is doing in this process; asks nobody."""
        if self._publisher is None:
            return Health("off", {"reason": "no Redis configured" if self._settings.capture else "capture is off"})
        details = {"redis": "unreachable" if self._publisher.failing else "ok", "flags_age_s": self._state.age_s}
        return Health("degraded" if self._publisher.failing else "healthy", details)

    def flush(self, timeout_s: float = EXIT_DEADLINE_S) -> bool:
        """Wait until everything captured so far lies in its lane; False where `timeout_s` was too short."""
        return self._publisher is None or self._publisher.flush(timeout_s)

    def close(self, timeout_s: float = EXIT_DEADLINE_S) -> None:
        """Flush, then end the heartbeat. Calls go on working, uncaptured."""
        if self._publisher is not None:
            self._tap = NullTap()
            self._publisher.close(timeout_s)


def _checked_kind(name: str, kind: Kind | str) -> Kind:
    try:
        return Kind(kind)
    except ValueError:
        raise OperationError(name, f"kind={kind!r}; expected one of {', '.join(Kind)}") from None


class Flags:
    """The flags: read from memory, changed in Redis."""

    def __init__(self, settings: ClientSettings, state: FlagState) -> None:
        self._settings = settings
        self._state = state

    def for_user(self, user: str) -> dict[str, FlagDecision]:
        """Return, for each flag, whether `user` is inside its rollout, and why."""
        return {flag: self._state.decide(flag, user) for flag in SWITCHES}

    def update_flags(self, **changes: Any) -> StoredFlags:
        """Store changed flags for every process; returns what is stored now.

        Raises FlagError for an unknown flag, a wrong value, a raised share, or an unreachable Redis.
        """
        if self._settings.redis_url is None:
            raise FlagError("flags cannot be stored: GNOMON_REDIS_URL is not set")
        with contextlib.closing(connect(self._settings.redis_url)) as server:
            try:
                return store_flags(server, Keys(self._settings.namespace), changes)
            except (redis.RedisError, OSError) as error:
                raise FlagError(f"flags cannot be stored: Redis does not answer ({type(error).__name__})") from error


def read_flags(server: "redis.Redis", keys: Keys) -> StoredFlags:
    """Return the flags as stored, the first version where none are."""
    document = cast("bytes | None", server.get(keys.flags))
    return msgspec.json.decode(document, type=StoredFlags) if document else StoredFlags()


def store_flags(server: "redis.Redis", keys: Keys, changes: Mapping[str, Any]) -> StoredFlags:
    """Change stored flags by compare-and-set, again until nobody else was faster."""
    while True:
        stored = read_flags(server, keys)
        wanted = changed(stored, changes)
        if server.eval(STORE_FLAGS, 1, keys.flags, stored.version, msgspec.json.encode(wanted)):
            return wanted


def _renew_after_fork() -> None:
    for client in list(_clients):
        client._after_fork()  # noqa: SLF001 — the same module


os.register_at_fork(after_in_child=_renew_after_fork)
