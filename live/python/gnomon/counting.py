"""Counts what both sides did in a live call, and says when enhanced answers: on the caller's thread, after the call."""

import logging
import time
from typing import TYPE_CHECKING, Final

from gnomon.live_call import LiveCall
from gnomon.metrics import Tally
from gnomon.serving import Outcome, System
from gnomon.wire import Kind

if TYPE_CHECKING:
    from gnomon.operation import Binding

log = logging.getLogger("gnomon")

#: flag → what it switches on, in the words that developers look for
_SERVICES: Final = {"enhanced_memory_enabled": "memory service", "enhanced_chat_client_enabled": "chat client"}


def answers(binding: "Binding") -> tuple[str, ...]:
    """Return the counter of answers, for operations that have any."""
    return () if binding.kind is Kind.WRITE else ("answers",)


class Counting:
    """Counts into a tally; one for a process."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._told_minute: dict[str, int] = {}

    def count(self, live: LiveCall, answer: Outcome) -> None:
        """Count all that was asked for a call, and which of it was the answer."""
        kind = live.binding.kind
        for outcome in live.asked:
            if outcome.asked:
                failed = outcome.error is not None
                self._tally.side(live.binding.name, outcome.system, outcome.duration_us, failed=failed)
            if outcome.system is System.ENHANCED and outcome.reason is not None:
                self._count_failure(outcome, kind)
        if kind is not Kind.WRITE:
            self._tally.add("answers", f"answers|{answer.system}")
        if answer.system is System.ENHANCED:
            self._tell(live)

    def _count_failure(self, outcome: Outcome, kind: Kind) -> None:
        if outcome.asked:
            self._tally.add("errors", f"error|{_kind_of(outcome)}")
        if kind is Kind.WRITE:
            self._tally.add("missed_writes", f"missed_write|{outcome.reason}")
        elif not outcome.interrupted:
            self._tally.add("fallbacks", f"fallback|{outcome.reason}")

    def _tell(self, live: LiveCall) -> None:
        """Say that enhanced answers: for people who look for it in the log. Each operation once a minute."""
        minute = time.monotonic_ns() // 60_000_000_000
        level = logging.DEBUG if self._told_minute.get(live.binding.name) == minute else logging.INFO
        self._told_minute[live.binding.name] = minute
        if log.isEnabledFor(level):
            what = _SERVICES.get(live.binding.flag or "", live.binding.name)
            fields = {"event": "gnomon.using_enhanced", "operation": live.binding.name, "phase": str(live.phase)}
            log.log(level, "using enhanced %s operation=%s phase=%s", what, *list(fields.values())[1:], extra=fields)


def _kind_of(outcome: Outcome) -> str:
    if outcome.reason in {"timeout", "invalid"}:
        return str(outcome.reason)
    return type(outcome.error).__name__
