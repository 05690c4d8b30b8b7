"""A worker process from start to end: logging, one engine a child, and a child that is replaced when it is spent."""

import gc
import logging
import os
import sys
from typing import Any

import structlog
from celery.signals import setup_logging, task_postrun, task_prerun, worker_process_init

GC_ALLOCATIONS = 50_000  # a batch makes and drops some 100,000 containers, none of them in circles
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


def _start_child(**_: Any) -> None:
    from worker.engine import forget  # the engine imports the application, which imports this module

    forget()
    # what was imported before the fork never dies: looking through it again and again cost a tenth of a child's time
    gc.freeze()
    gc.set_threshold(GC_ALLOCATIONS, *gc.get_threshold()[1:])


def _bind(task_id: str, task: Any, args: Any, **_: Any) -> None:
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(task=task.name, task_id=task_id)
    if args:
        structlog.contextvars.bind_contextvars(lane=args[0])


def _unbind(**_: Any) -> None:
    structlog.contextvars.clear_contextvars()


def connect() -> None:
    """Have Celery call the functions above."""
    setup_logging.connect(_set_up_logging)
    worker_process_init.connect(_start_child)
    task_prerun.connect(_bind)
    task_postrun.connect(_unbind)
