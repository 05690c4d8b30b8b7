"""Valkey crashes, forgets, stands still, is full, or throws its clients out."""

from collections.abc import Callable, Iterator

import redis

from tests.chaos.naming import fault
from tests.chaos.servers import LogSizes
from tests.chaos.trial import Trial, lasting

SMALL_BUFFER = 150
MEBIBYTE = 1024 * 1024


@fault("Valkey killed", "kill -9 with AOF everysec, a second down, started on the same data; again and again")
def _killed(trial: Trial) -> Iterator[None]:
    valkey = trial.rig.valkey
    for _ in range(trial.size.times):
        trial.hold(1)
        valkey.kill()
        trial.hold(1)
        valkey.start()
    yield


@fault("Valkey loses its last second", "kill -9, and the last second cut off its log, as when the power goes")
def _power_cut(trial: Trial) -> Iterator[None]:
    valkey = trial.rig.valkey
    for _ in range(trial.size.times):
        sizes = LogSizes(valkey.log)
        sizes.start()
        trial.hold(2)
        valkey.kill()
        gone = sizes.cut(1.0)
        trial.note(f"{gone:,} bytes of log gone")
        valkey.start()
    trial.allow(lost=trial.size.rate * 2 * trial.size.times, excluded=float("inf"), reasons="causal late")
    yield


@fault("Valkey loses everything", "the workers stand still and lanes fill; kill -9, all data deleted, started empty")
def _empty(trial: Trial) -> Iterator[None]:
    rig = trial.rig
    with rig.workers[0].frozen():
        trial.hold()
        lying = rig.lying()
        rig.valkey.kill()
        rig.valkey.forget()
        rig.valkey.start()
    appended_since = 2 * trial.size.rate * len(rig.lives)  # until it was killed: in two seconds, on a busy machine
    trial.allow(lost=lying + appended_since, excluded=float("inf"), reasons="causal late")
    yield


@fault("Valkey stopped", "stopped in an orderly way, connections refused for a while, started")
def _stopped(trial: Trial) -> Iterator[None]:
    with trial.rig.valkey.stopped():
        trial.hold()
    yield


@fault("Valkey frozen", "SIGSTOP, for less than the 10 s that a heartbeat lives, then SIGCONT")
def _frozen(trial: Trial) -> Iterator[None]:
    with trial.rig.valkey.frozen():
        trial.hold(min(trial.size.hold_s, 8))
    yield


@fault("Valkey frozen for long", "SIGSTOP until every heartbeat and lease has run out, then SIGCONT")
def _frozen_long(trial: Trial) -> Iterator[None]:
    with trial.rig.valkey.frozen():
        trial.hold(20)
    trial.allow(excluded=float("inf"), reasons="causal late")
    yield


@fault("Valkey full", "CONFIG SET maxmemory below what it holds (noeviction), then lifted")
def _full(trial: Trial) -> Iterator[None]:
    _fill(trial, trial.hold)
    if not trial.size.hurried:  # it refuses heartbeats, too, and after 10 s without one a live process counts as dead
        trial.allow(excluded=float("inf"), reasons="causal late")
    yield


@fault(
    "Valkey full, small buffers",
    f"the same, where live processes hold {SMALL_BUFFER} captures at most",
    settings={"GNOMON_BUFFER_CAPTURES": str(SMALL_BUFFER)},
)
def _full_and_dropped(trial: Trial) -> Iterator[None]:
    _fill(trial, trial.hold)
    trial.allow(publish_failed=float("inf"), excluded=float("inf"), reasons="causal late")
    yield


def _fill(trial: Trial, hold: Callable[[], None]) -> None:
    with trial.rig.server() as server:
        server.config_set("maxmemory", MEBIBYTE)
        hold()
        server.config_set("maxmemory", 0)


@fault("clients thrown out", "CLIENT KILL of every connection, 20 times a second")
def _thrown_out(trial: Trial) -> Iterator[None]:
    kills = 0
    with trial.rig.server() as server, lasting(trial, 0.05) as still:
        while still():
            for kind in ("normal", "pubsub"):
                kills += int(server.client_kill_filter(_type=kind, skipme=True))
    trial.note(f"{kills:,} connections broken")
    yield


@fault("Valkey's disk full", "no byte left where its log is written, then room again", small=("valkey",))
def _disk(trial: Trial) -> Iterator[None]:
    with trial.rig.rooms["valkey"].full():
        trial.hold()
        with trial.rig.server() as server:
            try:
                server.set("probe", "x")
            except redis.ResponseError as error:
                trial.note(str(error).split(" ", 1)[0])
    yield
