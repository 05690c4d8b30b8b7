"""The rules that one worker process judges by: looked up in the ledger every two seconds, never for a capture.

Replays ask it once they have diverged, and a commit asks again: what was found by older rules, and lay in a journal or
waited for a watermark since, is counted by those that are in force then.
"""

import time
from collections.abc import Callable, Iterable
from typing import Final

import structlog

from comparators import NO_RULES, RuleSet
from ledger import Finding, apply

log = structlog.get_logger()

LOOK_S: Final = 2.0  # three of them, before whoever changed something may rely on it (ledger.rules.PICKED_UP_S)


class Rulebook:
    """The rule set as this process knows it; read by many threads, looked up by one."""

    def __init__(self, read: Callable[[], RuleSet] = lambda: NO_RULES) -> None:
        self._read = read
        self._looked = float("-inf")
        self.rules = NO_RULES

    def look(self) -> None:
        """Look the rules up again where that is due; raises LedgerError."""
        now = time.monotonic()
        if now - self._looked < LOOK_S:
            return
        found = self._read()
        if found.version != self.rules.version:
            log.info("rules.taken", version=found.version, rules=len(found.rules))
        self.rules, self._looked = found, now

    def on(self, finding: Finding) -> Finding:
        """Return what the rules make of a finding."""
        return apply(self.rules, finding)

    def on_all(self, findings: Iterable[Finding]) -> list[Finding]:
        """Return what they make of several."""
        return [apply(self.rules, finding) for finding in findings] if self.rules else list(findings)
