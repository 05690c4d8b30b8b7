"""The client of a live process: `Gnomon` holds the operations, the flags and the way to the lanes."""

import contextlib
import os
import weakref
from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import Any, ParamSpec, TypeVar, cast

import redis

from gnomon.buffer import Buffer
from gnomon.complaints import check_complaint, keep_complaint
from gnomon.connecting import connect
from gnomon.errors import OperationError, UnreachableError
from gnomon.flags import SWITCHES, EnvironmentFlags, FlagState
from gnomon.health import Health, health_of, without_redis
from gnomon.invoking import Invoker
from gnomon.keys import Keys
from gnomon.metrics import Tally, read_metrics, summary
from gnomon.operation import Binding, Operation, checked_name, checked_rejects, wrap
from gnomon.publisher import EXIT_DEADLINE_S, Publisher
from gnomon.readiness import UserData
from gnomon.settings import ClientSettings
from gnomon.switchboard import Flags
from gnomon.tap import FIRST_FLAGS_S, NullTap, Tap
from gnomon.usual import make_of, new_board
from gnomon.wire import Kind, Side

P = ParamSpec("P")
R = TypeVar("R")

_clients: "weakref.WeakSet[Gnomon]" = weakref.WeakSet()


class Gnomon:
    """One migration as a live process sees it. Safe to make at import: nothing is started before the first call."""

    def __init__(self, settings: ClientSettings, environment: EnvironmentFlags | None = None) -> None:
        self._settings = settings
        self._environment = environment or EnvironmentFlags()
        self._bindings: dict[str, Binding] = {}
        self.user_data: UserData | None = None  #: what verifies users' data; set by `verification`
        self._state = FlagState(self._environment, settings.kill_file)
        self.flags = Flags(settings, self._state, self._read_flags)
        self._open()
        _clients.add(self)

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> "Gnomon":
        """Make a client from the environment; without `GNOMON_REDIS_URL` one that captures nothing.

        Never raises on an unreachable Redis; raises ConfigurationError for a malformed variable.
        """
        return cls(ClientSettings.from_env(environ), EnvironmentFlags.from_env(environ))

    def _open(self) -> None:
        """Begin to capture: in this process, and anew in each child of it."""
        settings = self._settings
        self.invoker = Invoker(places=settings.enhanced_threads, dual_timeout_s=settings.dual_timeout_s)
        self._publisher: Publisher | None = None
        self._buffer: Buffer | None = None
        self.tap = NullTap()
        if settings.redis_url is not None and settings.capture:
            board = new_board(
                make_of(compiled=settings.compiled),
                max_captures=settings.buffer_captures,
                max_bytes=settings.buffer_bytes,
                largest=settings.capture_bytes,
            )
            self._buffer = Buffer(board)
            self._state.show(board)
            tally = Tally(self._buffer.answered)
            self._publisher = Publisher(settings, self._state, self._buffer, tally)
            self.tap = Tap(settings, self._state, self._buffer, self._publisher, tally)

    @property
    def tap(self) -> NullTap:
        """What captures; where it is replaced, the usual ways of the one before are no longer taken."""
        return self._tap

    @tap.setter
    def tap(self, tap: NullTap) -> None:
        self._tap = tap
        for binding in self._bindings.values():
            binding.way = None

    def _after_fork(self) -> None:
        """Begin anew in a child, with the flags as the parent knew them; the parent publishes what it had captured."""
        self._state.standing.own.clear()
        self.tap.disown()
        self._open()

    def _read_flags(self) -> None:
        if self._publisher is not None and not self._state.known:
            self._publisher.start()
            self._publisher.await_answer(FIRST_FLAGS_S)

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
        rejects: type[BaseException] | Collection[type[BaseException]] = (),
        idempotent: bool = True,
    ) -> Callable[[Callable[P, R]], Operation[P, R]]:
        """Wrap a legacy callable, sync or async, as the operation `name`.

        `kind` is read, write or generate; `user` names the parameter that holds the user's id; `flag` the flag that
        decides who is served by enhanced (None: nobody, ever); `sample` the share of users captured, by user, for
        reads and generate calls; `rejects` the exceptions by which a write says no on purpose; `idempotent` whether the
        enhanced callable of a write may be called again with the same `gnomon.call()`: where not, a worker calls it
        once at most, and parks what may have been made or not. Raises OperationError.
        """
        checked = _checked_kind(checked_name(name), kind)
        self._check_new(name)
        if flag is not None and flag not in tuple(SWITCHES):  # compared, not looked up: it may be anything
            raise OperationError(name, f"unknown flag {flag!r}; known are {', '.join(SWITCHES)}")

        def decorate(legacy: Callable[P, R]) -> Operation[P, R]:
            self._check_new(name)
            binding = Binding(
                name=name,
                kind=checked,
                user=user,
                legacy=legacy,
                flag=flag,
                timeout_s=timeout_s,
                sample=sample,
                rejects=checked_rejects(name, rejects),
                idempotent=idempotent,
            )
            self._bindings[name] = binding
            binding.wrapped = wrap(binding, self)
            return cast("Operation[P, R]", binding.wrapped)

        return decorate

    def _check_new(self, name: str) -> None:
        if name in self._bindings:
            raise OperationError(name, "is registered already")

    def verification(self, user_data: UserData) -> None:
        """Have users' data verified before enhanced serves them; raises OperationError where that is done already."""
        if self.user_data is not None:
            raise OperationError("verification", "user data is registered already")
        self.user_data = user_data

    def stand_aside(self) -> None:
        """Capture and serve nothing in this process: it replays, and what it replays may call other operations."""
        self.tap = NullTap()

    def record(self, name: str, args: dict[str, Any], outcome: Side) -> None:
        """Capture a call of `name` whose legacy outcome was recorded elsewhere; nothing is called."""
        if isinstance(self.tap, Tap):
            self.tap.record(self._bindings[name], args, outcome)

    def metrics(self, *, everywhere: bool = False) -> dict[str, Any]:
        """Return what this process counted, or all processes of the namespace: see `gnomon.metrics.summary`.

        Of other processes what they told last, up to a second ago; raises FlagError where Redis does not answer.
        """
        return summary(self._everywhere() if everywhere else self.tap.tally.counts())

    def _everywhere(self) -> dict[str, int]:
        if self._settings.redis_url is None:
            return self.tap.tally.counts()
        own = self.tap.tally.changes()  # what the others cannot know yet
        with contextlib.closing(connect(self._settings.redis_url)) as server:
            try:
                return _added(read_metrics(server, Keys(self._settings.namespace)), own)
            except (redis.RedisError, OSError) as error:
                raise UnreachableError(f"metrics of all processes: Redis does not answer ({_name(error)})") from error

    def health(self) -> Health:
        """Return how this process is doing; asks nobody."""
        if self._publisher is None or self._buffer is None:
            return without_redis(capture=self._settings.capture)
        return health_of(self._publisher, self._buffer, self._state, self._breakers())

    def _breakers(self) -> dict[str, str]:
        return {name: str(self.invoker.breaker(name).state) for name in self._bindings}

    def complain(self, user_id: str, text: str, *, conversation_id: str | None = None) -> None:
        """Note a user's complaint about what enhanced answered; from now on legacy serves that user.

        `conversation_id`: in which conversation, where that is known.

        Raises FlagError for a bad id or text, UnreachableError where Redis does not answer: then nothing was noted.
        """
        conversation = "" if conversation_id is None else conversation_id
        check_complaint(user_id, text, conversation)
        if self._settings.redis_url is None:
            raise UnreachableError("a complaint cannot be kept: GNOMON_REDIS_URL is not set")
        with contextlib.closing(connect(self._settings.redis_url)) as server:
            try:
                keys = Keys(self._settings.namespace)
                keep_complaint(server, keys, user_id, text, conversation=conversation)
            except (redis.RedisError, OSError) as error:
                raise UnreachableError(f"a complaint cannot be kept: {_name(error)}") from error
        self.tap.tally.add("complaints")

    def flush(self, timeout_s: float = EXIT_DEADLINE_S) -> bool:
        """Wait until everything captured so far lies in its lane; False where `timeout_s` was too short."""
        return self._publisher is None or self._publisher.flush(timeout_s)

    def close(self, timeout_s: float = EXIT_DEADLINE_S) -> None:
        """Flush, then end the heartbeat. Calls go on working, uncaptured."""
        if self._publisher is not None:
            self.tap.close()
            self._publisher.close(timeout_s)


def _checked_kind(name: str, kind: Kind | str) -> Kind:
    try:
        return Kind(kind)
    except ValueError:
        raise OperationError(name, f"kind={kind!r}; expected one of {', '.join(Kind)}") from None


def _added(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    return {name: one.get(name, 0) + other.get(name, 0) for name in {*one, *other}}


def _name(error: Exception) -> str:
    return type(error).__name__


def _renew_after_fork() -> None:
    for client in list(_clients):
        client._after_fork()  # noqa: SLF001 — the same module


os.register_at_fork(after_in_child=_renew_after_fork)
