"""What was found, kept: positions of lanes, tallies, divergences and their groups, committed exactly once."""

from ledger.engine import FencedError, LedgerError, LedgerSchemaError, LedgerUnreachableError, database_url
from ledger.facts import (
    COUNTED,
    Finding,
    FunnelKey,
    Group,
    KeptDifference,
    LaneCommit,
    Loss,
    OperationSums,
    Outcome,
    Position,
)
from ledger.ledger import Ledger
from ledger.reading import Reading

__all__ = [
    "COUNTED",
    "FencedError",
    "Finding",
    "FunnelKey",
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
    "Reading",
    "database_url",
]
