"""The Celery application: `celery -A worker worker -E`. Its settings are read when it first needs them."""

from celery import Celery

from gnomon.hints import DRAIN_TASK
from worker import lifecycle

app = Celery("gnomon")
lifecycle.connect()
app.config_from_object("worker.celeryconfig")


def hint(lane: int) -> None:
    """Ask for a drain of `lane`."""
    app.send_task(DRAIN_TASK, args=[lane], ignore_result=True, argsrepr=f"({lane},)")
