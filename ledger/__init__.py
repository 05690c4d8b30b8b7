"""What was found, kept: positions of lanes, tallies, divergences and their groups, committed exactly once."""

from ledger.engine import FencedError, LedgerError, LedgerSchemaError, LedgerUnreachableError, database_url
from ledger.facts import COUNTED, Finding, Group, KeptDifference, LaneCommit, Loss, OperationSums, Outcome, Position
from ledger.ledger import Ledger

__all__ = [
    "COUNTED",
    "FencedError",
    "Finding",
    "Group",
    "KeptDifference",
    "LaneCommit",
    "Ledger",
    "LedgerError",
    "LedgerSchemaError",
    "LedgerUnreachableError",
    "Loss",
    "OperationSums",
    "Outcome",
    "Position",
    "database_url",
]
