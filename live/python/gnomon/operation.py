"""Wraps the legacy callable under its own signature and keeps the enhanced one for whoever replays it."""

import functools
import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, Protocol, TypeVar, cast

import msgspec

from gnomon.errors import OperationError
from gnomon.invoking import Invoker
from gnomon.live_call import live_of
from gnomon.results import Check, check_of, declared_types
from gnomon.tap import NullTap
from gnomon.wire import Kind

if TYPE_CHECKING:
    from gnomon.usual import Way

P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)
F = TypeVar("F", bound=Callable[..., Any])

LONGEST_NAME = 200
LONGEST_TIMEOUT_S = 86_400  # nobody waits for a day; what waits for a thread takes no more than 292 years
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
    open: bool = field(init=False)
    writes: bool = field(init=False)  # a member of an enum takes ten times as long to find
    in_order: bool = field(init=False)
    way: "Way | None" = field(init=False, default=None)  # the usual one, once every call is known to be captured
    _types: dict[str, Any] | None = field(init=False, default=None)
    _valid: Check | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        if not callable(self.legacy):
            raise OperationError(self.name, f"wraps a callable, not a {type(self.legacy).__name__}")
        try:
            self.signature = inspect.signature(self.legacy)
        except (TypeError, ValueError):  # some that are written in C
            raise OperationError(self.name, "the callable does not tell its parameters") from None
        self._check()
        if not self.idempotent and self.kind is not Kind.WRITE:
            raise OperationError(self.name, "idempotent=False is for writes: nothing else is done twice")
        plain = [p for p in self.signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
        #: whether it takes whatever it is given by name
        self.open = len(plain) < len(self.signature.parameters)
        self.parameters = tuple(p.name for p in plain if p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD)
        self.defaults = {p.name: p.default for p in plain if p.default is not inspect.Parameter.empty}
        self.required = frozenset(p.name for p in plain if p.default is inspect.Parameter.empty)
        self.writes = self.kind is Kind.WRITE
        #: whether all arguments have a place in an order, the user's among them
        self.in_order = len(self.parameters) == len(plain) and self.user in self.parameters

    def _check(self) -> None:
        for parameter in self.signature.parameters.values():
            if parameter.kind in _UNNAMEABLE:
                raise OperationError(self.name, f"parameter {parameter.name!r} has no name to be captured under")
        if not isinstance(self.user, str) or self.user not in self.signature.parameters:
            called = getattr(self.legacy, "__name__", type(self.legacy).__name__)
            raise OperationError(self.name, f"user={self.user!r} is no parameter of {called}")
        if not _is_number(self.sample) or not 0 <= self.sample <= 1:
            raise OperationError(self.name, f"sample must be a number from 0 to 1, not {self.sample!r}")
        if self.kind is Kind.WRITE and self.sample != 1:
            raise OperationError(self.name, "writes can't be sampled: later reads depend on every one of them")
        if self.timeout_s is not None and not (_is_number(self.timeout_s) and 0 < self.timeout_s <= LONGEST_TIMEOUT_S):
            problem = f"timeout_s must be above 0, at most {LONGEST_TIMEOUT_S:,} (seconds), or None"
            raise OperationError(self.name, f"{problem}; not {self.timeout_s!r}")

    def named(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any] | None:
        """Return a call's arguments by name, defaults filled in; None for a call that the callable will refuse."""
        if not kwargs and self.in_order and len(args) == len(self.parameters):
            return dict(zip(self.parameters, args, strict=True))
        if len(args) > len(self.parameters):
            return None
        given = dict(zip(self.parameters, args, strict=False))
        named = {**self.defaults, **given, **kwargs}
        wrong = given.keys() & kwargs.keys() or not self.required <= named.keys() or self._unknown(kwargs)
        return None if wrong else named

    def _unknown(self, names: Iterable[str]) -> bool:
        return not self.open and any(name not in self.signature.parameters for name in names)

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
        types = self._types
        return {
            name: value if type(value) is types.get(name) else _converted(value, types.get(name, Any))
            for name, value in args.items()
        }

    def valid(self, value: Any) -> bool:
        """Tell whether what enhanced returned may take the place of what legacy would have."""
        if self._valid is None:
            self._valid = check_of(self.legacy)
        return self._valid(value)

    @property
    def is_async(self) -> bool:
        """Whether legacy is a coroutine function."""
        return inspect.iscoroutinefunction(self.legacy)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def checked_name(name: object) -> str:
    """Return an operation's name as it is; raises OperationError for what is none."""
    if not isinstance(name, str):
        raise OperationError(name, f"a name is text, not a {type(name).__name__}")
    if not 0 < len(name) <= LONGEST_NAME or "\0" in name or "|" in name:
        raise OperationError(name[:80], f"a name has 1 to {LONGEST_NAME} characters, no NUL and no |")
    return name


def checked_rejects(name: str, rejects: object) -> tuple[type[BaseException], ...]:
    """Return the exceptions by which a write says no: one class or several; raises OperationError for anything else."""
    several = rejects if isinstance(rejects, list | tuple | set | frozenset) else (rejects,)
    classes = tuple(each for each in several if isinstance(each, type) and issubclass(each, BaseException))
    if len(classes) < len(several):
        raise OperationError(name, f"rejects={rejects!r}; expected classes of exceptions")
    return classes


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
    binding.way = None  # it was one on which nobody is ever served
    return fn


def _sync_wrapper(binding: Binding, desk: Desk) -> Callable[..., Any]:
    legacy = binding.legacy

    def operation(*args: Any, **kwargs: Any) -> Any:
        way = binding.way
        if way is None or (mark := way.begin(args, kwargs)) is None:
            return _the_long_way(binding, desk, args, kwargs)
        try:
            value = legacy(*args, **kwargs)
        except BaseException as error:
            way.tap.raised(live_of(mark), error)
            raise
        if (left := way.end(mark, value)) is not None:
            way.tap.see_to(mark, left)
        return value

    return operation


def _the_long_way(binding: Binding, desk: Desk, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    used = desk.tap
    live = used.begin(binding, args, kwargs)
    if live is None:
        return binding.legacy(*args, **kwargs)
    if not live.alone:
        return desk.invoker.serve(used, live, args, kwargs)
    try:
        value = binding.legacy(*args, **kwargs)
    except BaseException as error:
        used.raised(live, error)
        raise
    used.returned(live, value)
    return value


def _async_wrapper(binding: Binding, desk: Desk) -> Callable[..., Any]:
    legacy = binding.legacy

    async def operation(*args: Any, **kwargs: Any) -> Any:
        way = binding.way
        if way is None or (mark := way.begin(args, kwargs)) is None:
            return await _the_long_way_async(binding, desk, args, kwargs)
        try:
            value = await legacy(*args, **kwargs)
        except BaseException as error:
            way.tap.raised(live_of(mark), error)
            raise
        if (left := way.end(mark, value)) is not None:
            way.tap.see_to(mark, left)
        return value

    return operation


async def _the_long_way_async(binding: Binding, desk: Desk, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    used = desk.tap
    live = used.begin(binding, args, kwargs)
    if live is None:
        return await binding.legacy(*args, **kwargs)
    if not live.alone:
        return await desk.invoker.serve_async(used, live, args, kwargs)
    try:
        value = await binding.legacy(*args, **kwargs)
    except BaseException as error:
        used.raised(live, error)
        raise
    used.returned(live, value)
    return value
