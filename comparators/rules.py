"""Rules: differences that people allow, by operation, place and kind; asked once a pair has been judged to differ.

A rule names its place as groups do: from the root to the end, indices and ids as `[*]`. Nothing else matches, so a rule
on `id` cannot hide `paid_id`. What is critical is never allowed, whatever a rule says.
"""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import msgspec

from comparators.judging import MAX_DIFFERENCES
from comparators.paths import ROOT, is_path, wildcard
from comparators.verdicts import Kind, Severity

LONGEST_PATTERN: Final = 200  # characters; longer paths are cut when they are kept
MOST_NAMED: Final = 2  # rules in one reason
#: kinds that no rule may name: whom it hurts cannot be known, and a failure is no difference
NEVER: Final = frozenset({Kind.LEAK, Kind.FAILURE})


class PatternError(ValueError):
    """What is no pattern of a path; `instead`, where there is one, is what was probably meant."""

    def __init__(self, text: str, why: str, instead: str = "") -> None:
        super().__init__(f"{text[:LONGEST_PATTERN]!r} is no path: {why}{f'; {instead}' if instead else ''}")
        self.instead = instead


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One rule as far as judging goes: what it allows, and the number it is known by."""

    id: int
    operation: str
    path: str
    kind: str


class Ruling(NamedTuple):
    """What rules say of one pair: for each difference the rule that allows it, or 0, and whether nothing is left."""

    rules: tuple[int, ...] = ()
    ignored: bool = False

    @property
    def named(self) -> tuple[int, ...]:
        """The rules that allow something, each once, in order."""
        return tuple(sorted({rule for rule in self.rules if rule}))

    @property
    def reason(self) -> str:
        """Who decided, in words: there are as many reasons as combinations of rules, so a few stand for all."""
        named = ", ".join(map(str, self.named[:MOST_NAMED])) + (" and more" if len(self.named) > MOST_NAMED else "")
        return f"rule{'s' if len(self.named) > 1 else ''} {named}"


#: path, kind, severity
Found = tuple[str, str, Severity]


class RuleSet:
    """The rules in force at one version; immutable, so threads may share it."""

    def __init__(self, version: int = 0, rules: Iterable[Rule] = ()) -> None:
        self.version = version
        self.rules = tuple(rules)
        self._by_place = {(rule.operation, rule.path, rule.kind): rule.id for rule in reversed(self.rules)}

    def __bool__(self) -> bool:
        return bool(self.rules)

    def with_rule(self, rule: Rule) -> "RuleSet":
        """Return the set with one more."""
        return RuleSet(self.version, (*self.rules, rule))

    def names(self, operation: str, path: str, kind: str) -> int:
        """Return the rule that names a place and kind, whatever the severity there; 0 where none does."""
        return self._by_place.get((operation, wildcard(path), kind), 0)

    def rule_on(self, operation: str, found: Sequence[Found]) -> Ruling:
        """Return what is allowed of the differences of one pair, and whether the pair is to be ignored.

        It is where each of them is allowed, or adds to the answer without contradicting it, as without rules. A pair of
        which not every difference was told never is.
        """
        rules = tuple(
            0 if severity is Severity.CRITICAL else self.names(operation, path, kind) for path, kind, severity in found
        )
        told = zip(rules, found, strict=True)
        ignored = any(rules) and all(rule or _enriches(kind, severity) for rule, (_, kind, severity) in told)
        return Ruling(rules, ignored and len(found) < MAX_DIFFERENCES)


NO_RULES: Final = RuleSet()


def _enriches(kind: str, severity: Severity) -> bool:
    return kind == Kind.ADDED and severity is Severity.MINOR


def checked_pattern(text: str) -> str:
    """Return `text` where it is a pattern as groups show them; raises PatternError where it is not."""
    if len(text) > LONGEST_PATTERN:
        raise PatternError(text, f"longer than {LONGEST_PATTERN} characters")
    if not is_path(text):
        raise PatternError(text, f"it begins with {ROOT} and goes on in steps: $[*].metadata['a key']")
    general = wildcard(text)
    if general != text:
        raise PatternError(text, "indices and ids are written [*]", f"did you mean {general}?")
    return text
