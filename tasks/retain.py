"""`gnomon.retain`: drop what the ledger need not keep any longer, and make room for the days to come."""

from celery import shared_task

from worker.engine import engine


@shared_task(name="gnomon.retain", ignore_result=True)
def retain() -> dict[str, int]:
    """Look once; returns how many partitions were made and dropped, and how many rows deleted."""
    return dict(engine().retain())
