"""The workers: lanes in, replays side by side, verdicts to the ledger."""

from worker import lifecycle
from worker.app import app

__all__ = ["app", "lifecycle"]
