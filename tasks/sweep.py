"""`gnomon.sweep`: find lanes that nobody drains, fold the funnels."""

from celery import shared_task

from worker.engine import engine


@shared_task(name="gnomon.sweep", ignore_result=True)
def sweep() -> dict[str, int]:
    """Sweep once; returns how many lanes were hinted."""
    return dict(engine().sweep())
