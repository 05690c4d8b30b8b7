"""Asking for a drain: a hint is only a hint, so whatever keeps it from the broker is no error of the drain's."""

import pytest
from kombu.exceptions import OperationalError
from structlog.testing import capture_logs

from worker import application


@pytest.mark.parametrize(
    ("raised", "named"),
    [
        (OperationalError("refused"), "OperationalError"),
        (AttributeError("'NoneType' object has no attribute 'client'"), "AttributeError"),
    ],
)
def test_a_hint_that_nobody_takes_is_told_and_nothing_more(monkeypatch, raised, named):
    """As kombu raises while its connections are broken, one after another."""

    def send(*_: object, **__: object) -> None:
        raise raised

    monkeypatch.setattr(application.app, "send_task", send)
    with capture_logs() as logged:
        application.hint(7)
    assert logged == [{"event": "hint.failed", "log_level": "warning", "lane": 7, "error": named}]
