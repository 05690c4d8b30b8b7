"""Rollout: how far enhanced may answer users, decided from evidence.

`decide(evidence, policy)` is the gate; evidence is gathered from the ledger's tallies, and what was decided is acted
upon elsewhere. `rollout.statistics` has the tests below it.
"""

from rollout.decision import Criterion, Decision, Standing, State
from rollout.evidence import ClusterEvidence, Evidence, Exposure, Funnel, OperationEvidence, Outcomes, Window
from rollout.gate import decide
from rollout.policy import Policy
from rollout.stages import Epoch, Stage

__all__ = [
    "ClusterEvidence",
    "Criterion",
    "Decision",
    "Epoch",
    "Evidence",
    "Exposure",
    "Funnel",
    "OperationEvidence",
    "Outcomes",
    "Policy",
    "Stage",
    "Standing",
    "State",
    "Window",
    "decide",
]
