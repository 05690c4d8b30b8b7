"""Flags: precedence, environment, staleness, and changes that are refused."""

import pytest

from gnomon import FlagError
from gnomon.flags import EnvironmentFlags, FlagState, Reason, StoredFlags, changed
from gnomon.hashing import BUCKETS, bucket_of

ON = {"enhanced_memory_enabled": True, "rental_memory_architecture_enabled": True, "rollout_percentage": 100}


def state_with(flags=None, environ=None, kill_file=None) -> FlagState:
    import msgspec

    state = FlagState(EnvironmentFlags.from_env(environ or {}), kill_file)
    state.take(msgspec.json.encode(StoredFlags(1, 1, flags)) if flags is not None else b"")
    return state


def test_all_flags_on_serve_everybody():
    """Stored flags and a share of 100 put every user inside."""
    assert state_with(ON).decide("enhanced_memory_enabled", "ann").enabled


def test_without_a_flag_nobody_is_served():
    """`flag=None` is always shadow."""
    assert state_with(ON).decide(None, "ann").reason is Reason.NO_FLAG


def test_environment_false_beats_stored_true():
    """The environment can always say no."""
    decision = state_with(ON, {"ENHANCED_MEMORY": "false"}).decide("enhanced_memory_enabled", "ann")
    assert (decision.enabled, decision.reason) == (False, Reason.KILLED)


def test_environment_zero_share_is_a_kill():
    """A percentage of 0 in the environment forces legacy."""
    decision = state_with(ON, {"GNOMON_ENHANCED_ROLLOUT_PERCENTAGE": "0"}).decide("enhanced_memory_enabled", "ann")
    assert decision.reason is Reason.KILLED


def test_environment_true_is_only_a_default():
    """Stored flags beat the environment's defaults."""
    environ = {"ENHANCED_MEMORY": "true", "RENTAL_MEMORY_ARCH": "true", "ENHANCED_ROLLOUT_PERCENTAGE": "100"}
    assert state_with(None, environ).decide("enhanced_memory_enabled", "ann").enabled
    stored = {**ON, "enhanced_memory_enabled": False}
    assert state_with(stored, environ).decide("enhanced_memory_enabled", "ann").reason is Reason.DISABLED


def test_memory_needs_the_architecture_flag_too():
    """Enhanced memory without the rental architecture is off."""
    stored = {**ON, "rental_memory_architecture_enabled": False}
    assert not state_with(stored).decide("enhanced_memory_enabled", "ann").enabled


def test_kill_file_forces_legacy(tmp_path):
    """While the file exists legacy serves; when it is gone, the flags decide again."""
    kill_file = tmp_path / "kill"
    state = state_with(ON, kill_file=kill_file)
    kill_file.touch()
    state.look_at_kill_file()
    assert state.decide("enhanced_memory_enabled", "ann").reason is Reason.KILLED
    kill_file.unlink()
    state.look_at_kill_file()
    assert state.decide("enhanced_memory_enabled", "ann").enabled


def test_never_read_means_legacy():
    """Flags that could not be read are stale."""
    state = FlagState(EnvironmentFlags(), None)
    assert state.decide("enhanced_memory_enabled", "ann").reason is Reason.STALE


def test_the_share_splits_by_bucket():
    """A user is inside exactly when the bucket lies below the share."""
    state = state_with({**ON, "rollout_percentage": 25})
    for user in (f"user-{n}" for n in range(200)):
        assert state.decide("enhanced_memory_enabled", user).enabled == (bucket_of(user) < BUCKETS // 4)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"rollout_percentage": 101}, "expected a number from 0 to 100"),
        ({"rollout_percentage": "ten"}, "expected a number from 0 to 100"),
        ({"rollout_percentage": True}, "expected a number from 0 to 100"),
        ({"rollout_percentage": 50}, "may only be lowered here"),
        ({"enhanced_memory": True}, "unknown flag 'enhanced_memory'"),
        ({"enhanced_memory_enabled": "yes"}, "expected True or False"),
    ],
)
def test_changes_that_are_refused(changes, problem):
    """The error names the flag and what it takes."""
    with pytest.raises(FlagError, match=problem):
        changed(StoredFlags(3, 1, {"rollout_percentage": 25}), changes)


def test_a_change_makes_a_new_version():
    """Versions grow by one; the epoch stays."""
    after = changed(StoredFlags(3, 2, {"rollout_percentage": 25}), {"rollout_percentage": 10})
    assert after == StoredFlags(4, 2, {"rollout_percentage": 10})
