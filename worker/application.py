"""The Celery application: `celery -A worker worker -E`. Its settings are read when it first needs them."""

import structlog
from celery import Celery
from kombu.exceptions import OperationalError

from gnomon.hints import DRAIN_TASK
from worker import lifecycle

log = structlog.get_logger()

app = Celery("gnomon")
lifecycle.connect(app)
app.config_from_object("worker.celeryconfig")


def hint(lane: int) -> None:
    """Ask for a drain of `lane`; where the broker takes none, the sweeper asks again."""
    try:
        app.send_task(DRAIN_TASK, args=[lane], ignore_result=True, argsrepr=f"({lane},)")
    except OperationalError as error:
        log.warning("hint.failed", lane=lane, error=type(error.__cause__ or error).__name__)
