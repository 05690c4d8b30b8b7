"""Under fire for minutes, and in the end the same tallies as if nothing had happened."""

import random
from dataclasses import replace

import pytest

from tests.chaos import faults  # noqa: F401 — lists them
from tests.chaos.rig import Spec, Store
from tests.chaos.soak import differences, report, run
from tests.chaos.trial import Size

SEED = 7
SHORT = Size(users=40, rate=300, warm=0, hold_s=1, times=1, hurried=True)
LONG = Size(users=500, rate=400, warm=0, hold_s=4, times=1, hurried=False)


@pytest.mark.slow
@pytest.mark.long
def test_soaked_for_some_seconds(make_rig, soaked):
    """A few thousand captures under fire, a fault every 2 s, come to what they came to untouched."""
    _soak(make_rig, soaked, Spec(proxy=True, workers=2), SHORT, captures=4_800, every_s=2, seed=SEED)


@pytest.mark.chaos
def test_soaked_for_minutes(make_rig, soaked, request):
    """300,000 captures under fire, a fault every 10 s, come to what they came to untouched; on PostgreSQL."""
    captures, seed = request.config.getoption("soak"), request.config.getoption("seed")
    seed = random.randrange(10**6) if seed is None else seed
    _soak(
        make_rig,
        soaked,
        Spec(store=Store.POSTGRES, proxy=True, workers=2),
        LONG,
        captures=captures,
        every_s=10,
        seed=seed,
    )


def _soak(make_rig, soaked, spec: Spec, size: Size, *, captures: int, every_s: float, seed: int) -> None:
    print(f"seed {seed}", flush=True)
    each = captures // (size.users * spec.producers)
    with make_rig(spec, users=size.users) as rig:
        calm = run(rig, replace(size, rate=2 * size.rate), seed=seed, each=each)  # nothing depends on the pace
        users = [user for live in rig.lives for user in live.users]
    with make_rig(spec, users=size.users) as rig:
        fire = run(rig, size, seed=seed, each=each, blow_every_s=every_s)
    soaked += report(seed, calm, fire)
    assert (calm.violations, fire.violations) == ([], [])
    assert differences(calm, fire, users, seed, each) == []
    assert fire.blows
