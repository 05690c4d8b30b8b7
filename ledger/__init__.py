"""What was found, kept: positions of lanes, tallies, divergences and their groups, committed exactly once."""

from ledger.engine import FencedError, LedgerError, LedgerSchemaError, LedgerUnreachableError, database_url
from ledger.facts import (
    COUNTED,
    CallsKey,
    Finding,
    Group,
    Hold,
    KeptDifference,
    LaneCommit,
    Loss,
    OperationSums,
    Outcome,
    Position,
    Settling,
)
from ledger.ledger import Ledger
from ledger.reading import Reading
from ledger.senders import Seen, Sent
from ledger.standings import UNVERIFIED, Opening, Standing, everyone_of

__all__ = [
    "COUNTED",
    "UNVERIFIED",
    "CallsKey",
    "FencedError",
    "Finding",
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
    "Seen",
    "Sent",
    "Settling",
    "Standing",
    "database_url",
    "everyone_of",
]
