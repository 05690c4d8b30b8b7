"""When sweeps and ticks are due: by a clock that nobody sets.

Celery's beat goes by the host's clock. Set back by an hour, it would ask for nothing for an hour.
"""

import time
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import structlog
from celery.beat import PersistentScheduler, ScheduleEntry, SchedulingError
from celery.schedules import schedule

log = structlog.get_logger()

_BEGAN: Final = datetime.now(UTC)
_BEGAN_S: Final = time.monotonic()


def steady_now() -> datetime:
    """Return the time by the clock that the host had when this process began, however it was set since."""
    return _BEGAN + timedelta(seconds=time.monotonic() - _BEGAN_S)


def every(seconds: float) -> schedule:
    """Return a schedule of Celery's that goes by that time."""
    return schedule(seconds, nowfun=steady_now)


class SteadyScheduler(PersistentScheduler):
    """Celery's scheduler; that its file is saved shows that it lives, when things last ran it does not go by."""

    def setup_schedule(self) -> None:
        """Begin now, also where the clock was ahead when the file was saved."""
        super().setup_schedule()
        for entry in self.schedule.values():
            entry.last_run_at = entry.default_now()

    def apply_entry(self, entry: ScheduleEntry, producer: Any = None) -> None:
        """Ask for a run; where the broker takes nothing, the next one will do: a line of log, and no traceback."""
        try:
            self.apply_async(entry, producer=producer, advance=False)
        except SchedulingError as error:
            log.warning("beat.failed", asked=entry.task, error=type(error.__context__ or error).__name__)
