"""`gnomon.ready`: move users from shadow over dual to served."""

from celery import shared_task

from worker.arbiter import arbiter


@shared_task(name="gnomon.ready", ignore_result=True)
def ready() -> str | None:
    """Go one tick on; returns what is waited for."""
    return arbiter().tick()
