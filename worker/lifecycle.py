"""A worker from start to end: logging, one engine a child, what it notes of its progress, and an orderly stop.

The main process learns first that it is to stop, by a signal or by remote control. It tells its children through
`worker.progress`: Celery alone would wait for their drains and say nothing.
"""

import atexit
import gc
import logging
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, Final

import structlog
from billiard.process import current_process
from celery import Celery, bootsteps
from celery.signals import (
    setup_logging,
    task_postrun,
    task_prerun,
    task_received,
    worker_init,
    worker_process_init,
    worker_process_shutdown,
)

from gnomon.hints import DRAIN_TASK
from worker.children import told
from worker.progress import Away, ChildLine, Doing, Progress, default_folder
from worker.settings import settings

log = structlog.get_logger()

GC_ALLOCATIONS = 50_000  # a batch makes and drops some 100,000 containers, none of them in circles
TICK_S: Final = 0.5  # how long a signal may wait for an event loop that has nothing else to do
_QUIET = ("celery.beat", "celery.worker.strategy", "celery.app.trace", "alembic")  # a line a message says nothing here


def configure_logging(*, level: int = logging.INFO, json: bool = False) -> None:
    """Send all logging to stderr through structlog: JSON lines, unless a person reads them in a terminal."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    as_json = json or not sys.stderr.isatty()
    last: Any = structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer()
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                last,
            ],
        )
    )
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


def _set_up_logging(loglevel: int | str | None = None, **_: Any) -> None:
    level = logging.getLevelName(loglevel) if isinstance(loglevel, str) else loglevel
    configure_logging(level=level if isinstance(level, int) else logging.INFO, json="GNOMON_LOG_JSON" in os.environ)


# --- progress, and stopping

_progress = Progress.unseen()  # until a worker starts: the console and tests import this, too
_line = ChildLine()


def stopping() -> bool:
    """Tell whether this worker is to stop, or this child of it."""
    return _progress.stopping or told()


def turned() -> None:
    """Note that the loop of a drain has turned."""
    _line.turned()


def interrupted(away: Away) -> None:
    """Note that a drain was given up because somebody did not answer."""
    _line.interrupted(away)


def _start_worker(**_: Any) -> None:
    """Begin in the main process, before there are children."""
    global _progress  # noqa: PLW0603 — one for a process is the point
    used = settings()
    folder = used.worker_state or default_folder()
    try:
        _progress = Progress.create(folder, used.namespace)
    except OSError as error:  # it can work all the same
        log.warning("worker.unseen", folder=str(folder), error=error.strerror or type(error).__name__)
        _progress = Progress.unseen()
    atexit.register(_progress.remove)


class Attending(bootsteps.StartStopStep):
    """A step of Celery's worker: notes that the event loop turns, and tells the children of a stop at once."""

    requires = ("celery.worker.components:Pool",)

    def start(self, _parent: Any) -> None:
        """Come before Celery's own handlers: some of them wait, and tell nobody before that."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            _stop_before(number)

    def stop(self, _parent: Any) -> None:
        """Nothing is left to be stopped."""

    def close(self, _parent: Any) -> None:
        """Stop, however it was asked for: by remote control, say."""
        _progress.stop()

    terminate = close

    def register_with_event_loop(self, _parent: Any, hub: Any) -> None:
        """Tick from now on; after each reconnect the loop is a new one."""
        hub.call_repeatedly(TICK_S, _progress.tick)


def _stop_before(number: int) -> None:
    then = signal.getsignal(number)

    def handler(received: int, frame: FrameType | None) -> None:
        _progress.stop()
        if callable(then):
            then(received, frame)

    signal.signal(number, handler)


def _start_child(**_: Any) -> None:
    global _line  # noqa: PLW0603
    from worker.engine import forget  # the engine imports the application, which imports this module

    forget()
    _line = _progress.line(getattr(current_process(), "index", None))
    # what was imported before the fork never dies: looking through it again and again cost a tenth of a child's time
    gc.freeze()
    gc.set_threshold(GC_ALLOCATIONS, *gc.get_threshold()[1:])


def _end_child(**_: Any) -> None:
    _line.begin(Doing.GONE)


def _received(**_: Any) -> None:
    _progress.receive()


def _bind(task_id: str, task: Any, args: Any, **_: Any) -> None:
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(task=task.name, task_id=task_id)
    if args:
        structlog.contextvars.bind_contextvars(lane=args[0])
    _line.begin(Doing.DRAIN if task.name == DRAIN_TASK else Doing.OTHER)


def _unbind(**_: Any) -> None:
    _line.begin(Doing.NOTHING)
    structlog.contextvars.clear_contextvars()


_HEARD: Final[tuple[tuple[Any, Callable[..., None]], ...]] = (
    (setup_logging, _set_up_logging),
    (worker_init, _start_worker),
    (task_received, _received),
    (worker_process_init, _start_child),
    (worker_process_shutdown, _end_child),
    (task_prerun, _bind),
    (task_postrun, _unbind),
)


def connect(app: Celery) -> None:
    """Have Celery call the functions above."""
    for heard, function in _HEARD:
        heard.connect(function)
    app.steps["worker"].add(Attending)
