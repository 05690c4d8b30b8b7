"""What a live process counts, in Prometheus's format; needs the extra `gnomon[prometheus]`.

```python
from gnomon.prometheus import register
register(client)                        # beside the application's own metrics, wherever it serves those
body = exposition(client)               # or as a page of its own
```

The figures are of one process. Where several processes answer behind one port (gunicorn, uvicorn with workers), each
scrape would reach another one: either serve each worker's metrics on a port of its own, or expose `everywhere=True` in
one place. That is what all processes of the namespace counted together, and what lies in each lane, read from Redis at
each scrape (at most 2 s), without the gauges that are of one process; where Redis does not answer, `gnomon_up` is 0 and
the counters are left out.
prometheus-client's own multiprocess mode takes no collectors, so it has neither.

Names begin with `gnomon_`; labels are operations, systems, reasons and classes of errors: never a user, never a value.
"""

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Final

import redis

from gnomon.breaker import BreakerState
from gnomon.connecting import connect
from gnomon.keys import Keys
from gnomon.lane_figures import LaneFigures, read_lanes
from gnomon.metrics import ENDS, read_metrics, summary
from gnomon.serving import Fallback

try:
    from prometheus_client import REGISTRY, CollectorRegistry, generate_latest
    from prometheus_client.core import (
        CounterMetricFamily,
        GaugeMetricFamily,
        InfoMetricFamily,
        Metric,
        SummaryMetricFamily,
    )
    from prometheus_client.registry import Collector
except ModuleNotFoundError as error:
    if error.name != "prometheus_client":
        raise
    raise ModuleNotFoundError(
        "gnomon.prometheus needs prometheus-client: install the extra gnomon[prometheus]", name=error.name
    ) from None

if TYPE_CHECKING:
    from gnomon.client import Gnomon

__all__ = ["exposition", "register"]

STATUSES: Final = ("healthy", "degraded", "unhealthy", "off")
_PERCENT: Final = 100
_MS: Final = 1_000


def exposition(client: "Gnomon", *, everywhere: bool = False) -> bytes:
    """Return the metrics of `client` as Prometheus reads them (text format 0.0.4)."""
    registry = CollectorRegistry()
    register(client, registry, everywhere=everywhere)
    return generate_latest(registry)


def register(client: "Gnomon", registry: CollectorRegistry = REGISTRY, *, everywhere: bool = False) -> Collector:
    """Expose the metrics of `client` with those of `registry`; returns what `registry.unregister` takes.

    Raises ValueError where a client is exposed there already.
    """
    collector = _ClientCollector(client, everywhere=everywhere)
    registry.register(collector)
    return collector


class _ClientCollector(Collector):
    """Asks the client at each scrape."""

    def __init__(self, client: "Gnomon", *, everywhere: bool) -> None:
        self._client = client
        self._everywhere = everywhere

    def describe(self) -> Iterable[Metric]:
        """Return the families without asking anybody, so that a second client is refused."""
        return [*_counters(summary({})), *_gauges({}, "off"), *_identity(self._client, up=True)]

    def collect(self) -> Iterator[Metric]:
        """Return the figures as they are now; never raises for a Redis that does not answer."""
        try:
            metrics = self._metrics()
        except (redis.RedisError, OSError):
            yield from _identity(self._client, up=False)
            return
        yield from _identity(self._client, up=True)
        yield from _counters(metrics)
        if self._everywhere:
            yield from self._lanes()
        else:
            health = self._client.health()
            yield from _gauges(health.details, health.status)

    def _lanes(self) -> Iterator[Metric]:
        settings = self._client._settings  # noqa: SLF001 — the same package
        if settings.redis_url is not None:
            with (
                contextlib.closing(connect(settings.redis_url)) as server,
                contextlib.suppress(redis.RedisError, OSError),
            ):
                yield from _lane_by_lane(read_lanes(server, Keys(settings.namespace)))

    def _metrics(self) -> dict[str, Any]:
        settings = self._client._settings  # noqa: SLF001 — the same package
        if not self._everywhere or settings.redis_url is None:
            return self._client.metrics()
        # not `metrics(everywhere=True)`: what a process adds of its own may be counted twice for an instant, and a
        # counter that steps back looks to Prometheus like one that began anew
        with contextlib.closing(connect(settings.redis_url)) as server:
            return summary(read_metrics(server, Keys(settings.namespace)))


def _identity(client: "Gnomon", *, up: bool) -> Iterator[Metric]:
    settings = client._settings  # noqa: SLF001 — the same package
    info = {"version": _version(), "namespace": settings.namespace, "build": settings.build}
    yield InfoMetricFamily("gnomon_client", "The client: its version, the migration, the enhanced build", info)
    yield GaugeMetricFamily("gnomon_up", "Whether the figures could be had", int(up))


def _version() -> str:
    try:
        return version("gnomon")
    except PackageNotFoundError:  # used from a source tree that is not installed
        return "unknown"


# --- what was counted


def _counters(metrics: Mapping[str, Any]) -> Iterator[Metric]:
    yield from _calls(metrics["operations"])
    yield _labelled(
        "gnomon_eligible_calls", "Eligible calls by where they ended: captured, or why not", "end",
        {end: metrics[end] for end in ENDS},
    )  # fmt: skip
    yield _labelled(
        "gnomon_fallbacks", "Calls that legacy answered in enhanced's place, by reason", "reason",
        {**dict.fromkeys(map(str, Fallback), 0), **metrics["fallbacks_by_reason"]},
    )  # fmt: skip
    yield _labelled(
        "gnomon_enhanced_errors", "Live invocations of enhanced that failed, by kind of error", "kind",
        metrics["errors_by_kind"],
    )  # fmt: skip
    yield _capture_errors(metrics["capture_errors"])
    yield CounterMetricFamily("gnomon_complaints", "Users' complaints", metrics["complaints"])
    for name, meaning in (
        ("success_rate", "The share of live invocations of enhanced that returned, 0 to 1, since the start"),
        ("adoption", "The share of answers to reads and generate calls that enhanced gave, 0 to 1, since the start"),
        ("average_performance_gain", "By how much enhanced's mean duration is below legacy's, since the start"),
    ):
        spelled = name.removesuffix("_rate")
        yield GaugeMetricFamily(f"gnomon_{spelled}_ratio", meaning, metrics[name] / _PERCENT)


def _calls(operations: Mapping[str, Mapping[str, Mapping[str, float]]]) -> Iterator[Metric]:
    labels = ("operation", "side")
    durations = SummaryMetricFamily("gnomon_call_duration_seconds", "Live invocations of a side", labels=labels)
    errors = CounterMetricFamily("gnomon_call_errors", "Live invocations of a side that raised", labels=labels)
    for operation, sides in operations.items():
        for side, figures in sides.items():
            seconds = figures["mean_ms"] * figures["calls"] / _MS
            durations.add_metric((operation, side), int(figures["calls"]), seconds)
            errors.add_metric((operation, side), figures["errors"])
    yield durations
    yield errors


def _capture_errors(counts: Mapping[str, int]) -> CounterMetricFamily:
    meaning, labels = "Errors while capturing, by where and kind; the call itself went on", ("where", "kind")
    family = CounterMetricFamily("gnomon_capture_errors", meaning, labels=labels)
    for name, count in counts.items():
        where, _, kind = name.partition(":")
        family.add_metric((where, kind), count)
    return family


def _labelled(name: str, meaning: str, label: str, counts: Mapping[str, int]) -> CounterMetricFamily:
    family = CounterMetricFamily(name, meaning, labels=(label,))
    for value, count in counts.items():
        family.add_metric((value,), count)
    return family


# --- how the lanes are


def _lane_by_lane(found: LaneFigures) -> Iterator[Metric]:
    size = GaugeMetricFamily("gnomon_lane_bytes", "What lies in a lane; empty lanes are left out", labels=("lane",))
    lag = GaugeMetricFamily("gnomon_lane_lag_seconds", "How long a lane's oldest entry has waited", labels=("lane",))
    for lane, size_bytes in sorted(found.sizes_bytes.items()):
        size.add_metric((str(lane),), size_bytes)
    for lane, lag_s in sorted(found.lags_s.items()):
        lag.add_metric((str(lane),), lag_s)
    yield size
    yield lag
    together = {"bytes": found.size_bytes, "cap_bytes": found.cap_bytes, "lag_s": found.lag_s}
    yield from _lanes_together({**together, "shed_share": found.shed_share})


def _lanes_together(lanes: Mapping[str, Any]) -> Iterator[Metric]:
    for name, meaning, figure in (
        ("gnomon_lanes_bytes", "What lies in all lanes", "bytes"),
        ("gnomon_lanes_cap_bytes", "What may lie in all lanes; from half of it on users are shed", "cap_bytes"),
        ("gnomon_lanes_lag_seconds", "How long the oldest entry of all lanes has waited", "lag_s"),
        ("gnomon_shed_share_ratio", "The share of users that are not captured, 0 to 1", "shed_share"),
    ):
        yield _gauge(name, meaning, lanes.get(figure))


# --- how this process is doing


def _gauges(details: Mapping[str, Any], status: str) -> Iterator[Metric]:
    health = GaugeMetricFamily("gnomon_health", "1 for the state that this process is in", labels=("status",))
    for name in STATUSES:
        health.add_metric((name,), int(name == status))
    yield health
    buffer = details.get("buffer", {})
    figures = {
        "gnomon_redis_reachable": ("Whether Redis answered when last asked", _reachable(details)),
        "gnomon_buffer_fill_ratio": ("How full the buffer is, 0 to 1; at 1 captures are lost", buffer.get("fill")),
        "gnomon_buffer_bytes": ("The size of the captures in the buffer", buffer.get("bytes")),
        "gnomon_backlog_captures": ("Captures that wait in this process for Redis", details.get("backlog")),
        "gnomon_flags_age_seconds": ("Since the flags were last read", details.get("flags_age_s")),
        "gnomon_flags_version": ("The version of the flags acted upon", details.get("flags_version")),
        "gnomon_killed": ("Whether the kill file is there", details.get("killed")),
    }
    for name, (meaning, value) in figures.items():
        yield _gauge(name, meaning, value)
    yield from _lanes_together(details.get("lanes", {}))
    yield _breakers(details.get("breakers", {}))


def _reachable(details: Mapping[str, Any]) -> bool | None:
    return {"ok": True, "unreachable": False}.get(details.get("redis", ""))


def _gauge(name: str, meaning: str, value: float | None) -> GaugeMetricFamily:
    """Return a gauge; one that is not known has no sample."""
    family = GaugeMetricFamily(name, meaning)
    if value is not None:
        family.add_metric((), value)
    return family


def _breakers(states: Mapping[str, str]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(
        "gnomon_breaker_state", "1 for the state that the breaker is in: open, enhanced is not asked",
        labels=("operation", "state"),
    )  # fmt: skip
    for operation, current in states.items():
        for state in BreakerState:
            family.add_metric((operation, state), int(state == current))
    return family
