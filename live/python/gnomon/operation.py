"""Wraps the legacy callable under its own signature and keeps the enhanced one for whoever replays it."""

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, ParamSpec, Protocol, TypeVar, cast

import msgspec

from gnomon.errors import OperationError
from gnomon.invoking import Invoker
from gnomon.results import Check, check_of, declared_types
from gnomon.tap import NullTap
from gnomon.wire import Kind

P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)
F = TypeVar("F", bound=Callable[..., Any])

LONGEST_NAME = 200
_UNNAMEABLE = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.VAR_POSITIONAL)


class Operation(Protocol, Generic[P, R_co]):
    """The wrapped legacy callable: called exactly as before."""

    __name__: str

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Call the serving side."""

    def enhanced(self, fn: F) -> F:
        """Register the enhanced callable, which takes the same arguments; returns it unchanged."""


@dataclass(slots=True, kw_only=True)
class Binding:
    """An operation: its name, its two callables, and how a call of it is read."""

    name: str
    kind: Kind
    user: str
    legacy: Callable[..., Any]
    flag: str | None = None
    timeout_s: float | None = None
    sample: float = 1.0
    rejects: tuple[type[BaseException], ...] = ()
    idempotent: bool = True
    enhanced: Callable[..., Any] | None = None
    wrapped: Callable[..., Any] = field(init=False)
    parameters: tuple[str, ...] = field(init=False)
    signature: inspect.Signature = field(init=False)
    defaults: dict[str, Any] = field(init=False)
    required: frozenset[str] = field(init=False)
    _all_positional: int = field(init=False)
    _types: dict[str, Any] | None = field(init=False, default=None)
    _valid: Check | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        if not callable(self.legacy):
            raise OperationError(self.name, f"wraps a callable, not a {type(self.legacy).__name__}")
        self.signature = inspect.signature(self.legacy)
        self._check()
        if not self.idempotent and self.kind is not Kind.WRITE:
            raise OperationError(self.name, "idempotent=False is for writes: nothing else is done twice")
        plain = [p for p in self.signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
        self.parameters = tuple(p.name for p in plain if p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD)
        self.defaults = {p.name: p.default for p in plain if p.default is not inspect.Parameter.empty}
        self.required = frozenset(p.name for p in plain if p.default is inspect.Parameter.empty)
        #: so many positional arguments are all that there are: the usual call, and the quickest to name
        self._all_positional = len(plain) if len(plain) == len(self.parameters) else -1

    def _check(self) -> None:
        for parameter in self.signature.parameters.values():
            if parameter.kind in _UNNAMEABLE:
                raise OperationError(self.name, f"parameter {parameter.name!r} has no name to be captured under")
        if not 0 < len(self.name) <= LONGEST_NAME or "\0" in self.name or "|" in self.name:
            raise OperationError(self.name[:80], f"a name has 1 to {LONGEST_NAME} characters, no NUL and no |")
        if self.user not in self.signature.parameters:
            raise OperationError(self.name, f"user={self.user!r} is no parameter of {self.legacy.__name__}")
        if not isinstance(self.sample, int | float) or not 0 <= self.sample <= 1:
            raise OperationError(self.name, "sample must be a number from 0 to 1")
        if self.kind is Kind.WRITE and self.sample != 1:
            raise OperationError(self.name, "writes can't be sampled: later reads depend on every one of them")
        if self.timeout_s is not None and not self.timeout_s > 0:
            raise OperationError(self.name, "timeout_s must be above 0")

    def named(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any] | None:
        """Return a call's arguments by name, defaults filled in; None for a call that the callable will refuse."""
        if not kwargs and len(args) == self._all_positional:
            return dict(zip(self.parameters, args, strict=True))
        if len(args) > len(self.parameters):
            return None
        given = dict(zip(self.parameters, args, strict=False))
        named = {**self.defaults, **given, **kwargs}
        return None if given.keys() & kwargs.keys() or not self.required <= named.keys() else named

    def problem_with(self, args: dict[str, Any]) -> str | None:
        """Say why these named arguments cannot be passed; None where they can."""
        try:
            self.signature.bind(**args)
        except TypeError as error:
            return str(error)
        return None

    def typed(self, args: dict[str, Any]) -> dict[str, Any]:
        """Return arguments read from JSON in the types that the legacy callable declares, where it declares them."""
        if self._types is None:
            self._types = declared_types(self.legacy)
        return {name: _converted(value, self._types.get(name, Any)) for name, value in args.items()}

    def valid(self, value: Any) -> bool:
        """Tell whether what enhanced returned may take the place of what legacy would have."""
        if self._valid is None:
            self._valid = check_of(self.legacy)
        return self._valid(value)

    @property
    def is_async(self) -> bool:
        """Whether legacy is a coroutine function."""
        return inspect.iscoroutinefunction(self.legacy)


def _converted(value: Any, declared: Any) -> Any:
    try:
        return msgspec.convert(value, declared)
    except (msgspec.ValidationError, TypeError):  # the caller passed something else than declared: so does the replay
        return value


class Desk(Protocol):
    """What a wrapper needs of its client: replaced after a fork and on close, so asked at each call."""

    @property
    def tap(self) -> NullTap:
        """What captures."""

    @property
    def invoker(self) -> Invoker:
        """What invokes both systems."""


def wrap(binding: Binding, desk: Desk) -> Operation[Any, Any]:
    """Return the wrapped callable of `binding`: name, docstring, signature, hints and asyncness are legacy's."""
    function = _async_wrapper if binding.is_async else _sync_wrapper
    wrapped = functools.wraps(binding.legacy)(function(binding, desk))
    wrapped.enhanced = functools.partial(_register, binding)  # type: ignore[attr-defined]
    return cast("Operation[Any, Any]", wrapped)


def _register(binding: Binding, fn: F) -> F:
    if binding.enhanced is not None:
        raise OperationError(binding.name, "has an enhanced callable already")
    if not callable(fn):
        raise OperationError(binding.name, f"enhanced takes a callable, not a {type(fn).__name__}")
    if binding.flag is not None and inspect.iscoroutinefunction(fn) is not binding.is_async:
        kinds = ("async", "sync") if binding.is_async else ("sync", "async")
        raise OperationError(binding.name, f"legacy is {kinds[0]} and enhanced {kinds[1]}: it could never serve")
    binding.enhanced = fn
    return fn


def _sync_wrapper(binding: Binding, desk: Desk) -> Callable[..., Any]:
    legacy = binding.legacy

    def operation(*args: Any, **kwargs: Any) -> Any:
        used = desk.tap
        live = used.begin(binding, args, kwargs)
        if live is None:
            return legacy(*args, **kwargs)
        if not live.alone:
            return desk.invoker.serve(used, live, args, kwargs)
        try:
            value = legacy(*args, **kwargs)
        except BaseException as error:
            used.raised(live, error)
            raise
        used.returned(live, value)
        return value

    return operation


def _async_wrapper(binding: Binding, desk: Desk) -> Callable[..., Any]:
    legacy = binding.legacy

    async def operation(*args: Any, **kwargs: Any) -> Any:
        used = desk.tap
        live = used.begin(binding, args, kwargs)
        if live is None:
            return await legacy(*args, **kwargs)
        if not live.alone:
            return await desk.invoker.serve_async(used, live, args, kwargs)
        try:
            value = await legacy(*args, **kwargs)
        except BaseException as error:
            used.raised(live, error)
            raise
        used.returned(live, value)
        return value

    return operation
