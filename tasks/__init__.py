"""The Celery tasks, a few lines each: they unpack a message, call one function of the worker, and are done."""

from tasks.drain import drain
from tasks.evaluate import evaluate
from tasks.ready import ready
from tasks.retain import retain
from tasks.sweep import sweep

__all__ = ["drain", "evaluate", "ready", "retain", "sweep"]
