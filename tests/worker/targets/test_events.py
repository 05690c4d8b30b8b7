"""Whoever watches a worker's events hears when a target goes and comes back."""

import threading
import time

import pytest
from celery import Celery

from worker import application
from worker.targets.breaker import IN_A_ROW
from worker.targets.events import tell
from worker.targets.guard import Guard

pytestmark = pytest.mark.slow

PATIENCE_S = 10.0


def test_a_breaker_that_opens_is_a_celery_event(valkey_url, monkeypatch):
    """With target and reason: nothing of any capture."""
    app = Celery("watched", broker=valkey_url, set_as_current=False)
    monkeypatch.setattr(application, "app", app)
    heard, got = [], threading.Event()

    def watch() -> None:
        with app.connection() as connection:
            receiver = app.events.Receiver(connection)
            receiver.handlers["gnomon-target-opened"] = lambda event: hear(event, receiver)
            receiver.capture(limit=None, timeout=PATIENCE_S, wakeup=False)

    def hear(event, receiver) -> None:
        heard.append(event)
        receiver.should_stop = True
        got.set()

    watching = threading.Thread(target=watch, daemon=True)
    watching.start()
    guard = Guard("notes", 4)
    for _ in range(IN_A_ROW):
        guard.unanswered("Http500", 0.01, tried=False)
    until = time.monotonic() + PATIENCE_S
    while not got.wait(0.1) and time.monotonic() < until:  # nobody says when a receiver has subscribed
        tell("target.opened", guard)
    watching.join(PATIENCE_S)
    said = {name: heard[0][name] for name in ("target", "reason", "limit")}
    assert said == {"target": "notes", "reason": "Http500", "limit": 1}
