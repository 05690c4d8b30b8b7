"""Which side a live call invokes, in which order, and whose answer the caller gets: decided here, done elsewhere.

`plan` is a coroutine without I/O: it yields the system to invoke, is sent what came of it, and returns the answer. So
that sync and async calls follow one rule.
"""

import sys
from collections.abc import Generator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from gnomon.wire import Kind, Phase


class System(StrEnum):
    """The two systems."""

    LEGACY = "legacy"  #: the one there is
    ENHANCED = "enhanced"  #: the one that is to take its place


class Fallback(StrEnum):
    """Why enhanced gave no answer."""

    ERROR = "error"  #: it raised
    TIMEOUT = "timeout"  #: no answer within the operation's `timeout_s`
    INVALID = "invalid"  #: an answer of another type than legacy declares, or one without a JSON form
    POOL_FULL = "pool_full"  #: not asked: too many calls are waiting for it
    BREAKER = "breaker"  #: not asked: it failed too often lately
    NO_COPY = "no_copy"  #: not asked: arguments or legacy's answer have no JSON form, so no copy can be handed over


NOT_ASKED: Final = frozenset({Fallback.POOL_FULL, Fallback.BREAKER, Fallback.NO_COPY})


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What came of invoking a system: a value, or an error with the reason why it counts as none."""

    system: System
    duration_us: int
    value: Any = None
    error: BaseException | None = None
    reason: Fallback | None = None
    context: tuple[str, ...] = ()

    @property
    def asked(self) -> bool:
        """Whether the system was invoked at all."""
        return self.reason not in NOT_ASKED

    @property
    def interrupted(self) -> bool:
        """Whether it was ended from outside: cancelled, or with the process."""
        return self.error is not None and not isinstance(self.error, Exception)


Plan = Generator[System, Outcome, Outcome]


def plan(kind: Kind, phase: Phase) -> Plan:
    """Return the steps of a call of `kind` whose user is in `phase`."""
    if phase is Phase.RETIRED:
        return _alone(System.ENHANCED)
    if kind is Kind.WRITE:
        return _both() if phase in {Phase.DUAL, Phase.SERVED} else _alone(System.LEGACY)
    return _served() if phase is Phase.SERVED else _alone(System.LEGACY)


def _alone(system: System) -> Plan:
    return (yield system)


def _both() -> Plan:
    """Legacy first, and its answer: a rollback then loses nothing. Enhanced only follows where legacy has stored."""
    legacy = yield System.LEGACY
    if legacy.error is None:
        yield System.ENHANCED
    return legacy


def _served() -> Plan:
    """Enhanced, or where it has no answer legacy, whose failure is the caller's as it always was."""
    enhanced = yield System.ENHANCED
    if enhanced.error is None or enhanced.interrupted:
        return enhanced
    legacy = yield System.LEGACY
    if legacy.error is not None:
        _chain(legacy.error, enhanced.error, sys.exception())
    return legacy


def _chain(error: BaseException, earlier: BaseException, handled: BaseException | None) -> None:
    """Put `earlier` behind what led to `error`, before what the caller was `handled` already when it called."""
    met = {id(earlier)}
    while id(error) not in met:
        met.add(id(error))
        if error.__context__ is None or error.__context__ is handled:
            error.__context__ = earlier
        else:
            error = error.__context__
