"""What was found, kept: positions of lanes, tallies, divergences and their groups, committed exactly once."""

from ledger.accounts import LaneAccount
from ledger.audit import Checked, Entry
from ledger.complaints import ComplaintError, ComplaintState, Filed, KeptComplaint
from ledger.engine import FencedError, LedgerError, LedgerSchemaError, LedgerUnreachableError, database_url
from ledger.facts import (
    COUNTED,
    MISSED_SERVED,
    SUPERSEDED,
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
from ledger.reviews import Choice as ReviewChoice
from ledger.reviews import Review, ReviewError, undecided
from ledger.rollouts import Approval, Evaluation, MovedOnError, Opened, Paused, PausedError, RolloutError, Stand
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
from ledger.steering import GATE, Steering
from ledger.trends import Tendency, Trend

__all__ = [
    "COUNTED",
    "GATE",
    "MISSED_SERVED",
    "PICKED_UP_S",
    "SUPERSEDED",
    "UNVERIFIED",
    "Approval",
    "CallsKey",
    "Changed",
    "Checked",
    "Choice",
    "Comparison",
    "ComplaintError",
    "ComplaintState",
    "CriticalRuleError",
    "Draft",
    "DuplicateRuleError",
    "Entry",
    "Evaluation",
    "Failure",
    "FencedError",
    "Field",
    "Filed",
    "Finding",
    "Group",
    "Hold",
    "KeptComplaint",
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
    "MovedOnError",
    "Noise",
    "NotParkedError",
    "Opened",
    "Opening",
    "OperationSums",
    "Outcome",
    "PairSums",
    "PairedRuns",
    "Parked",
    "ParkedState",
    "Paused",
    "PausedError",
    "Place",
    "Position",
    "Preview",
    "Reading",
    "Rejudged",
    "Retained",
    "Retry",
    "Review",
    "ReviewChoice",
    "ReviewError",
    "RolloutError",
    "RuleError",
    "Sample",
    "Seen",
    "Sent",
    "Settling",
    "Stand",
    "Standing",
    "Steering",
    "Tendency",
    "Trend",
    "UnknownRuleError",
    "Unpaired",
    "apply",
    "database_url",
    "everyone_of",
    "undecided",
]
