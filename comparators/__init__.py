"""Two observations in, one verdict out: what a drain asks for every replayed capture before the ledger keeps it.

Pure: no input, no output, no clock. `judge` never raises and bounds its cost by the size of what it is given; what it
cannot judge is inconclusive, never a match. Importing this package registers the comparators of `memory.*` and
`chat.*`; `register` adds one for another operation, or a schema alone where comparing by structure is enough.
"""

from comparators import memories, replies
from comparators.explaining import explain
from comparators.fingerprints import fingerprint, wildcard
from comparators.identical import identical
from comparators.judging import judge
from comparators.masking import mask, nameless
from comparators.observations import Call, Observation
from comparators.pairs import Comparator, Pair
from comparators.registry import register
from comparators.rules import NO_RULES, PatternError, Rule, RuleSet, Ruling, checked_pattern
from comparators.schemas import Schema
from comparators.verdicts import ABSENT, Difference, Judgement, Kind, Severity, Verdict, worst

__all__ = [
    "ABSENT",
    "NO_RULES",
    "Call",
    "Comparator",
    "Difference",
    "Judgement",
    "Kind",
    "Observation",
    "Pair",
    "PatternError",
    "Rule",
    "RuleSet",
    "Ruling",
    "Schema",
    "Severity",
    "Verdict",
    "checked_pattern",
    "explain",
    "fingerprint",
    "identical",
    "judge",
    "mask",
    "nameless",
    "register",
    "wildcard",
    "worst",
]

for _operation in ("memory.save", "memory.recent", "memory.*"):
    register(_operation, memories.compare, schema=memories.SCHEMA)
for _operation in ("chat.send", "chat.*"):
    register(_operation, replies.compare, schema=replies.SCHEMA)
