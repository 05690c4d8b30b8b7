"""What the safe migration service tells and switches, besides the calls it takes over."""

import importlib
import sys
import time

import pytest

from gnomon import Gnomon, GnomonError

pytestmark = pytest.mark.safe_migration

MODULES = ("gnomon_memory.operations", "gnomon_memory.safe_migration_service")
PUBLIC = [
    "chat_client",
    "close",
    "disable_enhanced_features_for_user",
    "enable_enhanced_features_for_user",
    "get_average_performance_gain",
    "get_enhancement_adoption",
    "get_metrics",
    "get_recent_memories",
    "get_success_rate",
    "perform_health_check",
    "save_chat_memory",
]
SWITCHES = ["enable_enhanced_features_for_user", "disable_enhanced_features_for_user"]


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Give what imports the service anew, with Redis or without."""
    for side in ("legacy", "enhanced"):
        monkeypatch.setenv(f"GNOMON_MEMORY_{side.upper()}_URL", f"sqlite:///{tmp_path}/{side}.db")
    before = {name: sys.modules.pop(name, None) for name in MODULES}
    started = []

    def start(redis_url=None):
        monkeypatch.delenv("GNOMON_REDIS_URL", raising=False)
        if redis_url is not None:
            monkeypatch.setenv("GNOMON_REDIS_URL", redis_url)
        started.append(importlib.import_module("gnomon_memory.safe_migration_service"))
        return started[-1]

    yield start
    for service in started:
        service.client.close()
        service.legacy.store.close()
        service.enhanced.service.store.close()
    for name in MODULES:
        sys.modules.pop(name, None)
    sys.modules.update({name: module for name, module in before.items() if module is not None})


def until(true) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.02)


def test_public_names(start):
    """What an application may import."""
    service = start()
    assert service.__all__ == PUBLIC
    for name in PUBLIC:
        assert getattr(service, name).__doc__


def test_without_redis(start):
    """Without Redis configured the service is healthy as its stores are, captures nothing, and stores no switch."""
    service = start()
    service.save_chat_memory("zoë", "note", "text")
    metrics = service.get_metrics()
    assert {"enhanced_calls", "legacy_calls", "fallbacks", "errors", "complaints"} <= metrics.keys()
    assert metrics == service.get_metrics(everywhere=True)
    assert (metrics["enhanced_calls"], metrics["fallbacks"], metrics["errors"]) == (0, 0, 0)
    assert service.get_success_rate() == 100.0
    assert service.get_enhancement_adoption() == service.get_average_performance_gain() == 0.0
    health = service.perform_health_check()
    assert health.status == "healthy"
    assert health.details["capture"] == "nothing is captured"
    for switch in SWITCHES:
        with pytest.raises(GnomonError):
            getattr(service, switch)("zoë")


@pytest.mark.parametrize("bad", ["", None, 5, "u" * 2_000])
def test_bad_users_are_refused(start, bad):
    """A switch wants a user's id, and says so before it asks anybody."""
    service = start("redis://127.0.0.1:1/0")
    for switch in SWITCHES:
        with pytest.raises(GnomonError, match="user"):
            getattr(service, switch)(bad)


def test_with_an_unreachable_redis(start):
    """Where Redis is down users are served, the service is degraded, and what needs Redis says so soon."""
    service = start("redis://127.0.0.1:1/0")
    saved = service.save_chat_memory("zoë", "note", "text")
    assert service.get_recent_memories("zoë") == [saved]
    until(lambda: service.perform_health_check().status == "degraded")
    details = service.perform_health_check().details
    assert (details["legacy"]["ok"], details["enhanced"]["ok"], details["redis"]) == (True, True, "unreachable")
    assert service.get_metrics()["legacy_calls"] == 2
    for fails in (lambda: service.get_metrics(everywhere=True), lambda: service.enable_enhanced_features_for_user("u")):
        began = time.monotonic()
        with pytest.raises(GnomonError):
            fails()
        assert time.monotonic() - began < 5


@pytest.mark.slow
def test_a_user_who_is_enabled(start, valkey_url):
    """An enabled user is written to both sides, with legacy's identity; a disabled one is served by legacy alone."""
    service = start(valkey_url)
    client = service.client
    service.get_recent_memories("zoë")
    assert service.perform_health_check().status == "healthy"
    client.flags.update_flags(enhanced_memory_enabled=True, rental_memory_architecture_enabled=True)
    service.enable_enhanced_features_for_user("zoë")
    until(lambda: phase(client) == "dual")
    saved = service.save_chat_memory("zoë", "preference", "area: Porto", {"slot": "area", "value": "Porto"})
    assert service.enhanced.get_recent_memories("zoë") == [saved]
    assert client.user_data.verify("zoë")
    metrics = service.get_metrics()
    assert (metrics["legacy_calls"], metrics["enhanced_calls"], metrics["errors"]) == (2, 1, 0)
    assert set(metrics["operations"]["memory.save"]) == {"legacy", "enhanced"}
    assert service.get_success_rate() == 100.0
    assert service.get_enhancement_adoption() == 0.0
    assert service.get_average_performance_gain() != 0.0
    until(lambda: service.get_metrics(everywhere=True)["enhanced_calls"] == 1)
    assert service.get_success_rate(everywhere=True) == 100.0
    assert service.get_enhancement_adoption(everywhere=True) == 0.0
    assert service.get_average_performance_gain(everywhere=True) == service.get_average_performance_gain()
    service.disable_enhanced_features_for_user("zoë")
    until(lambda: phase(client) == "shadow")
    service.save_chat_memory("zoë", "note", "legacy alone")
    assert not client.user_data.verify("zoë")
    assert client.user_data.repair("zoë") == 1
    assert client.user_data.verify("zoë")


def phase(client: Gnomon) -> str:
    return str(client.flags.for_user("zoë")["enhanced_memory_enabled"].phase)
