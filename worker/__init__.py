"""The workers: lanes in, replays side by side, verdicts to the ledger."""

from typing import Any

__all__ = ["app"]


def __getattr__(name: str) -> Any:
    """Make the Celery application when it is first asked for: half of the console needs only the settings."""
    if name != "app":
        raise AttributeError(name)
    from worker.application import app

    return app
