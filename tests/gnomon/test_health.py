"""What a live process tells of itself: its health, its log, and the page that explains both."""

import logging
import re
from pathlib import Path

import pytest

from gnomon import breaker, publisher
from gnomon.flags import LONGEST_USER, SHARE_VARIABLE, STALE_S, SWITCHES, Reason
from gnomon.metrics import ENDS, summary
from gnomon.readiness import MOST_EXCEPTIONS
from gnomon.serving import Fallback
from gnomon.settings import ClientSettings
from gnomon.tap import FIRST_FLAGS_S
from gnomon.wire import Phase

PAGE = (Path(__file__).parent.parent.parent / "docs" / "live-path.md").read_text(encoding="utf-8")
WORDS = " ".join(PAGE.split())


# --- health


@pytest.mark.slow
def test_a_process_that_has_called_nobody_is_healthy(make):
    """Nothing was asked yet, so nothing is wrong."""
    health = make().health()
    assert (health.status, health.details["redis"], health.details["flags_age_s"]) == ("healthy", "not asked yet", None)
    assert health.details["problems"] == []


@pytest.mark.slow
def test_a_working_process_tells_its_figures(phased, sync_pair, eventually):
    """Flags, buffer and breakers as they are."""
    client = phased("served")
    sync_pair(client, "read")("ann")
    assert client.flush(5)
    health = client.health()
    assert (health.status, health.details["redis"]) == ("healthy", "ok")
    assert 0 <= health.details["flags_age_s"] < 30
    assert health.details["flags_version"] == 1
    assert health.details["buffer"] == {"captures": 0, "bytes": 0, "fill": 0.0}
    assert health.details["breakers"] == {"memory.x": "closed"}


@pytest.mark.slow
def test_flags_that_turned_stale_are_told(phased, monkeypatch):
    """Degraded: users are served, by legacy."""
    client = phased("served")
    monkeypatch.setattr(client._state, "take", lambda *_: None)
    monkeypatch.setattr(client._state, "_read_at", client._state._read_at - STALE_S - 1)
    assert client.health().status == "degraded"
    assert client.health().details["problems"] == ["flags"]


@pytest.mark.slow
@pytest.mark.parametrize(("waiting", "status"), [(8, "healthy"), (9, "degraded"), (10, "unhealthy"), (12, "unhealthy")])
def test_a_filling_buffer_is_told(make, sync_pair, monkeypatch, waiting, status):
    """Above 80 % it is a problem, full it loses captures."""
    client = make(GNOMON_BUFFER_CAPTURES="10")
    read = sync_pair(client, "read")
    monkeypatch.setattr(client._publisher, "_publish", lambda: None)
    for _ in range(waiting):
        read("ann")
    health = client.health()
    assert (health.status, health.details["problems"]) == (status, [] if status == "healthy" else ["buffer"])
    assert health.details["backlog"] == min(waiting, 10)


def test_a_redis_that_refuses_is_told(make_unreachable, eventually):
    """Degraded, as soon as it was asked."""
    client = make_unreachable()
    client._publisher.start()
    assert eventually(lambda: client.health().details["redis"] == "unreachable")
    assert (client.health().status, client.health().details["problems"]) == ("degraded", ["redis"])
    client.close(0)


@pytest.fixture
def make_unreachable():
    from gnomon import Gnomon

    return lambda: Gnomon.from_env({"GNOMON_REDIS_URL": "redis://127.0.0.1:1/0"})


# --- the log


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flag", "kind", "said"),
    [
        ("enhanced_memory_enabled", "read", "using enhanced memory service operation=memory.x phase=served"),
        ("enhanced_chat_client_enabled", "generate", "using enhanced chat client operation=memory.x phase=served"),
        ("rental_memory_architecture_enabled", "read", "using enhanced memory.x operation=memory.x phase=served"),
    ],
)
def test_enhanced_at_work_is_said(phased, pair, caplog, flag, kind, said):
    """Once a minute for each operation at INFO, else at DEBUG; with fields for whoever reads logs by machine."""
    caplog.set_level(logging.DEBUG, "gnomon")
    operation = pair(phased("served"), kind, flag=flag)
    for _ in range(3):
        operation("ann")
    records = [record for record in caplog.records if record.getMessage().startswith("using enhanced")]
    assert [record.getMessage() for record in records] == [said] * 3
    levels = [record.levelno for record in records]
    assert levels[0] == logging.INFO
    assert levels.count(logging.INFO) <= 2  # two where a minute began in between
    assert (records[0].event, records[0].operation, records[0].phase) == ("gnomon.using_enhanced", "memory.x", "served")


@pytest.mark.slow
@pytest.mark.parametrize("phase", ["shadow", "dual"])
def test_nobody_says_so_where_legacy_answers(phased, pair, caplog, phase):
    """Nor where enhanced was asked and had no answer."""
    caplog.set_level(logging.DEBUG, "gnomon")
    pair(phased(phase), "read")("ann")
    pair(phased(phase), "write", "memory.y")("ann")
    assert "using enhanced" not in caplog.text


@pytest.mark.slow
def test_no_payload_in_the_log(phased, pair, raising, caplog):
    """Whatever goes wrong: classes and places, never an argument, an answer or a message."""
    caplog.set_level(logging.DEBUG, "gnomon")
    client = phased("served")
    operation = pair(client, "read", timeout_s=5)
    operation.enhanced = raising(RuntimeError("secret of ann"))
    operation("ann", item="secret of ann")
    operation("ann", item=object())
    operation.enhanced = lambda **_: 42
    operation("secret of ann")
    client.close()
    assert "secret" not in caplog.text


# --- the page


def test_the_page_names_every_word():
    """`docs/live-path.md` explains every phase, reason, fallback, figure, detail and flag."""
    names = [*Phase, *Reason, *Fallback, *ENDS, *summary({}), *SWITCHES, *SWITCHES.values(), SHARE_VARIABLE]
    assert [name for name in names if f"`{name}`" not in PAGE] == []


@pytest.mark.slow
def test_the_page_names_every_detail_of_health(make):
    """And every status."""
    details = make().health().details
    names = [*details, *details["buffer"], "healthy", "degraded", "unhealthy", "off"]
    assert [name for name in names if f"`{name}`" not in PAGE] == []


def test_the_page_states_the_figures():
    """Those of the code."""
    settings = ClientSettings()
    assert f"opens at {breaker.IN_A_ROW} failures in a row" in WORDS
    assert f"more than {breaker.FAILING_SHARE:.0%} of at least {breaker.LEAST_CALLS} calls".replace("%", " %") in WORDS
    assert f"within {breaker.WINDOW_S:.0f} s failed" in WORDS
    assert f"After {breaker.OPEN_S:.0f} s one call a second tries" in WORDS
    assert f"a pool of {settings.enhanced_threads} daemon threads" in WORDS
    assert f"`GNOMON_DUAL_TIMEOUT_S` ({settings.dual_timeout_s} s)" in WORDS
    assert f"not read for {STALE_S:.0f} s" in WORDS
    assert f"up to {FIRST_FLAGS_S * 1_000:.0f} ms after the process began to ask" in WORDS
    assert f"{MOST_EXCEPTIONS:,} exceptions are everybody" in WORDS
    assert f"more than {LONGEST_USER:,} characters" in WORDS
    assert f"larger than {settings.capture_bytes // 1024} KiB" in WORDS
    assert f"({settings.buffer_captures:,} captures, {settings.buffer_bytes // 1024**2} MiB)" in WORDS
    assert f"flushes for up to {publisher.EXIT_DEADLINE_S:.0f} s" in WORDS


def test_the_page_names_every_warning():
    """Each event that the client logs as a warning."""
    folder = Path(publisher.__file__).parent
    said = set()
    for file in folder.glob("*.py"):
        said |= set(re.findall(r'log\.warning\(\s*"(gnomon\.\w+)', file.read_text(encoding="utf-8")))
    assert len(said) >= 3
    assert [event for event in said if f"`{event}" not in PAGE] == []
