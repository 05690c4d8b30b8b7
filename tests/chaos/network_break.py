"""The way to Valkey is long, breaks, or leads nowhere."""

from collections.abc import Iterator

from tests.chaos.naming import fault
from tests.chaos.servers import ProxyProcess
from tests.chaos.trial import Trial, lasting

DELAY_S = 0.2


@fault(
    "network late", f"everything between anybody and Valkey takes {DELAY_S * 1_000:g} ms longer each way", proxy=True
)
def _late(trial: Trial) -> Iterator[None]:
    assert trial.rig.proxy
    trial.rig.proxy.ask(delay_s=DELAY_S)
    trial.hold()
    trial.rig.proxy.ask(delay_s=0)
    yield


@fault("connections reset", "every connection to Valkey reset, twice a second", proxy=True)
def _resets(trial: Trial) -> Iterator[None]:
    assert trial.rig.proxy
    with lasting(trial, 0.5) as still:
        while still():
            trial.rig.proxy.ask(reset=True)
    yield


@fault(
    "half-open connections",
    "whoever speaks to Valkey is accepted and never answered for a while; then those connections are reset",
    proxy=True,
)
def _half_open(trial: Trial) -> Iterator[None]:
    proxy = _muted(trial)
    proxy.ask(mute=False, bury=True)
    yield


@fault(
    "connections silent for ever",
    "the same, but those connections stay as they are: alive and silent; new ones work",
    proxy=True,
)
def _silent(trial: Trial) -> Iterator[None]:
    proxy = _muted(trial)
    proxy.ask(mute=False)
    yield


def _muted(trial: Trial) -> ProxyProcess:
    assert trial.rig.proxy
    trial.rig.proxy.ask(mute=True)
    trial.hold(min(trial.size.hold_s, 8))
    return trial.rig.proxy
