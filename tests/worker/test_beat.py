"""Sweeps and ticks go on whatever happens to the host's clock."""

import pickle
import time
from datetime import UTC, datetime, timedelta

import pytest
from celery import Celery, current_app
from celery.beat import SchedulingError

from worker import beat
from worker.beat import SteadyScheduler, every

HOUR = timedelta(hours=1)


class SetClock(datetime):
    """The host's clock, which somebody has set."""

    off = timedelta()

    @classmethod
    def now(cls, tz=None):
        return datetime.now(tz) + cls.off


@pytest.fixture
def app(monkeypatch):
    for module in ("celery.utils.time", "celery.app.base", "celery.beat"):
        monkeypatch.setattr(f"{module}.datetime", SetClock, raising=False)
    monkeypatch.setattr(SetClock, "off", timedelta())
    made = Celery("none", broker="memory://", set_as_current=False)
    made.conf.beat_schedule = {"tick": {"task": "tick", "schedule": every(0.05)}}
    before = current_app._get_current_object()
    made.set_current()
    yield made
    before.set_current()


@pytest.fixture
def made(app, tmp_path, monkeypatch):
    def scheduler() -> SteadyScheduler:
        found = SteadyScheduler(app, schedule_filename=str(tmp_path / "beat"))
        monkeypatch.setattr(found, "apply_async", lambda entry, **_: asked.append(entry.name) or entry)
        return found

    asked: list[str] = []
    scheduler.asked = asked
    return scheduler


def ticked(scheduler, asked) -> bool:
    """Tell whether it asks for something within a second."""
    before, until = len(asked), time.monotonic() + 1
    while len(asked) == before and time.monotonic() < until:
        time.sleep(min(0.05, max(0.0, scheduler.tick())))
    return len(asked) > before


@pytest.mark.parametrize("off", [HOUR, -HOUR])
def test_it_goes_on_when_the_clock_is_set(made, off):
    """By an hour, ahead or back."""
    scheduler = made()
    assert ticked(scheduler, made.asked)
    SetClock.off = off
    assert all(ticked(scheduler, made.asked) for _ in range(3))
    scheduler.close()


def test_it_begins_at_once_where_the_clock_was_ahead(made, app):
    """When it ended, it had noted runs an hour in the future of the one that is started next."""
    first = made()
    for entry in first.schedule.values():
        entry.last_run_at += HOUR
    first.close()
    second = made()
    assert ticked(second, made.asked)
    second.close()


def test_a_broker_that_is_away_costs_a_line(made, caplog):
    """No traceback, and the next run is asked for as if nothing had happened."""
    scheduler = made()

    def refuse(*_, **__):
        raise SchedulingError("refused") from OSError("no")

    scheduler.apply_async = refuse
    until = time.monotonic() + 1
    while scheduler.schedule["tick"].total_run_count == 0 and time.monotonic() < until:
        time.sleep(min(0.05, max(0.0, scheduler.tick())))
    assert scheduler.schedule["tick"].total_run_count > 0
    assert "Traceback" not in caplog.text
    scheduler.close()


def test_its_schedule_can_be_kept():
    """In beat's file, and taken from there by another process."""
    assert pickle.loads(pickle.dumps(every(2.0))) == every(2.0)
    assert abs(beat.steady_now() - datetime.now(UTC)) < timedelta(seconds=5)
