"""What was found, kept: positions of lanes, tallies, divergences and their groups, committed exactly once."""

from ledger.accounts import LaneAccount
from ledger.engine import FencedError, LedgerError, LedgerSchemaError, LedgerUnreachableError, database_url
from ledger.facts import (
    COUNTED,
    CallsKey,
    Failure,
    Finding,
    Group,
    Hold,
    KeptDifference,
    KeptSample,
    LaneCommit,
    Loss,
    OperationSums,
    Outcome,
    Position,
    Sample,
    Settling,
)
from ledger.ledger import Ledger
from ledger.paired import Noise, PairSums
from ledger.pairs import Comparison, Field, Measure, PairedRuns, Unpaired
from ledger.parked import Choice, NotParkedError, Parked, ParkedState, Retry
from ledger.reading import Reading
from ledger.rejudging import Place, Preview, Rejudged
from ledger.retention import Retained
from ledger.rules import (
    PICKED_UP_S,
    Changed,
    CriticalRuleError,
    Draft,
    DuplicateRuleError,
    Listed,
    RuleError,
    UnknownRuleError,
)
from ledger.ruling import apply
from ledger.senders import Seen, Sent
from ledger.standings import UNVERIFIED, Opening, Standing, everyone_of
from ledger.trends import Tendency, Trend

__all__ = [
    "COUNTED",
    "PICKED_UP_S",
    "UNVERIFIED",
    "CallsKey",
    "Changed",
    "Choice",
    "Comparison",
    "CriticalRuleError",
    "Draft",
    "DuplicateRuleError",
    "Failure",
    "FencedError",
    "Field",
    "Finding",
    "Group",
    "Hold",
    "KeptDifference",
    "KeptSample",
    "LaneAccount",
    "LaneCommit",
    "Ledger",
    "LedgerError",
    "LedgerSchemaError",
    "LedgerUnreachableError",
    "Listed",
    "Loss",
    "Measure",
    "Noise",
    "NotParkedError",
    "Opening",
    "OperationSums",
    "Outcome",
    "PairSums",
    "PairedRuns",
    "Parked",
    "ParkedState",
    "Place",
    "Position",
    "Preview",
    "Reading",
    "Rejudged",
    "Retained",
    "Retry",
    "RuleError",
    "Sample",
    "Seen",
    "Sent",
    "Settling",
    "Standing",
    "Tendency",
    "Trend",
    "UnknownRuleError",
    "Unpaired",
    "apply",
    "database_url",
    "everyone_of",
]
