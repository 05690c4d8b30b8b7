"""What was found, kept: positions of lanes, tallies, divergences and their groups, committed exactly once."""

from ledger.engine import FencedError, LedgerError, LedgerSchemaError, LedgerUnreachableError, database_url
from ledger.facts import (
    COUNTED,
    Finding,
    FunnelKey,
    Group,
    Hold,
    KeptDifference,
    LaneCommit,
    Loss,
    OperationSums,
    Outcome,
    Position,
)
from ledger.ledger import Ledger
from ledger.reading import Reading
from ledger.standings import UNVERIFIED, Opening, Standing, everyone_of

__all__ = [
    "COUNTED",
    "UNVERIFIED",
    "FencedError",
    "Finding",
    "FunnelKey",
    "Group",
    "Hold",
    "KeptDifference",
    "LaneCommit",
    "Ledger",
    "LedgerError",
    "LedgerSchemaError",
    "LedgerUnreachableError",
    "Loss",
    "Opening",
    "OperationSums",
    "Outcome",
    "Position",
    "Reading",
    "Standing",
    "database_url",
    "everyone_of",
]
