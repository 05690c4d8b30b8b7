"""`gnomon.drain`: replay what waits in a lane."""

from celery import shared_task

from gnomon.hints import DRAIN_TASK
from worker.children import leave
from worker.engine import engine


@shared_task(name=DRAIN_TASK, ignore_result=True)
def drain(lane: int) -> dict[str, int]:
    """Drain one lane and further ready ones; returns what was counted."""
    used = engine()
    counts = used.drain(lane)
    if used.exhausted:
        leave("threads")  # replays that never came back still hold them: the pool starts a fresh process
    return dict(counts)
