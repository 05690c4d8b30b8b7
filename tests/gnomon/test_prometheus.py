"""Metrics for Prometheus: the right names, suffixes and labels, nothing personal, and no scrape that fails."""

import subprocess
import sys
import time
from importlib.metadata import version

import msgspec
import pytest
import redis
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from gnomon import Gnomon
from gnomon.flags import SHARE, SWITCHES
from gnomon.hashing import lane_of
from gnomon.keys import Keys
from gnomon.prometheus import exposition, register
from gnomon.readiness import Readiness
from gnomon.scripts import STORE
from gnomon.settings import ClientSettings
from gnomon.switchboard import store_flags

FLAG = "enhanced_memory_enabled"


def families(text: bytes):
    return {family.name: family for family in text_string_to_metric_families(text.decode())}


def samples(text: bytes) -> dict[tuple, float]:
    """By name and the values of the labels, in the order of the alphabet."""
    found = [sample for family in families(text).values() for sample in family.samples]
    return {(sample.name, *sorted(sample.labels.values())): sample.value for sample in found}


def eventually(condition, within_s=10.0):
    until = time.monotonic() + within_s
    while not (found := condition()) and time.monotonic() < until:
        time.sleep(0.02)
    assert found
    return found


@pytest.fixture
def make(valkey_url):
    made = []

    def make(**settings) -> Gnomon:
        made.append(Gnomon(ClientSettings(redis_url=valkey_url, **settings)))
        return made[-1]

    yield make
    for client in made:
        client.close()


def listing(client, legacy=lambda user: [user], enhanced=None):
    listed = client.operation("note.list", kind="read", user="user", flag=FLAG)(legacy)
    listed.enhanced(enhanced or legacy)
    return listed


def serve_everybody(valkey_url, client):
    """Have enhanced answer, as promotion and the worker's arbiter would do it."""
    keys = Keys("default")
    with redis.Redis.from_url(valkey_url) as server:
        stored = store_flags(server, keys, {**dict.fromkeys(SWITCHES, True), SHARE: 100}, may_raise=True)
        ready = Readiness(version=1, dual_below=100_000, ready_below=100_000, lowered=stored.lowered)
        server.eval(STORE, 1, keys.readiness, 0, 1, msgspec.json.encode(ready), keys.changes)
    eventually(lambda: str(client.flags.for_user("ann")[FLAG].phase) == "served")


def test_what_a_process_counts(make, valkey_url):
    """Calls and durations by operation and side, errors by kind, fallbacks by reason, where eligible calls ended."""

    def enhanced(user):
        if user == "bob":
            raise LookupError("of bob, who is not to be named")
        return [user]

    client = make(build="b-7")
    listed = listing(client, enhanced=enhanced)
    listed("ann")
    assert client.flush(10)
    serve_everybody(valkey_url, client)
    for user in ("ann", "ann", "bob"):
        listed(user)
    found = samples(exposition(client))
    assert found["gnomon_call_duration_seconds_count", "enhanced", "note.list"] == 3
    assert found["gnomon_call_duration_seconds_count", "legacy", "note.list"] == 2
    assert 0 < found["gnomon_call_duration_seconds_sum", "enhanced", "note.list"] < 1
    assert found["gnomon_call_errors_total", "enhanced", "note.list"] == 1
    assert found["gnomon_call_errors_total", "legacy", "note.list"] == 0
    assert found["gnomon_enhanced_errors_total", "LookupError"] == 1
    assert found["gnomon_fallbacks_total", "error"] == 1
    assert found["gnomon_fallbacks_total", "timeout"] == 0
    assert found["gnomon_eligible_calls_total", "captured"] == 4
    assert found["gnomon_complaints_total",] == 0
    assert found["gnomon_success_ratio",] == pytest.approx(2 / 3)
    assert found["gnomon_adoption_ratio",] == pytest.approx(2 / 4)
    assert found["gnomon_client_info", *sorted(("b-7", "default", version("gnomon")))] == 1


def test_what_lies_in_the_lanes(make, valkey_url):
    """One process tells of all lanes together, as of its last beat; `everywhere` of each, as of now."""
    client = make(total_bytes=1_000_000)
    listing(client)("ann")
    assert client.flush(10)
    lane = lane_of("ann", 64)
    together = ("gnomon_lanes_bytes", "gnomon_lanes_cap_bytes", "gnomon_lanes_lag_seconds", "gnomon_shed_share_ratio")
    with redis.Redis.from_url(valkey_url) as server:
        size = int(server.hget(Keys("default").stock, lane))
        server.hset(Keys("default").pressure, mapping={"below": 250_000, "cap_bytes": 900_000})
        found = eventually(lambda: _with_lanes(client))
        assert [found[name,] for name in together[:2]] == [size, 900_000]
        everywhere = samples(exposition(client, everywhere=True))
    assert [everywhere[name,] for name in together[:2]] == [size, 900_000]
    assert everywhere["gnomon_lane_bytes", str(lane)] == size
    assert 0 < everywhere["gnomon_lane_lag_seconds", str(lane)] == everywhere["gnomon_lanes_lag_seconds",] < 10
    assert 0 <= everywhere["gnomon_shed_share_ratio",] <= 0.25


def _with_lanes(client):
    found = samples(exposition(client))
    return found["gnomon_lanes_bytes",] and found["gnomon_lanes_cap_bytes",] == 900_000 and found


def test_how_a_process_is_doing(make, valkey_url):
    """Gauges of buffer, backlog, flags and breakers; the state it is in is 1, the others 0."""
    client = make()
    listed = listing(client)
    listed("ann")
    assert client.flush(10)
    serve_everybody(valkey_url, client)
    found = samples(exposition(client))
    assert [found["gnomon_health", name] for name in ("healthy", "degraded", "unhealthy", "off")] == [1, 0, 0, 0]
    assert [found["gnomon_breaker_state", *sorted((name, "note.list"))] for name in ("closed", "open", "trying")] == [
        1,
        0,
        0,
    ]
    assert found["gnomon_flags_version",] == 1
    assert 0 <= found["gnomon_flags_age_seconds",] < 5
    assert (found["gnomon_up",], found["gnomon_redis_reachable",], found["gnomon_killed",]) == (1, 1, 0)
    assert (found["gnomon_buffer_fill_ratio",], found["gnomon_backlog_captures",]) == (0, 0)
    for _ in range(5):
        client.invoker.breaker("note.list").failed()
    assert samples(exposition(client))["gnomon_breaker_state", "note.list", "open"] == 1


def test_names_and_suffixes(make):
    """Every name has the prefix; counters end in _total, times in _seconds, shares in _ratio."""
    client = make()
    listing(client)("ann")
    found = families(exposition(client))
    assert all(name.startswith("gnomon_") for name in found)
    assert {"counter", "gauge", "summary"} >= {family.type for family in found.values()}
    for family in found.values():
        assert family.documentation
        if family.type == "counter":
            assert {sample.name for sample in family.samples} <= {f"{family.name}_total"}


def test_nobody_is_named(make):
    """Neither users nor what they said."""
    client = make()

    def enhanced(user, text):
        raise LookupError(text)

    save = client.operation("note.save", kind="write", user="user")(lambda user, text: {"id": text})
    save.enhanced(enhanced)
    save("user-4711", "secret words")
    client.complain("user-4711", "it forgot my secret words")
    text = exposition(client).decode()
    assert "4711" not in text
    assert "secret" not in text


def test_a_registry_of_the_application(make):
    """Beside its own metrics; a second time is refused; what is taken away is gone."""
    client, registry = make(), CollectorRegistry()
    listing(client)("ann")
    collector = register(client, registry)
    assert b"gnomon_up 1.0" in generate_latest(registry)
    with pytest.raises(ValueError, match="Duplicated timeseries"):
        register(client, registry)
    with pytest.raises(ValueError, match="Duplicated timeseries"):
        register(make(), registry)
    registry.unregister(collector)
    assert generate_latest(registry) == b""


def test_all_processes_together(make):
    """`everywhere`: what all counted, without the gauges of one."""
    first, second = make(), make()
    for client, users in ((first, 2), (second, 3)):
        listed = listing(client)
        for user in range(users):
            listed(f"user-{user}")
        assert client.flush(10)
    eventually(lambda: count(first) == 5)
    text = exposition(second, everywhere=True)
    assert samples(text)["gnomon_eligible_calls_total", "captured"] == 5
    assert "gnomon_flags_version" not in families(text)
    assert samples(exposition(first))["gnomon_eligible_calls_total", "captured"] == 2


def count(client) -> float:
    return samples(exposition(client, everywhere=True)).get(
        ("gnomon_call_duration_seconds_count", "legacy", "note.list"), 0
    )


def test_a_redis_that_does_not_answer():
    """A scrape never fails: of all processes nothing is known, of this one what it knows itself."""
    client = Gnomon(ClientSettings(redis_url="redis://127.0.0.1:1/0"))
    listing(client)("ann")
    eventually(lambda: client.health().status == "degraded")
    assert families(exposition(client, everywhere=True)).keys() == {"gnomon_client_info", "gnomon_up"}
    assert samples(exposition(client, everywhere=True))["gnomon_up",] == 0
    own = samples(exposition(client))
    assert (own["gnomon_up",], own["gnomon_redis_reachable",]) == (1, 0)
    assert own["gnomon_call_duration_seconds_count", "legacy", "note.list"] == 1
    assert own["gnomon_health", "degraded"] == 1
    assert own["gnomon_backlog_captures",] == 1
    client.close(0.1)


def test_a_client_that_captures_nothing():
    """Without Redis: off, and its calls."""
    client = Gnomon(ClientSettings())
    listing(client)("ann")
    found = samples(exposition(client))
    assert (found["gnomon_health", "off"], found["gnomon_up",]) == (1, 1)
    assert ("gnomon_flags_version",) not in found
    assert samples(exposition(client, everywhere=True))["gnomon_up",] == 1


def test_without_prometheus_client_it_says_what_is_missing():
    """One clear error that names the extra; `import gnomon` needs nothing of it."""
    code = "import sys; sys.modules['prometheus_client'] = None; import gnomon, gnomon.prometheus"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert (
        last == "ModuleNotFoundError: gnomon.prometheus needs prometheus-client: install the extra gnomon[prometheus]"
    )
