"""Rules put to findings: which differences a person allows, what that makes of a finding, and how often each hit."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

import msgspec

from comparators import RuleSet
from ledger.facts import Finding, Outcome


def apply(rules: RuleSet, finding: Finding) -> Finding:
    """Return what rules make of a divergence: ignored where they allow all of it, else with what they allow marked."""
    if not rules or finding.outcome is not Outcome.DIVERGED:
        return finding
    kept = finding.differences
    ruling = rules.rule_on(finding.operation, [(each.path, each.kind, each.severity) for each in kept])
    if not ruling.named:
        return finding
    marked = tuple(
        msgspec.structs.replace(each, rule=rule) if rule else each
        for each, rule in zip(kept, ruling.rules, strict=True)
    )
    if not ruling.ignored:
        return msgspec.structs.replace(finding, differences=marked)
    return msgspec.structs.replace(finding, differences=marked, outcome=Outcome.IGNORED, reason=ruling.reason)


def hits(findings: Iterable[Finding]) -> list[dict[str, Any]]:
    """Return in how many findings each rule allowed something, by epoch."""
    counts = Counter(
        (rule, finding.epoch)
        for finding in findings
        if finding.differences
        for rule in {kept.rule for kept in finding.differences if kept.rule}
    )
    return [{"rule_id": rule, "epoch": epoch, "hits": count} for (rule, epoch), count in counts.items()]
