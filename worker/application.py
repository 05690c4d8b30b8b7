"""The Celery application: `celery -A worker worker -E`. Its settings are read when it first needs them."""

import structlog
from celery import Celery
from kombu.exceptions import OperationalError

from gnomon.hints import DRAIN_TASK
from worker import broker, lifecycle

log = structlog.get_logger()

broker.use()
app = Celery("gnomon")
lifecycle.connect(app)
app.config_from_object("worker.celeryconfig")


def hint(lane: int) -> None:
    """Ask for a drain of `lane`; where the broker takes none, the sweeper asks again.

    Never raises: where a connection breaks in the midst of it, kombu (5.7) may raise what is no error of its own.
    """
    try:
        app.send_task(DRAIN_TASK, args=[lane], ignore_result=True, argsrepr=f"({lane},)")
    except Exception as error:
        cause = error.__cause__ if isinstance(error, OperationalError) and error.__cause__ else error
        log.warning("hint.failed", lane=lane, error=type(cause).__name__)
